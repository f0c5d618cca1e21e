//go:build (!amd64 && !arm64) || purego

package kernel

func matmul(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	matmulGo(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
}
