package nn

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tacit/nn/internal/kernel"
)

// imageSpecs stand in specs: odd sizes, windows and images that are not square,
// strides that leave a rest, every option of a convolution and of a pool.
func imageSpecs() map[string]Spec {
	image := func(h, w, c int, loss string, layers ...Layer) Spec {
		return Spec{Inputs: h * w * c, Shape: []int{h, w, c}, Layers: layers, Loss: loss}
	}
	pair := func(a, b int) [2]int { return [2]int{a, b} }
	dense := func(n int) Layer { return Layer{Kind: Dense, Units: n} }
	flat := Layer{Kind: Flatten}
	return map[string]Spec{
		"conv first": image(5, 4, 2, CrossEntropy, Layer{Kind: Conv2D, Units: 3, Kernel: pair(3, 2)}, Layer{Kind: Tanh}, flat, dense(3)),
		"conv padding": image(4, 5, 3, MSE, Layer{Kind: Tanh}, Layer{Kind: Conv2D, Units: 5, Kernel: pair(3, 3), Padding: pair(1, 2)},
			Layer{Kind: Tanh}, Layer{Kind: Conv2D, Units: 2, Kernel: pair(2, 3), Padding: pair(1, 0), NoBias: true}, Layer{Kind: GlobalAvgPool}),
		"conv stride": image(7, 6, 2, CrossEntropy, Layer{Kind: Conv2D, Units: 4, Kernel: pair(3, 3), Stride: pair(2, 2), Padding: pair(1, 1)},
			Layer{Kind: Tanh}, Layer{Kind: Conv2D, Units: 3, Kernel: pair(2, 1), Stride: pair(1, 2)}, flat, dense(2)),
		"conv dilation": image(8, 6, 2, MSE, Layer{Kind: Conv2D, Units: 3, Kernel: pair(3, 2), Dilation: pair(2, 1), Padding: pair(1, 1)},
			Layer{Kind: Tanh}, Layer{Kind: Conv2D, Units: 3, Kernel: pair(2, 3), Dilation: pair(1, 2), Stride: pair(2, 1)}, flat, dense(2)),
		"conv groups": image(4, 4, 4, BinaryCrossEntropy, Layer{Kind: Conv2D, Units: 6, Kernel: pair(2, 2), Groups: 2},
			Layer{Kind: Tanh}, Layer{Kind: Conv2D, Units: 6, Kernel: pair(3, 3), Padding: pair(1, 1), Groups: 3}, flat, dense(1)),
		"conv depthwise": image(5, 5, 3, CrossEntropy, Layer{Kind: Conv2D, Units: 3, Kernel: pair(3, 3), Groups: 3, Stride: pair(2, 2), Padding: pair(1, 1)},
			Layer{Kind: Conv2D, Units: 6, Kernel: pair(2, 2), Groups: 3, Dilation: pair(2, 2)}, flat, dense(3)),
		"conv 1x1": image(3, 4, 3, CrossEntropy, Layer{Kind: Conv2D, Units: 5, Kernel: pair(1, 1)}, Layer{Kind: Tanh},
			Layer{Kind: Conv2D, Units: 17, Kernel: pair(1, 1), Stride: pair(2, 3)}, flat, dense(2)),
		"conv of whole rows": image(5, 3, 2, MSE, Layer{Kind: Conv2D, Units: 3, Kernel: pair(3, 1)}, Layer{Kind: Tanh},
			Layer{Kind: Conv2D, Units: 2, Kernel: pair(3, 1), Padding: pair(1, 0)}, flat, dense(2)),
		"conv of the whole image": image(3, 2, 2, MSE, Layer{Kind: Conv2D, Units: 4, Kernel: pair(3, 2)}, Layer{Kind: Tanh}, flat, dense(2)),
		"conv in a residual": image(4, 3, 2, CrossEntropy, Layer{Kind: Residual,
			Body:     []Layer{{Kind: Conv2D, Units: 3, Kernel: pair(3, 3), Padding: pair(1, 1), Stride: pair(2, 2)}, {Kind: ReLU}, {Kind: Conv2D, Units: 4, Kernel: pair(3, 3), Padding: pair(1, 1)}},
			Shortcut: []Layer{{Kind: Conv2D, Units: 4, Kernel: pair(1, 1), Stride: pair(2, 2)}}}, Layer{Kind: GlobalMaxPool}, dense(3)),
		"pools": image(7, 6, 3, CrossEntropy, Layer{Kind: Conv2D, Units: 5, Kernel: pair(2, 2)}, Layer{Kind: MaxPool, Kernel: pair(3, 2), Stride: pair(2, 1), Padding: pair(1, 1)},
			Layer{Kind: AvgPool, Kernel: pair(2, 3), Padding: pair(1, 1), Stride: pair(1, 2)}, flat, dense(3)),
		"pools of their kernel": image(7, 6, 2, MSE, Layer{Kind: AvgPool, Kernel: pair(2, 1)}, Layer{Kind: MaxPool, Kernel: pair(1, 2)}, Layer{Kind: Conv2D, Units: 2, Kernel: pair(1, 1)},
			Layer{Kind: MaxPool, Kernel: pair(2, 2)}, flat, dense(2)),
		"global pools of a sequence": {Inputs: 12, Shape: []int{4, 3}, Loss: CrossEntropy, Layers: []Layer{dense(70), {Kind: Residual,
			Body: []Layer{{Kind: GlobalAvgPool}, dense(3)}, Shortcut: []Layer{{Kind: GlobalMaxPool}, dense(3)}}}},
	}
}

func refConv(n *node, w [][]float64, x []float64, batch int) []float64 {
	l := n.layer
	h, wd, ci := n.in[0], n.in[1], n.in[2]
	oh, ow, co := n.out[0], n.out[1], n.out[2]
	stride, dilation, groups := l.Stride, l.Dilation, max(l.Groups, 1)
	if stride == [2]int{} {
		stride = [2]int{1, 1}
	}
	if dilation == [2]int{} {
		dilation = [2]int{1, 1}
	}
	per := ci / groups
	y := make([]float64, 0, batch*oh*ow*co)
	for i := range batch {
		for oy := range oh {
			for ox := range ow {
				for j := range co {
					sum := 0.0
					if !l.NoBias {
						sum = w[1][j]
					}
					g := j / (co / groups)
					for ky := range l.Kernel[0] {
						for kx := range l.Kernel[1] {
							iy, ix := oy*stride[0]+ky*dilation[0]-l.Padding[0], ox*stride[1]+kx*dilation[1]-l.Padding[1]
							if iy < 0 || iy >= h || ix < 0 || ix >= wd {
								continue
							}
							for c := range per {
								sum += x[((i*h+iy)*wd+ix)*ci+g*per+c] * w[0][((ky*l.Kernel[1]+kx)*per+c)*co+j]
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

// refPool gives each window's values inside the image to f.
func refPool(f func(window []float64, area float64) float64) refLayer {
	return func(n *node, _ [][]float64, x []float64, batch int) []float64 {
		l := n.layer
		stride := l.Stride
		if stride == [2]int{} {
			stride = l.Kernel
		}
		h, w, c := n.in[0], n.in[1], n.in[2]
		var y []float64
		for i := range batch {
			for oy := range n.out[0] {
				for ox := range n.out[1] {
					for j := range c {
						var window []float64
						for ky := range l.Kernel[0] {
							for kx := range l.Kernel[1] {
								iy, ix := oy*stride[0]+ky-l.Padding[0], ox*stride[1]+kx-l.Padding[1]
								if iy >= 0 && iy < h && ix >= 0 && ix < w {
									window = append(window, x[((i*h+iy)*w+ix)*c+j])
								}
							}
						}
						y = append(y, f(window, float64(l.Kernel[0]*l.Kernel[1])))
					}
				}
			}
		}
		return y
	}
}

func refGlobal(f func(window []float64, area float64) float64) refLayer {
	return func(n *node, _ [][]float64, x []float64, batch int) []float64 {
		c, rows := n.out[0], size(n.in)/n.out[0]
		var y []float64
		for i := range batch {
			for j := range c {
				var all []float64
				for r := range rows {
					all = append(all, x[(i*rows+r)*c+j])
				}
				y = append(y, f(all, float64(rows)))
			}
		}
		return y
	}
}

func refMax(v []float64, _ float64) float64 { return slices.Max(v) }

func refAvg(v []float64, area float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / area
}

// What does not fit is named.
func TestImageShapes(t *testing.T) {
	image := []int{6, 5, 4}
	for _, c := range []struct {
		in   []int
		l    Layer
		want string // a shape, or what the error says
	}{
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}}, "[4,3,2]"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}, Stride: [2]int{2, 2}, Padding: [2]int{1, 1}}, "[3,3,2]"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 2}, Dilation: [2]int{2, 4}}, "[2,1,2]"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 2}, Padding: [2]int{0, 9}, Stride: [2]int{5, 5}}, "[1,5,2]"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{7, 3}}, "a window of height 7 is larger than the padded image's 6"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}, Dilation: [2]int{1, 3}, Padding: [2]int{0, 0}}, "a window of width 7 is larger than the padded image's 5"},
		{image, Layer{Kind: Conv2D, Units: 6, Kernel: [2]int{3, 3}, Groups: 3}, "3 groups do not divide 4 input channels and 6 units"},
		{image, Layer{Kind: Conv2D, Units: 6, Kernel: [2]int{3, 3}, Groups: 4}, "4 groups do not divide 4 input channels and 6 units"},
		{image, Layer{Kind: Conv2D, Units: 6, Kernel: [2]int{3, 3}, Groups: -1}, "-1 groups do not divide"},
		{image, Layer{Kind: Conv2D, Kernel: [2]int{3, 3}}, "units is 0"},
		{image, Layer{Kind: Conv2D, Units: 2}, "the kernel's height is 0, want 1 to 4096"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, -1}}, "the kernel's width is -1"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}, Stride: [2]int{2, 0}}, "the stride's width is 0, want 1 to 4096"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}, Padding: [2]int{-1, 0}}, "the padding's height is -1, want 0 to 4096"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}, Dilation: [2]int{0, 1}}, "the dilation's height is 0"},
		{image, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{1 << 20, 3}}, "the kernel's height is 1048576, want 1 to 4096"},
		{[]int{4096, 4096, 1}, Layer{Kind: Conv2D, Units: 1, Kernel: [2]int{3, 3}, Padding: [2]int{1, 1}}, "the padded image [4098,4098,1] has more than 16777216 values"},
		{[]int{4096, 4096, 1}, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}}, "has more than 16777216 values"},
		{[]int{20}, Layer{Kind: Conv2D, Units: 2, Kernel: [2]int{3, 3}}, "takes an image [height,width,channels], got shape [20]"},
		{[]int{5, 4}, Layer{Kind: MaxPool, Kernel: [2]int{2, 2}}, "takes an image [height,width,channels], got shape [5,4]"},
		{image, Layer{Kind: MaxPool, Kernel: [2]int{2, 2}}, "[3,2,4]"},
		{image, Layer{Kind: MaxPool, Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}, Padding: [2]int{1, 1}}, "[6,5,4]"},
		{image, Layer{Kind: AvgPool, Kernel: [2]int{3, 3}, Padding: [2]int{2, 0}}, "the padding's height is 2, want at most half of the kernel's 3"},
		{image, Layer{Kind: AvgPool}, "the kernel's height is 0"},
		{image, Layer{Kind: AvgPool, Kernel: [2]int{2, 8}}, "a window of width 8 is larger"},
		{image, Layer{Kind: AvgPool, Kernel: [2]int{2, 2}, Dilation: [2]int{2, 2}}, "has no dilation"},
		{image, Layer{Kind: GlobalAvgPool}, "[4]"},
		{[]int{7, 3}, Layer{Kind: GlobalMaxPool}, "[3]"},
		{[]int{7}, Layer{Kind: GlobalMaxPool}, "or a sequence [steps,features], got shape [7]"},
		{image, Layer{Kind: GlobalAvgPool, Kernel: [2]int{2, 2}}, "has no kernel"},
		{image, Layer{Kind: GroupNorm, Groups: 3}, "3 groups do not divide 4 channels"},
		{image, Layer{Kind: GroupNorm}, "0 groups do not divide 4 channels"},
		{image, Layer{Kind: GroupNorm, Groups: 2, Epsilon: math.NaN()}, "epsilon is NaN"},
		{image, Layer{Kind: BatchNorm, Epsilon: -1}, "epsilon is -1"},
		{image, Layer{Kind: BatchNorm, Momentum: 1.5}, "momentum is 1.5"},
		{image, Layer{Kind: BatchNorm, Momentum: math.NaN()}, "momentum is NaN"},
	} {
		s := Spec{Inputs: size(c.in), Shape: c.in, Layers: []Layer{c.l, {Kind: Dense, Units: 1}}, Loss: MSE}
		g, err := s.graph()
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = shape(g.nodes[0].out)
		}
		if !strings.Contains(got, c.want) || (c.want[0] == '[') != (err == nil) {
			t.Errorf("%+v on %s: %q, want %q", c.l, shape(c.in), got, c.want)
		}
	}
	// Torch flattens channel by channel: groups of a flattened image would be others.
	flat := func(groups int) error {
		return Spec{Inputs: 12, Shape: []int{2, 3, 2}, Layers: []Layer{{Kind: Flatten}, {Kind: GroupNorm, Groups: groups}, {Kind: Dense, Units: 1}}, Loss: MSE}.Validate()
	}
	if err := flat(2); err == nil || !strings.Contains(err.Error(), "put the group_norm before the flatten") || flat(1) != nil {
		t.Errorf("a group norm after a flatten: %v, %v", err, flat(1))
	}
	// Sizes are judged before anything is allocated.
	s := Spec{Inputs: 1 << 20, Shape: []int{1024, 1024, 1}, Layers: []Layer{{Kind: Conv2D, Units: 16, Kernel: [2]int{4, 4}}, {Kind: MaxPool, Kernel: [2]int{1021, 1021}}, {Kind: Flatten}, {Kind: Dense, Units: 2}}, Loss: CrossEntropy}
	if _, err := Compile(s, Options{Batch: 1 << 12}); err == nil || !strings.Contains(err.Error(), "use a smaller batch") {
		t.Errorf("a batch of 4096 images of 2^24 values: %v", err)
	}
}

// guardedOp is the op of a layer alone, with its parameters drawn.
func guardedOp(t *testing.T, in []int, l Layer, batch, n int) (op, *node, []float32, *work) {
	t.Helper()
	s := Spec{Inputs: size(in), Shape: in, Layers: []Layer{l, {Kind: Dense, Units: 1}}, Loss: MSE}
	p := compile(t, s, Options{Batch: batch, Seed: 5, Threads: 1})
	return p.net.units[0].op, p.graph.nodes[0], p.params, alone(n, true, p.works[0].tmp)
}

const guardWord = float32(-12345.5)

func guarded(n int, fill func(int) float32) (body []float32, intact func() bool) {
	const pad = 37
	all := make([]float32, n+2*pad)
	for i := range all {
		all[i] = guardWord
	}
	body = all[pad : pad+n]
	for i := range body {
		body[i] = fill(i)
	}
	return body, func() bool {
		for i := range pad {
			if all[i] != guardWord || all[pad+n+i] != guardWord {
				return false
			}
		}
		return true
	}
}

// Forward and backward passes and gradients write all of what is theirs, whatever
// stood there, and nothing beside it.
func TestImageOpsStayInside(t *testing.T) {
	const batch, n = 4, 3
	r := rand.New(rand.NewPCG(31, 32))
	normal := func(int) float32 { return float32(r.NormFloat64()) }
	nan := func(int) float32 { return float32(math.NaN()) }
	specs := imageSpecs()
	maps.Copy(specs, normSpecs())
	for name, s := range specs {
		g, err := s.graph()
		if err != nil {
			t.Fatal(err)
		}
		g.each(func(at *node) {
			if at.layer.Kind == Residual {
				return
			}
			in, l := at.in, *at.layer
			o, nd, params, w := guardedOp(t, in, l, batch, n)
			x, xIntact := guarded(n*size(in), normal)
			y, yIntact := guarded(n*size(at.out), nan)
			dy, dyIntact := guarded(n*size(at.out), normal)
			dx, dxIntact := guarded(n*size(in), nan)
			before := digest(x) + digest(dy)
			o.forward(y, x, w.n, w)
			o.backward(dx, dy, x, y, w.n, w)
			grad, gradIntact := guarded(len(params), func(int) float32 { return guardWord })
			if o, ok := o.(trained); ok {
				o.grad(grad, dy, x, n, w)
				o.norm2(dy[:size(at.out)], x[:size(in)], 0, w)
			}
			if !xIntact() || !yIntact() || !dyIntact() || !dxIntact() || !gradIntact() || digest(x)+digest(dy) != before {
				t.Errorf("%s: layer %s (%s) wrote outside", name, at.path, l.Kind)
			}
			own := 0
			for _, e := range nd.entries {
				own += e.Len
			}
			for i, v := range grad {
				if (v == guardWord) == (i < own) {
					t.Errorf("%s: layer %s (%s): gradient %d of %d is %v", name, at.path, l.Kind, i, own, v)
				}
			}
			for i, v := range append(slices.Clone(y), dx...) {
				if v-v != 0 {
					t.Fatalf("%s: layer %s (%s): value %d is %v", name, at.path, l.Kind, i, v)
				}
			}
		})
	}
}

// The examples of a batch do not touch each other: each has the bits that it has alone.
func TestImageExamplesAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for name, s := range imageSpecs() {
		p, one := compile(t, s, Options{Batch: 5, Seed: 2}), compile(t, s, Options{Batch: 1, Seed: 2})
		b := randomBatch(r, s, 5)
		dx, single := make([]float32, len(b.X)), make([]float32, s.Inputs)
		if err := p.InputGradient(dx, b.X, 0); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if err := one.InputGradient(single, b.X[i*s.Inputs:][:s.Inputs], 0); err != nil {
				t.Fatal(err)
			}
			if digest(single) != digest(dx[i*s.Inputs:][:s.Inputs]) {
				t.Errorf("%s: example %d depends on its batch", name, i)
			}
		}
	}
}

// Input gradients against central differences of the float64 reference, where ∂x of
// the first layer is asked for too.
func TestImageInputGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	specs := imageSpecs()
	maps.Copy(specs, normSpecs())
	for _, name := range slices.Sorted(maps.Keys(specs)) { // in order, so that no draw comes near a kink one day
		s := specs[name]
		p := perturbed(t, s, Options{Batch: 2, Seed: 4})
		b := randomBatch(r, s, 2)
		w, x := widen(stored(t, p)), widen(b.X)
		dx, want := make([]float32, len(x)), make([]float64, len(x))
		const output = 0
		if err := p.InputGradient(dx, b.X, output); err != nil {
			t.Fatal(err)
		}
		width := p.graph.out[len(p.graph.out)-1]
		value := func() float64 {
			sum := 0.0
			for i, v := range refEval(p.graph.nodes, w, x, 2) {
				if i%width == output {
					sum += v
				}
			}
			return sum
		}
		for i := range x {
			const h = 1e-5
			old := x[i]
			x[i] = old + h
			up := value()
			x[i] = old - h
			want[i] = (up - value()) / (2 * h)
			x[i] = old
		}
		near(t, name, dx, want, 2e-6)
	}
}

// The first of equal values is taken, a NaN before any number, padding never: torch's
// max_pool2d.
func TestMaxPoolChoices(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name        string
		in          []int
		l           Layer
		x, y, dy, d []float32
	}{
		{"ties", []int{2, 2, 1}, Layer{Kind: MaxPool, Kernel: [2]int{2, 2}}, []float32{1, 3, 3, 3}, []float32{3}, []float32{7}, []float32{0, 7, 0, 0}},
		{"NaN", []int{2, 2, 1}, Layer{Kind: MaxPool, Kernel: [2]int{2, 2}}, []float32{1, nan, inf, 3}, []float32{nan}, []float32{7}, []float32{0, 7, 0, 0}},
		{"padding below", []int{2, 2, 1}, Layer{Kind: MaxPool, Kernel: [2]int{2, 2}, Padding: [2]int{1, 1}}, []float32{-1, -2, -3, -4}, []float32{-1, -2, -3, -4}, []float32{1, 2, 3, 4}, []float32{1, 2, 3, 4}},
		{"all −Inf", []int{1, 2, 1}, Layer{Kind: MaxPool, Kernel: [2]int{1, 2}}, []float32{-inf, -inf}, []float32{-inf}, []float32{5}, []float32{5, 0}},
		{"overlap", []int{1, 3, 1}, Layer{Kind: MaxPool, Kernel: [2]int{1, 2}, Stride: [2]int{1, 1}}, []float32{0, 2, 1}, []float32{2, 2}, []float32{5, 6}, []float32{0, 11, 0}},
		{"mean overlap", []int{1, 3, 1}, Layer{Kind: AvgPool, Kernel: [2]int{1, 2}, Stride: [2]int{1, 1}}, []float32{0, 2, 1}, []float32{1, 1.5}, []float32{4, 6}, []float32{2, 5, 3}},
		{"mean with padding", []int{2, 2, 1}, Layer{Kind: AvgPool, Kernel: [2]int{2, 2}, Padding: [2]int{1, 1}}, []float32{4, 8, 12, 16}, []float32{1, 2, 3, 4}, []float32{4, 8, 12, 16}, []float32{1, 2, 3, 4}},
		{"mean NaN", []int{1, 4, 1}, Layer{Kind: AvgPool, Kernel: [2]int{1, 2}}, []float32{nan, 1, 2, 4}, []float32{nan, 3}, []float32{2, 4}, []float32{1, 1, 2, 2}},
		{"global ties", []int{2, 2, 2}, Layer{Kind: GlobalMaxPool}, []float32{1, 5, 4, 5, 4, 0, 2, 2}, []float32{4, 5}, []float32{3, 7}, []float32{0, 7, 3, 0, 0, 0, 0, 0}},
		{"global NaN", []int{2, 2}, Layer{Kind: GlobalMaxPool}, []float32{1, nan, nan, 9}, []float32{nan, nan}, []float32{3, 7}, []float32{0, 7, 3, 0}},
	} {
		o, n, _, w := guardedOp(t, c.in, c.l, 1, 1)
		y, dx := make([]float32, size(n.out)), make([]float32, len(c.x))
		o.forward(y, c.x, w.n, w)
		o.backward(dx, c.dy, c.x, y, w.n, w)
		if !sameValues(y, c.y) || !sameValues(dx, c.d) {
			t.Errorf("%s: y %v, want %v; dx %v, want %v", c.name, y, c.y, dx, c.d)
		}
	}
}

func sameValues(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return x == y || x != x && y != y })
}

// A convolution's bits are those of its formula read with one FMA a term: forward over
// (ky, kx, c), ∂x over (oy, ox, j), ∂w over (example, oy, ox), each from +0. A faster
// kernel has to keep them.
func TestConvBits(t *testing.T) {
	r := rand.New(rand.NewPCG(37, 38))
	for name, s := range imageSpecs() {
		g, err := s.graph()
		if err != nil {
			t.Fatal(err)
		}
		g.each(func(at *node) {
			if at.layer.Kind != Conv2D {
				return
			}
			const n = 3
			o, nd, params, w := guardedOp(t, at.in, *at.layer, n, n)
			for i := range params {
				params[i] = float32(r.NormFloat64())
			}
			draw := func(n int) []float32 {
				v := make([]float32, n)
				for i := range v {
					v[i] = float32(r.NormFloat64())
				}
				return v
			}
			x, dy := draw(n*size(at.in)), draw(n*size(at.out))
			y, dx, grad := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(params))
			o.forward(y, x, n, w)
			o.backward(dx, dy, x, y, n, w)
			o.(trained).grad(grad, dy, x, n, w)
			wantY, wantX, wantG := plainConv(nd, params, x, dy, n)
			if digest(y) != digest(wantY) || digest(dx) != digest(wantX) || digest(grad[:len(wantG)]) != digest(wantG) {
				t.Errorf("%s: layer %s: other bits than the formula's: y %v, dx %v, grad %v", name, at.path,
					digest(y) == digest(wantY), digest(dx) == digest(wantX), digest(grad[:len(wantG)]) == digest(wantG))
			}
		})
	}
}

// plainConv is the formula of conv2dKind, one FMA a term.
func plainConv(n *node, params, x, dy []float32, batch int) (y, dx, grad []float32) {
	l := n.layer
	v, err := l.window(n.in, [2]int{1, 1})
	if err != nil {
		panic(err)
	}
	ci, co, groups := v.channels, l.Units, max(l.Groups, 1)
	per, each := ci/groups, co/groups
	w := params[n.entries[0].Offset:][:n.entries[0].Len]
	y, dx, grad = make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
	// term calls f for every output and the value and the weight that meet in it.
	term := func(i, oy, ox, j, ky, kx, c int, f func(out, in, weight int)) {
		iy, ix := oy*v.stride[0]+ky*v.dilation[0]-v.padding[0], ox*v.stride[1]+kx*v.dilation[1]-v.padding[1]
		if iy >= 0 && iy < v.in[0] && ix >= 0 && ix < v.in[1] {
			f(((i*v.out[0]+oy)*v.out[1]+ox)*co+j, ((i*v.in[0]+iy)*v.in[1]+ix)*ci+j/each*per+c, ((ky*v.kernel[1]+kx)*per+c)*co+j)
		}
	}
	for i := range batch {
		for oy := range v.out[0] {
			for ox := range v.out[1] {
				for ky := range v.kernel[0] {
					for kx := range v.kernel[1] {
						for c := range per {
							for j := range co {
								term(i, oy, ox, j, ky, kx, c, func(out, in, weight int) {
									y[out] = kernel.FMA(x[in], w[weight], y[out])
									grad[weight] = kernel.FMA(x[in], dy[out], grad[weight])
								})
							}
						}
						for j := range co {
							for c := range per {
								term(i, oy, ox, j, ky, kx, c, func(out, in, weight int) { dx[in] = kernel.FMA(dy[out], w[weight], dx[in]) })
							}
						}
					}
				}
			}
		}
	}
	if !l.NoBias {
		b := params[n.entries[1].Offset:][:co]
		db := make([]float32, co)
		for o := range y {
			y[o] += b[o%co]
			db[o%co] += dy[o]
		}
		grad = append(grad, db...)
	}
	return y, dx, grad
}

// The fans of a convolution are torch's: weights that lead to one output, and from one
// input through all outputs (torch.nn.init._calculate_fan_in_and_fan_out).
func TestConvInit(t *testing.T) {
	const in, out = 4 * 3 * 5, 96 * 3 * 5 // of 8 channels in 2 groups
	for name, want := range map[string]float64{
		InitDefault: 1 / math.Sqrt(in), InitKaimingUniform: math.Sqrt(6. / in), InitXavierUniform: math.Sqrt(6. / (in + out)),
	} {
		_, n, params, _ := guardedOp(t, []int{6, 7, 8}, Layer{Kind: Conv2D, Units: 96, Groups: 2, Kernel: [2]int{3, 5}, Init: name}, 1, 1)
		most := 0.0
		for _, v := range params[:n.entries[0].Len] {
			most = max(most, math.Abs(float64(v)))
		}
		if most > want || most < 0.99*want {
			t.Errorf("init %q: weights up to %v, want ±%v", name, most, want)
		}
		bias := params[n.entries[1].Offset:][:n.entries[1].Len]
		if most := float64(max(slices.Max(bias), -slices.Min(bias))); most > 1/math.Sqrt(in) || most < 0.9/math.Sqrt(in) {
			t.Errorf("init %q: biases up to %v, want ±%v", name, most, 1/math.Sqrt(in))
		}
	}
}

// An example with a window too long to be judged adds nothing to a clipped sum, and
// leaves the bits of the others alone.
func TestConvClippedLongWindow(t *testing.T) {
	for name, s := range imageSpecs() {
		if s.Layers[0].Kind != Conv2D {
			continue
		}
		p := compile(t, s, Options{Batch: 3, Seed: 3})
		b := randomBatch(rand.New(rand.NewPCG(49, 50)), s, 3)
		sum, want, norms := make([]float32, p.NumParams()), make([]float32, p.NumParams()), make([]float64, 3)
		for i := range p.params { // errors of zero would keep any norm small
			p.params[i] = max(-p.params[i], p.params[i])
		}
		first, last := row(s, b, 0), row(s, b, 2)
		two := Batch{X: slices.Concat(first.X, last.X), Labels: slices.Concat(first.Labels, last.Labels), Targets: slices.Concat(first.Targets, last.Targets)}
		if _, err := p.ClippedGradSum(want, norms[:2], two, 0.5); err != nil {
			t.Fatal(err)
		}
		for i := range s.Inputs {
			b.X[s.Inputs+i] = 0x1p65
		}
		m, err := p.ClippedGradSum(sum, norms, b, 0.5)
		if err != nil || !math.IsInf(norms[1], 1) || m.Examples != int64(2*p.rows) || digest(sum) != digest(want) {
			t.Errorf("%s: norm %v, %d examples, %v", name, norms[1], m.Examples, err)
		}
	}
}

// Whole training runs have the bits they had when the digests were written, with every
// instruction set and build tag: what federations have hashed.
func TestImageTrainingBits(t *testing.T) {
	for name, want := range map[string]string{
		"conv stride": "e4aa2e8dc0455774", "conv depthwise": "9e184742df701245", "pools": "6e2c21e2ef497937", "conv in a residual": "93e1ec87b2e9abd4", "batch norm of images": "a16e8c8f16a7ab11", "group norm of images": "8d53fa92980df262",
	} {
		s, ok := imageSpecs()[name]
		if !ok {
			s = normSpecs()[name]
		}
		if got := digest(trainRun(t, s, Options{Batch: 8, Seed: 42, Optimizer: NewSGD(0.05, 0.9)}, 40)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// mnistCNN has 105,866 parameters; 60,000 images are 1,875 steps of 32.
func mnistCNN() Spec {
	conv := func(n int) Layer {
		return Layer{Kind: Conv2D, Units: n, Kernel: [2]int{3, 3}, Padding: [2]int{1, 1}}
	}
	pool := Layer{Kind: MaxPool, Kernel: [2]int{2, 2}}
	return Spec{Inputs: 784, Shape: []int{28, 28, 1}, Loss: CrossEntropy, Layers: []Layer{
		conv(16), {Kind: ReLU}, pool, conv(32), {Kind: ReLU}, pool, {Kind: Flatten}, {Kind: Dense, Units: 64}, {Kind: ReLU}, {Kind: Dense, Units: 10}}}
}

func BenchmarkCNN(b *testing.B) {
	s := mnistCNN()
	batch := randomBatch(rand.New(rand.NewPCG(1, 1)), s, 32)
	b.Run("step", func(b *testing.B) {
		p := compile(b, s, Options{Batch: 32, Optimizer: NewAdam(1e-3)})
		for b.Loop() {
			if _, err := p.Step(batch); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("clipped", func(b *testing.B) {
		p := compile(b, s, Options{Batch: 32})
		sum, norms := make([]float32, p.NumParams()), make([]float64, 32)
		for b.Loop() {
			if _, err := p.ClippedGradSum(sum, norms, batch, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, l := range []Layer{{Kind: BatchNorm}, {Kind: GroupNorm, Groups: 8}} {
		b.Run(l.Kind, func(b *testing.B) {
			s := mnistCNN()
			s.Layers = slices.Insert(s.Layers, 1, l)
			p := compile(b, s, Options{Batch: 32, Optimizer: NewAdam(1e-3)})
			for b.Loop() {
				if _, err := p.Step(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
