package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// contents draws operands: normal values, of which odd in 256 are special or any bits.
type contents struct {
	*rand.Rand
	odd uint8
}

func drawn(seed uint64, odd uint8) contents {
	return contents{rand.New(rand.NewPCG(seed, 65)), odd}
}

func (c contents) floats(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		switch {
		case uint8(c.Uint32()) >= c.odd:
			out[i] = float32(c.NormFloat64())
		case c.IntN(2) == 0:
			out[i] = special[c.IntN(len(special))]
		default:
			out[i] = math.Float32frombits(c.Uint32())
		}
	}
	return out
}

func firstOther(got, want []float32) int {
	for i := range want {
		if !same(got[i], want[i]) {
			return i
		}
	}
	return -1
}

// FuzzProduct: a product of any shape, strides and contents has the oracle's bits at
// every level, and writes nothing between C's rows.
func FuzzProduct(f *testing.F) {
	add := func(m, n, segs, k, ars, acs, ass, ldb, bss, gap uint16, odd uint8) {
		f.Add(m, n, segs, k, ars, acs, ass, ldb, bss, gap, odd, true, uint64(m))
		f.Add(m, n, segs, k, ars, acs, ass, ldb, bss, gap, odd, false, uint64(n))
	}
	add(1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0)
	add(6, 16, 1, 5, 5, 1, 0, 16, 0, 0, 9)           // one tile of AVX2
	add(14, 32, 1, 5, 5, 1, 0, 32, 0, 0, 9)          // one tile of AVX-512
	add(29, 71, 1, 7, 1, 29, 0, 73, 0, 2, 40)        // edges, A transposed
	add(13, 23, 3, 9, 4, 1, 17, 23, 300, 0, 40)      // a convolution's window
	add(17, 33, 1, 40, 1024, 1, 0, 33, 0, 1, 9)      // A's rows share a set: both packed
	add(16, 35, 1, 40, 41, 1, 0, 1024, 0, 0, 9)      // B's rows do: its panels are packed
	add(57, 5, 1, 530, 1, 57, 0, 5, 0, 0, 9)         // a long panel
	add(2, 3, 3, 8193, 1, 2, 5, 3, 1, 0, 9)          // several calls a segment
	add(3, 17, 5, 1800, 7, 3, 11, 17, 5, 0, 9)       // several calls, whole segments each
	add(9, 40, 2, 6, 0, 0, 0, 0, 0, 0, 255)          // one value and one row, over and over
	add(0, 5, 1, 1, 1, 1, 1, 5, 0, 0, 0)             // no rows
	add(5, 5, 0, 1, 1, 1, 1, 5, 0, 0, 0)             // no terms
	add(33, 64, 1, 20, 64, 1, 0, 3*64, 0, 2*64, 200) // a head's columns of a wider matrix
	f.Fuzz(func(t *testing.T, m, n, segs, k, ars, acs, ass, ldb, bss, gap uint16, odd uint8, add bool, seed uint64) {
		const rows, columns, terms, stride = 100, 150, 9000, 2049
		M, N, S, K := int(m%rows), int(n%columns), int(segs%9), int(k%terms)
		at := func(s uint16) int { return int(s % stride) }
		before := func(n int) int { return max(n-1, 0) }
		lenA := before(M)*at(ars) + before(S)*at(ass) + before(K)*at(acs) + 1
		lenB := before(S)*at(bss) + before(K)*at(ldb) + max(N, 1)
		ldc := N + at(gap)
		if M*N*S*K > 400_000 || max(lenA, lenB, M*ldc) > 1<<18 {
			t.Skip("takes long")
		}
		r := drawn(seed, odd)
		a, b, c := r.floats(lenA), r.floats(lenB), r.floats(before(M)*ldc+N)
		want := slices.Clone(c)
		matmulGo(M, N, S, K, a, at(ars), at(acs), at(ass), b, at(ldb), at(bss), want, ldc, add)
		levels(func(name string) {
			got := slices.Clone(c)
			GemmSegments(M, N, S, K, a, at(ars), at(acs), at(ass), b, at(ldb), at(bss), got, ldc, add)
			if i := firstOther(got, want); i >= 0 {
				t.Fatalf("%s: element %d,%d is %x, want %x", name, i/ldc, i%ldc, got[i], want[i])
			}
		})
	})
}

// FuzzPanels: a product with B in panels has the bits of one with B as it lies.
func FuzzPanels(f *testing.F) {
	f.Add(uint8(5), uint8(70), uint8(9), uint8(3), uint8(20), uint64(1))
	f.Add(uint8(15), uint8(31), uint8(1), uint8(0), uint8(255), uint64(2))
	f.Add(uint8(6), uint8(0), uint8(4), uint8(0), uint8(0), uint64(3))
	f.Add(uint8(0), uint8(40), uint8(4), uint8(0), uint8(0), uint64(4)) // no rows
	f.Fuzz(func(t *testing.T, rows, columns, terms, gap, odd uint8, seed uint64) {
		m, n, k := int(rows%64), int(columns), int(terms%64)
		ldb := n + int(gap)
		r := drawn(seed, odd)
		a, b, c := r.floats(m*k), r.floats(k*ldb), r.floats(m*n)
		want := slices.Clone(c)
		inGo(func() { GemmAdd(m, n, k, a, k, 1, b, ldb, want, n) })
		levels(func(name string) {
			got, panels := slices.Clone(c), r.floats(PanelLen(k, n))
			Pack(panels, b, ldb, k, n)
			GemmPanels(m, n, k, a, k, 1, panels, got, n)
			if i := firstOther(got, want); i >= 0 {
				t.Fatalf("%s: element %d is %x, want %x", name, i, got[i], want[i])
			}
		})
	})
}

// FuzzVector: each function over vectors has its loop's bits at every level, wherever
// its vectors begin.
func FuzzVector(f *testing.F) {
	var names []string
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := range names {
		f.Add(uint8(i), uint16(1+17*i), uint8(i), uint8(7*i), uint64(i))
	}
	f.Fuzz(func(t *testing.T, which uint8, length uint16, offset, odd uint8, seed uint64) {
		name, n := names[int(which)%len(names)], int(length%1500)
		// run gives what the function wrote, where it stands in its memory, and returned.
		run := func() []float32 {
			r, all, body := drawn(seed, odd), vectors{}, vectors{}
			for i := range 8 {
				from := int(offset>>i) & 7
				a := r.floats(n + 16)
				all, body = append(all, a), append(body, a[from:][:n:n])
			}
			out := functions[name](body)
			return append(out, slices.Concat(all...)...)
		}
		var want []float32
		inGo(func() { want = run() })
		levels(func(level string) {
			got := run()
			if len(got) != len(want) {
				t.Fatalf("%s in %s: %d results, want %d", name, level, len(got), len(want))
			}
			if i := firstOther(got, want); i >= 0 {
				t.Fatalf("%s of %d in %s: result %d is %x, want %x", name, n, level, i, got[i], want[i])
			}
		})
	})
}

// FuzzTranspose: a transposition moves bits and leaves what lies between rows.
func FuzzTranspose(f *testing.F) {
	f.Add(uint8(16), uint8(16), uint8(0), uint8(0), uint64(1))
	f.Add(uint8(35), uint8(49), uint8(1), uint8(2), uint64(2))
	f.Add(uint8(1), uint8(200), uint8(3), uint8(0), uint64(3))
	f.Fuzz(func(t *testing.T, rows, columns, gapd, gaps uint8, seed uint64) {
		m, n := int(rows), int(columns)
		ldd, lds := m+int(gapd), n+int(gaps)
		r := drawn(seed, 255)
		src, old := r.floats(m*lds), r.floats(n*ldd)
		levels(func(name string) {
			dst := slices.Clone(old)
			TransposeRows(dst, ldd, src, lds, m, n)
			for i, got := range dst {
				want := old[i]
				if i%ldd < m {
					want = src[i%ldd*lds+i/ldd]
				}
				if math.Float32bits(got) != math.Float32bits(want) {
					t.Fatalf("%s: element %d,%d is %x, want %x", name, i/ldd, i%ldd, got, want)
				}
			}
		})
	})
}
