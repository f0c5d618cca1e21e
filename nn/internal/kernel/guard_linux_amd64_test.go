//go:build !purego

package kernel

import "testing"

// What the assembly is given beside the vectors of its callers: the sums of reductions,
// and the copies that products make.
func TestFencedAssembly(t *testing.T) {
	v := fences(t, 5, 64*packTerms)
	forLevels(t, func(t *testing.T) {
		if level == levelGo {
			t.Skip("no assembly")
		}
		for _, end := range []bool{false, true} {
			for n := range 50 {
				a, b, c := v[0].place(max(n, 1), end), v[1].place(max(n, 1), end), v[2].place(max(n, 1), end)
				s, d, most := v[3].doubles(16, end), v[4].doubles(16, end), v[3].place(16, end)
				for name, f := range map[string]func(){
					"dot":       func() { dotLoop(n, &a[0], &b[0], &s[0]) },
					"sum":       func() { sumLoop(n, &a[0], &s[0]) },
					"deviation": func() { deviationLoop(n, &a[0], 0.5, &s[0]) },
					"rowErrors": func() { rowErrorsLoop(n, &a[0], &b[0], &c[0], 0.5, 2, &s[0], &d[0]) },
					"greatest":  func() { greatestLoop(n, &a[0], &most[0]) },
				} {
					faultless(t, f, "%s of %d, at the end %v", name, n, end)
				}
			}
			if level != levelAVX512 {
				continue
			}
			for w := 1; w <= 32; w++ {
				for _, k := range []int{1, 2, packTerms} {
					const gap = 3
					dst, src := v[0].place(32*k, end), v[1].place((k-1)*(w+gap)+w, end)
					mask := uint64(1)<<w - 1
					faultless(t, func() {
						packRows512(k, &dst[0], &src[0], 4*(w+gap), uint32(mask&0xffff), uint32(mask>>16))
					}, "packRows512 of %d columns, %d rows, at the end %v", w, k, end)
				}
			}
		}
	})
}
