//go:build amd64 && !purego

package kernel

const (
	tileRows = 14
	tileCols = 32

	// maxTerms bounds the terms of the blocks of one call, which the scheduler cannot
	// interrupt, to some tens of microseconds. Between calls the sums rest in C, which
	// loses nothing: C is float32 too.
	maxTerms = 1 << 13

	// Packed, a panel of B is packTerms·32 values one after the other, and packRows
	// rows of A are packTerms values each, packPitch apart.
	packTerms = 256
	packPitch = packTerms + 16
	packRows  = 4 * tileRows
)

// matmul512 is matmulGo with C cut into tiles.
func matmul512(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	if segs == 1 && m > tileRows && k >= 16 {
		// Rows that lie a multiple of 4 KiB apart share a set of the cache.
		// So do those of a long panel some hundreds of bytes apart, in the second level.
		packA, packB := acs == 1 && ars%1024 == 0, ldb%1024 == 0 && k*8 > packTerms || k > 2*packTerms && m > 4*tileRows
		switch {
		case packA:
			packedBoth(m, n, k, a, ars, b, ldb, c, ldc, add)
			return
		case packB:
			packedPanel(m, n, k, a, ars, acs, b, ldb, c, ldc, add)
			return
		}
	}
	switch {
	case segs*k <= maxTerms:
		product512(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
	case k <= maxTerms:
		for s, d := 0, maxTerms/k; s < segs; s += d {
			product512(m, n, min(d, segs-s), k, a[s*ass:], ars, acs, ass, b[s*bss:], ldb, bss, c, ldc, add || s > 0)
		}
	default:
		for s := range segs {
			for p := 0; p < k; p += maxTerms {
				product512(m, n, 1, min(maxTerms, k-p), a[s*ass+p*acs:], ars, acs, 0, b[s*bss+p*ldb:], ldb, 0, c, ldc, add || s > 0 || p > 0)
			}
		}
	}
}

// product512 is matmul512 of at most maxTerms terms.
func product512(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
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
	for j := 0; j < n; j += tileCols {
		w := min(tileCols, n-j)
		t.mask = 1<<((w-1)&15+1) - 1
		i := 0
		for done := 0; done < count; {
			h, left := rows+1, rest-done
			if left <= 0 {
				h, left = rows, count-done
			}
			blocks := min(left, most)
			t.a, t.b, t.c, t.blocks = &a[i*ars], &b[j], &c[i*ldc+j], blocks
			switch {
			case w == tileCols:
				tiles32(h, &t)
			case w > 16:
				tiles32m(h, &t)
			default:
				tiles16m(h, &t)
			}
			done += blocks
			i += blocks * h
		}
	}
}

// packedBoth is matmul512 of copies of A's rows and B's panels; A's rows are contiguous.
func packedBoth(m, n, k int, a []float32, ars int, b []float32, ldb int, c []float32, ldc int, add bool) {
	var rows [packRows * packPitch]float32
	for p := 0; p < k; p += packTerms {
		kk := min(packTerms, k-p)
		for i := 0; i < m; i += packRows {
			h := min(packRows, m-i)
			for r := range h {
				copy(rows[r*packPitch:][:kk], a[(i+r)*ars+p:][:kk])
			}
			packedPanel(h, n, kk, rows[:], packPitch, 1, b[p*ldb:], ldb, c[i*ldc:], ldc, add || p > 0)
		}
	}
}

// packedPanel is matmul512 of copies of B's panels.
func packedPanel(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	var panel [packTerms * tileCols]float32
	for p := 0; p < k; p += packTerms {
		kk := min(packTerms, k-p)
		for j := 0; j < n; j += tileCols {
			w := min(tileCols, n-j)
			mask := uint64(1)<<w - 1
			packRows512(kk, &panel[0], &b[p*ldb+j], 4*ldb, uint32(mask&0xffff), uint32(mask>>16))
			product512(m, w, 1, kk, a[p*acs:], ars, acs, 0, panel[:], tileCols, 0, c[j:], ldc, add || p > 0)
		}
	}
}
