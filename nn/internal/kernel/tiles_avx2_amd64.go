//go:build amd64 && !purego

package kernel

// The tiles of AVX2, as those of tiles_amd64.go: of 16 columns, of which with m the last 8
// are those of the mask.

//go:noescape
func tile1x16AVX2(t *tile)

//go:noescape
func tile1x16mAVX2(t *tile)

//go:noescape
func tile1x8mAVX2(t *tile)

//go:noescape
func tile2x16AVX2(t *tile)

//go:noescape
func tile2x16mAVX2(t *tile)

//go:noescape
func tile2x8mAVX2(t *tile)

//go:noescape
func tile3x16AVX2(t *tile)

//go:noescape
func tile3x16mAVX2(t *tile)

//go:noescape
func tile3x8mAVX2(t *tile)

//go:noescape
func tile4x16AVX2(t *tile)

//go:noescape
func tile4x16mAVX2(t *tile)

//go:noescape
func tile4x8mAVX2(t *tile)

//go:noescape
func tile5x16AVX2(t *tile)

//go:noescape
func tile5x16mAVX2(t *tile)

//go:noescape
func tile5x8mAVX2(t *tile)

//go:noescape
func tile6x16AVX2(t *tile)

//go:noescape
func tile6x16mAVX2(t *tile)

//go:noescape
func tile6x8mAVX2(t *tile)

// packRowsAVX2 is packRows512 for rows of 16 floats and masks of 8.
//
//go:noescape
func packRowsAVX2(k int, dst, src *float32, ld int, low, high uint32)

// fmaLoopAVX2 runs n > 0 rounds of 12 FMAs of 8 lanes each.
func fmaLoopAVX2(n int)

func tiles16AVX2(rows int, t *tile) {
	switch rows {
	case 1:
		tile1x16AVX2(t)
	case 2:
		tile2x16AVX2(t)
	case 3:
		tile3x16AVX2(t)
	case 4:
		tile4x16AVX2(t)
	case 5:
		tile5x16AVX2(t)
	case 6:
		tile6x16AVX2(t)
	}
}

func tiles16mAVX2(rows int, t *tile) {
	switch rows {
	case 1:
		tile1x16mAVX2(t)
	case 2:
		tile2x16mAVX2(t)
	case 3:
		tile3x16mAVX2(t)
	case 4:
		tile4x16mAVX2(t)
	case 5:
		tile5x16mAVX2(t)
	case 6:
		tile6x16mAVX2(t)
	}
}

func tiles8mAVX2(rows int, t *tile) {
	switch rows {
	case 1:
		tile1x8mAVX2(t)
	case 2:
		tile2x8mAVX2(t)
	case 3:
		tile3x8mAVX2(t)
	case 4:
		tile4x8mAVX2(t)
	case 5:
		tile5x8mAVX2(t)
	case 6:
		tile6x8mAVX2(t)
	}
}
