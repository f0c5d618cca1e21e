package metric

import (
	"fmt"

	"tacit/nn/internal/kernel"
)

// sumTolerance is how far a row of probabilities may be from 1 in sum: what
// float32 rounding makes of the widest softmax, and far less than logits.
const sumTolerance = 0x1p-6

func (s *Set) observeBinary(pred []float32, labels []int32) {
	for i, y := range labels {
		p := float64(pred[i])
		if !(p >= 0 && p <= 1) { // NaN too
			s.unusable.count()
			s.confusion.count(y, 2)
			s.scores[0].unusable(int(y))
			s.logLoss.add(s.target.LossBound)
			s.brier.add(1)
			continue
		}
		predicted := 0
		if p > 0.5 {
			predicted = 1
		}
		s.confusion.count(y, predicted)
		s.scores[0].count(int(y), p)
		s.calibration.count(p, y == 1)
		q, e := p, 1-p // of the label
		if y == 0 {
			q, e = e, q
		}
		s.addLogLoss(q)
		s.brier.add(float64(e * e))
	}
}

func (s *Set) observeClasses(pred []float32, labels []int32) {
	k := s.target.Classes
	for i, y := range labels {
		p := pred[i*k:][:k]
		if !distribution(p) {
			s.unusable.count()
			s.logLoss.add(s.target.LossBound)
			if s.target.Kind == KindClass {
				s.confusion.count(y, k)
				for c := range s.scores {
					s.scores[c].unusable(is(int(y) == c))
				}
				s.brier.add(2)
			}
			continue
		}
		best, before := 0, 0
		for c, v := range p {
			if v > p[best] {
				best = c
			}
			if v > p[y] || v == p[y] && c < int(y) {
				before++
			}
		}
		if s.topK != nil && before < s.target.TopK {
			s.topK.count()
		}
		s.addLogLoss(float64(p[y]))
		if s.target.Kind == KindToken {
			if best == int(y) {
				s.correct.count()
			}
			continue
		}
		s.confusion.count(y, best)
		s.calibration.count(float64(p[best]), best == int(y))
		var brier float64
		for c, v := range p {
			t := is(int(y) == c)
			s.scores[c].count(t, float64(v))
			e := float64(v) - float64(t)
			brier += float64(e * e)
		}
		s.brier.add(min(brier, 2))
	}
}

// distribution reports whether p are probabilities of one example.
func distribution(p []float32) bool {
	var sum float64
	for _, v := range p {
		if !(v >= 0 && v <= 1) { // NaN too
			return false
		}
		sum += float64(v)
	}
	return sum >= 1-sumTolerance && sum <= 1+sumTolerance
}

// addLogLoss adds −ln q, 0 ≤ q ≤ 1, cut to the bound.
func (s *Set) addLogLoss(q float64) {
	l := 0 - kernel.Log(q) // +∞ of 0
	if l > s.target.LossBound {
		l = s.target.LossBound
		s.clamped.count()
	}
	s.logLoss.add(l)
}

func is(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *Set) binaryValues() []Value {
	n := s.examples.float()
	return []Value{
		s.confusion.accuracy(),
		s.confusion.balancedAccuracy(),
		s.confusion.precision("precision", 1),
		s.confusion.recall("recall", 1),
		s.confusion.f1("f1", 1),
		s.scores[0].auc("auc"),
		s.scores[0].averagePrecision("average_precision"),
		loss("log_loss", s.logLoss.float(), n),
		loss("brier", s.brier.float(), n),
		s.calibration.value(s.unusable.float()),
	}
}

func (s *Set) classValues() []Value {
	n := s.examples.float()
	v := []Value{s.confusion.accuracy()}
	v = append(v, s.topKValue()...)
	v = append(v, s.confusion.balancedAccuracy())
	v = append(v, s.confusion.micro()...)
	v = append(v, s.confusion.macro()...)
	auc, ap := make([]Value, len(s.scores)), make([]Value, len(s.scores))
	for c := range s.scores {
		auc[c], ap[c] = s.scores[c].auc(""), s.scores[c].averagePrecision("")
	}
	return append(v,
		mean("auc.macro", auc),
		mean("average_precision.macro", ap),
		loss("log_loss", s.logLoss.float(), n),
		loss("brier", s.brier.float(), n),
		s.calibration.value(s.unusable.float()),
	)
}

func (s *Set) perClass() []Value {
	var v []Value
	for c := range s.scores {
		v = append(v,
			s.confusion.precision(fmt.Sprintf("precision.%d", c), c),
			s.confusion.recall(fmt.Sprintf("recall.%d", c), c),
			s.confusion.f1(fmt.Sprintf("f1.%d", c), c),
			s.scores[c].auc(fmt.Sprintf("auc.%d", c)),
			s.scores[c].averagePrecision(fmt.Sprintf("average_precision.%d", c)),
		)
	}
	return v
}

func (s *Set) tokenValues() []Value {
	n := s.examples.float()
	v := []Value{ratio("accuracy", s.correct.float(), n)}
	v = append(v, s.topKValue()...)
	l := loss("log_loss", s.logLoss.float(), n)
	perplexity := l
	perplexity.Name = "perplexity"
	perplexity.Value = kernel.Exp64(l.Value)
	return append(v, l, perplexity)
}

func (s *Set) topKValue() []Value {
	if s.topK == nil {
		return nil
	}
	return []Value{ratio(fmt.Sprintf("top_%d_accuracy", s.target.TopK), s.topK.float(), s.examples.float())}
}
