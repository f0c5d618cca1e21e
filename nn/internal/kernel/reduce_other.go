//go:build (!amd64 && !arm64) || purego

package kernel

func lanesOf(int) int                { return 0 }
func blocksOf(int) int               { return 0 }
func transposed(m, n int) (int, int) { return 0, 0 }

func transposeLoop(dst *float32, ldd int, src *float32, lds int) {
	panic("kernel: no such loop here")
}
