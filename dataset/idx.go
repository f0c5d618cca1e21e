package dataset

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// idx is the header of an IDX file, as the MNIST page defines it: two zero bytes,
// the type of an element, the number of dimensions, and each as four bytes, the
// most significant first (http://yann.lecun.com/exdb/mnist/).
type idx struct {
	kind byte  // 0x08 bytes, 0x09 int8, 0x0b int16, 0x0c int32, 0x0d float32, 0x0e float64
	dims []int // 1 to 4
}

const idxBytes = 0x08

// idxSizes is the bytes of an element of each kind.
var idxSizes = map[byte]int{0x08: 1, 0x09: 1, 0x0b: 2, 0x0c: 4, 0x0d: 4, 0x0e: 8}

// readIDX reads a header. It allocates nothing for what the header promises.
func readIDX(file string, in io.Reader) (*idx, error) {
	var b [4]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return nil, damaged(file, err)
	}
	size := idxSizes[b[2]]
	if b[0] != 0 || b[1] != 0 || size == 0 || b[3] < 1 || b[3] > 4 {
		return nil, fail(file, "not an IDX file of 1 to 4 dimensions", "")
	}
	h := &idx{kind: b[2]}
	total := int64(size)
	for range b[3] {
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return nil, damaged(file, err)
		}
		n := binary.BigEndian.Uint32(b[:])
		if n > math.MaxInt32 || n > 0 && total > math.MaxInt64/int64(n) {
			return nil, fail(file, "the header promises more than a file can hold", "")
		}
		total *= max(int64(n), 1)
		h.dims = append(h.dims, int(n))
	}
	return h, nil
}

// headerBytes is the length of the header.
func (h *idx) headerBytes() int64 { return int64(4 + 4*len(h.dims)) }

// readLabelsIDX reads one integer a label.
func readLabelsIDX(file string, in io.Reader, most, classes int) ([]int32, error) {
	h, err := readIDX(file, in)
	if err != nil {
		return nil, err
	}
	size := idxSizes[h.kind]
	if len(h.dims) != 1 || h.kind > 0x0c {
		return nil, fail(file, fmt.Sprintf("an IDX file of %d dimensions, labels are one dimension of integers", len(h.dims)), "")
	}
	if h.dims[0] > most {
		return nil, tooManyLabels(file, h.dims[0], most)
	}
	b, err := readExactly(file, in, int64(h.dims[0])*int64(size))
	if err != nil {
		return nil, err
	}
	at := func(i int) int64 {
		switch h.kind {
		case 0x08:
			return int64(b[i])
		case 0x09:
			return int64(int8(b[i]))
		case 0x0b:
			return int64(int16(binary.BigEndian.Uint16(b[2*i:])))
		}
		return int64(int32(binary.BigEndian.Uint32(b[4*i:])))
	}
	return classLabels(file, h.dims[0], classes, at)
}

func tooManyLabels(file string, n, most int) error {
	return fail(file, fmt.Sprintf("%d labels, the plan allows %d examples", n, most), "ask the plan's owner to raise data.max_examples")
}

// classLabels checks n labels.
func classLabels(file string, n, classes int, at func(i int) int64) ([]int32, error) {
	out := make([]int32, n)
	e := &Error{File: file}
	for i := range out {
		l := at(i)
		if l < 0 || l >= int64(classes) {
			e.add(Problem{Message: fmt.Sprintf("label %d of the file is none of the plan's classes, 0 to %d", i+1, classes-1), Hint: "labels count the plan's data.classes from 0"})
			continue
		}
		out[i] = int32(l)
	}
	return out, e.orNil()
}

// readExactly reads the n bytes that are left of a file, no more and no less. What
// it allocates grows with what the file gives.
func readExactly(file string, in io.Reader, n int64) ([]byte, error) {
	b := make([]byte, 0, min(n, 1<<20))
	for int64(len(b)) < n {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(n, 2*int64(cap(b))))
			copy(grown, b)
			b = grown
		}
		k, err := io.ReadFull(in, b[len(b):cap(b)])
		b = b[:len(b)+k]
		if err != nil {
			return nil, damaged(file, err)
		}
	}
	return b, atEnd(file, in)
}

// atEnd reports bytes that should not be there.
func atEnd(file string, in io.Reader) error {
	var more [1]byte
	switch n, err := io.ReadFull(in, more[:]); {
	case n > 0:
		return fail(file, "bytes stand behind the data that the header promises", "")
	case err != io.EOF:
		return damaged(file, err)
	}
	return nil
}
