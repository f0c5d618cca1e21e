package nn

import (
	"math"
	"testing"
)

func refLeakyReLU(n *node, w [][]float64, x []float64, batch int) []float64 {
	slope := n.layer.Slope
	if slope == 0 {
		slope = 0.01
	}
	return refEach(func(x float64) float64 { return max(x, 0) + slope*min(x, 0) })(n, w, x, batch)
}

func refGELU(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 }

func refSiLU(x float64) float64 { return x / (1 + math.Exp(-x)) }

func activationSpecs() map[string]Spec {
	out := map[string]Spec{}
	for _, k := range []Layer{{Kind: LeakyReLU}, {Kind: LeakyReLU, Slope: 0.3}, {Kind: GELU}, {Kind: SiLU}} {
		name := k.Kind
		if k.Slope != 0 {
			name += " steep"
		}
		out[name+" inner, classes"] = Spec{Inputs: 5, Layers: []Layer{{Kind: Dense, Units: 7}, k, {Kind: Dense, Units: 4}}, Loss: CrossEntropy}
		out[name+" inner, binary"] = Spec{Inputs: 5, Layers: []Layer{{Kind: Dense, Units: 17}, k, k, {Kind: Dense, Units: 1}}, Loss: BinaryCrossEntropy}
		out[name+" last, mse"] = Spec{Inputs: 6, Shape: []int{2, 3}, Layers: []Layer{{Kind: Dense, Units: 6}, k}, Loss: MSE}
		out[name+" first, mse"] = Spec{Inputs: 4, Layers: []Layer{k, {Kind: Dense, Units: 3}}, Loss: MSE}
	}
	return out
}

// Values and slopes over the whole range, against float64: errors stay below some
// roundings of max(1, |x|), also where Φ and σ vanish.
func TestActivationRange(t *testing.T) {
	derivative := func(f func(float64) float64) func(float64) float64 {
		return func(x float64) float64 { return (f(x+1e-5) - f(x-1e-5)) / 2e-5 }
	}
	for _, c := range []struct {
		o   op
		ref func(float64) float64
	}{{&gelu{1, make([]float32, 1)}, refGELU}, {silu{}, refSiLU}, {leakyReLU{0.25}, func(x float64) float64 { return max(x, 0) + 0.25*min(x, 0) }}} {
		slope := derivative(c.ref)
		for i := -4000; i <= 4000; i++ {
			v := float32(i)/100 + 0.003
			x, y, dx := []float32{v}, []float32{0}, []float32{0}
			c.o.forward(y, x, 1, alone(1, false, nil))
			c.o.backward(dx, []float32{1}, x, y, 1, alone(1, false, nil))
			f := float64(v)
			if d := math.Abs(float64(y[0]) - c.ref(f)); !(d <= 4e-7*max(1, math.Abs(f))) {
				t.Fatalf("%T(%v) = %v, want %v", c.o, v, y[0], c.ref(f))
			}
			if d := math.Abs(float64(dx[0]) - slope(f)); !(d <= 2e-6) {
				t.Fatalf("%T'(%v) = %v, want %v", c.o, v, dx[0], slope(f))
			}
		}
		for _, v := range []float32{math.MaxFloat32, -math.MaxFloat32, 0, 0x1p-149, -0x1p-149, float32(math.Inf(1))} {
			x, y, dx := []float32{v}, []float32{0}, []float32{0}
			c.o.forward(y, x, 1, alone(1, false, nil))
			c.o.backward(dx, []float32{1}, x, y, 1, alone(1, false, nil))
			if finite := v-v == 0; y[0] != y[0] || finite && (y[0]-y[0] != 0 || dx[0] != dx[0]) {
				t.Errorf("%T(%v) = %v, slope %v", c.o, v, y[0], dx[0])
			}
		}
		y := []float32{0}
		if c.o.forward(y, []float32{float32(math.NaN())}, 1, alone(1, false, nil)); y[0] == y[0] {
			t.Errorf("%T(NaN) = %v", c.o, y[0])
		}
	}
}
