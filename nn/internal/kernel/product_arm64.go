//go:build arm64 && !purego

package kernel

// maxTerms bounds the terms of the blocks of one call, which the scheduler cannot
// interrupt, to some tens of microseconds. Between calls the sums rest in C, which
// loses nothing: C is float32 too.
const maxTerms = 1 << 12

func matmul(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	switch {
	case level == levelGo:
		matmulGo(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
	case segs*k <= maxTerms:
		product(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
	case k <= maxTerms:
		for s, d := 0, maxTerms/k; s < segs; s += d {
			product(m, n, min(d, segs-s), k, a[s*ass:], ars, acs, ass, b[s*bss:], ldb, bss, c, ldc, add || s > 0)
		}
	default:
		for s := range segs {
			for p := 0; p < k; p += maxTerms {
				product(m, n, 1, min(maxTerms, k-p), a[s*ass+p*acs:], ars, acs, 0, b[s*bss+p*ldb:], ldb, 0, c, ldc, add || s > 0 || p > 0)
			}
		}
	}
}

// product is matmul of at most maxTerms terms, with C cut into tiles.
func product(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	t := tile{
		ars: 4 * ars, acs: 4 * acs, ldb: 4 * ldb, ldc: 4 * ldc,
		askip: 4 * (ass - k*acs), bskip: 4 * (bss - k*ldb), k: k, segs: segs,
	}
	if add {
		t.add = 1
	}
	// Blocks of nearly the same height: rest of them have a row more.
	count := (m + tileRows - 1) / tileRows
	rows, rest := m/count, m%count
	most := max(1, maxTerms/(segs*k))
	j := 0
	for _, w := range tileCols {
		for ; j+w <= n; j += w {
			i := 0
			for done := 0; done < count; {
				h, left := rows+1, rest-done
				if left <= 0 {
					h, left = rows, count-done
				}
				t.a, t.b, t.c, t.blocks = &a[i*ars], &b[j], &c[i*ldc+j], min(left, most)
				done += t.blocks
				i += t.blocks * h
				tiles(h, w, &t)
			}
		}
	}
}
