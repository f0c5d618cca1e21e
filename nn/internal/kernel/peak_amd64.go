//go:build amd64 && !purego

package kernel

import "time"

// Peak returns what this core can do at most, in GFLOP/s of float32, an FMA counted as
// two: the best of many short loops of FMAs that wait for nothing, some 20 ms in all.
// It is 0 where no loop is written for the level.
func Peak() float64 {
	if level != levelAVX512 {
		return 0
	}
	const rounds, fmas, lanes = 10_000, 24, 16
	best := time.Duration(1 << 62)
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
		start := time.Now()
		fmaLoop512(rounds)
		best = min(best, time.Since(start))
	}
	return rounds * fmas * lanes * 2 / float64(best.Nanoseconds())
}
