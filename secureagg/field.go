package secureagg

import (
	"crypto/subtle"

	fp "github.com/cloudflare/circl/math/fp25519"
)

// elementSize is the encoded size of an element of F_p, p = 2^255 − 19. Elements
// travel as 32 bytes, big-endian, below p; anything else is refused.
const elementSize = 32

// element is an element of F_p in CIRCL's little-endian form, any representative.
type element = fp.Elt

// putElement writes the canonical bytes of e, which it reduces.
func putElement(dst []byte, e *element) {
	_ = dst[elementSize-1]
	fp.Modp(e)
	for i := range e {
		dst[elementSize-1-i] = e[i]
	}
}

// parseElement reads a canonical element and reports whether b is one.
func parseElement(e *element, b []byte) bool {
	if len(b) != elementSize {
		*e = element{}
		return false
	}
	for i := range e {
		e[i] = b[elementSize-1-i]
	}
	r := *e
	fp.Modp(&r)
	if subtle.ConstantTimeCompare(r[:], e[:]) != 1 {
		*e = element{}
		return false
	}
	return true
}

// reduceElement maps 32 uniform bytes to F_p: big-endian, top bit cleared, modulo
// p. The 19 values that wrap give a bias below 2^-250.
func reduceElement(e *element, b []byte) {
	_ = b[elementSize-1]
	for i := range e {
		e[i] = b[elementSize-1-i]
	}
	e[31] &= 0x7f
	fp.Modp(e)
}

// smallElement is the element v.
func smallElement(v uint8) (e element) {
	e[0] = v
	return e
}
