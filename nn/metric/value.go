package metric

import "math"

// Value is one metric of a Set.
type Value struct {
	Name   string
	Value  float64 // NaN where nothing was observed that it could be taken of
	Weight float64 // what Value is a mean over: examples, pairs, predictions, classes; 0 with a NaN

	// Error bounds |Value − the same metric without histogram|, 0 where Value is
	// exact up to rounding.
	Error float64

	LowerIsBetter bool
}

// ratio is the Value a/b of weight b.
func ratio(name string, a, b float64) Value { return Value{Name: name, Value: div(a, b), Weight: b} }

// loss is a ratio that is better when it is lower.
func loss(name string, a, b float64) Value {
	return Value{Name: name, Value: div(a, b), Weight: b, LowerIsBetter: true}
}

// mean is the mean of those vs that are not NaN, weighing each 1.
func mean(name string, vs []Value) Value {
	var s, e, n float64
	for _, v := range vs {
		if v.Value == v.Value {
			s += v.Value
			e += v.Error
			n++
		}
	}
	return Value{Name: name, Value: div(s, n), Weight: n, Error: orZero(e, n)}
}

func orZero(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// div returns a/b, NaN where b is 0.
func div(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}
