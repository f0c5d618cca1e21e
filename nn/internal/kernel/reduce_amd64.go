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

func dotLoop(n int, a, b *float32, s *float64) {
	if level == levelAVX512 {
		dotAVX512(n, a, b, s)
	} else {
		dotAVX2(n, a, b, s)
	}
}

func sumLoop(n int, a *float32, s *float64) {
	if level == levelAVX512 {
		sumAVX512(n, a, s)
	} else {
		sumAVX2(n, a, s)
	}
}

func deviationLoop(n int, a *float32, mean float64, s *float64) {
	if level == levelAVX512 {
		deviationAVX512(n, a, mean, s)
	} else {
		deviationAVX2(n, a, mean, s)
	}
}

func rowErrorsLoop(n int, dy, gamma, x *float32, mean, inverse float32, s, d *float64) {
	if level == levelAVX512 {
		rowErrorsAVX512(n, dy, gamma, x, mean, inverse, s, d)
	} else {
		rowErrorsAVX2(n, dy, gamma, x, mean, inverse, s, d)
	}
}

func greatestLoop(n int, a, s *float32) {
	if level == levelAVX512 {
		greatestAVX512(n, a, s)
	} else {
		greatestAVX2(n, a, s)
	}
}

func colSumLoop(rows int, a *float32, ld int, s *float64) {
	if level == levelAVX512 {
		colSumAVX512(rows, a, 4*ld, s)
	} else {
		colSumAVX2(rows, a, 4*ld, s)
	}
}

func colSquareLoop(rows int, a *float32, ld int, mean, s *float64) {
	if level == levelAVX512 {
		colSquareAVX512(rows, a, 4*ld, mean, s)
	} else {
		colSquareAVX2(rows, a, 4*ld, mean, s)
	}
}

func colErrorsLoop(rows int, dy, x *float32, ld int, mean, inverse *float32, sum, dot *float64) {
	if level == levelAVX512 {
		colErrorsAVX512(rows, dy, x, 4*ld, mean, inverse, sum, dot)
	} else {
		colErrorsAVX2(rows, dy, x, 4*ld, mean, inverse, sum, dot)
	}
}

func colNormLoop(rows int, y, x *float32, ld int, mean, inverse, gamma, beta *float32) {
	if level == levelAVX512 {
		colNormAVX512(rows, y, x, 4*ld, mean, inverse, gamma, beta)
	} else {
		colNormAVX2(rows, y, x, 4*ld, mean, inverse, gamma, beta)
	}
}

func colBackLoop(rows int, dx, dy, x *float32, ld int, mean, inverse, a, b, factor *float32) {
	if level == levelAVX512 {
		colBackAVX512(rows, dx, dy, x, 4*ld, mean, inverse, a, b, factor)
	} else {
		colBackAVX2(rows, dx, dy, x, 4*ld, mean, inverse, a, b, factor)
	}
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
func dotAVX2(n int, a, b *float32, s *float64)

//go:noescape
func dotAVX512(n int, a, b *float32, s *float64)

//go:noescape
func sumAVX2(n int, a *float32, s *float64)

//go:noescape
func sumAVX512(n int, a *float32, s *float64)

//go:noescape
func deviationAVX2(n int, a *float32, mean float64, s *float64)

//go:noescape
func deviationAVX512(n int, a *float32, mean float64, s *float64)

//go:noescape
func greatestAVX2(n int, a *float32, s *float32)

//go:noescape
func greatestAVX512(n int, a *float32, s *float32)

//go:noescape
func colSumAVX2(rows int, a *float32, ld int, s *float64)

//go:noescape
func colSumAVX512(rows int, a *float32, ld int, s *float64)

//go:noescape
func colSquareAVX2(rows int, a *float32, ld int, mean, s *float64)

//go:noescape
func colSquareAVX512(rows int, a *float32, ld int, mean, s *float64)

//go:noescape
func colErrorsAVX2(rows int, dy, x *float32, ld int, mean, inverse *float32, sum, dot *float64)

//go:noescape
func colErrorsAVX512(rows int, dy, x *float32, ld int, mean, inverse *float32, sum, dot *float64)

//go:noescape
func colNormAVX2(rows int, y, x *float32, ld int, mean, inverse, gamma, beta *float32)

//go:noescape
func colNormAVX512(rows int, y, x *float32, ld int, mean, inverse, gamma, beta *float32)

//go:noescape
func colBackAVX2(rows int, dx, dy, x *float32, ld int, mean, inverse, a, b, factor *float32)

//go:noescape
func colBackAVX512(rows int, dx, dy, x *float32, ld int, mean, inverse, a, b, factor *float32)

//go:noescape
func transpose16AVX512(dst *float32, ldd int, src *float32, lds int)

//go:noescape
func rowErrorsAVX2(n int, dy, gamma, x *float32, mean, inverse float32, s, d *float64)

//go:noescape
func rowErrorsAVX512(n int, dy, gamma, x *float32, mean, inverse float32, s, d *float64)
