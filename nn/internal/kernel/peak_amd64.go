//go:build amd64 && !purego

package kernel

// fmaLanes returns how many float32 each of fmaLoop's 24 FMAs a round works on, 0 where
// there is no such loop.
func fmaLanes() int {
	if level == levelAVX512 {
		return 16
	}
	return 0
}

func fmaLoop(n int) { fmaLoop512(n) }
