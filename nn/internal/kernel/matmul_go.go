//go:build !amd64 || purego

package kernel

// Name says which matmul runs: "go", or "avx2".
func Name() string { return "go" }

func matmul(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, c []float32, ldc int) {
	matmulGo(m, n, k, a, ars, acs, b, ldb, c, ldc)
}
