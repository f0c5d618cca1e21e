package metric

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The oracles below read the definitions off literally: every pair, every
// threshold, every class, from the predictions themselves.

func newSet(t testing.TB, target Target) *Set {
	t.Helper()
	s, err := New(target)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func observe(t testing.TB, s *Set, b batch) {
	t.Helper()
	if err := s.Observe(b.pred, b.labels, b.targets); err != nil {
		t.Fatal(err)
	}
}

// want checks one value of s to a relative (below 1: absolute) tolerance.
func want(t testing.TB, s *Set, name string, value, tolerance float64) {
	t.Helper()
	got, ok := s.Value(name)
	if !ok {
		t.Errorf("no value %q", name)
		return
	}
	if math.IsNaN(value) != math.IsNaN(got.Value) || math.Abs(got.Value-value) > tolerance*max(1, math.Abs(value)) {
		t.Errorf("%s is %v, want %v", name, got.Value, value)
	}
	if math.IsNaN(got.Value) != (got.Weight == 0) {
		t.Errorf("%s is %v of weight %v", name, got.Value, got.Weight)
	}
}

// batch is what Observe takes.
type batch struct {
	pred    []float32
	labels  []int32
	targets []float32
}

// part returns examples i … j−1.
func (b batch) part(target Target, i, j int) batch {
	o := max(target.outputs(), 1) // Outputs 0 is 1
	p := batch{pred: b.pred[i*o : j*o]}
	if b.labels != nil {
		p.labels = b.labels[i:j]
	} else {
		p.targets = b.targets[i*o : j*o] // Survival is not cut
	}
	return p
}

// randomBatch draws n examples of target, of which a share of about unusable are
// not predictions. coarse > 0 rounds scores to multiples of 1/coarse: ties.
func randomBatch(r *rand.Rand, target Target, n int, unusable float64, coarse int) batch {
	target, err := target.resolve()
	if err != nil {
		panic(err)
	}
	var b batch
	round := func(p float64) float32 {
		if coarse > 0 {
			p = math.Round(p*float64(coarse)) / float64(coarse)
		}
		return float32(p)
	}
	for range n {
		switch target.Kind {
		case KindBinary:
			y := r.IntN(2)
			b.labels = append(b.labels, int32(y))
			b.pred = append(b.pred, round(1/(1+math.Exp(-2*r.NormFloat64()-float64(y)))))
		case KindClass, KindToken:
			y := r.IntN(target.Classes)
			b.labels = append(b.labels, int32(y))
			e, all := make([]float64, target.Classes), 0.0
			for c := range e {
				e[c] = math.Exp(2 * r.NormFloat64())
				if c == y {
					e[c] *= 3
				}
				if coarse > 0 {
					e[c] = 1 + float64(r.IntN(coarse))
				}
				all += e[c]
			}
			for _, v := range e {
				b.pred = append(b.pred, float32(v/all))
			}
		case KindNumber:
			for range target.Outputs {
				y := float32(target.Low + r.Float64()*(target.High-target.Low))
				b.targets = append(b.targets, y)
				b.pred = append(b.pred, y+float32(r.NormFloat64()*0.2*(target.High-target.Low)))
			}
		case KindSurvival:
			b.targets = append(b.targets, float32(r.IntN(n/3+1)), float32(r.IntN(2)))
			b.pred = append(b.pred, round(r.NormFloat64()))
		}
		if r.Float64() < unusable {
			o := target.outputs()
			bad := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
			if target.Kind == KindBinary || target.Kind == KindClass || target.Kind == KindToken {
				bad = append(bad, -0x1p-20, 1+0x1p-20)
			}
			b.pred[len(b.pred)-1-r.IntN(o)] = bad[r.IntN(len(bad))]
		}
	}
	if n == 0 && b.targets == nil && target.Kind != KindNumber && target.Kind != KindSurvival {
		b.labels = []int32{}
	}
	return b
}

func probability(p float32) bool { return p >= 0 && p <= 1 }

// aucOf compares every positive with every negative.
func aucOf(score []float64, positive, usable []bool) float64 {
	var won, pairs float64
	for i := range score {
		for j := range score {
			if !positive[i] || positive[j] {
				continue
			}
			pairs++
			switch {
			case !usable[i] || !usable[j]:
			case score[i] > score[j]:
				won++
			case score[i] == score[j]:
				won += 0.5
			}
		}
	}
	return won / pairs
}

// averagePrecisionOf takes every distinct score as a threshold, high to low.
func averagePrecisionOf(score []float64, positive, usable []bool) float64 {
	var all, ap, before float64
	thresholds := map[float64]bool{}
	for i := range score {
		if positive[i] {
			all++
		}
		if usable[i] {
			thresholds[score[i]] = true
		}
	}
	if all == float64(len(score)) {
		return math.NaN()
	}
	var order []float64
	for s := range thresholds {
		order = append(order, s)
	}
	for i := range order { // selection sort, falling
		for j := i + 1; j < len(order); j++ {
			if order[j] > order[i] {
				order[i], order[j] = order[j], order[i]
			}
		}
	}
	for _, s := range order {
		var tp, predicted float64
		for i := range score {
			switch {
			case usable[i] && score[i] >= s:
				predicted++
				if positive[i] {
					tp++
				}
			case !usable[i] && !positive[i]:
				predicted++
			}
		}
		ap += (tp/all - before) * (tp / predicted)
		before = tp / all
	}
	return ap
}

func binned(p float32, bins int) float64 {
	for b := bins - 1; b >= 0; b-- {
		if float64(p) >= float64(b)/float64(bins) {
			return float64(b)
		}
	}
	return math.NaN()
}

func TestBinaryAgainstDefinitions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 200 {
		target := Binary()
		target.Bins = []int{2, 16, 64, 1024}[trial%4]
		target.CalibrationBins = []int{1, 8, 16}[trial%3]
		target.LossBound = 2
		b := randomBatch(r, target, 1+r.IntN(60), []float64{0, 0.2}[trial/2%2], []int{0, 10, 64}[trial/4%3])
		s := newSet(t, target)
		observe(t, s, b)

		n := len(b.labels)
		var tp, tn, fp, fn, ll, brier, clamped, bad float64
		score, raw := make([]float64, n), make([]float64, n)
		positive, usable := make([]bool, n), make([]bool, n)
		confidence, correct := map[float64]float64{}, map[float64]float64{}
		for i, p := range b.pred {
			positive[i], usable[i] = b.labels[i] == 1, probability(p)
			if !usable[i] {
				bad++
				ll += 2
				brier++
				if positive[i] {
					fn++
				}
				continue
			}
			score[i], raw[i] = binned(p, target.Bins), float64(p)
			switch {
			case p > 0.5 && positive[i]:
				tp++
			case p > 0.5:
				fp++
			case positive[i]:
				fn++
			default:
				tn++
			}
			q := float64(p)
			bin := binned(p, target.CalibrationBins)
			confidence[bin] += q
			if positive[i] {
				correct[bin]++
			} else {
				q = 1 - q
			}
			l := -math.Log(q)
			if l > 2 {
				l = 2
				clamped++
			}
			ll += l
			brier += (1 - q) * (1 - q)
		}
		gap := bad
		for bin := range confidence {
			gap += math.Abs(confidence[bin] - correct[bin])
		}
		var negatives, positives float64
		for i := range positive {
			if positive[i] {
				positives++
			} else {
				negatives++
			}
		}
		f := float64(n)
		want(t, s, "accuracy", (tp+tn)/f, 1e-15)
		want(t, s, "precision", tp/(tp+fp), 1e-15)
		want(t, s, "recall", tp/positives, 1e-15)
		want(t, s, "f1", 2*tp/(2*tp+fp+fn), 1e-15)
		if positives > 0 && negatives > 0 {
			want(t, s, "balanced_accuracy", (tp/positives+tn/negatives)/2, 1e-15)
		}
		want(t, s, "log_loss", ll/f, 1e-14)
		want(t, s, "brier", brier/f, 1e-14)
		want(t, s, "calibration_error", gap/f, 1e-14)
		want(t, s, "clamped", clamped/f, 0)
		want(t, s, "unusable", bad/f, 0)
		want(t, s, "auc", aucOf(score, positive, usable), 1e-14)
		if positives > 0 {
			want(t, s, "average_precision", averagePrecisionOf(score, positive, usable), 1e-14)
		}
		// The bounds on what the bins hide hold, and are not idle.
		auc, _ := s.Value("auc")
		if exact := aucOf(raw, positive, usable); math.Abs(exact-auc.Value) > auc.Error+1e-14 {
			t.Errorf("auc %v ± %v, of unbinned scores %v", auc.Value, auc.Error, exact)
		}
		ap, _ := s.Value("average_precision")
		if exact := averagePrecisionOf(raw, positive, usable); math.Abs(exact-ap.Value) > ap.Error+1e-14 {
			t.Errorf("average precision %v ± %v, of unbinned scores %v", ap.Value, ap.Error, exact)
		}
		if t.Failed() {
			t.Fatalf("trial %d: %+v", trial, b)
		}
	}
}

func TestClassAgainstDefinitions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for trial := range 120 {
		k := 2 + r.IntN(7)
		target := Class(k)
		target.Bins, target.CalibrationBins = 64, 8
		if k > 2 {
			target.TopK = 2
		}
		b := randomBatch(r, target, 1+r.IntN(50), []float64{0, 0.2}[trial%2], []int{0, 3}[trial/2%2])
		s := newSet(t, target)
		observe(t, s, b)

		n := len(b.labels)
		f := float64(n)
		predicted := make([]int, n) // k: unusable
		var correct, top, ll, brier, bad float64
		confidence, right := map[float64]float64{}, map[float64]float64{}
		for i, y := range b.labels {
			p := b.pred[i*k:][:k]
			ok := true
			for _, v := range p {
				ok = ok && probability(v)
			}
			if !ok {
				predicted[i] = k
				bad++
				ll += 16
				brier += 2
				continue
			}
			for c, v := range p {
				if v > p[predicted[i]] {
					predicted[i] = c
				}
				d := float64(v)
				if c == int(y) {
					d--
				}
				brier += d * d
			}
			ll += min(16, -math.Log(float64(p[y])))
			// Take the greatest out, first of equals, twice.
			taken := map[int]bool{}
			for range 2 {
				best := -1
				for c, v := range p {
					if !taken[c] && (best < 0 || v > p[best]) {
						best = c
					}
				}
				taken[best] = true
			}
			if taken[int(y)] {
				top++
			}
			bin := binned(p[predicted[i]], 8)
			confidence[bin] += float64(p[predicted[i]])
			if predicted[i] == int(y) {
				correct++
				right[bin]++
			}
		}
		gap := bad
		for bin := range confidence {
			gap += math.Abs(confidence[bin] - right[bin])
		}
		want(t, s, "accuracy", correct/f, 1e-15)
		if k > 2 {
			want(t, s, "top_2_accuracy", top/f, 1e-15)
		}
		want(t, s, "log_loss", ll/f, 1e-14)
		want(t, s, "brier", brier/f, 1e-14)
		want(t, s, "calibration_error", gap/f, 1e-14)
		want(t, s, "recall.micro", correct/f, 1e-15)
		want(t, s, "precision.micro", correct/(f-bad), 1e-15)
		want(t, s, "f1.micro", 2*correct/(f+f-bad), 1e-15)
		confusion := s.Confusion()
		var present, balanced, labelled, mp, mr, mf, macroAUC, curves, macroAP float64
		for c := range k {
			var tp, fp, fn float64
			score, usable, positive := make([]float64, n), make([]bool, n), make([]bool, n)
			cells := make([]int64, k+1)
			for i, y := range b.labels {
				positive[i], usable[i] = int(y) == c, predicted[i] < k
				if usable[i] {
					score[i] = binned(b.pred[i*k+c], 64)
				}
				if positive[i] {
					cells[predicted[i]]++
				}
				switch {
				case positive[i] && predicted[i] == c:
					tp++
				case positive[i]:
					fn++
				case predicted[i] == c:
					fp++
				}
			}
			if fmt.Sprint(cells) != fmt.Sprint(confusion[c]) {
				t.Errorf("confusion of label %d is %v, want %v", c, confusion[c], cells)
			}
			precision, recall, f1 := tp/(tp+fp), tp/(tp+fn), 2*tp/(2*tp+fp+fn)
			want(t, s, fmt.Sprintf("precision.%d", c), precision, 1e-15)
			want(t, s, fmt.Sprintf("recall.%d", c), recall, 1e-15)
			want(t, s, fmt.Sprintf("f1.%d", c), f1, 1e-15)
			auc, ap := aucOf(score, positive, usable), averagePrecisionOf(score, positive, usable)
			want(t, s, fmt.Sprintf("auc.%d", c), auc, 1e-14)
			if tp+fn > 0 {
				want(t, s, fmt.Sprintf("average_precision.%d", c), ap, 1e-14)
			}
			if auc == auc {
				macroAUC += auc
				macroAP += ap
				curves++
			}
			zero := func(v float64) float64 {
				if v != v {
					return 0
				}
				return v
			}
			if tp+fp+fn > 0 {
				present++
				mp, mr, mf = mp+zero(precision), mr+zero(recall), mf+zero(f1)
			}
			if tp+fn > 0 {
				labelled++
				balanced += recall
			}
		}
		want(t, s, "precision.macro", mp/present, 1e-14)
		want(t, s, "recall.macro", mr/present, 1e-14)
		want(t, s, "f1.macro", mf/present, 1e-14)
		want(t, s, "balanced_accuracy", balanced/labelled, 1e-14)
		want(t, s, "auc.macro", macroAUC/curves, 1e-14)
		want(t, s, "average_precision.macro", macroAP/curves, 1e-14)
		if t.Failed() {
			t.Fatalf("trial %d: %+v", trial, b)
		}
		// The same predictions as tokens.
		token := Token(k)
		token.TopK = target.TopK
		s = newSet(t, token)
		observe(t, s, b)
		want(t, s, "accuracy", correct/f, 1e-15)
		want(t, s, "log_loss", ll/f, 1e-14)
		want(t, s, "perplexity", math.Exp(ll/f), 1e-13)
		want(t, s, "unusable", bad/f, 0)
	}
}

func TestNumberAgainstDefinitions(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for trial := range 120 {
		low := r.NormFloat64() * 100
		target := Number(low, low+math.Exp(3*r.NormFloat64()))
		target.Outputs = 1 + trial%3
		target.ErrorBound = []float64{1, 2, 16}[trial/3%3]
		target.Reference = target.Low + r.Float64()*(target.High-target.Low)
		o, n := target.Outputs, 2+r.IntN(40)
		b := randomBatch(r, target, n, []float64{0, 0.1}[trial%2], 0)
		s := newSet(t, target)
		observe(t, s, b)
		var se, ae, r2 float64
		for j := range o {
			var mean, residual, spread float64
			for i := range n {
				mean += float64(b.targets[i*o+j]) / float64(n)
			}
			for i := range n {
				y := float64(b.targets[i*o+j])
				most := target.ErrorBound * (target.High - target.Low)
				e := min(most, math.Abs(float64(b.pred[i*o+j])-y))
				for _, v := range b.pred[i*o:][:o] {
					if v-v != 0 {
						e = most
					}
				}
				ae += e
				residual += e * e
				spread += (y - mean) * (y - mean)
			}
			se += residual
			r2 += (1 - residual/spread) / float64(o)
		}
		values := float64(n * o)
		want(t, s, "mse", se/values, 1e-12)
		want(t, s, "rmse", math.Sqrt(se/values), 1e-12)
		want(t, s, "mae", ae/values, 1e-12)
		want(t, s, "r2", r2, 1e-10)
		if t.Failed() {
			t.Fatalf("trial %d: %+v %+v", trial, target, b)
		}
	}
}

// concordanceOf looks at every pair.
func concordanceOf(b batch) (concordant, tied, discordant float64) {
	finite := func(f float32) bool { return f-f == 0 }
	for i := range b.pred {
		for j := range b.pred {
			ti, ei, tj, ej := b.targets[2*i], b.targets[2*i+1], b.targets[2*j], b.targets[2*j+1]
			if ei != 1 || !(ti < tj || ti == tj && ej == 0) {
				continue
			}
			switch {
			case !finite(b.pred[i]) || !finite(b.pred[j]):
				discordant++
			case b.pred[i] > b.pred[j]:
				concordant++
			case b.pred[i] == b.pred[j]:
				tied++
			default:
				discordant++
			}
		}
	}
	return
}

func TestSurvivalAgainstDefinitions(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for trial := range 400 {
		b := randomBatch(r, Survival(), r.IntN(70), []float64{0, 0.15}[trial%2], []int{0, 1, 3}[trial%3])
		s := newSet(t, Survival())
		observe(t, s, b)
		c, tied, d := concordanceOf(b)
		got := s.Vector()[2:]
		if got[0] != c || got[1] != tied || got[2] != d {
			t.Fatalf("concordant, tied, discordant %v, want %v %v %v for %+v", got, c, tied, d, b)
		}
		want(t, s, "concordance", (c+tied/2)/(c+tied+d), 1e-15)
	}
}
