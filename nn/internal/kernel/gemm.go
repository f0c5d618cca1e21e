package kernel

// Gemm computes the product C = A·B in float32:
//
//	c[i·ldc + j] = Σ_{p=0}^{k−1} a[i·ars + p·acs] · b[p·ldb + j]
//
// A is (m,k) with any row and column stride, so that it may be read transposed;
// B is (k,n) and C is (m,n), both with rows of contiguous elements. Each sum
// starts at +0 and takes its terms in ascending p, one FMA each. k = 0 gives
// zeros; m = 0 or n = 0 does nothing. C must not overlap A or B. A slice too
// short for its shape panics, before anything is written.
func Gemm(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	GemmSegments(m, n, 1, k, a, ars, acs, 0, b, ldb, 0, c, ldc, false)
}

// GemmAdd computes C += A·B: a Gemm whose sums go on from what C holds. Gemm over
// some terms and GemmAdd over those that follow give the bits of one Gemm over all.
func GemmAdd(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	GemmSegments(m, n, 1, k, a, ars, acs, 0, b, ldb, 0, c, ldc, true)
}

// GemmSegments computes the product of matrices whose inner dimension lies in
// segs segments of k terms, and adds it to C where add is set:
//
//	c[i·ldc + j] = (add ? c[i·ldc + j] : +0) + Σ_{s=0}^{segs−1} Σ_{p=0}^{k−1} a[i·ars + s·ass + p·acs] · b[s·bss + p·ldb + j]
//
// The terms are taken in ascending s, and in ascending p within a segment: the
// bits are those of segs calls of GemmAdd in turn. A convolution reads its window
// in place so: a segment is a row of the window.
func GemmSegments(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	if m <= 0 || n <= 0 {
		return
	}
	_ = c[(m-1)*ldc+n-1]
	if segs <= 0 || k <= 0 {
		if !add {
			for i := range m {
				clear(c[i*ldc:][:n])
			}
		}
		return
	}
	_, _ = a[(m-1)*ars+(segs-1)*ass+(k-1)*acs], b[(segs-1)*bss+(k-1)*ldb+n-1]
	matmul(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
}

// panelCols is the columns of a panel: those of the widest tile.
const panelCols = 32

// PanelLen returns the length of a (k,n) matrix in panels.
func PanelLen(k, n int) int { return (n + panelCols - 1) / panelCols * panelCols * k }

// Pack writes B (k,n), rows ldb apart, to dst in panels: of 32 columns each all rows
// one after the other. Columns beyond n are not written.
func Pack(dst, b []float32, ldb, k, n int) {
	for j := 0; j < n; j += panelCols {
		w := min(panelCols, n-j)
		for p := range k {
			copy(dst[j*k+p*panelCols:][:w], b[p*ldb+j:][:w])
		}
	}
}

// GemmPanels is GemmAdd with B as Pack wrote it: it pays where B is read often and its
// rows lie such that they share a set of the cache.
func GemmPanels(m, n, k int, a []float32, ars, acs int, panels []float32, c []float32, ldc int) {
	if m <= 0 {
		return
	}
	for j := 0; j < n; j += panelCols {
		GemmSegments(m, min(panelCols, n-j), 1, k, a, ars, acs, 0, panels[j*k:], panelCols, 0, c[j:], ldc, true)
	}
}

// matmulGo is GemmSegments as its formula reads it, the oracle of every other
// matmul. The loops over i, p and j may be nested in any order: each c[i,j] meets
// its terms in ascending s and p in all of them.
func matmulGo(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	for i := range m {
		row := c[i*ldc:][:n]
		if !add {
			clear(row)
		}
		for s := range segs {
			for p := range k {
				x := a[i*ars+s*ass+p*acs]
				for j, w := range b[s*bss+p*ldb:][:n] {
					row[j] = FMA(x, w, row[j])
				}
			}
		}
	}
}

// Transpose writes dst[j·m + i] = src[i·n + j]: src is (m,n), dst (n,m).
func Transpose(dst, src []float32, m, n int) {
	if m == 1 || n == 1 {
		copy(dst[:m*n], src[:m*n])
		return
	}
	TransposeRows(dst, m, src, n, m, n)
}

// TransposeRows writes dst[j·ldd + i] = src[i·lds + j] for i < m, j < n.
func TransposeRows(dst []float32, ldd int, src []float32, lds, m, n int) {
	if m <= 0 || n <= 0 {
		return
	}
	_, _ = dst[(n-1)*ldd+m-1], src[(m-1)*lds+n-1]
	mm, nn := transposed(m, n)
	for i := 0; i < mm; i += 16 {
		for j := 0; j < nn; j += 16 {
			transposeLoop(&dst[j*ldd+i], ldd, &src[i*lds+j], lds)
		}
	}
	for i := range m {
		from := nn
		if i >= mm {
			from = 0
		}
		for j, v := range src[i*lds:][from:n] {
			dst[(from+j)*ldd+i] = v
		}
	}
}
