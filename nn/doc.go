// Package nn trains feed-forward, convolutional, recurrent and attention networks on
// a branch's CPU.
//
// A Spec is a network as data; Compile turns it into a Program, which owns the
// parameters and all memory that a step needs:
//
//	p, err := nn.Compile(nn.MLP(13, []int{32, 16}, 1), nn.Options{
//		Batch: 32, Seed: 7, Optimizer: nn.NewSGD(0.01, 0.9),
//	})
//	m, err := p.Step(nn.Batch{X: x, Labels: y}) // forward, backward, update
//	err = p.Store(flat)                         // the model, to send or seal
//
// # What it promises
//
// The same Spec, seed, batches and options give the same bits on every machine,
// with every instruction set: package kernel fixes the order and the rounding of
// each operation. Replay and audit rest on this. NaN is excepted: a NaN stays a
// NaN, its bit pattern is free.
//
// The flat float32 vector of Load and Store is dense, in the order of Layout, and
// the only form of a model that is hashed, sealed or masked.
//
// A step allocates nothing on the heap: Compile carves one arena. A Program
// belongs to one goroutine at a time.
//
// # Shapes and notation
//
// A batch of B examples is (B, inputs), row-major; an example is [features], an image
// [height, width, channels], a sequence [steps, features] or [steps] of token ids. Weights are (in, out). The
// loss of a batch is L = (1/B) Σ_i ℓ_i; ℓ_i is the loss of example i. δ = ∂L/∂y is
// the error at a layer's output y, from which each layer gives ∂L/∂x at its input
// and the gradients of its parameters by the chain rule:
//
//	dense    y = x·w + b                  ∂x = δ·wᵀ   ∂w = xᵀ·δ   ∂b_j = Σ_i δ_ij
//	conv2d   y = b + Σ x at a window·w    ∂x, ∂w: the same products, summed over outputs
//	pools    y = max or mean of a window  ∂x = δ at the maximum, or δ/size
//	batch_norm, group_norm  y = γ·x̂ + β, x̂ = (x−μ)/√(v+ε) of a channel in the batch, of a group in the example
//	embedding, positional   a row for each token id; x + a table
//	rnn, lstm, gru          states h_s of cells; ∂ passes back through the steps
//	relu     y = max(x, 0)                ∂x = δ where y > 0, else 0
//	tanh     y = tanh x                   ∂x = δ·(1 − y²)
//	sigmoid  y = 1/(1+e^−x)               ∂x = δ·y·(1 − y)
//	softmax  y_j = e^x_j / Σ_k e^x_k      ∂x_j = y_j·(δ_j − Σ_k δ_k·y_k)
//	leaky    y = x where x > 0, else s·x  ∂x = δ where x > 0, else s·δ
//	gelu     y = x·Φ(x)                   ∂x = δ·(Φ(x) + x·φ(x))
//	silu     y = x·σ(x)                   ∂x = δ·σ(x)·(1 + x·(1 − σ(x)))
//	layer_norm  y = γ·x̂ + β, x̂ = (x−μ)/√(v+ε) of a row
//	attention   y = [P_h·V_h]_h·w_o + b_o, P_h = softmax(Q_h·K_hᵀ/√d), [Q|K|V] = x·w_i + b_i
//
// and the losses, with logits z, begin it:
//
//	binary_cross_entropy  ℓ = ln(1+e^z) − t·z        δ = (σ(z) − t)/B         t ∈ {0, 1}
//	cross_entropy         ℓ = ln Σ_k e^z_k − z_t     δ_j = (softmax(z)_j − [j = t])/B
//	mse                   ℓ = (1/O) Σ_j (z_j − t_j)²  δ_j = 2(z_j − t_j)/(O·B)
//	mae                   ℓ = (1/O) Σ_j |z_j − t_j|   δ_j = sign(z_j − t_j)/(O·B)
//	huber                 squared up to Delta, then linear
//	cox                   compares the examples of a batch with each other
//
// The entropies take class weights and label smoothing; with class weights the mean
// is over the labels' weights, L = Σ_i ℓ_i / Σ_i w_{y_i} with w_{y_i} inside ℓ_i.
//
// Definitions and defaults agree with PyTorch's (the modules of torch.nn, the losses
// of torch.nn.functional, torch.optim and its lr_scheduler); its numbers for small
// nets are in testdata and are part of the tests.
package nn
