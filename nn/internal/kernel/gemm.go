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
	if m <= 0 || n <= 0 {
		return
	}
	_ = c[(m-1)*ldc+n-1]
	if k > 0 {
		_ = a[(m-1)*ars+(k-1)*acs]
		_ = b[(k-1)*ldb+n-1]
	}
	for i := range m {
		clear(c[i*ldc:][:n])
	}
	if k <= 0 {
		return
	}
	matmul(m, n, k, a, ars, acs, b, ldb, c, ldc)
}

// GemmAdd computes C += A·B: a Gemm whose sums go on from what C holds. Gemm over
// some terms and GemmAdd over those that follow give the bits of one Gemm over all.
func GemmAdd(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	_, _, _ = c[(m-1)*ldc+n-1], a[(m-1)*ars+(k-1)*acs], b[(k-1)*ldb+n-1]
	matmul(m, n, k, a, ars, acs, b, ldb, c, ldc)
}

// matmulGo is C += A·B as Gemm's formula reads it, the oracle of every other
// matmul. The loops over i, p and j may be nested in any order: each c[i,j] meets
// its terms in ascending p in all of them.
func matmulGo(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	for i := range m {
		row := c[i*ldc:][:n]
		for p := range k {
			x := a[i*ars+p*acs]
			for j, w := range b[p*ldb:][:n] {
				row[j] = FMA(x, w, row[j])
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
	for i := range m {
		for j, v := range src[i*n:][:n] {
			dst[j*m+i] = v
		}
	}
}
