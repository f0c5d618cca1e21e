package wire

import (
	"encoding/binary"
	"fmt"
)

// VectorSize returns the largest body of a [Vector] with dim words, for
// [Channel.SetLimit].
func VectorSize(dim int) int { return 64 + 4*dim }

// AppendWords appends the little-endian bytes of x, the form in which vectors and
// sums travel and are hashed.
func AppendWords(dst []byte, x []uint32) []byte {
	for _, w := range x {
		dst = binary.LittleEndian.AppendUint32(dst, w)
	}
	return dst
}

// ParseWords fills dst from exactly 4·len(dst) bytes.
func ParseWords(dst []uint32, b []byte) error {
	if len(b) != 4*len(dst) {
		return fmt.Errorf("wire: %d bytes are not %d words", len(b), len(dst))
	}
	for i := range dst {
		dst[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return nil
}
