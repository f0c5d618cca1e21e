package explain

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tacit/nn"
)

// Sundararajan, Taly and Yan's own example (2017, section 2.1): f(x) = 1 − ReLU(1−x)
// is 0 at the baseline 0 and 1 at x = 2. The gradient there is 0; integrated
// gradients attribute the 1.
func TestPaperExample(t *testing.T) {
	f := &function{inputs: 1,
		value: func(x []float64) float64 { return 1 - max(0, 1-x[0]) },
		slope: func(x []float64, _ int) float64 {
			if x[0] < 1 {
				return 1
			}
			return 0
		}}
	g, err := Saliency(f, []float32{2}, 1, Options{})
	if err != nil || g.Absolute[0] != 0 || g.TimesInput[0] != 0 {
		t.Errorf("saliency is %+v, %v", g, err)
	}
	a, err := Integrated(f, []float32{2}, []float32{0}, Options{Steps: 50})
	if err != nil || a.Values[0] != 1 || a.Sum[0] != 1 || a.Difference[0] != 1 || a.Gap() != 0 {
		t.Errorf("integrated gradients are %+v, %v", a, err)
	}
}

// The midpoint rule is exact for gradients that are linear on the way, so for z =
// Σ c_i x_i² + x_0·x_1 the attributions have a closed form: along a straight line the
// product splits as (x_0 − b_0)·(x_1 + b_1)/2 and the mirror of it.
func TestIntegratedClosedForm(t *testing.T) {
	c := []float64{0.5, -2, 3, 0}
	f := &function{inputs: 4, batch: 3,
		value: func(x []float64) float64 {
			z := x[0] * x[1]
			for i := range x {
				z += c[i] * x[i] * x[i]
			}
			return z
		},
		slope: func(x []float64, i int) float64 {
			g := 2 * c[i] * x[i]
			if i < 2 {
				g += x[1-i]
			}
			return g
		}}
	r := rand.New(rand.NewPCG(1, 2))
	x, b := normal(r, 5*4), normal(r, 4)
	for _, o := range []Options{{Steps: 1}, {Steps: 7, Batch: 3}, {Batch: 2}} {
		a, err := Integrated(f, x, b, o)
		if err != nil {
			t.Fatal(err)
		}
		for row := range 5 {
			for i := range 4 {
				xi, bi := float64(x[row*4+i]), float64(b[i])
				want := c[i] * (xi*xi - bi*bi)
				if i < 2 {
					want += (xi - bi) * (float64(x[row*4+1-i]) + float64(b[1-i])) / 2
				}
				near(t, "attribution", a.Values[row*4+i], want, 1e-5)
			}
			near(t, "completeness", a.Sum[row], a.Difference[row], 1e-5)
			if a.Values[row*4+3] != 0 {
				t.Errorf("a feature that does nothing was given %v", a.Values[row*4+3])
			}
		}
	}
}

// For a smooth function the gap falls with the square of the steps, and Gap sees it.
func TestGapFallsWithSteps(t *testing.T) {
	f := &function{inputs: 2,
		value: func(x []float64) float64 { return math.Tanh(3*x[0]) + x[1] },
		slope: func(x []float64, i int) float64 {
			if i == 1 {
				return 1
			}
			h := math.Tanh(3 * x[0])
			return 3 * (1 - h*h)
		}}
	var last float64
	for i, steps := range []int{2, 8, 32} {
		a, err := Integrated(f, []float32{0.5, 1, 0.4, 1}, []float32{-0.1, 0}, Options{Steps: steps})
		if err != nil {
			t.Fatal(err)
		}
		gap := a.Gap()
		if i > 0 && gap > last/10 {
			t.Errorf("%d steps: gap %v after %v", steps, gap, last)
		}
		last = gap
	}
	if last > 1e-3 {
		t.Errorf("32 steps leave a gap of %v", last)
	}
	a, err := Integrated(f, []float32{1, 1}, []float32{1, 1}, Options{})
	if err != nil || !math.IsNaN(a.Gap()) || a.Values[0] != 0 {
		t.Errorf("the baseline itself: %+v, %v", a, err)
	}
}

// With nn's Program: finite differences of Forward agree with the saliency, the
// attributions are complete, and neither depends on the batch.
func TestProgram(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	spec := nn.Spec{Inputs: 6, Layers: []nn.Layer{
		{Kind: nn.Dense, Units: 9}, {Kind: nn.Tanh}, {Kind: nn.Dense, Units: 3},
	}, Loss: nn.CrossEntropy}
	p := compile(t, spec, 8)
	x, baseline := normal(r, 11*6), make([]float32, 6)
	for output := range 3 {
		g, err := Saliency(p, x, 6, Options{Output: output, Batch: 8})
		if err != nil {
			t.Fatal(err)
		}
		one := Options{Output: output}
		for i := range x {
			const h = 0x1p-6
			shifted := slices.Clone(x)
			shifted[i] += h
			up, err := outputs(compile(t, spec, 1), shifted, 6, Options{Output: output, Batch: 1})
			if err != nil {
				t.Fatal(err)
			}
			shifted[i] = x[i] - h
			down, _ := outputs(compile(t, spec, 1), shifted, 6, Options{Output: output, Batch: 1})
			slope := (up[i/6] - down[i/6]) / (2 * h)
			near(t, "|gradient|", g.Absolute[i], math.Abs(slope), 1e-4)
			near(t, "gradient·x", g.TimesInput[i], slope*float64(x[i]), 1e-4*max(1, math.Abs(float64(x[i]))))
		}
		a, err := Integrated(p, x, baseline, Options{Output: output, Batch: 8})
		if err != nil {
			t.Fatal(err)
		}
		if gap := a.Gap(); gap > 1e-3 {
			t.Errorf("output %d: gap %v", output, gap)
		}
		b, err := Integrated(p, x, baseline, one)
		if err != nil || !slices.Equal(a.Values, b.Values) || !slices.Equal(a.Difference, b.Difference) {
			t.Errorf("output %d: batches of 8 and of 1 differ (%v)", output, err)
		}
		s, err := Saliency(p, x, 6, one)
		if err != nil || !slices.Equal(s.Absolute, g.Absolute) || !slices.Equal(s.TimesInput, g.TimesInput) {
			t.Errorf("output %d: saliency in batches of 8 and of 1 differs (%v)", output, err)
		}
	}
}

// Of a sequence of outputs the chosen one is summed over its positions, in the
// gradient as in the difference.
func TestProgramOfSequences(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	p := compile(t, nn.Spec{Inputs: 12, Shape: []int{4, 3}, Layers: []nn.Layer{
		{Kind: nn.Dense, Units: 5}, {Kind: nn.Sigmoid}, {Kind: nn.Dense, Units: 2},
	}, Loss: nn.CrossEntropy}, 4)
	x, baseline := normal(r, 3*12), normal(r, 12)
	for output := range 2 {
		a, err := Integrated(p, x, baseline, Options{Output: output, Width: 2, Batch: 4})
		if err != nil {
			t.Fatal(err)
		}
		if gap := a.Gap(); gap > 1e-3 {
			t.Errorf("output %d: gap %v", output, gap)
		}
	}
}

func TestGradientsRefuse(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	linear := func() *function {
		return &function{inputs: 2, value: func(x []float64) float64 { return x[0] + x[1] }, slope: func([]float64, int) float64 { return 1 }}
	}
	steep := linear()
	steep.slope = func(x []float64, _ int) float64 { return 1 / (x[0] - 3) }
	pole := linear()
	pole.value = func(x []float64) float64 { return 1 / (x[0] - 3) }
	small := linear()
	small.batch = 1
	ok, zero := []float32{1, 2, 3, 4}, []float32{0, 0}
	for _, c := range []struct {
		name     string
		m        Model
		x, base  []float32
		o        Options
		want     string
		integral bool // only Integrated refuses
	}{
		{"shape", linear(), ok[:3], zero, Options{}, "want [n,2]", false},
		{"batch", linear(), ok, zero, Options{Batch: -1}, "batch is -1", false},
		{"steps", linear(), ok, zero, Options{Steps: MaxSteps + 1}, "steps is", false},
		{"output", linear(), ok, zero, Options{Output: -1}, "output is -1", false},
		{"output of width", linear(), ok, zero, Options{Output: 2, Width: 2}, "output is 2 of 2", false},
		{"gradient", steep, ok, zero, Options{}, "row 1", false},
		{"model", small, ok, zero, Options{Batch: 2}, errTooMany.Error(), false},
		{"no baseline", linear(), ok, nil, Options{}, "want [n,0]", true},
		{"NaN", linear(), []float32{1, 2, 3, nan}, zero, Options{}, "row 1", true},
		{"baseline", linear(), ok, []float32{0, inf}, Options{}, "value 1 of the baseline", true},
		{"output 1 of 1", linear(), ok, zero, Options{Output: 1}, "output 1 of 1", true},
		{"width 2 of 1", linear(), ok, zero, Options{Width: 2}, "the model gives 1", true},
		{"infinite output", pole, ok, zero, Options{Batch: 1}, "row 1", true},
		{"infinite output in a batch", pole, ok, zero, Options{Batch: 2}, "row 1", true},
		{"infinite at the baseline", pole, ok[:2], []float32{3, 0}, Options{}, "of the baseline", true},
	} {
		_, err := Integrated(c.m, c.x, c.base, c.o)
		if c.name == "gradient" {
			_, err = Integrated(c.m, []float32{1, 1, 6, 0}, zero, Options{Steps: 1}) // its middle is 3
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: integrated: error %v, want one with %q", c.name, err, c.want)
		}
		if _, err := Saliency(c.m, c.x, 2, c.o); !c.integral && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: saliency: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if _, err := Integrated(small, ok, zero, Options{Batch: 2}); !errors.Is(err, errTooMany) {
		t.Errorf("the model's error became %v", err)
	}
	// Rows that are none give none; a huge batch asks for no room.
	a, err := Integrated(linear(), nil, zero, Options{Batch: math.MaxInt})
	if err != nil || len(a.Values) != 0 || !math.IsNaN(a.Gap()) {
		t.Errorf("no rows: %+v, %v", a, err)
	}
	if _, err := Saliency(linear(), ok, 2, Options{Batch: math.MaxInt}); err != nil {
		t.Error(err)
	}
}

func TestSummary(t *testing.T) {
	groups := []Group{{"a", []int{0, 2}}, {"b", []int{1}}}
	a := []float64{1, 2, -3, 4, -5, 0.5}
	whole, err := Summarize(a, 3, groups)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := whole.Shares(), (Share{groups[0], (-2 + 4.5) / 2, (2 + 4.5) / 2}); got[0].Signed != want.Signed || got[0].Absolute != want.Absolute || got[1].Signed != -1.5 || got[1].Absolute != 3.5 {
		t.Errorf("shares are %+v", got)
	}
	first, _ := Summarize(a[:3], 3, groups)
	second, _ := Summarize(a[3:], 3, groups)
	if err := first.Add(second); err != nil || first.Examples != 2 || !slices.Equal(first.Signed, whole.Signed) || !slices.Equal(first.Absolute, whole.Absolute) {
		t.Errorf("the parts add to %+v, %v", first, err)
	}
	other, _ := Summarize(a, 3, groups[:1])
	if err := first.Add(other); err == nil || first.Examples != 2 {
		t.Error("sums of other groups were added")
	}
	none, err := Summarize(nil, 3, groups)
	if err != nil || !math.IsNaN(none.Shares()[0].Absolute) {
		t.Errorf("no examples: %+v, %v", none, err)
	}
	for _, bad := range [][]Group{nil, {{"empty", nil}}, {{"far", []int{3}}}, {{"negative", []int{-1}}}, {{"twice", []int{1, 1}}}} {
		if _, err := Summarize(a, 3, bad); err == nil {
			t.Errorf("groups %v were taken", bad)
		}
	}
	if _, err := Summarize(a[:5], 3, groups); err == nil {
		t.Error("5 values were taken for rows of 3")
	}
}

func TestChannels(t *testing.T) {
	got := Channels(6, 2, []string{"load"})
	if len(got) != 2 || got[0].Name != "load" || got[1].Name != "1" || !slices.Equal(got[0].Features, []int{0, 2, 4}) || !slices.Equal(got[1].Features, []int{1, 3, 5}) {
		t.Errorf("%+v", got)
	}
	if Channels(5, 2, nil) != nil || Channels(0, 1, nil) != nil || Each(-1, nil) != nil {
		t.Error("groups of nothing")
	}
	if got := Each(2, []string{"age", "sex", "more"}); len(got) != 2 || got[1].Name != "sex" || !slices.Equal(got[1].Features, []int{1}) {
		t.Errorf("%+v", got)
	}
}
