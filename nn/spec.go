package nn

import (
	"fmt"

	"tacit/internal/nearest"
)

// Layer kinds. Each is described where it is built; [LayerKinds] lists them.
const (
	Dense         = "dense"           // y = x·w + b, over the last axis
	Conv2D        = "conv2d"          // cross-correlation over [height, width, channels]
	MaxPool       = "max_pool"        // greatest value of a window
	AvgPool       = "avg_pool"        // mean of a window
	GlobalAvgPool = "global_avg_pool" // mean over all axes but the last
	GlobalMaxPool = "global_max_pool" // maximum over all axes but the last
	Flatten       = "flatten"         // any shape to one axis
	Embedding     = "embedding"       // a row of a table for each token id
	Positional    = "positional"      // y = x + a learned table of x's shape
	RNN           = "rnn"             // Elman network, tanh
	LSTM          = "lstm"            // long short-term memory
	GRU           = "gru"             // gated recurrent unit
	Attention     = "attention"       // multi-head self-attention
	BatchNorm     = "batch_norm"      // normalisation of each channel over the batch
	LayerNorm     = "layer_norm"      // normalisation over the last axis
	GroupNorm     = "group_norm"      // normalisation over groups of channels of one example
	Dropout       = "dropout"         // zeroes values at random while training
	Residual      = "residual"        // y = body(x) + shortcut(x)
	ReLU          = "relu"            // y = max(x, 0)
	LeakyReLU     = "leaky_relu"      // y = x where x > 0, else slope·x
	GELU          = "gelu"            // y = x·Φ(x)
	SiLU          = "silu"            // y = x·σ(x)
	Tanh          = "tanh"            // y = tanh(x)
	Sigmoid       = "sigmoid"         // y = 1/(1+e^−x)
	Softmax       = "softmax"         // y_j = e^x_j / Σ_k e^x_k, over the last axis
)

// Losses. Both entropies take logits: the last layer gives them, and the sigmoid
// or softmax is part of the loss.
const (
	BinaryCrossEntropy = "binary_cross_entropy" // one output, labels 0 and 1
	CrossEntropy       = "cross_entropy"        // one output a class, sparse labels
	MSE                = "mse"                  // mean squared error over an example's outputs
	MAE                = "mae"                  // mean absolute error over an example's outputs
	Huber              = "huber"                // squared up to Delta, then linear
	Cox                = "cox"                  // negative log partial likelihood of survival times
)

// Initialisers of a layer's weights, as torch.nn.init defines them; fan_in and
// fan_out count the weights that lead to one output and from one input.
const (
	InitDefault        = ""                // the layer's default in torch
	InitZeros          = "zeros"           // every parameter of the layer zero, biases too
	InitKaimingUniform = "kaiming_uniform" // uniform in ±√(6/fan_in), for relu
	InitKaimingNormal  = "kaiming_normal"  // normal with deviation √(2/fan_in), for relu
	InitXavierUniform  = "xavier_uniform"  // uniform in ±√(6/(fan_in+fan_out))
	InitXavierNormal   = "xavier_normal"   // normal with deviation √(2/(fan_in+fan_out))
)

// Limits of a Spec, far above what a branch trains and low enough that no size
// computed from one overflows.
const (
	MaxLayers  = 1024    // in all, those inside others included
	MaxNesting = 8       // of layers inside layers
	MaxUnits   = 1 << 20 // along one axis
	MaxValues  = 1 << 24 // of one example at any layer
	MaxParams  = 1 << 28
)

// Spec describes a network as data: the shape of an example, the layers in order
// and the loss. It holds no parameters. The zero Spec is invalid.
type Spec struct {
	Inputs int   // values per example, 1 … MaxValues
	Shape  []int // of one example, outermost axis first; nil: [Inputs]
	Layers []Layer
	Loss   string // BinaryCrossEntropy, CrossEntropy, MSE, MAE, Huber or Cox

	ClassWeights   []float64 // entropies: the weight of each class's examples, for BinaryCrossEntropy of labels 0 and 1; nil: all 1
	LabelSmoothing float64   // entropies: the share of a label that is spread over all classes, 0 ≤ ε < 1
	Delta          float64   // Huber: where the square ends; 0: 1
}

// Layer is one step of a Spec. Fields that its Kind does not use are zero.
type Layer struct {
	Kind  string
	Units int    // Dense, Embedding, RNN, LSTM, GRU: outputs; Conv2D: output channels
	Init  string // layers with weights: InitDefault, InitZeros, …
	Local bool   // parameters stay at the branch: marked in the Layout, never averaged

	NoBias   bool   // Dense, Conv2D: no bias
	Kernel   [2]int // Conv2D, MaxPool, AvgPool: height and width of the window
	Stride   [2]int // the same: between windows; zero: 1 for Conv2D, Kernel for pools
	Padding  [2]int // the same: on either side
	Dilation [2]int // Conv2D: between a window's taps; zero: 1
	Groups   int    // Conv2D: independent groups of channels, 0: 1; GroupNorm: groups

	Vocab int // Embedding: rows of the table; ids are 0 … Vocab−1

	Depth    int  // RNN, LSTM, GRU: layers on top of each other, 0: 1
	Last     bool // RNN, LSTM, GRU: only the last step's output, [t, f] → [units]
	Truncate int  // RNN, LSTM, GRU: errors flow back through at most so many steps, 0: all

	Heads  int  // Attention
	Causal bool // Attention: a position attends to itself and those before

	Slope    float64 // LeakyReLU, 0: 0.01
	Rate     float64 // Dropout: probability of a zero, 0 ≤ Rate < 1
	Epsilon  float64 // norms: added to the variance, 0: 1e-5
	Momentum float64 // BatchNorm: share of the new batch in the running statistics, 0: 0.1

	Body, Shortcut []Layer // Residual; an empty Shortcut is the identity
}

// Losses returns the names a Spec.Loss may have, in a fixed order.
func Losses() []string { return []string{BinaryCrossEntropy, CrossEntropy, MSE, MAE, Huber, Cox} }

// LogReg returns logistic regression: one Dense of one unit under
// BinaryCrossEntropy.
func LogReg(inputs int) Spec {
	return Spec{Inputs: inputs, Layers: []Layer{{Kind: Dense, Units: 1}}, Loss: BinaryCrossEntropy}
}

// MLP returns a multilayer perceptron: a Dense and a ReLU for each hidden
// width, then a Dense of outputs units. The loss is BinaryCrossEntropy for one
// output and CrossEntropy for more.
func MLP(inputs int, hidden []int, outputs int) Spec {
	s := Spec{Inputs: inputs, Loss: CrossEntropy}
	for _, h := range hidden {
		s.Layers = append(s.Layers, Layer{Kind: Dense, Units: h}, Layer{Kind: ReLU})
	}
	s.Layers = append(s.Layers, Layer{Kind: Dense, Units: outputs})
	if outputs == 1 {
		s.Loss = BinaryCrossEntropy
	}
	return s
}

// InputShape returns the shape of one example.
func (s Spec) InputShape() []int {
	if s.Shape == nil {
		return []int{s.Inputs}
	}
	return s.Shape
}

// Outputs returns the values that the last layer gives per example, 0 for a Spec
// that Validate refuses.
func (s Spec) Outputs() int {
	g, err := s.graph()
	if err != nil {
		return 0
	}
	return size(g.out)
}

// NumParams returns the length of the flat parameter vector, 0 for a Spec that
// Validate refuses.
func (s Spec) NumParams() int {
	g, err := s.graph()
	if err != nil {
		return 0
	}
	return g.layout.Len()
}

// Validate reports every problem of the Spec at once (errors.Join), each naming
// its layer by place and kind, and the shapes that do not fit.
func (s Spec) Validate() error {
	_, err := s.graph()
	return err
}

// hint is what an error about an unknown name adds where a known one is near, or "".
func hint(word string, known []string) string {
	if name := nearest.Name(word, known); name != "" {
		return fmt.Sprintf(" (did you mean %q?)", name)
	}
	return ""
}
