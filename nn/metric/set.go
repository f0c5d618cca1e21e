package metric

import (
	"fmt"
	"math"
)

// Set holds the sums of one Target. Make one with New or FromVector. It is not
// safe for concurrent use.
type Set struct {
	target Target // with defaults
	fields []Field
	sums   []sum // all coordinates, in the order of fields

	// Views of sums; those that the kind does not have are empty.
	examples, unusable, clamped *sum
	confusion                   confusion
	correct, topK               *sum
	scores                      []scores // one, or one a class
	logLoss, brier              *sum
	calibration                 calibration
	number                      number
	survival                    survival
}

// New returns an empty Set, or every problem that t has.
func New(t Target) (*Set, error) {
	t, err := t.resolve()
	if err != nil {
		return nil, err
	}
	s := &Set{target: t, fields: t.fields()}
	last := s.fields[len(s.fields)-1]
	s.sums = make([]sum, last.Offset+last.Len)
	view := func(name string) []sum {
		for _, f := range s.fields {
			if f.Name == name {
				return s.sums[f.Offset:][:f.Len:f.Len]
			}
		}
		return nil
	}
	one := func(name string) *sum {
		if v := view(name); v != nil {
			return &v[0]
		}
		return nil
	}
	s.examples, s.unusable, s.clamped = one("examples"), one("unusable"), one("clamped")
	s.confusion = confusion{max(t.Classes, 2), view("confusion")}
	s.correct, s.topK = one("correct"), one("top_k")
	for v := view("scores"); len(v) > 0; {
		w := 2 * (t.Bins + 1)
		s.scores = append(s.scores, scores{t.Bins, v[:w:w]})
		v = v[w:]
	}
	s.logLoss, s.brier = one("log_loss"), one("brier")
	s.calibration = calibration{view("calibration.count"), view("calibration.correct"), view("calibration.confidence")}
	s.number = number{
		above: view("above"), below: view("below"), square: view("square"),
		errAbsolute: view("error.absolute"), errSquare: view("error.square"),
	}
	s.survival.concordant, s.survival.tied, s.survival.discordant = one("concordant"), one("tied"), one("discordant")
	return s, nil
}

// FromVector returns the Set whose Vector is v. Each coordinate must be finite and
// in 0 … 2⁵³, a count whole. How coordinates stand to each other is not judged, as
// quantization may shift it: Values of a vector that nobody could have observed
// are some numbers or NaN. What lies below 2⁻⁶⁴ is cut off.
func FromVector(t Target, v []float64) (*Set, error) {
	t, err := t.resolve()
	if err != nil {
		return nil, err
	}
	fields := t.fields()
	last := fields[len(fields)-1]
	if n := last.Offset + last.Len; len(v) != n {
		return nil, fmt.Errorf("metric: vector of %d coordinates, a %s set has %d", len(v), t.Kind, n)
	}
	for _, f := range fields {
		for i, x := range v[f.Offset:][:f.Len] {
			if !(x >= 0 && x <= maxCoordinate) { // NaN too
				return nil, fmt.Errorf("metric: coordinate %d of %s is %v, want 0 to 2^53", i, f.Name, x)
			}
			if f.Whole && x != math.Trunc(x) {
				return nil, fmt.Errorf("metric: coordinate %d of %s is %v, a count is whole", i, f.Name, x)
			}
		}
	}
	s, err := New(t)
	if err != nil {
		return nil, err
	}
	for i, x := range v {
		s.sums[i] = sumOf(x)
	}
	return s, nil
}

// Target returns what s measures, with defaults filled in.
func (s *Set) Target() Target { return s.target }

// Fields returns what the coordinates are: see Target.Fields. The caller must not
// change it.
func (s *Set) Fields() []Field { return s.fields }

// Len returns the number of coordinates.
func (s *Set) Len() int { return len(s.sums) }

// Vector returns the coordinates, each rounded to a float64: counts exactly.
func (s *Set) Vector() []float64 {
	v := make([]float64, len(s.sums))
	for i, c := range s.sums {
		v[i] = c.float()
	}
	return v
}

// Bounds returns for each coordinate b with coordinate ≤ Examples·b.
func (s *Set) Bounds() []float64 {
	b := make([]float64, 0, len(s.sums))
	for _, f := range s.fields {
		for range f.Len {
			b = append(b, f.Bound)
		}
	}
	return b
}

// Examples returns the number of examples observed; under Token those are
// positions.
func (s *Set) Examples() int64 { return int64(s.examples.whole) }

// Reset forgets everything observed.
func (s *Set) Reset() { clear(s.sums) }

// Add adds o's sums to s, exactly. A Set of another Target, or a sum beyond 2⁵³,
// is an error and s stays.
func (s *Set) Add(o *Set) error {
	if s.target != o.target {
		return fmt.Errorf("metric: add: a set of %+v to a set of %+v", o.target, s.target)
	}
	for i, c := range o.sums {
		if c.merge(s.sums[i]); c.whole >= maxCoordinate && c != (sum{whole: maxCoordinate}) {
			return fmt.Errorf("metric: add: coordinate %d exceeds 2^53", i)
		}
	}
	for i, c := range o.sums {
		s.sums[i].merge(c)
	}
	return nil
}

// Observe adds a batch: pred (n, outputs) as nn's Program.Predict gives it, with
// labels (n) under Binary, Class and Token, else nil, and targets under Number
// (n, outputs) and Survival (n, 2: time, event 0 or 1), else nil. Labels and
// targets are checked before anything is counted: on an error s stays.
func (s *Set) Observe(pred []float32, labels []int32, targets []float32) error {
	n, err := s.target.check(pred, labels, targets)
	if err != nil {
		return err
	}
	if s.examples.whole > maxCoordinate-uint64(n) {
		return fmt.Errorf("metric: observe: %d more examples exceed 2^53", n)
	}
	switch s.target.Kind {
	case KindBinary:
		s.observeBinary(pred, labels)
	case KindClass, KindToken:
		s.observeClasses(pred, labels)
	case KindNumber:
		s.observeNumber(pred, targets)
	case KindSurvival:
		s.observeSurvival(pred, targets)
	}
	s.examples.whole += uint64(n)
	return nil
}

// check returns the number of examples, or what is wrong with labels or targets.
func (t Target) check(pred []float32, labels []int32, targets []float32) (int, error) {
	out := t.outputs()
	if len(pred)%out != 0 {
		return 0, fmt.Errorf("metric: predictions have shape [%d], want [n,%d]", len(pred), out)
	}
	n := len(pred) / out
	if t.Kind == KindNumber || t.Kind == KindSurvival {
		if labels != nil {
			return 0, fmt.Errorf("metric: a %s target takes targets, got %d labels", t.Kind, len(labels))
		}
		width := out
		if t.Kind == KindSurvival {
			width = 2
		}
		if len(targets) != n*width {
			return 0, fmt.Errorf("metric: targets have shape [%d], want [%d,%d]", len(targets), n, width)
		}
		for i, y := range targets {
			if y-y != 0 { // NaN or infinite
				return 0, fmt.Errorf("metric: target %d of example %d is %v", i%width, i/width, y)
			}
			if t.Kind == KindSurvival && i%2 == 1 && y != 0 && y != 1 {
				return 0, fmt.Errorf("metric: event of example %d is %v, want 0 or 1", i/2, y)
			}
		}
		if t.Kind == KindSurvival && n > t.Batch {
			return 0, fmt.Errorf("metric: %d examples in one batch, want at most %d: raise Target.Batch", n, t.Batch)
		}
		return n, nil
	}
	if targets != nil {
		return 0, fmt.Errorf("metric: a %s target takes labels, got %d targets", t.Kind, len(targets))
	}
	if len(labels) != n {
		return 0, fmt.Errorf("metric: labels have shape [%d], want [%d]", len(labels), n)
	}
	classes := int32(max(out, 2))
	for i, l := range labels {
		if l < 0 || l >= classes {
			return 0, fmt.Errorf("metric: label %d of example %d is out of range, want 0 to %d", l, i, classes-1)
		}
	}
	return n, nil
}

// Values returns the metrics, in an order fixed by the Target.
func (s *Set) Values() []Value {
	var v []Value
	switch s.target.Kind {
	case KindBinary:
		v = s.binaryValues()
	case KindClass:
		v = s.classValues()
	case KindToken:
		v = s.tokenValues()
	case KindNumber:
		v = s.numberValues()
	case KindSurvival:
		v = append(v, s.survival.value())
	}
	n := s.examples.float()
	if s.clamped != nil {
		v = append(v, loss("clamped", s.clamped.float(), n))
	}
	v = append(v, loss("unusable", s.unusable.float(), n))
	// Those of each class stand last: there may be many.
	if s.target.Kind == KindClass {
		v = append(v, s.perClass()...)
	}
	return v
}

// Value returns the metric of that name, and whether the Target has it.
func (s *Set) Value(name string) (Value, bool) {
	for _, v := range s.Values() {
		if v.Name == name {
			return v, true
		}
	}
	return Value{}, false
}
