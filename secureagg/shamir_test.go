package secureagg

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	fp "github.com/cloudflare/circl/math/fp25519"
)

var bigP, _ = new(big.Int).SetString("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed", 16)

func bigOf(e *element) *big.Int {
	var b [elementSize]byte
	putElement(b[:], e)
	return new(big.Int).SetBytes(b[:])
}

// lagrangeBig interpolates at zero with math/big, knowing nothing of the package's
// arithmetic.
func lagrangeBig(x []int64, y []*big.Int) *big.Int {
	sum := new(big.Int)
	for i := range x {
		num, den := big.NewInt(1), big.NewInt(1)
		for j := range x {
			if i != j {
				num.Mod(num.Mul(num, big.NewInt(-x[j])), bigP)
				den.Mod(den.Mul(den, big.NewInt(x[i]-x[j])), bigP)
			}
		}
		term := new(big.Int).Mul(y[i], num)
		sum.Mod(sum.Add(sum, term.Mul(term, den.ModInverse(den, bigP))), bigP)
	}
	return sum
}

func TestShamirAgainstBigLagrange(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	r := rand.New(rng)
	for _, c := range []struct{ n, t int }{{3, 3}, {4, 3}, {5, 4}, {10, 7}, {100, 67}, {128, 86}} {
		sp := newSplitter(c.n, c.t)
		shares := make([]element, c.n)
		var raw [32]byte
		rng.Read(raw[:])
		var secret element
		reduceElement(&secret, raw[:])
		if err := sp.split(shares, &secret, rng); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			who := r.Perm(c.n)[:c.t]
			var x []int64
			var y []*big.Int
			var got []element
			for _, u := range who {
				x, y, got = append(x, int64(u+1)), append(y, bigOf(&shares[u])), append(got, shares[u])
			}
			w, err := lagrangeAtZero(who)
			if err != nil {
				t.Fatal(err)
			}
			z := combine(w, got)
			if want := lagrangeBig(x, y); bigOf(&z).Cmp(want) != 0 || want.Cmp(bigOf(&secret)) != 0 {
				t.Fatalf("%d of %d: wrong secret", c.t, c.n)
			}
			// One share fewer opens something else.
			w, _ = lagrangeAtZero(who[1:])
			if z = combine(w, got[1:]); bigOf(&z).Cmp(bigOf(&secret)) == 0 {
				t.Fatalf("%d − 1 of %d shares open the secret", c.t, c.n)
			}
		}
	}
	if _, err := lagrangeAtZero([]int{1, 2, 1}); err == nil {
		t.Error("a share counts twice")
	}
	if sp := newSplitter(3, 3); sp.split(make([]element, 3), new(element), bytes.NewReader(nil)) == nil {
		t.Error("shares without randomness")
	}
}

func TestElements(t *testing.T) {
	be := func(v *big.Int) []byte { return v.FillBytes(make([]byte, elementSize)) }
	add := func(d int64) *big.Int { return new(big.Int).Add(bigP, big.NewInt(d)) }
	var e element
	for _, v := range []*big.Int{big.NewInt(0), big.NewInt(1), add(-1)} {
		if !parseElement(&e, be(v)) {
			t.Errorf("%v is refused", v)
		}
		var b [elementSize]byte
		if putElement(b[:], &e); !bytes.Equal(b[:], be(v)) {
			t.Errorf("%v comes back as %x", v, b)
		}
	}
	top := new(big.Int).Lsh(big.NewInt(1), 255)
	for _, v := range []*big.Int{add(0), add(1), add(18), top, new(big.Int).Sub(new(big.Int).Lsh(top, 1), big.NewInt(1))} {
		if parseElement(&e, be(v)) || e != (element{}) {
			t.Errorf("the non-canonical %v is accepted", v)
		}
	}
	if parseElement(&e, make([]byte, 31)) || parseElement(&e, make([]byte, 33)) || parseElement(&e, nil) {
		t.Error("an element of another size")
	}
	// Reduction: the top bit is cleared, then modulo p.
	for _, v := range []*big.Int{add(0), add(18), add(-1), top, new(big.Int).Add(top, big.NewInt(5))} {
		reduceElement(&e, be(v))
		want := new(big.Int).SetBit(v, 255, 0)
		if want.Mod(want, bigP); bigOf(&e).Cmp(want) != 0 {
			t.Errorf("%v reduces to %v, want %v", v, bigOf(&e), want)
		}
	}
	if p := fp.P(); bigOf(&p).Sign() != 0 {
		t.Error("p is not zero")
	}
}

// BenchmarkSplit shares one secret in cohorts of 32 and 100.
func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{32, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newSplitter(n, n-(n-1)/3)
			shares := make([]element, n)
			secret := smallElement(7)
			rand := seeded(b, "bench", 1)
			for b.Loop() {
				if err := s.split(shares, &secret, rand); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestMulAdd holds limbs to math/big, at the edges of what they hold.
func TestMulAdd(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	number := func(l *limbs) *big.Int {
		v := new(big.Int)
		for i := 3; i >= 0; i-- {
			v.Add(v.Lsh(v, 64), new(big.Int).SetUint64(l[i]))
		}
		return v
	}
	rng := rand.New(rand.NewPCG(1, 2))
	all := limbs{1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}
	for i := range 20000 {
		a, c := limbs{rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()}, limbs{rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64() >> 1}
		if i < 200 {
			a = all
			c = limbs{1<<64 - 20, 1<<64 - 1, 1<<64 - 1, 1<<63 - 1} // p − 1
		}
		x := uint64(1 + i%(MaxMembers+1))
		want := new(big.Int).Mul(number(&a), new(big.Int).SetUint64(x))
		want.Mod(want.Add(want, number(&c)), p)
		a.mulAdd(x, &c)
		if got := number(&a); got.Mod(got, p).Cmp(want) != 0 {
			t.Fatalf("x = %d: %v, want %v", x, got, want)
		}
	}
}
