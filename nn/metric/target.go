package metric

import (
	"errors"
	"fmt"
)

// Kinds of target.
const (
	KindBinary   = "binary"   // label 0 or 1, one probability
	KindClass    = "class"    // label 0 … Classes−1, a probability each
	KindToken    = "token"    // like class, for vocabularies: no table of classes
	KindNumber   = "number"   // Outputs numbers
	KindSurvival = "survival" // (time, event), one risk score
)

// Limits of a Target.
const (
	MaxLen      = 1 << 22 // coordinates of a Set
	MaxBins     = 1 << 20
	MaxBatch    = 1 << 24 // of Survival's Observe
	MaxOutputs  = 1 << 16
	MaxClasses  = 1 << 20
	maxQuantity = 1e37 // on the size of a Number's range, within float32
)

// Target says what is predicted and how it is measured. Two Sets add when their
// Targets are equal after defaults. A zero field takes its default; fields that
// the kind does not use are zero.
type Target struct {
	Kind    string
	Classes int // class, token: ≥ 2
	Outputs int // number: values per example, default 1

	TopK            int     // class, token: default 5; as many as Classes or more measure nothing: none by default
	Bins            int     // binary, class: of the score histogram, default 1024 and 256
	CalibrationBins int     // binary, class: default 15
	LossBound       float64 // binary, class, token: the most one example's log loss counts, default 16

	// Number: the public range of the target (of a schema, never of the rows) and
	// a public reference within it, best near the mean: R² is computed from
	// deviations from it, and the farther the mean lies from it in standard
	// deviations, the more digits cancel.
	Low, High, Reference float64
	ErrorBound           float64 // number: the most one error counts, in units of High − Low, default 2

	Batch int // survival: most examples of one Observe, default 65536
}

// Binary measures the probability of label 1.
func Binary() Target { return Target{Kind: KindBinary} }

// Class measures the probabilities of k classes.
func Class(k int) Target { return Target{Kind: KindClass, Classes: k} }

// Token measures the probabilities of k tokens at each position.
func Token(k int) Target { return Target{Kind: KindToken, Classes: k} }

// Number measures predictions of a number whose public range is low to high, with
// the middle as reference.
func Number(low, high float64) Target {
	return Target{Kind: KindNumber, Low: low, High: high, Reference: low + (high-low)/2}
}

// Survival measures the order of risk scores against censored times.
func Survival() Target { return Target{Kind: KindSurvival} }

// Field is a run of coordinates with one meaning and one bound.
type Field struct {
	Name        string
	Offset, Len int
	Bound       float64 // of a coordinate, per example
	Whole       bool    // coordinates are counts
}

// Fields returns the coordinates of t's Sets in order:
//
//	examples             n
//	unusable             examples without a usable prediction
//	clamped              not survival: predictions cut to a bound
//	confusion            binary, class: [label][predicted class, last: unusable]
//	correct              token: examples whose predicted token is the label
//	top_k                class, token: see TopK
//	scores               binary: [label][bin of p, last: unusable]; class: [class][0: other label, 1: this][bin of p_class, last: unusable]
//	log_loss             binary, class, token: Σ min(−ln p_y, LossBound)
//	brier                binary, class: Σ of squared differences
//	calibration.count    binary, class: [bin] usable predictions
//	calibration.correct  [bin] … whose label is 1 (binary) or the predicted class
//	calibration.confidence [bin] Σ of p (binary) or of the greatest p
//	above, below, square number: [output] Σ max(d,0), Σ max(−d,0), Σ d² with d = (y − Reference)/(High − Low), cut to ±1
//	error.absolute       number: [output] Σ min(|f − y|/(High − Low), ErrorBound)
//	error.square         number: [output] Σ of the same squared
//	concordant, tied, discordant  survival: comparable pairs
//
// The errors are those of New.
func (t Target) Fields() ([]Field, error) {
	t, err := t.resolve()
	if err != nil {
		return nil, err
	}
	return t.fields(), nil
}

func (t Target) fields() []Field {
	var out []Field
	offset := 0
	field := func(name string, length int, bound float64, whole bool) {
		out = append(out, Field{name, offset, length, bound, whole})
		offset += length
	}
	count := func(name string, length int) { field(name, length, 1, true) }
	count("examples", 1)
	count("unusable", 1)
	if t.Kind != KindSurvival {
		count("clamped", 1)
		if t.Kind == KindNumber {
			out[2].Bound = float64(2 * t.Outputs) // a target and an error each
		}
	}
	k := t.Classes
	switch t.Kind {
	case KindBinary:
		count("confusion", 2*3)
		count("scores", 2*(t.Bins+1))
		field("log_loss", 1, t.LossBound, false)
		field("brier", 1, 1, false)
	case KindClass:
		count("confusion", k*(k+1))
		if t.TopK > 0 {
			count("top_k", 1)
		}
		count("scores", k*2*(t.Bins+1))
		field("log_loss", 1, t.LossBound, false)
		field("brier", 1, 2, false)
	case KindToken:
		count("correct", 1)
		if t.TopK > 0 {
			count("top_k", 1)
		}
		field("log_loss", 1, t.LossBound, false)
	case KindNumber:
		field("above", t.Outputs, 1, false)
		field("below", t.Outputs, 1, false)
		field("square", t.Outputs, 1, false)
		field("error.absolute", t.Outputs, t.ErrorBound, false)
		field("error.square", t.Outputs, float64(t.ErrorBound*t.ErrorBound), false)
	case KindSurvival:
		pairs := float64(t.Batch-1) / 2 // m examples have m(m−1)/2 pairs
		field("concordant", 1, pairs, true)
		field("tied", 1, pairs, true)
		field("discordant", 1, pairs, true)
	}
	if t.CalibrationBins > 0 {
		count("calibration.count", t.CalibrationBins)
		count("calibration.correct", t.CalibrationBins)
		field("calibration.confidence", t.CalibrationBins, 1, false)
	}
	return out
}

// resolve returns t with its defaults, or every problem it has.
func (t Target) resolve() (Target, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("metric: "+format, args...)) }
	whole := func(name string, v *int, used bool, initial, least, most int) {
		switch {
		case !used && *v != 0:
			bad("%s is %d: a %s target has none", name, *v, t.Kind)
		case used && *v == 0 && initial != 0:
			*v = initial
		case used && (*v < least || *v > most):
			bad("%s is %d, want %d to %d", name, *v, least, most)
		}
	}
	real := func(name string, v *float64, used bool, initial, least, most float64) {
		switch {
		case !used && *v != 0:
			bad("%s is %v: a %s target has none", name, *v, t.Kind)
		case used && *v == 0 && initial != 0:
			*v = initial
		case used && !(*v >= least && *v <= most):
			bad("%s is %v, want %v to %v", name, *v, least, most)
		}
	}
	switch t.Kind {
	case KindBinary, KindClass, KindToken, KindNumber, KindSurvival:
	default:
		return Target{}, fmt.Errorf("metric: unknown kind %q, want %s, %s, %s, %s or %s", t.Kind, KindBinary, KindClass, KindToken, KindNumber, KindSurvival)
	}
	classes := t.Kind == KindClass || t.Kind == KindToken
	probability := t.Kind == KindBinary || t.Kind == KindClass
	number := t.Kind == KindNumber
	whole("classes", &t.Classes, classes, 0, 2, MaxClasses)
	whole("outputs", &t.Outputs, number, 1, 1, MaxOutputs)
	if classes && t.TopK == 0 && t.Classes > 5 {
		t.TopK = 5
	}
	if t.TopK != 0 || !classes {
		whole("top-k", &t.TopK, classes, 0, 2, max(2, t.Classes-1))
	}
	bins := 1024
	if t.Kind == KindClass {
		bins = 256
	}
	whole("bins", &t.Bins, probability, bins, 2, MaxBins)
	whole("calibration bins", &t.CalibrationBins, probability, 15, 1, MaxBins)
	real("loss bound", &t.LossBound, classes || probability, 16, 0.1, 1000)
	real("error bound", &t.ErrorBound, number, 2, 1, 1<<20)
	real("low", &t.Low, number, 0, -maxQuantity, maxQuantity)
	real("high", &t.High, number, 0, -maxQuantity, maxQuantity)
	real("reference", &t.Reference, number, 0, t.Low, t.High)
	if number && !(t.High-t.Low >= 1/maxQuantity) {
		bad("the range is %v to %v, want low below high", t.Low, t.High)
	}
	whole("batch", &t.Batch, t.Kind == KindSurvival, 65536, 2, MaxBatch)
	if len(errs) == 0 && t.length() > MaxLen {
		bad("%d classes and %d bins make %d coordinates, want at most %d: take fewer bins, or measure a %s target", t.Classes, t.Bins, t.length(), MaxLen, KindToken)
	}
	if len(errs) > 0 {
		return Target{}, errors.Join(errs...)
	}
	return t, nil
}

// length returns a bound on the number of coordinates, a few above it, in 64 bits
// on every machine.
func (t Target) length() int64 {
	k, scores := int64(t.Classes), int64(t.Bins+1)
	n := 6 + 3*int64(t.CalibrationBins) + 5*int64(t.Outputs)
	switch t.Kind {
	case KindBinary:
		n += 6 + 2*scores
	case KindClass:
		n += k*(k+1) + 2*k*scores
	}
	return n
}

// outputs returns the predicted values of one example.
func (t Target) outputs() int {
	switch t.Kind {
	case KindClass, KindToken:
		return t.Classes
	case KindNumber:
		return t.Outputs
	}
	return 1
}
