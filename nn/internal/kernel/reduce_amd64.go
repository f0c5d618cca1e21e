//go:build amd64 && !purego

package kernel

// lanesOf returns how many of n elements the loops over vectors take: the rest is for
// the loops in Go, which are their meaning.
func lanesOf(n int) int {
	switch level {
	case levelAVX512:
		return n
	case levelAVX2:
		return n &^ 7
	}
	return 0
}

// blocksOf is lanesOf for the loops that take blocks of 16.
func blocksOf(n int) int {
	if level == levelGo {
		return 0
	}
	return n &^ 15
}

// transposed returns how many rows and columns of an (m,n) matrix transposeLoop takes.
func transposed(m, n int) (int, int) {
	if level != levelAVX512 {
		return 0, 0
	}
	return m &^ 15, n &^ 15
}

func transposeLoop(dst *float32, ldd int, src *float32, lds int) {
	transpose16AVX512(dst, 4*ldd, src, 4*lds)
}

//go:noescape
func transpose16AVX512(dst *float32, ldd int, src *float32, lds int)
