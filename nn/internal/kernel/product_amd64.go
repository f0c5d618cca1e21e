//go:build amd64 && !purego

package kernel

// size is that of the greatest tile of a level.
type size struct{ rows, cols int }

var sizes = [...]size{levelAVX2: {6, 16}, levelAVX512: {14, 32}}

const (
	// cacheWays is how many lines at least share a set of the first cache.
	cacheWays = 8

	// maxTerms bounds the terms of the blocks of one call, which the scheduler cannot
	// interrupt, to some tens of microseconds. Between calls the sums rest in C, which
	// loses nothing: C is float32 too.
	maxTerms = 1 << 13

	// Packed, a panel of B is packTerms rows one after the other, each as wide as the
	// greatest tile, and packRows rows of A are packTerms values each, packPitch apart.
	packTerms = 256
	packPitch = packTerms + 16
	packRows  = 56
)

// matmul is matmulGo, above levelGo with C cut into tiles.
func matmul(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	if level == levelGo {
		matmulGo(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
		return
	}
	if most := sizes[level].rows; segs == 1 && m > most && k >= 16 {
		// Rows that lie a multiple of 4 KiB apart share a set of the cache; a tile may
		// have few enough to fit.
		// So do those of a long panel some hundreds of bytes apart, in the second level.
		packA, packB := acs == 1 && ars%1024 == 0 && most > cacheWays, ldb%1024 == 0 && k*8 > packTerms || k > 2*packTerms && m > 4*most
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

// product is matmul of at most maxTerms terms.
func product(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	t := tile{
		ars: 4 * ars, acs: 4 * acs, ldb: 4 * ldb, ldc: 4 * ldc,
		askip: 4 * (ass - k*acs), bskip: 4 * (bss - k*ldb), k: k, segs: segs,
	}
	if add {
		t.add = 1
	}
	// Blocks of nearly the same height: rest of them have a row more.
	z := sizes[level]
	count := (m + z.rows - 1) / z.rows
	rows, rest := m/count, m%count
	most := max(1, maxTerms/(segs*k))
	for j := 0; j < n; j += z.cols {
		w := min(z.cols, n-j)
		t.mask = 1<<((w-1)&(z.cols/2-1)+1) - 1
		i := 0
		for done := 0; done < count; {
			h, left := rows+1, rest-done
			if left <= 0 {
				h, left = rows, count-done
			}
			blocks := min(left, most)
			t.a, t.b, t.c, t.blocks = &a[i*ars], &b[j], &c[i*ldc+j], blocks
			t.run(h, w)
			done += blocks
			i += blocks * h
		}
	}
}

// run makes blocks of rows × columns elements.
func (t *tile) run(rows, columns int) {
	switch wide := level == levelAVX512; {
	case wide && columns == 32:
		tiles32(rows, t)
	case wide && columns > 16:
		tiles32m(rows, t)
	case wide:
		tiles16m(rows, t)
	case columns == 16:
		tiles16AVX2(rows, t)
	case columns > 8:
		tiles16mAVX2(rows, t)
	default:
		tiles8mAVX2(rows, t)
	}
}

// packedBoth is matmul of copies of A's rows and B's panels; A's rows are contiguous.
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

// packedPanel is matmul of copies of B's panels.
func packedPanel(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int, add bool) {
	var panel [packTerms * panelCols]float32
	cols := sizes[level].cols
	for p := 0; p < k; p += packTerms {
		kk := min(packTerms, k-p)
		for j := 0; j < n; j += cols {
			w := min(cols, n-j)
			packColumns(kk, w, &panel[0], &b[p*ldb+j], ldb)
			product(m, w, 1, kk, a[p*acs:], ars, acs, 0, panel[:], cols, 0, c[j:], ldc, add || p > 0)
		}
	}
}

// packColumns copies k > 0 rows of w floats, ld apart, to rows as wide as the greatest tile
// that follow each other; what is beyond w becomes 0.
func packColumns(k, w int, dst, src *float32, ld int) {
	mask := uint64(1)<<w - 1
	if level == levelAVX512 {
		packRows512(k, dst, src, 4*ld, uint32(mask&0xffff), uint32(mask>>16))
	} else {
		packRowsAVX2(k, dst, src, 4*ld, uint32(mask&0xff), uint32(mask>>8))
	}
}
