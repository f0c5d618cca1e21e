//go:build arm64 && !purego

package kernel

// fmaWidth returns how many FMAs of one number fmaLoop does a round, 0 where there is no
// such loop.
func fmaWidth() int {
	if level == levelNEON {
		return 24 * 4
	}
	return 0
}
