package secureagg

import (
	"errors"
	"io"

	fp "github.com/cloudflare/circl/math/fp25519"
)

// splitter shares secrets over F_p (Shamir 1979): a random polynomial of degree
// t−1 with the secret as its constant term, evaluated at x = 1 … n. A member's x is
// its index + 1. It keeps its coefficients between calls to save allocations;
// erase clears them.
type splitter struct {
	n, t  int
	coeff []element // coeff[0] is the secret
	bytes []byte
}

func newSplitter(n, t int) *splitter {
	return &splitter{n: n, t: t, coeff: make([]element, t), bytes: make([]byte, (t-1)*elementSize)}
}

// split writes the n shares of secret, drawing t−1 coefficients from rand.
func (s *splitter) split(shares []element, secret *element, rand io.Reader) error {
	if _, err := io.ReadFull(rand, s.bytes); err != nil {
		return err
	}
	s.coeff[0] = *secret
	for i := 1; i < s.t; i++ {
		reduceElement(&s.coeff[i], s.bytes[(i-1)*elementSize:i*elementSize])
	}
	for u := range s.n {
		x := smallElement(uint8(u + 1))
		acc := s.coeff[s.t-1]
		for i := s.t - 2; i >= 0; i-- { // Horner
			fp.Mul(&acc, &acc, &x)
			fp.Add(&acc, &acc, &s.coeff[i])
		}
		fp.Modp(&acc)
		shares[u] = acc
	}
	return nil
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
