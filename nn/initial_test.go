package nn

import (
	"math"
	"testing"
)

// moments returns the mean, the mean square and the mean fourth power of v.
func moments(v []float32) (mean, square, fourth float64) {
	for _, x := range v {
		x := float64(x)
		mean, square, fourth = mean+x, square+x*x, fourth+x*x*x*x
	}
	n := float64(len(v))
	return mean / n, square / n, fourth / n
}

// Every initialiser against torch.nn.init's definition: a Dense of 200 inputs and
// 300 outputs has fan_in 200 and fan_out 300, and its bias is torch.nn.Linear's
// whatever the weights are. Bounds are of five standard errors.
func TestInit(t *testing.T) {
	const in, out = 200, 300
	for name, c := range map[string]struct {
		bound     float64 // of a uniform, 0 for a normal
		deviation float64
	}{
		InitDefault:        {bound: 1 / math.Sqrt(in)}, // kaiming_uniform_(a=√5)
		InitKaimingUniform: {bound: math.Sqrt(2) * math.Sqrt(3./in)},
		InitKaimingNormal:  {deviation: math.Sqrt(2) / math.Sqrt(in)},
		InitXavierUniform:  {bound: math.Sqrt(6. / (in + out))},
		InitXavierNormal:   {deviation: math.Sqrt(2. / (in + out))},
	} {
		s := Spec{Inputs: in, Layers: []Layer{{Kind: Dense, Units: out, Init: name}}, Loss: MSE}
		p := compile(t, s, Options{Batch: 1, Seed: 9})
		v := stored(t, p)
		check := func(what string, v []float32, bound, deviation float64) {
			t.Helper()
			kurtosis := 3.0
			if bound > 0 {
				deviation, kurtosis = bound/math.Sqrt(3), 1.8
				least, most := math.Inf(1), math.Inf(-1)
				for _, x := range v {
					least, most = min(least, float64(x)), max(most, float64(x))
				}
				if edge := bound * (1 - 20/float64(len(v))); most > bound || least < -bound || most < edge || least > -edge {
					t.Errorf("%q, %s: %v … %v, want just inside ±%v", name, what, least, most, bound)
				}
			}
			mean, square, fourth := moments(v)
			n, variance := float64(len(v)), deviation*deviation
			if math.Abs(mean) > 5*deviation/math.Sqrt(n) {
				t.Errorf("%q, %s: mean %v", name, what, mean)
			}
			if math.Abs(square-variance) > 5*variance*math.Sqrt((kurtosis-1)/n) {
				t.Errorf("%q, %s: variance %v, want %v", name, what, square, variance)
			}
			if k := fourth / (square * square); math.Abs(k-kurtosis) > 5*kurtosis*math.Sqrt(24/n) {
				t.Errorf("%q, %s: kurtosis %v, want %v", name, what, k, kurtosis)
			}
			next := 0.0 // neighbours know nothing of each other
			for i := range len(v) - 1 {
				next += float64(v[i]) * float64(v[i+1])
			}
			if math.Abs(next/n) > 5*variance/math.Sqrt(n) {
				t.Errorf("%q, %s: covariance of neighbours %v", name, what, next/n)
			}
		}
		check("weight", v[:in*out], c.bound, c.deviation)
		check("bias", v[in*out:], 1/math.Sqrt(in), 0)
		if err := p.Load(make([]float32, len(v))); err != nil {
			t.Fatal(err)
		}
		if p.Init(9); digest(stored(t, p)) != digest(v) {
			t.Errorf("%q: Init is not repeatable", name)
		}
		if p.Init(10); digest(stored(t, p)) == digest(v) {
			t.Errorf("%q: two seeds give one initialisation", name)
		}
	}
	s := MLP(4, []int{3}, 2)
	s.Layers[2].Init = InitZeros
	for _, x := range stored(t, compile(t, s, Options{Batch: 1, Seed: 9}))[4*3+3:] {
		if x != 0 {
			t.Fatal("zeros are not zero, biases too")
		}
	}
}

// A layer draws after those before it, and nothing where it draws nothing.
func TestInitOrder(t *testing.T) {
	s := MLP(5, []int{4}, 3)
	all := stored(t, compile(t, s, Options{Batch: 1, Seed: 2}))
	s.Layers[2].Init = InitZeros
	first := stored(t, compile(t, s, Options{Batch: 1, Seed: 2}))
	if digest(all[:24]) != digest(first[:24]) {
		t.Error("a later layer changes an earlier one's numbers")
	}
	s.Layers[0].Init, s.Layers[2].Init = InitZeros, ""
	if last := stored(t, compile(t, s, Options{Batch: 1, Seed: 2})); digest(last[24:]) == digest(all[24:]) {
		t.Error("zeros are drawn")
	}
}

// First models are hashed: their bits never change.
func TestInitBits(t *testing.T) {
	for name, want := range map[string]string{
		InitDefault: "1750e40a77d6c483", InitKaimingUniform: "e599095a4900d1c2", InitKaimingNormal: "a18345f8031d7a0e",
		InitXavierUniform: "d0ff918ea4752171", InitXavierNormal: "1a2651a729e9a17f",
	} {
		s := Spec{Inputs: 7, Layers: []Layer{{Kind: Dense, Units: 5, Init: name}}, Loss: MSE}
		if got := digest(stored(t, compile(t, s, Options{Batch: 1, Seed: 42}))); got != want {
			t.Errorf("%q: digest %s, want %s", name, got, want)
		}
	}
}
