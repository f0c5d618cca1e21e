package metric

import (
	"fmt"
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

func TestSumIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 1000 {
		// Multiples of 2⁻⁶⁴ up to 2⁵³ pass through unchanged.
		x := math.Ldexp(float64(r.Uint64()>>11), r.IntN(65)-64)
		if x > maxCoordinate {
			continue
		}
		if got := sumOf(x).float(); got != x {
			t.Fatalf("%v became %v", x, got)
		}
	}
	var s sum
	for range 1 << 12 {
		s.add(0x1p-64)
		s.add(1 - 0x1p-53)
	}
	// 4096·(1 − 2⁻⁵³ + 2⁻⁶⁴) = 4096 − 2⁻⁴¹ + 2⁻⁵².
	if want := (sum{1<<12 - 1, math.MaxUint64 - 1<<23 + 1<<12 + 1}); s != want {
		t.Errorf("the sum is %+v, want %+v", s, want)
	}
	if got := sumOf(0x1p-65); got != (sum{}) {
		t.Errorf("2⁻⁶⁵ became %+v", got)
	}
	if got := sumOf(math.Nextafter(1, 0)).float(); got != math.Nextafter(1, 0) {
		t.Errorf("the greatest number below 1 became %v", got)
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
		if target, _ := target.resolve(); target.length() < int64(newSet(t, target).Len()) {
			t.Errorf("%+v: length is less than Len", target)
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

func TestExp(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for range 100_000 {
		x := r.Float64() * 709
		if got, want := exp(x), math.Exp(x); math.Abs(got-want) > 2*(math.Nextafter(want, math.Inf(1))-want) {
			t.Fatalf("exp(%v) is %v, want %v", x, got, want)
		}
	}
	if exp(0) != 1 || !math.IsInf(exp(710), 1) || !math.IsInf(exp(math.Inf(1)), 1) || exp(math.NaN()) == exp(math.NaN()) {
		t.Error("an end is wrong")
	}
	// Fixed bits, on every machine.
	if got := math.Float64bits(exp(1.7)); got != 0x4015e552bdf99557 {
		t.Errorf("exp(1.7) has bits %#x", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	r := rand.New(rand.NewPCG(23, 24))
	for _, target := range []Target{Binary(), Class(10), Token(65), Number(0, 1), Survival()} {
		data := randomBatch(r, target, 1000, 0, 0)
		s := newSet(b, target)
		b.Run(target.Kind, func(b *testing.B) {
			for range b.N {
				if err := s.Observe(data.pred, data.labels, data.targets); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/example")
		})
	}
}
