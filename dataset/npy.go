package dataset

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// npy is an array in NumPy's format, versions 1 to 3, in C order
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
type npy struct {
	file  string
	kind  byte // i, u, f; a boolean is u1
	size  int  // bytes of an element
	order binary.ByteOrder
	shape []int // 1 to 4 dimensions
	start int64 // offset of the data
}

// maxNPYHeader bounds the header, which NumPy pads to a few dozen bytes.
const maxNPYHeader = 1 << 16

// readNPY reads a header. It allocates nothing for what the header promises.
func readNPY(file string, in io.Reader) (*npy, error) {
	var b [8]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return nil, damaged(file, err)
	}
	if string(b[:6]) != "\x93NUMPY" || b[6] < 1 || b[6] > 3 {
		return nil, fail(file, "not a NumPy file of version 1 to 3", "write it with numpy.save")
	}
	size := 2
	if b[6] > 1 {
		size = 4
	}
	var l [4]byte
	if _, err := io.ReadFull(in, l[:size]); err != nil {
		return nil, damaged(file, err)
	}
	n := binary.LittleEndian.Uint32(l[:])
	if n > maxNPYHeader {
		return nil, fail(file, "the header is longer than 64 KiB", "write it with numpy.save, as a plain array of numbers")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(in, text); err != nil {
		return nil, damaged(file, err)
	}
	a := &npy{file: file, start: int64(8+size) + int64(n)}
	if why := a.parse(string(text)); why != "" {
		return nil, fail(file, why, "write it with numpy.save, as a plain array of numbers in C order")
	}
	return a, nil
}

// parse reads the header's text, the literal of a dict with exactly the keys
// descr, fortran_order and shape. It returns what is wrong, or "".
func (a *npy) parse(s string) string {
	p := &literal{s: s}
	seen := map[string]bool{}
	const broken = "the header is damaged"
	if !p.take("{") {
		return broken
	}
	for !p.take("}") {
		key, ok := p.text()
		if !ok || seen[key] || !p.take(":") {
			return broken
		}
		seen[key] = true
		switch key {
		case "descr":
			descr, ok := p.text()
			if !ok {
				return "the array has fields of several types"
			}
			if !a.setType(descr) {
				return "the type of the elements is not one of u1 to u8, i1 to i8, f4, f8"
			}
		case "fortran_order":
			switch {
			case p.take("False"):
			case p.take("True"):
				return "the array is in Fortran order"
			default:
				return broken
			}
		case "shape":
			if a.shape, ok = p.shape(); !ok {
				return broken
			}
		default:
			return broken
		}
		if !p.take(",") && !p.at("}") {
			return broken
		}
	}
	if p.rest() != "" || len(seen) != 3 {
		return broken
	}
	if len(a.shape) < 1 || len(a.shape) > 4 {
		return fmt.Sprintf("the array has %d dimensions, want 1 to 4", len(a.shape))
	}
	total := int64(a.size)
	for _, n := range a.shape {
		if n > 0 && total > math.MaxInt64/int64(n) {
			return "the header promises more than a file can hold"
		}
		total *= max(int64(n), 1)
	}
	return ""
}

// setType reads a type such as "<f4".
func (a *npy) setType(s string) bool {
	if len(s) != 3 {
		return false
	}
	switch s[0] {
	case '<', '|', '=':
		a.order = binary.LittleEndian
	case '>':
		a.order = binary.BigEndian
	default:
		return false
	}
	a.kind, a.size = s[1], int(s[2]-'0')
	if s[0] == '|' && a.size != 1 {
		return false
	}
	switch {
	case a.kind == 'b' && a.size == 1:
		a.kind = 'u'
	case (a.kind == 'u' || a.kind == 'i') && (a.size == 1 || a.size == 2 || a.size == 4 || a.size == 8):
	case a.kind == 'f' && (a.size == 4 || a.size == 8):
	default:
		return false
	}
	return true
}

// typeName is the element's type in NumPy's letters.
func (a *npy) typeName() string { return string(a.kind) + strconv.Itoa(a.size) }

// cell reads the element at the head of b.
func (a *npy) cell(b []byte) cell {
	if a.kind == 'f' {
		if a.size == 4 {
			return numberCell(float64(math.Float32frombits(a.order.Uint32(b))))
		}
		return numberCell(math.Float64frombits(a.order.Uint64(b)))
	}
	var v uint64
	switch a.size {
	case 1:
		v = uint64(b[0])
	case 2:
		v = uint64(a.order.Uint16(b))
	case 4:
		v = uint64(a.order.Uint32(b))
	case 8:
		v = a.order.Uint64(b)
	}
	if a.kind == 'u' {
		return naturalCell(v)
	}
	shift := 64 - 8*a.size
	return integerCell(int64(v<<shift) >> shift)
}

// literal reads the small part of Python's literals that headers use.
type literal struct{ s string }

func (p *literal) space()           { p.s = strings.TrimLeft(p.s, " \t\n") }
func (p *literal) at(w string) bool { p.space(); return strings.HasPrefix(p.s, w) }
func (p *literal) rest() string     { p.space(); return p.s }
func (p *literal) take(w string) bool {
	if !p.at(w) {
		return false
	}
	p.s = p.s[len(w):]
	return true
}

// text reads a quoted string without escapes.
func (p *literal) text() (string, bool) {
	p.space()
	if p.s == "" || p.s[0] != '\'' && p.s[0] != '"' {
		return "", false
	}
	out, rest, ok := strings.Cut(p.s[1:], p.s[:1])
	if !ok || strings.Contains(out, `\`) {
		return "", false
	}
	p.s = rest
	return out, true
}

// shape reads a tuple of numbers.
func (p *literal) shape() ([]int, bool) {
	if !p.take("(") {
		return nil, false
	}
	out := []int{}
	for !p.take(")") {
		p.space()
		i := 0
		for i < len(p.s) && p.s[i] >= '0' && p.s[i] <= '9' {
			i++
		}
		n, err := strconv.ParseInt(p.s[:i], 10, 32)
		if err != nil || len(out) == 8 {
			return nil, false
		}
		p.s = strings.TrimPrefix(p.s[i:], "L") // Python 2 wrote long numbers so
		out = append(out, int(n))
		if !p.take(",") && !p.at(")") {
			return nil, false
		}
	}
	return out, true
}

// npyRecords gives an array's rows as records of the plan's columns, in order.
// Where labels stand in an array of their own, they are the target's columns.
type npyRecords struct {
	x, y       *npy
	xIn, yIn   io.Reader
	closers    []io.Closer
	fromX      []int // per element of a row of x: its cell
	fromY      []int
	xRow, yRow []byte
	cells      []cell
	n, i       int
}

func (r *npyRecords) columns() ([]column, error) { return nil, nil }

func (r *npyRecords) close() error {
	for _, c := range r.closers {
		c.Close()
	}
	return nil
}

func (r *npyRecords) read() (int, []cell, error) {
	if r.i == r.n {
		if err := atEnd(r.x.file, r.xIn); err != nil {
			return 0, nil, err
		}
		if r.y != nil {
			if err := atEnd(r.y.file, r.yIn); err != nil {
				return 0, nil, err
			}
		}
		return 0, nil, io.EOF
	}
	if err := r.fill(r.x, r.xIn, r.xRow, r.fromX); err != nil {
		return 0, nil, err
	}
	if r.y != nil {
		if err := r.fill(r.y, r.yIn, r.yRow, r.fromY); err != nil {
			return 0, nil, err
		}
	}
	r.i++
	return r.i, r.cells, nil
}

func (r *npyRecords) fill(a *npy, in io.Reader, row []byte, to []int) error {
	if _, err := io.ReadFull(in, row); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return damaged(a.file, err)
	}
	for i, place := range to {
		r.cells[place] = a.cell(row[i*a.size:])
	}
	return nil
}
