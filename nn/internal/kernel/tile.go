//go:build (amd64 || arm64) && !purego

package kernel

// tile is one call of the tiles: blocks of rows of C, one under the other, of which
// each element takes segs·k terms. Strides and skips are in bytes.
type tile struct {
	a, b, c      *float32
	ars, acs     int // between rows and between terms of A
	ldb, ldc     int
	askip, bskip int    // from the end of a segment to the begin of the next
	k, segs      int    // ≥ 1
	blocks       int    // ≥ 1; counted down
	mask         uint32 // of the last 16 columns, in AVX-512
	add          uint32 // 0: sums start at +0, else at what C holds
}
