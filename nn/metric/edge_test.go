package metric

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A prediction that is none is wrong, a miss, lost, at the bound: whatever its
// label, it never helps.
func TestUnusableIsNeverRight(t *testing.T) {
	nan := float32(math.NaN())
	r := rand.New(rand.NewPCG(19, 20))
	for _, target := range targets() {
		for range 50 {
			b := randomBatch(r, target, 30, 0, 0)
			before, after := newSet(t, target), newSet(t, target)
			observe(t, before, b)
			i := r.IntN(30) * before.Target().outputs()
			b.pred[i] = nan
			observe(t, after, b)
			for j, old := range before.Values() {
				now := after.Values()[j]
				name, _, _ := strings.Cut(now.Name, ".")
				switch {
				// Precision is a matter of what was predicted; calibration and averages
				// over classes that occur may go either way.
				case name == "precision" || name == "calibration_error" || name == "clamped" || strings.HasSuffix(now.Name, ".macro") || name == "f1":
					continue
				case math.IsNaN(old.Value):
					continue
				}
				worse := now.Value < old.Value
				if old.LowerIsBetter {
					worse = now.Value > old.Value
				}
				if !worse && math.Abs(now.Value-old.Value) > 1e-12 {
					t.Errorf("%s: %s went from %v to %v", target.Kind, now.Name, old.Value, now.Value)
				}
				if math.IsNaN(now.Value) || math.IsInf(now.Value, 0) {
					t.Errorf("%s: %s is %v", target.Kind, now.Name, now.Value)
				}
			}
			want(t, after, "unusable", 1./30, 1e-15)
		}
	}
	// Logits are no probabilities.
	s := newSet(t, Class(3))
	observe(t, s, batch{pred: f32(0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5), labels: []int32{0, 0, 2}})
	want(t, s, "unusable", 2./3, 1e-15)
	want(t, s, "accuracy", 1./3, 1e-15)
}

func TestEdges(t *testing.T) {
	// One class only: no curve, no recall of the other.
	s := newSet(t, Binary())
	observe(t, s, batch{pred: f32(0.2, 0.9), labels: []int32{1, 1}})
	want(t, s, "auc", math.NaN(), 0)
	want(t, s, "average_precision", math.NaN(), 0)
	want(t, s, "accuracy", 0.5, 0)
	want(t, s, "precision", 1, 0)
	want(t, s, "balanced_accuracy", 0.5, 0)
	s.Reset()
	observe(t, s, batch{pred: f32(0.2, 0.4), labels: []int32{0, 0}})
	want(t, s, "auc", math.NaN(), 0)
	want(t, s, "average_precision", math.NaN(), 0)
	want(t, s, "f1", math.NaN(), 0)
	want(t, s, "recall", math.NaN(), 0)
	want(t, s, "accuracy", 1, 0)

	// All scores tie.
	s.Reset()
	observe(t, s, batch{pred: f32(0.5, 0.5, 0.5, 0.5), labels: []int32{0, 1, 0, 1}})
	want(t, s, "auc", 0.5, 0)
	want(t, s, "average_precision", 0.5, 0)
	if v, _ := s.Value("auc"); v.Error != 0.5 || v.Weight != 4 {
		t.Errorf("one bin holds all pairs: %+v", v)
	}

	// The ends of [0, 1]: certain and right, certain and wrong.
	s.Reset()
	observe(t, s, batch{pred: f32(0, 1), labels: []int32{0, 1}})
	want(t, s, "log_loss", 0, 0)
	want(t, s, "clamped", 0, 0)
	want(t, s, "auc", 1, 0)
	observe(t, s, batch{pred: f32(0, 1), labels: []int32{1, 0}})
	want(t, s, "log_loss", 8, 0)
	want(t, s, "clamped", 0.5, 0)
	want(t, s, "brier", 0.5, 0)

	// Rounded probabilities of sum 1.01 cannot exceed the Brier score's 2.
	s = newSet(t, Class(3))
	observe(t, s, batch{pred: f32(1, 0.01, 0), labels: []int32{2}})
	want(t, s, "unusable", 0, 0)
	want(t, s, "brier", 2, 0)

	// No event, or a single example: nothing to compare.
	for _, b := range []batch{
		{pred: f32(1, 2, 3), targets: f32(1, 0, 2, 0, 3, 0)},
		{pred: f32(1), targets: f32(1, 1)},
		{pred: f32(1, 2), targets: f32(5, 1, 5, 1)}, // both at the same time
		{pred: f32(1, 2), targets: f32(5, 0, 6, 1)}, // censored first
	} {
		s := newSet(t, Survival())
		observe(t, s, b)
		want(t, s, "concordance", math.NaN(), 0)
	}
	s = newSet(t, Survival())
	observe(t, s, batch{pred: f32(1, 1, 1), targets: f32(1, 1, 2, 1, 3, 1)})
	want(t, s, "concordance", 0.5, 0)

	// A constant target has no spread to explain, in exact or rounded numbers.
	for _, y := range []float64{0, 3, 4.7} {
		s := newSet(t, Number(0, 5))
		observe(t, s, batch{pred: f32(1, 2, 3), targets: f32(y, y, y)})
		want(t, s, "r2", math.NaN(), 0)
	}
	for i := range 100 {
		y := slices.Repeat(f32(float64(i)/20), 3+i)
		s := newSet(t, Number(0, 5))
		observe(t, s, batch{pred: make([]float32, len(y)), targets: y})
		want(t, s, "r2", math.NaN(), 0)
	}
	// With a reference near the mean, R² survives a mean far from zero.
	near := Number(0, 1e6)
	near.Reference = 999990
	s = newSet(t, near)
	observe(t, s, batch{pred: f32(999990, 999991, 999992), targets: f32(999990, 999991, 999993)})
	want(t, s, "r2", 1-1/(14./3), 1e-9)

	// Nothing observed, then an empty batch.
	for _, target := range targets() {
		s := newSet(t, target)
		if err := s.Observe(nil, nil, nil); err != nil {
			t.Errorf("%s: %v", target.Kind, err)
		}
		for _, v := range s.Values() {
			if !math.IsNaN(v.Value) {
				t.Errorf("%s without examples: %+v", target.Kind, v)
			}
		}
	}
}

func TestReliability(t *testing.T) {
	target := Binary()
	target.CalibrationBins = 4
	s := newSet(t, target)
	observe(t, s, batch{pred: f32(0.25, 0.375, 1, 0.75), labels: []int32{0, 1, 1, 0}})
	got := fmt.Sprint(s.Reliability())
	if want := "[{0 NaN NaN} {2 0.3125 0.5} {0 NaN NaN} {2 0.875 0.5}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	want(t, s, "calibration_error", (0.375+0.75)/4, 0)
}
