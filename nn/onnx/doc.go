// Package onnx writes trained networks as ONNX files (https://onnx.ai), which other
// runtimes evaluate:
//
//	file, err := onnx.Append(nil, spec, params, onnx.Options{Mean: mean, Std: std})
//
// The graph takes one float32 tensor, "input", of shape [batch, …] with an example as the
// Spec has it: images [height, width, channels], sequences [steps, features], token ids as
// whole numbers in float32. It gives one, "output", of what nn's Predict gives: probabilities
// under the entropies, the last layer's outputs under other losses. With a standardisation
// its first two nodes are
//
//	z = (u − mean)/(std + 1e-9)
//
// so that a caller gives inputs as they were before it. Layers are as they are used and not as
// they are trained: no dropout, batch norms by their running statistics.
//
// The file is of ONNX IR version 8 and operator set 17, and uses operators of that set
// alone. The same network gives the same bytes. What a runtime computes from it agrees
// with nn up to rounding; only nn's own bits are the same everywhere.
package onnx
