//go:build arm64 && !purego

package kernel

// lanesOf returns how many of n elements the loops over vectors take: the rest is for
// the loops in Go, which are their meaning.
func lanesOf(n int) int {
	if level == levelGo {
		return 0
	}
	return n &^ 3
}

// blocksOf is lanesOf for the loops that take blocks of 16.
func blocksOf(n int) int {
	if level == levelGo {
		return 0
	}
	return n &^ 15
}

// transposed returns how many rows and columns of an (m,n) matrix transposeLoop takes.
func transposed(m, n int) (int, int) { return blocksOf(m), blocksOf(n) }

func transposeLoop(dst *float32, ldd int, src *float32, lds int) {
	transpose16(dst, 4*ldd, src, 4*lds)
}
