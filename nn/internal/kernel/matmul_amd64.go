//go:build amd64 && !purego

package kernel

func matmul(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	switch level {
	case levelAVX512:
		matmul512(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
		return
	case levelGo:
		matmulGo(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
		return
	}
	if !add {
		for i := range m {
			clear(c[i*ldc:][:n])
		}
	}
	for s := range segs {
		matmulAVX2(m, n, k, a[s*ass:], ars, acs, b[s*bss:], ldb, c, ldc)
	}
}

// maxTermsAVX2 is maxTerms for the loops below.
const maxTermsAVX2 = 4096

// laneMask[8−w:] has w lanes on, then 8−w off.
var laneMask = [16]int32{-1, -1, -1, -1, -1, -1, -1, -1}

// matmulAVX2 is C += A·B with C cut into tiles of 4×16, and 4×8 and 1×8 (masked)
// at the edges. Gemm has checked the slices against the shapes; m, n, k > 0.
func matmulAVX2(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	for p := 0; p < k; p += maxTermsAVX2 {
		kk := min(maxTermsAVX2, k-p)
		j := 0
		for ; j+16 <= n; j += 16 {
			i := 0
			for ; i+4 <= m; i += 4 {
				fma4x16(kk, &a[i*ars+p*acs], 4*ars, 4*acs, &b[p*ldb+j], 4*ldb, &c[i*ldc+j], 4*ldc)
			}
			for ; i < m; i++ {
				fma1x8(kk, &a[i*ars+p*acs], 4*acs, &b[p*ldb+j], 4*ldb, &c[i*ldc+j], &laneMask[0])
				fma1x8(kk, &a[i*ars+p*acs], 4*acs, &b[p*ldb+j+8], 4*ldb, &c[i*ldc+j+8], &laneMask[0])
			}
		}
		for ; j < n; j += 8 {
			mask := &laneMask[8-min(8, n-j)]
			i := 0
			for ; i+4 <= m; i += 4 {
				fma4x8(kk, &a[i*ars+p*acs], 4*ars, 4*acs, &b[p*ldb+j], 4*ldb, &c[i*ldc+j], 4*ldc, mask)
			}
			for ; i < m; i++ {
				fma1x8(kk, &a[i*ars+p*acs], 4*acs, &b[p*ldb+j], 4*ldb, &c[i*ldc+j], mask)
			}
		}
	}
}

// fma4x16 adds to a 4×16 tile of C the product of 4 rows of A and 16 columns of
// B over k terms. Strides are in bytes: ars and acs between rows and terms of A,
// ldb and ldc between rows of B and C. k ≤ 0 leaves C as it is.
//
//go:noescape
func fma4x16(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int)

// fma4x8 is fma4x16 for 8 columns, of which only those whose mask is −1 are read
// and written. mask points to 8 words.
//
//go:noescape
func fma4x8(k int, a *float32, ars, acs int, b *float32, ldb int, c *float32, ldc int, mask *int32)

// fma1x8 is fma4x8 for one row.
//
//go:noescape
func fma1x8(k int, a *float32, acs int, b *float32, ldb int, c *float32, mask *int32)
