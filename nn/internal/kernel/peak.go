//go:build (amd64 || arm64) && !purego

package kernel

import "time"

// Peak returns what this core can do at most, in GFLOP/s of float32, an FMA counted as
// two: the best of many short loops of FMAs that wait for nothing, some 20 ms in all.
// It is 0 where no loop is written for the level.
func Peak() float64 {
	width := fmaWidth()
	if width == 0 {
		return 0
	}
	const rounds = 10_000
	best := time.Duration(1 << 62)
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
		start := time.Now()
		fmaLoop(rounds)
		best = min(best, time.Since(start))
	}
	return float64(rounds*width*2) / float64(best.Nanoseconds())
}
