package metric

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// targets has one of every kind, small enough to fill.
func targets() []Target {
	binary, class, number, two, survival := Binary(), Class(7), Number(-3, 5), Number(0, 1), Survival()
	binary.Bins, class.Bins = 33, 10
	two.Outputs, two.ErrorBound = 2, 1
	survival.Batch = 40
	return []Target{binary, class, Class(2), Token(9), Token(3), number, two, survival}
}

// However a whole is cut into batches and branches, in whatever order these are
// added, its Set is the same to the last of 128 bits. Survival forms pairs within
// a batch: there the whole is the batches, however they are grouped.
func TestSplitsAddExactly(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, target := range targets() {
		for trial := range 30 {
			var batches []batch
			whole := newSet(t, target)
			if target.Kind == KindSurvival {
				for range 1 + r.IntN(5) {
					b := randomBatch(r, target, r.IntN(30), 0.1, 2)
					observe(t, whole, b)
					batches = append(batches, b)
				}
			} else {
				n := r.IntN(60)
				b := randomBatch(r, target, n, 0.1, 0)
				observe(t, whole, b)
				for i := 0; i < n; {
					j := i + r.IntN(n-i+1) // an empty batch too
					batches = append(batches, b.part(target, i, j))
					i = j
				}
			}
			r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
			branches := []*Set{newSet(t, target), newSet(t, target), newSet(t, target)}
			for _, b := range batches {
				observe(t, branches[r.IntN(3)], b)
			}
			sum := newSet(t, target)
			for _, i := range r.Perm(3) {
				if err := sum.Add(branches[i]); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(sum.sums, whole.sums) {
				t.Fatalf("%s, trial %d: %d batches do not add to the whole", target.Kind, trial, len(batches))
			}
		}
	}
}

// Every coordinate is at least 0 and at most Examples·Bound, also of predictions made
// to exceed it; the bounds are reached, so no smaller ones would hold.
func TestBoundsHoldAndAreReached(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	reached := map[string]bool{}
	for _, target := range targets() {
		for trial := range 60 {
			s := newSet(t, target)
			var b batch
			switch trial {
			case 0: // as wrong as can be, all alike
				b = worst(s.Target())
			case 1:
				b = best(s.Target())
			case 2:
				if b = best(s.Target()); target.Kind == KindSurvival {
					clear(b.pred) // all tied
				}
			default:
				b = randomBatch(r, target, 1+r.IntN(40), float64(trial%3)/2, trial%4)
			}
			observe(t, s, b)
			v, bounds := s.Vector(), s.Bounds()
			if len(v) != s.Len() || len(bounds) != s.Len() {
				t.Fatalf("%d coordinates, %d bounds, Len is %d", len(v), len(bounds), s.Len())
			}
			for _, f := range s.Fields() {
				for i := f.Offset; i < f.Offset+f.Len; i++ {
					most := float64(s.Examples()) * f.Bound
					if !(v[i] >= 0 && v[i] <= most) || bounds[i] != f.Bound {
						t.Fatalf("%s %s: coordinate %d is %v, bound %v", target.Kind, f.Name, i-f.Offset, v[i], most)
					}
					if f.Whole && v[i] != math.Trunc(v[i]) {
						t.Fatalf("%s %s: count %v", target.Kind, f.Name, v[i])
					}
					if v[i] == most {
						reached[target.Kind+" "+f.Name] = true
					}
				}
			}
		}
		fields, err := target.Fields()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			if f.Bound == 2*2 {
				continue // clamped: no target lies beyond both ends
			}
			if !reached[target.Kind+" "+f.Name] && f.Name != "calibration.confidence" && f.Name != "top_k" {
				t.Errorf("%s %s: the bound %v is never reached", target.Kind, f.Name, f.Bound)
			}
		}
	}
}

func worst(t Target) batch {
	switch t.Kind {
	case KindBinary:
		return batch{pred: f32(1, 1), labels: []int32{0, 0}}
	case KindClass, KindToken:
		return batch{pred: certain(t.Classes, 1, 1), labels: []int32{0, 0}}
	case KindNumber:
		var b batch
		for range 2 * t.Outputs {
			b.pred, b.targets = append(b.pred, math.MaxFloat32), append(b.targets, float32(2*t.High))
		}
		return b
	}
	var b batch
	for i := range t.Batch {
		b.pred, b.targets = append(b.pred, float32(i)), append(b.targets, float32(i), 1)
	}
	return b
}

func best(t Target) batch {
	switch t.Kind {
	case KindBinary:
		return batch{pred: f32(1, 1), labels: []int32{1, 1}}
	case KindClass, KindToken:
		return batch{pred: certain(t.Classes, 1, 1), labels: []int32{1, 1}}
	case KindNumber:
		return batch{pred: make([]float32, t.Outputs), targets: slices.Repeat([]float32{-1e30}, t.Outputs)}
	}
	var b batch
	for i := range t.Batch {
		b.pred, b.targets = append(b.pred, -float32(i)), append(b.targets, float32(i), 1)
	}
	return b
}

func TestVectorRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for _, target := range targets() {
		s := newSet(t, target)
		observe(t, s, randomBatch(r, target, 40, 0.1, 0))
		v := s.Vector()
		back, err := FromVector(target, v)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(back.Vector(), v) {
			t.Errorf("%s: the vector changed", target.Kind)
		}
		// Sums of a few terms fit a float64's 53 bits only nearly.
		for i, want := range s.Values() {
			got := back.Values()[i]
			if got.Name != want.Name || math.Abs(got.Value-want.Value) > 1e-12 || got.Weight != want.Weight {
				t.Errorf("%s: %+v became %+v", target.Kind, want, got)
			}
		}
	}
}

// Names and order are part of what others store and show.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		target Target
		want   string
	}{
		{Binary(), "accuracy balanced_accuracy precision recall f1 auc average_precision log_loss brier calibration_error clamped unusable"},
		{Class(2), "accuracy balanced_accuracy precision.micro recall.micro f1.micro precision.macro recall.macro f1.macro auc.macro average_precision.macro log_loss brier calibration_error clamped unusable" +
			" precision.0 recall.0 f1.0 auc.0 average_precision.0 precision.1 recall.1 f1.1 auc.1 average_precision.1"},
		{Token(65), "accuracy top_5_accuracy log_loss perplexity clamped unusable"},
		{Number(0, 1), "mse rmse mae r2 clamped unusable"},
		{Target{Kind: KindNumber, High: 1, Outputs: 2}, "mse rmse mae r2 r2.0 r2.1 clamped unusable"},
		{Survival(), "concordance unusable"},
	} {
		var got []string
		lower := map[string]bool{}
		for _, v := range newSet(t, c.target).Values() {
			got = append(got, v.Name)
			if !math.IsNaN(v.Value) || v.Weight != 0 || v.Error != 0 {
				t.Errorf("%s without examples: %+v", c.target.Kind, v)
			}
			lower[v.Name] = v.LowerIsBetter
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %v", c.target.Kind, got, c.want)
		}
		for name, l := range lower {
			want := slices.Contains([]string{"log_loss", "perplexity", "brier", "calibration_error", "mse", "rmse", "mae", "clamped", "unusable"}, name)
			if l != want {
				t.Errorf("%s: lower is better: %v", name, l)
			}
		}
	}
}

func TestReset(t *testing.T) {
	s := newSet(t, Binary())
	observe(t, s, batch{pred: f32(0.3), labels: []int32{1}})
	s.Reset()
	if !reflect.DeepEqual(s.Vector(), newSet(t, Binary()).Vector()) || s.Examples() != 0 {
		t.Error("something stayed")
	}
}
