//go:build amd64 && !purego

package kernel

// The tiles are written by asm/gemm. tileRxC makes blocks of R rows and C columns of C;
// with m the last 16 columns are those of the mask.

//go:noescape
func tile1x32(t *tile)

//go:noescape
func tile1x32m(t *tile)

//go:noescape
func tile1x16m(t *tile)

//go:noescape
func tile2x32(t *tile)

//go:noescape
func tile2x32m(t *tile)

//go:noescape
func tile2x16m(t *tile)

//go:noescape
func tile3x32(t *tile)

//go:noescape
func tile3x32m(t *tile)

//go:noescape
func tile3x16m(t *tile)

//go:noescape
func tile4x32(t *tile)

//go:noescape
func tile4x32m(t *tile)

//go:noescape
func tile4x16m(t *tile)

//go:noescape
func tile5x32(t *tile)

//go:noescape
func tile5x32m(t *tile)

//go:noescape
func tile5x16m(t *tile)

//go:noescape
func tile6x32(t *tile)

//go:noescape
func tile6x32m(t *tile)

//go:noescape
func tile6x16m(t *tile)

//go:noescape
func tile7x32(t *tile)

//go:noescape
func tile7x32m(t *tile)

//go:noescape
func tile7x16m(t *tile)

//go:noescape
func tile8x32(t *tile)

//go:noescape
func tile8x32m(t *tile)

//go:noescape
func tile8x16m(t *tile)

//go:noescape
func tile9x32(t *tile)

//go:noescape
func tile9x32m(t *tile)

//go:noescape
func tile9x16m(t *tile)

//go:noescape
func tile10x32(t *tile)

//go:noescape
func tile10x32m(t *tile)

//go:noescape
func tile10x16m(t *tile)

//go:noescape
func tile11x32(t *tile)

//go:noescape
func tile11x32m(t *tile)

//go:noescape
func tile11x16m(t *tile)

//go:noescape
func tile12x32(t *tile)

//go:noescape
func tile12x32m(t *tile)

//go:noescape
func tile12x16m(t *tile)

//go:noescape
func tile13x32(t *tile)

//go:noescape
func tile13x32m(t *tile)

//go:noescape
func tile13x16m(t *tile)

//go:noescape
func tile14x32(t *tile)

//go:noescape
func tile14x32m(t *tile)

//go:noescape
func tile14x16m(t *tile)

// packRows512 copies k > 0 rows of 32 floats, ld bytes apart, to rows that follow each
// other: of the first 16 those of the mask low, of the others those of high, the rest 0.
//
//go:noescape
func packRows512(k int, dst, src *float32, ld int, low, high uint32)

// fmaLoop512 runs n > 0 rounds of 24 FMAs of 16 lanes each.
func fmaLoop512(n int)

func tiles32(rows int, t *tile) {
	switch rows {
	case 1:
		tile1x32(t)
	case 2:
		tile2x32(t)
	case 3:
		tile3x32(t)
	case 4:
		tile4x32(t)
	case 5:
		tile5x32(t)
	case 6:
		tile6x32(t)
	case 7:
		tile7x32(t)
	case 8:
		tile8x32(t)
	case 9:
		tile9x32(t)
	case 10:
		tile10x32(t)
	case 11:
		tile11x32(t)
	case 12:
		tile12x32(t)
	case 13:
		tile13x32(t)
	case 14:
		tile14x32(t)
	}
}

func tiles32m(rows int, t *tile) {
	switch rows {
	case 1:
		tile1x32m(t)
	case 2:
		tile2x32m(t)
	case 3:
		tile3x32m(t)
	case 4:
		tile4x32m(t)
	case 5:
		tile5x32m(t)
	case 6:
		tile6x32m(t)
	case 7:
		tile7x32m(t)
	case 8:
		tile8x32m(t)
	case 9:
		tile9x32m(t)
	case 10:
		tile10x32m(t)
	case 11:
		tile11x32m(t)
	case 12:
		tile12x32m(t)
	case 13:
		tile13x32m(t)
	case 14:
		tile14x32m(t)
	}
}

func tiles16m(rows int, t *tile) {
	switch rows {
	case 1:
		tile1x16m(t)
	case 2:
		tile2x16m(t)
	case 3:
		tile3x16m(t)
	case 4:
		tile4x16m(t)
	case 5:
		tile5x16m(t)
	case 6:
		tile6x16m(t)
	case 7:
		tile7x16m(t)
	case 8:
		tile8x16m(t)
	case 9:
		tile9x16m(t)
	case 10:
		tile10x16m(t)
	case 11:
		tile11x16m(t)
	case 12:
		tile12x16m(t)
	case 13:
		tile13x16m(t)
	case 14:
		tile14x16m(t)
	}
}
