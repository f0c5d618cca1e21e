package nn

import "math"

// Metrics are sums over examples: they add, over batches and over branches, and
// a ratio is taken once, of the total.
type Metrics struct {
	Examples int64   // predictions: examples, or the steps of sequences that have a label a step
	LossSum  float64 // Σ_i ℓ_i, each with its class's weight; under Cox a sum over events
	Weight   float64 // Σ_i w_{y_i}: Examples without class weights; under Cox the events
	Correct  int64   // examples whose predicted class is the label; 0 without classes

	// Of label 1 against label 0, under two classes; else 0.
	TruePositive, FalsePositive, FalseNegative int64
}

// Add adds o's sums to m's.
func (m *Metrics) Add(o Metrics) {
	m.Examples += o.Examples
	m.LossSum += o.LossSum
	m.Weight += o.Weight
	m.Correct += o.Correct
	m.TruePositive += o.TruePositive
	m.FalsePositive += o.FalsePositive
	m.FalseNegative += o.FalseNegative
}

// Loss returns the mean loss LossSum/Weight, NaN without examples. Examples without
// an event have the loss 0 under Cox.
func (m Metrics) Loss() float64 {
	if m.Weight == 0 && m.Examples > 0 {
		return m.LossSum // 0, or NaN
	}
	return m.LossSum / m.Weight
}

// Accuracy returns the fraction of correct examples, NaN without examples.
func (m Metrics) Accuracy() float64 { return float64(m.Correct) / float64(m.Examples) }

// F1 returns 2·TP/(2·TP + FP + FN), the harmonic mean of precision and recall of
// label 1; NaN where nothing is or was predicted positive.
func (m Metrics) F1() float64 {
	tp := 2 * float64(m.TruePositive)
	if all := tp + float64(m.FalsePositive) + float64(m.FalseNegative); all > 0 {
		return tp / all
	}
	return math.NaN()
}

// count adds one prediction of a binary label. Without a usable output (ok
// false) nothing was predicted: a positive example is a miss.
func (m *Metrics) count(label int32, positive, ok bool) {
	switch {
	case !ok:
		if label == 1 {
			m.FalseNegative++
		}
	case positive && label == 1:
		m.TruePositive++
		m.Correct++
	case positive:
		m.FalsePositive++
	case label == 1:
		m.FalseNegative++
	default:
		m.Correct++
	}
}
