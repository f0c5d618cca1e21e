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
			cols := sizes[level].cols
			for w := 1; w <= cols; w++ {
				for _, k := range []int{1, 2, packTerms} {
					const gap = 3
					dst, src := v[0].place(cols*k, end), v[1].place((k-1)*(w+gap)+w, end)
					faultless(t, func() { packColumns(k, w, &dst[0], &src[0], w+gap) }, "%d columns packed, %d rows, at the end %v", w, k, end)
				}
			}
		}
	})
}
