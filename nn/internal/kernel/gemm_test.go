package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// forLevels runs f as a test of each level that this machine has.
func forLevels(t *testing.T, f func(t *testing.T)) {
	levels(func(name string) { t.Run(name, f) })
}

const guard = float32(-12345.5)

// guarded returns n floats with guard words on both sides and a check of them.
func guarded(n int, fill func(i int) float32) (body []float32, intact func() bool) {
	const pad = 19
	all := make([]float32, n+2*pad)
	for i := range all {
		all[i] = guard
	}
	body = all[pad : pad+n : pad+n]
	for i := range body {
		body[i] = fill(i)
	}
	return body, func() bool {
		for i := range pad {
			if all[i] != guard || all[len(all)-1-i] != guard {
				return false
			}
		}
		return true
	}
}

func checkMatmul(t *testing.T, m, n, k int, trans bool, extra int, gen func() float32) {
	t.Helper()
	ars, acs := k+extra, 1
	if trans {
		ars, acs = 1, m+extra
	}
	ldb, ldc := n+extra, n+extra
	size := func(rows, ld, cols int) int {
		if rows == 0 || cols == 0 {
			return 0
		}
		return (rows-1)*ld + cols
	}
	na := size(m, ars, k)
	if trans {
		na = size(k, acs, m)
	}
	fill := func(int) float32 { return gen() }
	a, _ := guarded(na, fill)
	b, _ := guarded(size(k, ldb, n), fill)
	c, intact := guarded(size(m, ldc, n), fill)
	old := append([]float32(nil), c...)
	if m > 0 && n > 0 && k > 0 {
		GemmAdd(m, n, k, a, ars, acs, b, ldb, c, ldc)
	}
	if !intact() {
		t.Fatalf("m=%d n=%d k=%d trans=%v: wrote outside C", m, n, k, trans)
	}
	for i := range c {
		row, col := i/ldc, i%ldc
		want := old[i]
		if col < n {
			for p := range k {
				want = FMA(a[row*ars+p*acs], b[p*ldb+col], want)
			}
		}
		if !same(c[i], want) {
			t.Fatalf("m=%d n=%d k=%d trans=%v extra=%d: c[%d,%d] = %x, want %x", m, n, k, trans, extra, row, col, c[i], want)
		}
	}
}

func TestGemmBits(t *testing.T) {
	forLevels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		normal := func() float32 { return float32(r.NormFloat64()) }
		wild := func() float32 { // infinities, NaN, subnormals, huge values
			if r.IntN(4) == 0 {
				return math.Float32frombits(r.Uint32())
			}
			return normal()
		}
		for m := range 10 {
			for n := range 36 {
				for _, k := range []int{0, 1, 2, 7} {
					checkMatmul(t, m, n, k, n%2 == 0, m%3, normal)
				}
			}
		}
		for range 300 {
			checkMatmul(t, r.IntN(41), r.IntN(41), r.IntN(41), r.IntN(2) == 0, r.IntN(4), wild)
		}
		checkMatmul(t, 5, 17, 2*4096+3, false, 0, normal) // several calls of the assembly
		checkMatmul(t, 5, 17, 4096, true, 1, normal)
	})
}

func TestGemmOverwrites(t *testing.T) {
	nan := float32(math.NaN())
	c := []float32{nan, nan, 7, nan, nan, 7}
	Gemm(2, 2, 0, nil, 0, 1, nil, 2, c, 3)
	if fmt.Sprint(c) != "[0 0 7 0 0 7]" {
		t.Fatalf("k = 0: %v", c)
	}
	Gemm(2, 2, 1, []float32{2, 3}, 1, 1, []float32{5, 7}, 2, c, 3)
	if fmt.Sprint(c) != "[10 14 7 15 21 7]" {
		t.Fatalf("k = 1: %v", c)
	}
	Gemm(0, 2, 1, nil, 1, 1, nil, 2, nil, 3)
	Gemm(2, 0, 1, nil, 1, 1, nil, 2, nil, 3)
}

// A Gemm of the first terms and a GemmAdd of the others are one Gemm, bit for bit.
func TestGemmAdd(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		m, n, k := r.IntN(9), r.IntN(36), r.IntN(30)
		cut := r.IntN(k + 1)
		fill := func(int) float32 { return float32(r.NormFloat64()) }
		a, _ := guarded(m*k, fill)
		b, _ := guarded(k*n, fill)
		want, _ := guarded(m*n, fill)
		got, intact := guarded(m*n, fill)
		Gemm(m, n, k, a, k, 1, b, n, want, n)
		Gemm(m, n, cut, a, k, 1, b, n, got, n)
		if m > 0 {
			GemmAdd(m, n, k-cut, a[cut:], k, 1, b[cut*n:], n, got, n)
		}
		if !intact() {
			t.Fatalf("m=%d n=%d k=%d: wrote outside C", m, n, k)
		}
		for i := range got {
			if !same(got[i], want[i]) {
				t.Fatalf("m=%d n=%d k=%d cut=%d: c[%d] = %x, want %x", m, n, k, cut, i, got[i], want[i])
			}
		}
	}
	c := []float32{1, 2}
	GemmAdd(1, 2, 0, nil, 0, 1, nil, 2, c, 2)
	GemmAdd(0, 2, 1, nil, 1, 1, nil, 2, nil, 2)
	if c[0] != 1 || c[1] != 2 {
		t.Fatalf("k = 0: %v", c)
	}
}

func TestGemmShortSlicePanics(t *testing.T) {
	f := func(n int) []float32 { return make([]float32, n) }
	for name, call := range map[string]func(c []float32){
		"a":      func(c []float32) { Gemm(4, 16, 3, f(11), 3, 1, f(48), 16, c, 16) },
		"a, add": func(c []float32) { GemmAdd(4, 16, 3, f(11), 3, 1, f(48), 16, c, 16) },
		"b":      func(c []float32) { Gemm(4, 16, 3, f(12), 3, 1, f(47), 16, c, 16) },
		"b, add": func(c []float32) { GemmAdd(4, 16, 3, f(12), 3, 1, f(47), 16, c, 16) },
		"c":      func(c []float32) { Gemm(4, 16, 3, f(12), 3, 1, f(48), 16, c[:63], 16) },
		"c, add": func(c []float32) { GemmAdd(4, 16, 3, f(12), 3, 1, f(48), 16, c[:63], 16) },
	} {
		c := f(64)
		c[0] = guard
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("short %s: no panic", name)
				}
			}()
			call(c)
		}()
		if c[0] != guard {
			t.Errorf("short %s: wrote before checking", name)
		}
	}
}

// Products over segments have the oracle's bits, however they are cut or packed.
func TestSegmentsBits(t *testing.T) {
	type shape struct{ m, n, segs, k, ars, acs, ass, ldb, bss, ldc int }
	r := rand.New(rand.NewPCG(15, 16))
	shapes := []shape{
		{m: 60, n: 70, segs: 1, k: 300, ars: 1024, acs: 1, ldb: 71, ldc: 72},               // A and B packed, in rows and terms
		{m: 30, n: 45, segs: 1, k: 40, ars: 41, acs: 1, ldb: 1024, ldc: 45},                // B packed: its rows share a set
		{m: 57, n: 40, segs: 1, k: 520, ars: 1, acs: 57, ldb: 40, ldc: 40},                 // B packed: it is long
		{m: 3, n: 17, segs: 5, k: 2000, ars: 7, acs: 3, ass: 11, ldb: 17, bss: 5, ldc: 17}, // several calls, whole segments each
		{m: 2, n: 5, segs: 2, k: 8200, ars: 8200, acs: 1, ass: 3, ldb: 5, bss: 7, ldc: 9},  // several calls a segment
		{m: 15, n: 3, segs: 600, k: 15, ars: 2, acs: 1, ass: 1, ldb: 3, bss: 1, ldc: 4},
	}
	for range 200 {
		s := shape{m: r.IntN(33), n: r.IntN(71), segs: r.IntN(5), k: r.IntN(9), ars: r.IntN(9), acs: r.IntN(9), ass: r.IntN(9), bss: r.IntN(99)}
		s.ldb, s.ldc = s.n+r.IntN(3), s.n+r.IntN(3)
		shapes = append(shapes, s)
	}
	fill := func(int) float32 { return float32(r.NormFloat64()) }
	forLevels(t, func(t *testing.T) {
		for _, s := range shapes {
			last := func(n int) int { return max(n-1, 0) }
			a, _ := guarded(last(s.m)*s.ars+last(s.segs)*s.ass+last(s.k)*s.acs+1, fill)
			b, _ := guarded(last(s.segs)*s.bss+last(s.k)*s.ldb+max(s.n, 1), fill)
			c, intact := guarded(last(s.m)*s.ldc+s.n, fill)
			for _, add := range []bool{true, false} {
				want := append([]float32{}, c...)
				matmulGo(s.m, s.n, s.segs, s.k, a, s.ars, s.acs, s.ass, b, s.ldb, s.bss, want, s.ldc, add)
				GemmSegments(s.m, s.n, s.segs, s.k, a, s.ars, s.acs, s.ass, b, s.ldb, s.bss, c, s.ldc, add)
				for i := range c {
					if !same(c[i], want[i]) {
						t.Fatalf("%+v, add %v: element %d is %x, want %x", s, add, i, c[i], want[i])
					}
				}
			}
			if !intact() {
				t.Fatalf("%+v: wrote outside C", s)
			}
		}
	})
}

// A product with B in panels has the bits of one with B as it lies.
func TestPanelsBits(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	fill := func(int) float32 { return float32(r.NormFloat64()) }
	forLevels(t, func(t *testing.T) {
		for _, n := range []int{1, 31, 32, 33, 70} {
			const m, k, ldb = 5, 9, 75
			a, _ := guarded(m*k, fill)
			b, _ := guarded(k*ldb, fill)
			c, intact := guarded(m*n, fill)
			panels, packed := guarded(PanelLen(k, n), fill)
			want := append([]float32{}, c...)
			GemmAdd(m, n, k, a, k, 1, b, ldb, want, n)
			Pack(panels, b, ldb, k, n)
			GemmPanels(m, n, k, a, k, 1, panels, c, n)
			for i := range c {
				if !same(c[i], want[i]) {
					t.Fatalf("%d columns: element %d is %x, want %x", n, i, c[i], want[i])
				}
			}
			if !intact() || !packed() {
				t.Fatalf("%d columns: wrote outside", n)
			}
		}
	})
}

func TestTranspose(t *testing.T) {
	forLevels(t, func(t *testing.T) {
		for m := range 40 {
			for n := range 40 {
				ldd, lds := m+n%3, n+m%3
				src, _ := guarded(m*lds, func(i int) float32 { return float32(i) })
				dst, intact := guarded(n*ldd, func(int) float32 { return guard })
				TransposeRows(dst, ldd, src, lds, m, n)
				for j := range n {
					for i := range ldd {
						want := guard // between the rows
						if i < m {
							want = src[i*lds+j]
						}
						if dst[j*ldd+i] != want {
							t.Fatalf("%dx%d: dst[%d,%d] is %v, want %v", m, n, j, i, dst[j*ldd+i], want)
						}
					}
				}
				whole := make([]float32, m*n)
				Transpose(whole, src[:m*n], m, n)
				for i := range m {
					for j := range n {
						if whole[j*m+i] != src[i*n+j] {
							t.Fatalf("%dx%d: element %d,%d", m, n, j, i)
						}
					}
				}
				if !intact() {
					t.Fatalf("%dx%d: wrote outside", m, n)
				}
			}
		}
	})
}
