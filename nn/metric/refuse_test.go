package metric

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestFromVectorRefuses(t *testing.T) {
	target := Token(6)
	good := newSet(t, target).Vector() // examples unusable clamped correct top_k log_loss
	for _, c := range []struct {
		name string
		at   int
		x    float64
		want string
	}{
		{"negative", 0, -1, "want 0 to 2^53"},
		{"NaN", 5, math.NaN(), "log_loss is NaN"},
		{"infinite", 5, math.Inf(1), "want 0 to 2^53"},
		{"above 2^53", 0, 0x1p53 + 2, "want 0 to 2^53"},
		{"half a count", 3, 0.5, "a count is whole"},
	} {
		v := slices.Clone(good)
		v[c.at] = c.x
		if s, err := FromVector(target, v); err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	for _, v := range [][]float64{nil, good[:5], append(slices.Clone(good), 0)} {
		if _, err := FromVector(target, v); err == nil {
			t.Errorf("%d coordinates were taken, want %d", len(v), len(good))
		}
	}
	if _, err := FromVector(Target{Kind: "colour"}, good); err == nil {
		t.Error("an unknown kind was taken")
	}
	v := slices.Clone(good)
	v[0], v[5] = 0x1p53, 0.5 // whole sums and halves pass
	if _, err := FromVector(target, v); err != nil {
		t.Error(err)
	}
}

func TestAddRefuses(t *testing.T) {
	all := targets()
	for i, a := range all {
		for j, b := range all {
			if err := newSet(t, a).Add(newSet(t, b)); (err == nil) != (i == j) {
				t.Errorf("%+v + %+v: %v", a, b, err)
			}
		}
	}
	explicit := Binary()
	explicit.Bins, explicit.CalibrationBins, explicit.LossBound = 1024, 15, 16
	if err := newSet(t, explicit).Add(newSet(t, Binary())); err != nil {
		t.Errorf("defaults that were written out: %v", err)
	}
	// A sum too large for a float64's whole numbers is no sum.
	v := newSet(t, Token(3)).Vector()
	v[0] = 0x1p53 - 1
	s, err := FromVector(Token(3), v)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(s); err == nil || s.Examples() != 1<<53-1 {
		t.Errorf("2^54 examples: error %v, %d examples", err, s.Examples())
	}
	one := newSet(t, Token(3))
	observe(t, one, batch{pred: certain(3, 0), labels: []int32{0}})
	if err := s.Add(one); err != nil || s.Examples() != 1<<53 {
		t.Errorf("2^53 examples: error %v, %d examples", err, s.Examples())
	}
	if err := s.Observe(certain(3, 0), []int32{0}, nil); err == nil || s.Examples() != 1<<53 {
		t.Errorf("one more: error %v, %d examples", err, s.Examples())
	}
}

// What Observe refuses leaves no trace.
func TestObserveRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		target Target
		b      batch
		want   string
	}{
		{Binary(), batch{f32(0.5), []int32{2}, nil}, "label 2 of example 0"},
		{Binary(), batch{f32(0.5, 0.5), []int32{0, -1}, nil}, "label -1 of example 1"},
		{Binary(), batch{f32(0.5, 0.5), []int32{0}, nil}, "labels have shape [1], want [2]"},
		{Binary(), batch{f32(0.5), nil, f32(1)}, "takes labels"},
		{Class(3), batch{f32(1, 0), []int32{0}, nil}, "want [n,3]"},
		{Class(3), batch{f32(1, 0, 0), []int32{3}, nil}, "want 0 to 2"},
		{Number(0, 1), batch{f32(1), []int32{0}, nil}, "takes targets"},
		{Number(0, 1), batch{f32(1, 1), nil, []float32{0, nan}}, "target 0 of example 1"},
		{Number(0, 1), batch{f32(1, 1), nil, f32(1)}, "want [2,1]"},
		{Survival(), batch{f32(1), nil, f32(1, 0.5)}, "event of example 0"},
		{Survival(), batch{f32(1), nil, []float32{nan, 1}}, "target 0 of example 0"},
		{Survival(), batch{f32(1), nil, f32(1)}, "want [1,2]"},
		{Target{Kind: KindSurvival, Batch: 2}, batch{f32(1, 1, 1), nil, f32(1, 1, 1, 1, 1, 1)}, "raise Target.Batch"},
	} {
		s := newSet(t, c.target)
		err := s.Observe(c.b.pred, c.b.labels, c.b.targets)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.target.Kind, err, c.want)
		}
		if !slices.Equal(s.sums, newSet(t, c.target).sums) {
			t.Errorf("%s: a refused batch left a trace", c.target.Kind)
		}
	}
}

func TestTargetsRefused(t *testing.T) {
	for _, c := range []struct {
		target Target
		want   []string
	}{
		{Target{}, []string{`unknown kind ""`}},
		{Class(1), []string{"classes is 1"}},
		{Class(0), []string{"classes is 0"}},
		{Target{Kind: KindClass, Classes: 3, TopK: 3}, []string{"top-k is 3, want 2 to 2"}},
		{Target{Kind: KindClass, Classes: 3, TopK: -1}, []string{"top-k is -1"}},
		{Target{Kind: KindBinary, TopK: 2, Outputs: 1, Low: 1}, []string{"top-k is 2: a binary target has none", "outputs is 1", "low is 1"}},
		{Target{Kind: KindBinary, Bins: MaxBins + 1, LossBound: math.NaN()}, []string{"bins is", "loss bound is NaN"}},
		{Class(1 << 12), []string{"measure a token target"}},
		{Target{Kind: KindClass, Classes: MaxClasses, Bins: MaxBins}, []string{"coordinates, want at most"}},
		{Number(1, 1), []string{"the range is 1 to 1"}},
		{Number(math.Inf(-1), 1), []string{"low is -Inf"}},
		{Number(math.NaN(), 1), []string{"low is NaN"}},
		{Target{Kind: KindNumber, Low: 1, High: 2}, []string{"reference is 0, want 1 to 2"}},
		{Target{Kind: KindSurvival, Batch: MaxBatch + 1}, []string{"batch is"}},
	} {
		_, err := New(c.target)
		if err == nil {
			t.Errorf("%+v was taken", c.target)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: error %q, want one with %q", c.target, err, w)
			}
		}
		if _, ferr := c.target.Fields(); ferr == nil || ferr.Error() != err.Error() {
			t.Errorf("Fields' error is %v, New's %v", ferr, err)
		}
	}
	// What is allowed to be large is built without surprise.
	for _, target := range []Target{Class(1024), Token(MaxClasses), {Kind: KindBinary, Bins: MaxBins}} {
		s := newSet(t, target)
		if s.Len() > MaxLen {
			t.Errorf("%+v has %d coordinates", target, s.Len())
		}
	}
	for _, target := range targets() {
		target, _ := target.resolve()
		if over := target.length() - int64(newSet(t, target).Len()); over < 0 || over > 8 {
			t.Errorf("%+v: length is Len%+d", target, over)
		}
	}
}
