package nn

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// everyOptimizer is a rule of each kind, with all that it remembers.
func everyOptimizer() map[string]Optimizer {
	out := map[string]Optimizer{"sgd without momentum": NewSGD(0.05, 0)}
	for _, kind := range Optimizers() {
		o := Optimizer{Kind: kind, LR: 0.01}
		switch kind {
		case SGD:
			o.Momentum = 0.9
		case Adam, AdamW:
			o.Beta1, o.Beta2, o.Epsilon = 0.9, 0.999, 1e-8
		case RMSProp:
			o.Alpha, o.Momentum, o.Epsilon = 0.99, 0.9, 1e-8
		case Adagrad:
			o.Epsilon = 1e-10
		}
		out[kind] = o
	}
	return out
}

// TestCheckpoint trains without a break, and with one after every step: the bits
// are the same. The network has dropout, which draws from the count of steps.
func TestCheckpoint(t *testing.T) {
	s := Spec{Inputs: 4, Loss: CrossEntropy, Layers: []Layer{{Kind: Dense, Units: 6}, {Kind: Tanh}, {Kind: Dropout, Rate: 0.5}, {Kind: Dense, Units: 3}}}
	for name, rule := range everyOptimizer() {
		o := Options{Batch: 5, Seed: 9, Optimizer: rule}
		whole := compile(t, s, o)
		broken := compile(t, s, o)
		r := rand.New(rand.NewPCG(31, 32))
		for range 12 {
			b := randomBatch(r, s, 5)
			if _, err := whole.Step(b); err != nil {
				t.Fatal(err)
			}
			next := compile(t, s, Options{Batch: 5, Seed: 9, Optimizer: rule})
			if err := next.Load(stored(t, broken)); err != nil {
				t.Fatal(err)
			}
			if err := next.LoadState(broken.AppendState(nil)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			broken = next
			if _, err := broken.Step(b); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(stored(t, whole), stored(t, broken)) {
			t.Errorf("%s: training that was interrupted gives other parameters", name)
		}
		if !slices.Equal(whole.AppendState(nil), broken.AppendState(nil)) {
			t.Errorf("%s: training that was interrupted gives another state", name)
		}
	}
}

func TestLoadStateRefuses(t *testing.T) {
	s := MLP(3, []int{2}, 1)
	p := compile(t, s, Options{Batch: 2, Optimizer: NewAdam(0.1)})
	good := p.AppendState(nil)
	other := func(s Spec, o Optimizer) []byte {
		return compile(t, s, Options{Batch: 2, Optimizer: o}).AppendState(nil)
	}
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"another magic":     append([]byte("x"), good[1:]...),
		"another optimizer": other(s, NewSGD(0.1, 0.9)),
		"another network":   other(MLP(4, []int{2}, 1), NewAdam(0.1)),
		"a long kind":       append([]byte(stateMagic), 255),
		"a kind of 255":     append([]byte(stateMagic+"\xff"), make([]byte, 400)...),
		"one more":          append(slices.Clone(good), 0),
	} {
		if p.LoadState(b) == nil {
			t.Errorf("loaded %s", name)
		}
	}
	for i := range good {
		if p.LoadState(good[:i]) == nil {
			t.Errorf("loaded %d of %d bytes", i, len(good))
		}
	}
	if err := p.LoadState(good); err != nil {
		t.Error(err)
	}
}

// FuzzLoadState: no bytes panic, and those that are loaded are what is written again.
func FuzzLoadState(f *testing.F) {
	p, err := Compile(MLP(2, []int{2}, 1), Options{Batch: 1, Optimizer: NewAdam(0.1)})
	if err != nil {
		f.Fatal(err)
	}
	good := p.AppendState(nil)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append([]byte(stateMagic+"\xff"), make([]byte, 400)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := p.AppendState(nil)
		want := b
		if p.LoadState(b) != nil {
			want = before
		}
		if got := p.AppendState(nil); !slices.Equal(got, want) {
			t.Errorf("%x became %x", want, got)
		}
	})
}
