package secureagg

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	fp "github.com/cloudflare/circl/math/fp25519"
)

// splitter shares secrets over F_p (Shamir 1979): a random polynomial of degree
// t−1 with the secret as its constant term, evaluated at x = 1 … n. A member's x is
// its index + 1. It keeps its coefficients between calls to save allocations;
// erase clears them.
type splitter struct {
	n, t  int
	coeff []limbs // coeff[0] is the secret
	bytes []byte
}

func newSplitter(n, t int) *splitter {
	return &splitter{n: n, t: t, coeff: make([]limbs, t), bytes: make([]byte, (t-1)*elementSize)}
}

// split writes the n shares of secret, drawing t−1 coefficients from rand.
func (s *splitter) split(shares []element, secret *element, rand io.Reader) error {
	if _, err := io.ReadFull(rand, s.bytes); err != nil {
		return err
	}
	s.coeff[0].set(secret)
	for i := 1; i < s.t; i++ {
		var c element
		reduceElement(&c, s.bytes[(i-1)*elementSize:i*elementSize])
		s.coeff[i].set(&c)
		clear(c[:])
	}
	for u := 0; u < s.n; u += 2 { // two members at a time: their chains of carries overlap
		a, b := s.coeff[s.t-1], s.coeff[s.t-1]
		for i := s.t - 2; i >= 0; i-- { // Horner
			a.mulAdd(uint64(u+1), &s.coeff[i])
			b.mulAdd(uint64(u+2), &s.coeff[i])
		}
		a.put(&shares[u])
		if u+1 < s.n {
			b.put(&shares[u+1])
		}
	}
	return nil
}

// limbs is an element as a number below 2^256, for products with small ones.
type limbs [4]uint64

func (a *limbs) set(e *element) {
	for i := range a {
		a[i] = binary.LittleEndian.Uint64(e[8*i:])
	}
}

func (a *limbs) put(e *element) {
	for i := range a {
		binary.LittleEndian.PutUint64(e[8*i:], a[i])
	}
	fp.Modp(e)
}

// mulAdd makes x·a + c of a, for x up to MaxMembers + 1 and c below p, modulo p but not
// reduced: what is above 2^255 comes back 19-fold. It takes no branch.
func (a *limbs) mulAdd(x uint64, c *limbs) {
	h0, l0 := bits.Mul64(a[0], x)
	h1, l1 := bits.Mul64(a[1], x)
	h2, l2 := bits.Mul64(a[2], x)
	h3, l3 := bits.Mul64(a[3], x)
	r0, k := bits.Add64(l0, c[0], 0)
	r1, k := bits.Add64(l1, c[1], k)
	r2, k := bits.Add64(l2, c[2], k)
	r3, k := bits.Add64(l3, c[3], k)
	r4 := h3 + k
	r1, k = bits.Add64(r1, h0, 0)
	r2, k = bits.Add64(r2, h1, k)
	r3, k = bits.Add64(r3, h2, k)
	top := 19 * ((r4+k)<<1 | r3>>63)
	a[0], k = bits.Add64(r0, top, 0)
	a[1], k = bits.Add64(r1, 0, k)
	a[2], k = bits.Add64(r2, 0, k)
	a[3] = r3&(1<<63-1) + k
}

func (s *splitter) erase() {
	clear(s.coeff)
	clear(s.bytes)
}

// lagrangeAtZero returns the weights w with secret = Σ w[i]·share(members[i]) for
// polynomials of degree below len(members). The members are distinct indices.
func lagrangeAtZero(members []int) ([]element, error) {
	w := make([]element, len(members))
	for i, a := range members {
		num, den := smallElement(1), smallElement(1)
		xa := smallElement(uint8(a + 1))
		for k, b := range members {
			if k == i {
				continue
			}
			if a == b {
				return nil, errors.New("secureagg: a share counted twice")
			}
			xb := smallElement(uint8(b + 1))
			var d element
			fp.Sub(&d, &xb, &xa) // xb / (xb − xa)
			fp.Mul(&num, &num, &xb)
			fp.Mul(&den, &den, &d)
		}
		fp.Inv(&den, &den)
		fp.Mul(&w[i], &num, &den)
	}
	return w, nil
}

// combine returns Σ weights[i]·shares[i].
func combine(weights, shares []element) (secret element) {
	var t element
	for i := range weights {
		fp.Mul(&t, &weights[i], &shares[i])
		fp.Add(&secret, &secret, &t)
	}
	fp.Modp(&secret)
	return secret
}
