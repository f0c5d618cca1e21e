//go:build amd64 && !purego

package kernel

// fmaWidth returns how many FMAs of one number fmaLoop does a round, 0 where there is no
// such loop.
func fmaWidth() int {
	switch level {
	case levelAVX2:
		return 12 * 8
	case levelAVX512:
		return 24 * 16
	}
	return 0
}

func fmaLoop(n int) {
	if level == levelAVX512 {
		fmaLoop512(n)
	} else {
		fmaLoopAVX2(n)
	}
}
