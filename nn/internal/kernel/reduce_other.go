//go:build !amd64 || purego

package kernel

const none = "kernel: no such loop here"

func lanesOf(int) int                { return 0 }
func blocksOf(int) int               { return 0 }
func transposed(m, n int) (int, int) { return 0, 0 }

func dotLoop(n int, a, b *float32, s *float64)                     { panic(none) }
func sumLoop(n int, a *float32, s *float64)                        { panic(none) }
func deviationLoop(n int, a *float32, m float64, s *float64)       { panic(none) }
func greatestLoop(n int, a, s *float32)                            { panic(none) }
func colSumLoop(rows int, a *float32, ld int, s *float64)          { panic(none) }
func colSquareLoop(rows int, a *float32, ld int, mean, s *float64) { panic(none) }
func colErrorsLoop(rows int, dy, x *float32, ld int, mean, inverse *float32, sum, dot *float64) {
	panic(none)
}
func colNormLoop(rows int, y, x *float32, ld int, mean, inverse, gamma, beta *float32) { panic(none) }
func colBackLoop(rows int, dx, dy, x *float32, ld int, mean, inverse, a, b, factor *float32) {
	panic(none)
}
func transposeLoop(dst *float32, ldd int, src *float32, lds int)                       { panic(none) }
func rowErrorsLoop(n int, dy, gamma, x *float32, mean, inverse float32, s, d *float64) { panic(none) }
