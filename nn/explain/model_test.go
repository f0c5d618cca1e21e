package explain

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"tacit/nn"
)

// function is a model of one output given by its value and gradient, in float64 so
// that errors of the methods are not hidden behind its own.
type function struct {
	inputs int
	batch  int // most examples of a call, 0: any
	value  func(x []float64) float64
	slope  func(x []float64, i int) float64
	calls  int
}

var errTooMany = errors.New("more examples than compiled for")

func (f *function) rows(x []float32) ([][]float64, error) {
	f.calls++
	n := len(x) / f.inputs
	if f.batch > 0 && n > f.batch {
		return nil, errTooMany
	}
	out := make([][]float64, n)
	for i, v := range x {
		out[i/f.inputs] = append(out[i/f.inputs], float64(v))
	}
	return out, nil
}

func (f *function) Forward(x []float32) ([]float32, error) {
	rows, err := f.rows(x)
	var z []float32
	for _, row := range rows {
		z = append(z, float32(f.value(row)))
	}
	return z, err
}

func (f *function) InputGradient(dx, x []float32, output int) error {
	rows, err := f.rows(x)
	for r, row := range rows {
		for i := range row {
			dx[r*f.inputs+i] = float32(f.slope(row, i))
		}
	}
	return err
}

// ask makes a Predictor of a function.
type ask func(dst, x []float32) error

func (f ask) Predict(dst, x []float32) error { return f(dst, x) }

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func compile(t *testing.T, s nn.Spec, batch int) *nn.Program {
	t.Helper()
	p, err := nn.Compile(s, nn.Options{Batch: batch, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// nn's Program is what both interfaces ask for.
var (
	_ Model     = (*nn.Program)(nil)
	_ Predictor = (*nn.Program)(nil)
)
