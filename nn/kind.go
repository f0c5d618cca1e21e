package nn

import "fmt"

// kind is all that this package knows of one kind of layer: its fields, its shapes,
// its parameters and its operation. A new layer is one more of these.
type kind struct {
	name   string
	fields []string // of Layer, beside Kind, that it reads, by the names in set

	// shape returns what an example of shape in becomes, or what is wrong with the
	// layer's fields or with in. It must bound every size before it computes one.
	shape func(l *Layer, in []int) ([]int, error)

	// params lists the layer's own parameters in Layout order; nil: none.
	params func(l *Layer, in []int) []param

	// first says why the layer may only be the first one, "" where it may stand anywhere.
	first string

	// mixes says why an example's gradient depends on the others in the batch, "" where
	// it does not: such a layer is refused where examples are clipped one by one.
	mixes string

	// build makes the operation. It takes memory and nothing else of the compiler:
	// the slices it gets may be nil while memory is only counted.
	build func(c *compiler, n *node) op
}

// kinds lists every kind of layer in the order of LayerKinds.
var kinds = []*kind{
	&denseKind, &flattenKind, &dropoutKind, &residualKind,
	&conv2dKind, &maxPoolKind, &avgPoolKind, &globalAvgPoolKind, &globalMaxPoolKind, &batchNormKind, &groupNormKind,
	&embeddingKind, &positionalKind, &rnnKind, &lstmKind, &gruKind,
	&layerNormKind, &attentionKind, &leakyReLUKind, &geluKind, &siluKind,
	&reluKind, &tanhKind, &sigmoidKind, &softmaxKind,
}

// LayerKinds returns the names a Layer.Kind may have, in a fixed order.
func LayerKinds() []string {
	var out []string
	for _, k := range kinds {
		out = append(out, k.name)
	}
	return out
}

func kindOf(name string) *kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	return nil
}

// param is one tensor of a layer's parameters.
type param struct {
	name  string // as torch names it inside its module: "weight"
	shape []int  // ours, row-major
	kind  ParamKind
	init  initial
	view  []int // torch's view of our data: axes to be permuted; nil: shape
	perm  []int // torch's axis i is view's perm[i]; nil: as they are
	final []int // torch's shape, where it joins permuted axes; nil: they stand
}

// transposed returns the torch order of a weight [in][out] that torch keeps as
// [out][in].
func (p param) transposed() param {
	p.perm = []int{1, 0}
	return p
}

// set returns the names of l's fields that are not zero, each with its value.
func (l *Layer) set() map[string]any {
	out := map[string]any{}
	add := func(name string, set bool, v any) {
		if set {
			out[name] = v
		}
	}
	none := [2]int{}
	add("units", l.Units != 0, l.Units)
	add("init", l.Init != "", l.Init)
	add("local", l.Local, true)
	add("no_bias", l.NoBias, true)
	add("kernel", l.Kernel != none, l.Kernel)
	add("stride", l.Stride != none, l.Stride)
	add("padding", l.Padding != none, l.Padding)
	add("dilation", l.Dilation != none, l.Dilation)
	add("groups", l.Groups != 0, l.Groups)
	add("vocab", l.Vocab != 0, l.Vocab)
	add("depth", l.Depth != 0, l.Depth)
	add("last", l.Last, true)
	add("truncate", l.Truncate != 0, l.Truncate)
	add("heads", l.Heads != 0, l.Heads)
	add("causal", l.Causal, true)
	add("slope", l.Slope != 0, l.Slope)
	add("rate", l.Rate != 0, l.Rate)
	add("epsilon", l.Epsilon != 0, l.Epsilon)
	add("momentum", l.Momentum != 0, l.Momentum)
	add("body", len(l.Body) > 0, len(l.Body))
	add("shortcut", len(l.Shortcut) > 0, len(l.Shortcut))
	return out
}

// layerFields are set's names in the order of Layer.
var layerFields = []string{"units", "init", "local", "no_bias", "kernel", "stride", "padding", "dilation", "groups", "vocab",
	"depth", "last", "truncate", "heads", "causal", "slope", "rate", "epsilon", "momentum", "body", "shortcut"}

// LayerFields returns the names of the fields, beside its kind, that a layer of
// that kind reads; nil for an unknown kind.
func LayerFields(kind string) []string {
	k := kindOf(kind)
	if k == nil {
		return nil
	}
	return append([]string{}, k.fields...)
}

// bounded reports a count that is not least … most.
func bounded(what string, v, least, most int) error {
	if v < least || v > most {
		return fmt.Errorf("%s is %d, want %d to %d", what, v, least, most)
	}
	return nil
}

// sameShape is the shape function of layers that change values only.
func sameShape(_ *Layer, in []int) ([]int, error) { return in, nil }
