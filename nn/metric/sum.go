package metric

import "math/bits"

// maxCoordinate is the most that a coordinate may hold: up to here every whole
// number is a float64.
const maxCoordinate = 1 << 53

// sum is a non-negative number in fixed point, whole + frac·2⁻⁶⁴. Its addition is
// exact, hence associative and commutative, which float64's is not. A count is a
// sum without fraction.
type sum struct{ whole, frac uint64 }

// sumOf returns x cut towards zero at 2⁻⁶⁴: exact for every float64 that is 0 or
// at least 2⁻¹¹. x is finite, 0 ≤ x ≤ maxCoordinate.
func sumOf(x float64) sum {
	whole := uint64(x)
	return sum{whole, uint64((x - float64(whole)) * 0x1p64)} // both operations are exact
}

func (s *sum) count() { s.whole++ }

func (s *sum) add(x float64) { s.merge(sumOf(x)) }

func (s *sum) merge(o sum) {
	var carry uint64
	s.frac, carry = bits.Add64(s.frac, o.frac, 0)
	s.whole += o.whole + carry
}

// float returns the number, rounded.
func (s sum) float() float64 { return float64(s.whole) + float64(float64(s.frac)*0x1p-64) }

// total returns the sum of counts as a float64.
func total(s []sum) float64 {
	var t sum
	for _, v := range s {
		t.merge(v)
	}
	return t.float()
}
