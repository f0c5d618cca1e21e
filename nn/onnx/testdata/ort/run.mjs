// Runs the ONNX files of the folder in the first argument as cases.json says and
// writes each one's output beside it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';
const folder = process.argv[2];
for (const c of JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8'))) {
  const session = await ort.InferenceSession.create(readFileSync(join(folder, c.file)), {
    executionProviders: ['wasm'],
    graphOptimizationLevel: c.optimize ? 'all' : 'disabled',
  });
  if (session.inputNames.join() !== 'input' || session.outputNames.join() !== 'output') {
    throw new Error(`${c.file}: inputs ${session.inputNames}, outputs ${session.outputNames}`);
  }
  const out = [];
  for (const x of c.batches) {
    const { output } = await session.run({ input: new ort.Tensor('float32', Float32Array.from(x), [x.length / c.inputs, ...c.shape]) });
    out.push({ dims: output.dims, data: Array.from(output.data) });
  }
  writeFileSync(join(folder, c.out), JSON.stringify(out));
  await session.release();
}
