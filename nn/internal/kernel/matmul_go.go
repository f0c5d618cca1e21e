//go:build !amd64 || purego

package kernel

func matmul(m, n, segs, k int, a []float32, ars, acs, ass int, b []float32, ldb, bss int, c []float32, ldc int, add bool) {
	matmulGo(m, n, segs, k, a, ars, acs, ass, b, ldb, bss, c, ldc, add)
}

func descend(m, n, k int, a []float32, ars, acs int, b []float32, ldb int, w []float32, ldw int, lr float32) {
	descendGo(m, n, k, a, ars, acs, b, ldb, w, ldw, lr)
}
