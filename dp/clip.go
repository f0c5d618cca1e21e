// Package dp bounds what one branch can contribute to a sum.
//
// ClipL2 limits the length of an update. Every training plan states such a bound,
// with noise or without: it is what makes the sum's quantization safe, and it
// keeps one branch from drowning the others. Clipping alone is not differential
// privacy: without noise the sum may still tell about a single record, and
// documents say "output privacy: none".
package dp

import (
	"errors"
	"fmt"
	"math"
)

// ClipMargin is the part of the clip norm that ClipL2 keeps in reserve for its own
// rounding: a vector longer than c·(1 − ClipMargin) is scaled to that length.
const ClipMargin = 0x1p-20

// MinClip and MaxClip are the least and greatest clip norm that ClipL2 takes; its
// bound is proved for these.
const (
	MinClip = 0x1p-64
	MaxClip = 0x1p64
)

// maxNorm keeps the factor limit/norm a normal float64, of full precision.
const maxNorm = 0x1p900

// ErrNotFinite says that a vector holds a NaN or an infinity, or is longer than
// 2^900. ClipL2 has then set all of it to zero. Consequence: the update
// is dropped, as nothing of it can be trusted.
var ErrNotFinite = errors.New("dp: the vector is not finite")

// ClipL2 scales v in place to an L2 norm of at most c and returns its norm before
// and the factor applied: 1 where v was short enough and is unchanged. c is MinClip
// to MaxClip; another c is an error and v stays. A v that is not finite becomes
// all zeros: factor 0 and ErrNotFinite, with the norm as it was found.
//
// The exact norm of the result is at most c for up to 2^28 coordinates. The norm
// is a float64 sum of squares in ascending order, off by a relative (n+2)·2^-54 ≤
// 2^-25; each scaled element is rounded by at most 2^-24 of itself (float32)
// or, below the normal range, by 2^-150, which is √n·2^-150 ≤ 2^-136 in all. Together
// these stay below ClipMargin·c. The same v and c give the same bits everywhere.
func ClipL2[F ~float32 | ~float64](v []F, c float64) (norm, factor float64, err error) {
	if !(c >= MinClip && c <= MaxClip) {
		return 0, 0, fmt.Errorf("dp: clip norm is %v, want %v to %v", c, MinClip, MaxClip)
	}
	norm = norm2(v)
	if !(norm <= maxNorm) { // NaN too
		clear(v)
		return norm, 0, ErrNotFinite
	}
	limit := float64(c * (1 - ClipMargin))
	if norm <= limit {
		return norm, 1, nil
	}
	factor = limit / norm
	for i, x := range v {
		v[i] = F(float64(x) * factor)
	}
	return norm, factor, nil
}

// norm2 returns the L2 norm of v. Squares of a float64 may over- or underflow: the
// elements are scaled by the power of two that brings the greatest to [½, 1).
func norm2[F ~float32 | ~float64](v []F) float64 {
	greatest := 0.0
	for _, x := range v {
		a := math.Abs(float64(x))
		if a-a != 0 {
			return a
		}
		greatest = max(greatest, a)
	}
	if greatest == 0 {
		return 0
	}
	_, e := math.Frexp(greatest)
	// 2^-e in two factors: for the least subnormals it exceeds float64 itself.
	half := -e / 2
	up, rest := math.Ldexp(1, half), math.Ldexp(1, -e-half)
	var sum float64
	for _, x := range v {
		y := float64(float64(float64(x)*up) * rest)
		sum += float64(y * y)
	}
	return math.Ldexp(math.Sqrt(sum), e)
}
