//go:build arm64 && !purego

package kernel

// fmaLanes returns how many float32 each of fmaLoop's 24 FMAs a round works on, 0 where
// there is no such loop.
func fmaLanes() int {
	if level == levelNEON {
		return 4
	}
	return 0
}
