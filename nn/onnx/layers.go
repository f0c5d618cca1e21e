package onnx

import (
	"math"

	"tacit/nn"
)

// writer appends one layer. The caller knows the shape that comes out.
type writer func(g *graph, l *nn.Layer, v value) (value, error)

// writers has one for each kind of layer.
var writers map[string]writer

func init() { // residual comes back to the table
	writers = map[string]writer{
		nn.Dense: dense, nn.Flatten: flatten, nn.Residual: residual,
		nn.Dropout: func(_ *graph, _ *nn.Layer, v value) (value, error) { return v, nil },
		nn.Conv2D:  conv, nn.MaxPool: pool("MaxPool"), nn.AvgPool: pool("AveragePool", attr{"count_include_pad", 1}),
		nn.GlobalAvgPool: global("ReduceMean"), nn.GlobalMaxPool: global("ReduceMax"),
		nn.BatchNorm: batchNorm, nn.GroupNorm: groupNorm, nn.LayerNorm: layerNorm,
		nn.Embedding: embedding, nn.Positional: positional, nn.Attention: attention,
		nn.RNN:  recurrent("RNN", []int{0}),
		nn.LSTM: recurrent("LSTM", []int{0, 3, 1, 2}),                             // i f g o to i o f g
		nn.GRU:  recurrent("GRU", []int{1, 0, 2}, attr{"linear_before_reset", 1}), // r z n to z r n
		nn.ReLU: each("Relu"), nn.Tanh: each("Tanh"), nn.Sigmoid: each("Sigmoid"),
		nn.LeakyReLU: leakyReLU, nn.GELU: gelu, nn.SiLU: silu, nn.Softmax: softmax,
	}
}

func each(op string) writer {
	return func(g *graph, _ *nn.Layer, v value) (value, error) { return g.each(op, v), nil }
}

// dense: MatMul works on the last axis of any shape.
func dense(g *graph, _ *nn.Layer, v value) (value, error) {
	v = g.channelsLast(v)
	v.name = g.add("MatMul", []string{v.name, g.weights("weight")})
	if g.has("bias") {
		v.name = g.add("Add", []string{v.name, g.weights("bias")})
	}
	return v, nil
}

func flatten(g *graph, _ *nn.Layer, v value) (value, error) {
	v = g.channelsLast(v)
	v.name = g.add("Flatten", []string{v.name}, attr{"axis", 1})
	return v, nil
}

func residual(g *graph, l *nn.Layer, v value) (value, error) {
	path := g.path
	body, err := g.chain(l.Body, path+".body.", v)
	if err != nil {
		return v, err
	}
	short, err := g.chain(l.Shortcut, path+".shortcut.", v)
	if err != nil {
		return v, err
	}
	g.path, g.count = path, 0
	if body.chw {
		short = g.channelsFirst(short)
	} else {
		short = g.channelsLast(short)
	}
	return value{g.add("Add", []string{body.name, short.name}), body.shape, body.chw}, nil
}

// pair returns v, or otherwise where it is zero.
func pair(v, otherwise [2]int) []int {
	if v == [2]int{} {
		v = otherwise
	}
	return v[:]
}

func conv(g *graph, l *nn.Layer, v value) (value, error) {
	v = g.channelsFirst(v)
	shape, w, err := g.torch("weight")
	if err != nil {
		return v, err
	}
	in := []string{v.name, g.floats("weight", shape, w...)}
	if g.has("bias") {
		in = append(in, g.weights("bias"))
	}
	p := l.Padding
	v.name = g.add("Conv", in, attr{"kernel_shape", l.Kernel[:]}, attr{"strides", pair(l.Stride, [2]int{1, 1})},
		attr{"dilations", pair(l.Dilation, [2]int{1, 1})}, attr{"pads", []int{p[0], p[1], p[0], p[1]}}, attr{"group", max(l.Groups, 1)})
	return v, nil
}

func pool(op string, more ...attr) writer {
	return func(g *graph, l *nn.Layer, v value) (value, error) {
		v = g.channelsFirst(v)
		p := l.Padding
		attrs := append([]attr{{"kernel_shape", l.Kernel[:]}, {"strides", pair(l.Stride, l.Kernel)}, {"pads", []int{p[0], p[1], p[0], p[1]}}}, more...)
		v.name = g.add(op, []string{v.name}, attrs...)
		return v, nil
	}
}

// global reduces all axes but batch and channels; of one axis alone there are none.
func global(op string) writer {
	return func(g *graph, _ *nn.Layer, v value) (value, error) {
		var axes []int
		for a := 1; a < len(v.shape); a++ {
			axes = append(axes, a)
			if v.chw {
				axes[a-1]++
			}
		}
		if len(axes) > 0 {
			v.name = g.add(op, []string{v.name}, attr{"axes", axes}, attr{"keepdims", 0})
		}
		v.chw = false
		return v, nil
	}
}

// epsilon is what a norm adds to the variance.
func epsilon(l *nn.Layer) float64 {
	if l.Epsilon == 0 {
		return 1e-5
	}
	return l.Epsilon
}

// batchNorm by the running statistics: ONNX's operator where channels are the first
// axis, else (x − μ)·(γ/√(v+ε)) + β along the last.
func batchNorm(g *graph, l *nn.Layer, v value) (value, error) {
	if v.chw || len(v.shape) == 1 {
		v.name = g.add("BatchNormalization", []string{v.name, g.weights("weight"), g.weights("bias"), g.weights("running_mean"), g.weights("running_var")},
			attr{"epsilon", float32(epsilon(l))})
		return v, nil
	}
	scale := append([]float32{}, g.own("weight")...)
	for i, variance := range g.own("running_var") {
		scale[i] = float32(float64(scale[i]) / math.Sqrt(float64(variance)+epsilon(l)))
	}
	d := g.add("Sub", []string{v.name, g.weights("running_mean")})
	d = g.add("Mul", []string{d, g.floats("scale", []int{len(scale)}, scale...)})
	v.name = g.add("Add", []string{d, g.weights("bias")})
	return v, nil
}

// groupNorm: with [batch, groups, rest] InstanceNormalization takes each group's mean
// and variance.
func groupNorm(g *graph, l *nn.Layer, v value) (value, error) {
	v = g.channelsFirst(v)
	c := v.shape[len(v.shape)-1]
	whole, affine := []int{0, c}, []int{c} // what it is again afterwards, and γ's shape there
	switch len(v.shape) {
	case 2:
		v.name = g.add("Transpose", []string{v.name}, attr{"perm", []int{0, 2, 1}})
		whole, affine = []int{0, c, v.shape[0]}, []int{c, 1}
	case 3:
		whole, affine = []int{0, c, v.shape[0], v.shape[1]}, []int{c, 1, 1}
	}
	one, zero := make([]float32, l.Groups), make([]float32, l.Groups)
	for i := range one {
		one[i] = 1
	}
	x := g.add("Reshape", []string{v.name, g.ints(0, l.Groups, -1)})
	x = g.add("InstanceNormalization", []string{x, g.floats("ones", []int{l.Groups}, one...), g.floats("zeros", []int{l.Groups}, zero...)}, attr{"epsilon", float32(epsilon(l))})
	x = g.add("Reshape", []string{x, g.ints(whole...)})
	x = g.add("Mul", []string{x, g.floats("weight", affine, g.own("weight")...)})
	v.name = g.add("Add", []string{x, g.floats("bias", affine, g.own("bias")...)})
	if len(v.shape) == 2 {
		v.name = g.add("Transpose", []string{v.name}, attr{"perm", []int{0, 2, 1}})
	}
	return v, nil
}

func layerNorm(g *graph, l *nn.Layer, v value) (value, error) {
	v = g.channelsLast(v)
	v.name = g.add("LayerNormalization", []string{v.name, g.weights("weight"), g.weights("bias")}, attr{"axis", -1}, attr{"epsilon", float32(epsilon(l))})
	return v, nil
}

func embedding(g *graph, _ *nn.Layer, v value) (value, error) {
	ids := g.add("Cast", []string{v.name}, attr{"to", typeInt64})
	v.name = g.add("Gather", []string{g.weights("weight"), ids}, attr{"axis", 0})
	return v, nil
}

func positional(g *graph, _ *nn.Layer, v value) (value, error) {
	v.name = g.add("Add", []string{v.name, g.weights("weight")})
	return v, nil
}

func leakyReLU(g *graph, l *nn.Layer, v value) (value, error) {
	slope := l.Slope
	if slope == 0 {
		slope = 0.01
	}
	return g.each("LeakyRelu", v, attr{"alpha", float32(slope)}), nil
}

// gelu: x·(1 + erf(x/√2))/2.
func gelu(g *graph, _ *nn.Layer, v value) (value, error) {
	y := g.add("Div", []string{v.name, g.scalar("sqrt2", math.Sqrt2)})
	y = g.add("Erf", []string{y})
	y = g.add("Add", []string{y, g.scalar("one", 1)})
	y = g.add("Mul", []string{v.name, y})
	v.name = g.add("Mul", []string{y, g.scalar("half", 0.5)})
	return v, nil
}

func silu(g *graph, _ *nn.Layer, v value) (value, error) {
	s := g.add("Sigmoid", []string{v.name})
	v.name = g.add("Mul", []string{v.name, s})
	return v, nil
}

func softmax(g *graph, _ *nn.Layer, v value) (value, error) {
	return g.each("Softmax", g.channelsLast(v), attr{"axis", -1}), nil
}

// attention, written out: the heads are an axis of their own between batch and steps.
func attention(g *graph, l *nn.Layer, v value) (value, error) {
	t, e := v.shape[0], v.shape[1]
	d := e / l.Heads
	x := g.add("MatMul", []string{v.name, g.weights("in_proj_weight")})
	x = g.add("Add", []string{x, g.weights("in_proj_bias")})
	parts := g.addMany("Split", []string{x, g.ints(e, e, e)}, 3, attr{"axis", -1})
	for i, perm := range [][]int{{0, 2, 1, 3}, {0, 2, 3, 1}, {0, 2, 1, 3}} {
		parts[i] = g.add("Reshape", []string{parts[i], g.ints(0, t, l.Heads, d)})
		parts[i] = g.add("Transpose", []string{parts[i]}, attr{"perm", perm})
	}
	s := g.add("MatMul", []string{parts[0], parts[1]})
	s = g.add("Mul", []string{s, g.scalar("scale", 1/math.Sqrt(float64(d)))})
	if l.Causal { // −∞ above the diagonal
		mask := g.add("ConstantOfShape", []string{g.ints(t, t)}, attr{"value", floats("", []int{1}, []float32{float32(math.Inf(-1))})})
		mask = g.add("Trilu", []string{mask, g.scalarInt(1)}, attr{"upper", 1})
		s = g.add("Add", []string{s, mask})
	}
	p := g.add("Softmax", []string{s}, attr{"axis", -1})
	o := g.add("MatMul", []string{p, parts[2]})
	o = g.add("Transpose", []string{o}, attr{"perm", []int{0, 2, 1, 3}})
	o = g.add("Reshape", []string{o, g.ints(0, t, e)})
	o = g.add("MatMul", []string{o, g.weights("out_proj.weight")})
	v.name = g.add("Add", []string{o, g.weights("out_proj.bias")})
	return v, nil
}
