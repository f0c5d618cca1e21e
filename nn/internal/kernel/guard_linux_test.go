package kernel

import (
	"runtime/debug"
	"syscall"
	"testing"
	"unsafe"
)

// fence is memory between two pages that may be neither read nor written: an access
// just outside an operand that lies against one of them faults.
type fence []float32

// fences returns n of them, each of at least size float32.
func fences(t *testing.T, n, size int) []fence {
	t.Helper()
	page := syscall.Getpagesize()
	body := (4*size + page - 1) / page * page
	out := make([]fence, n)
	for i := range out {
		all, err := syscall.Mmap(-1, 0, body+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Munmap(all) })
		for _, edge := range [][]byte{all[:page], all[page+body:]} {
			if err := syscall.Mprotect(edge, syscall.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		out[i] = unsafe.Slice((*float32)(unsafe.Pointer(&all[page])), body/4)
		for j := range out[i] {
			out[i][j] = float32(j%7) - 2.5
		}
	}
	return out
}

// place returns n floats that begin where the fence's memory begins or, with end, end
// where it ends.
func (f fence) place(n int, end bool) []float32 {
	if end {
		return f[len(f)-n:]
	}
	return f[:n:n]
}

// doubles is place for n float64.
func (f fence) doubles(n int, end bool) []float64 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float64)(unsafe.Pointer(&f.place(2*n, end)[0])), n)
}

// faultless runs f and fails the test where it touches a fence.
func faultless(t *testing.T, f func(), format string, args ...any) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		t.Helper()
		if err := recover(); err != nil {
			t.Fatalf(format+": %v", append(args, err)...)
		}
	}()
	f()
}

// A fence bites on both sides: else the tests below could not fail.
func TestFence(t *testing.T) {
	f := fences(t, 1, 5)[0]
	touches := func(p unsafe.Pointer) (fault bool) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() { fault = recover() != nil }()
		*(*float32)(p) = 1
		return
	}
	for _, c := range []struct {
		at   unsafe.Pointer
		want bool
	}{
		{unsafe.Add(unsafe.Pointer(&f[0]), -4), true},
		{unsafe.Pointer(&f[0]), false},
		{unsafe.Pointer(&f[len(f)-1]), false},
		{unsafe.Add(unsafe.Pointer(&f[0]), 4*len(f)), true},
	} {
		if got := touches(c.at); got != c.want {
			t.Errorf("%p of a fence of %d floats at %p: fault %v", c.at, len(f), &f[0], got)
		}
	}
}

// Vector loops and reductions stay inside their vectors, for every tail.
func TestFencedVectors(t *testing.T) {
	v := fences(t, 8, 100)
	forLevels(t, func(t *testing.T) {
		for name, f := range functions {
			for n := range 81 {
				for _, end := range []bool{false, true} {
					var body vectors
					for _, m := range v {
						body = append(body, m.place(n, end))
					}
					faultless(t, func() { f(body) }, "%s of %d, at the end %v", name, n, end)
				}
			}
		}
	})
}

// Loops over columns stay inside their matrices.
func TestFencedColumns(t *testing.T) {
	v := fences(t, 10, 1000)
	forLevels(t, func(t *testing.T) {
		for n := range 50 {
			for _, rows := range []int{0, 1, 2, 5} {
				for gap := range 2 {
					for _, end := range []bool{false, true} {
						ld := n + gap
						matrix := func(i int) []float32 { return v[i].place(max(0, (rows-1)*ld+n), end) }
						row := func(i int) []float32 { return v[i].place(n, end) }
						double := func(i int) []float64 { return v[i].doubles(n, end) }
						for name, f := range map[string]func(){
							"sum":    func() { ColSum(double(0), matrix(1), ld, rows) },
							"square": func() { ColSquare(double(0), matrix(1), ld, rows, double(2)) },
							"errors": func() { ColErrors(double(0), double(1), matrix(2), matrix(3), ld, rows, row(4), row(5)) },
							"norm":   func() { ColNorm(matrix(0), matrix(1), ld, rows, row(2), row(3), row(4), row(5)) },
							"back":   func() { ColBack(matrix(0), matrix(1), matrix(2), ld, rows, row(3), row(4), row(5), row(6), row(7)) },
						} {
							faultless(t, f, "%s of %d columns, %d rows %d apart, at the end %v", name, n, rows, ld, end)
						}
					}
				}
			}
		}
	})
}

func TestFencedTranspose(t *testing.T) {
	v := fences(t, 2, 2000)
	forLevels(t, func(t *testing.T) {
		for m := 1; m < 35; m++ {
			for n := 1; n < 35; n++ {
				for _, end := range []bool{false, true} {
					ldd, lds := m+n%3, n+m%3
					dst, src := v[0].place((n-1)*ldd+m, end), v[1].place((m-1)*lds+n, end)
					faultless(t, func() { TransposeRows(dst, ldd, src, lds, m, n) }, "%dx%d, at the end %v", m, n, end)
				}
			}
		}
	})
}

// Products stay inside their matrices: every height and width of a tile, A either way
// round, in segments, and packed.
func TestFencedProducts(t *testing.T) {
	type shape struct{ m, n, segs, k, ars, acs, ass, ldb, bss, ldc int }
	var shapes []shape
	for m := 1; m <= 30; m++ {
		for n := 1; n <= 67; n++ {
			gap := (m + n) % 3
			shapes = append(shapes,
				shape{m: m, n: n, segs: 1, k: 3, ars: 3 + gap, acs: 1, ldb: n + gap, ldc: n + gap},
				shape{m: m, n: n, segs: 1, k: 2, ars: 1, acs: m + gap, ldb: n, ldc: n},
				shape{m: m, n: n, segs: 3, k: 2, ars: 2, acs: 1, ass: 5, ldb: n, bss: 2*n + gap, ldc: n},
			)
		}
	}
	for n := 1; n <= 67; n++ {
		shapes = append(shapes,
			shape{m: 15, n: n, segs: 1, k: 33, ars: 33, acs: 1, ldb: 1024, ldc: n}, // B packed
			shape{m: 57, n: n, segs: 1, k: 513, ars: 1, acs: 57, ldb: n, ldc: n},   // B packed
			shape{m: 57, n: n, segs: 1, k: 17, ars: 1024, acs: 1, ldb: n, ldc: n},  // A and B packed
			shape{m: 2, n: n, segs: 3, k: 3000, ars: 1, acs: 2, ass: 6000, ldb: n, bss: n, ldc: n},
		)
	}
	v := fences(t, 3, 210_000)
	forLevels(t, func(t *testing.T) {
		for _, s := range shapes {
			for _, end := range []bool{false, true} {
				a := v[0].place((s.m-1)*s.ars+(s.segs-1)*s.ass+(s.k-1)*s.acs+1, end)
				b := v[1].place((s.segs-1)*s.bss+(s.k-1)*s.ldb+s.n, end)
				c := v[2].place((s.m-1)*s.ldc+s.n, end)
				for _, add := range []bool{false, true} {
					faultless(t, func() {
						GemmSegments(s.m, s.n, s.segs, s.k, a, s.ars, s.acs, s.ass, b, s.ldb, s.bss, c, s.ldc, add)
					}, "%+v, add %v, at the end %v", s, add, end)
				}
			}
		}
	})
}

func TestFencedPanels(t *testing.T) {
	v := fences(t, 4, 5000)
	forLevels(t, func(t *testing.T) {
		for m := 1; m <= 15; m++ {
			for n := 1; n <= 67; n++ {
				for _, end := range []bool{false, true} {
					const k, gap = 5, 2
					a, c := v[0].place(m*k, end), v[1].place(m*n, end)
					b, panels := v[2].place((k-1)*(n+gap)+n, end), v[3].place(PanelLen(k, n), end)
					faultless(t, func() {
						Pack(panels, b, n+gap, k, n)
						GemmPanels(m, n, k, a, k, 1, panels, c, n)
					}, "%dx%d, at the end %v", m, n, end)
				}
			}
		}
	})
}
