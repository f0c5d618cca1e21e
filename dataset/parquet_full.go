//go:build full

package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

func init() { connectors[formatParquet] = newParquet }

// maxFooter bounds a Parquet file's metadata: about 50,000 column chunks.
const maxFooter = 8 << 20

// parquetFile gives the rows of a Parquet file. Columns map by name, as those of a
// CSV file with a header do, and only those that the plan reads are read. The
// library panics on some damaged files: whatever it does becomes one error.
type parquetFile struct {
	file    *file
	wants   map[string]bool
	share   int64 // memory of one column's page
	checked bool
}

func newParquet(l *loading) (connection, error) {
	p := &parquetFile{file: l.file, wants: map[string]bool{}}
	for _, c := range l.plan.Data.Columns {
		if !c.Unused {
			p.wants[c.Name] = true
		}
	}
	p.share = max(min(l.memory/int64(2*len(p.wants)+2), 64<<20), 1<<20)
	return p, nil
}

// guarded runs f and makes one error of whatever goes wrong in it.
func (p *parquetFile) guarded(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = fail(p.file.path, "the file is damaged", "copy the file again")
		}
	}()
	err = f()
	var known *Error
	switch {
	case err == nil, err == io.EOF, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, errClosed), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return err
	}
	return fail(p.file.path, "the file does not read as Parquet", "copy the file again")
}

// parquetRecords is one pass.
type parquetRecords struct {
	p       *parquetFile
	ctx     context.Context
	in      *os.File
	library *parquet.File
	groups  []parquet.RowGroup
	group   int
	left    int64 // rows of the group
	cols    []*parquetColumn
	cells   []cell
	row     int
}

// parquetColumn is a column that the plan reads.
type parquetColumn struct {
	column
	leaf   *parquet.Column
	pages  parquet.Pages
	values parquet.ValueReader
	page   parquet.Page
	buf    [128]parquet.Value
	have   []parquet.Value
	cell   func(parquet.Value) cell
}

func (p *parquetFile) records(ctx context.Context) (records, error) {
	r := &parquetRecords{p: p, ctx: ctx}
	err := p.guarded(r.open)
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *parquetRecords) open() (err error) {
	p := r.p
	if r.in, err = p.file.open(); err != nil {
		return err
	}
	if err := p.checkFooter(r.in); err != nil {
		return err
	}
	f, err := parquet.OpenFile(r.in, p.file.was.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(64<<10))
	if err != nil {
		return err
	}
	for _, c := range f.Root().Columns() {
		if !p.wants[c.Name()] {
			continue
		}
		if !c.Leaf() || c.Repeated() {
			return &Error{File: p.file.path, Problems: []Problem{{Column: c.Name(), Message: "the column is nested", Hint: "store one value a row, or ask for a plan with use: false for it"}}}
		}
		col := &parquetColumn{leaf: c}
		col.name = c.Name()
		col.kinds, col.found, col.cell = parquetCell(c.Type())
		r.cols = append(r.cols, col)
	}
	r.library, r.groups, r.cells = f, f.RowGroups(), make([]cell, len(r.cols))
	return nil
}

// checkFooter walks over the metadata before the library decodes it.
func (p *parquetFile) checkFooter(in *os.File) error {
	size := p.file.was.size
	var tail [8]byte
	if size < 12 {
		return fail(p.file.path, "not a Parquet file", "")
	}
	if _, err := in.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	switch {
	case string(tail[4:]) == "PARE":
		return fail(p.file.path, "the file is encrypted", "decrypt it first")
	case string(tail[4:]) != "PAR1":
		return fail(p.file.path, "not a Parquet file, or cut short", "copy the file again")
	case n > size-12:
		return fail(p.file.path, "the metadata promises more than the file holds", "copy the file again")
	case n > maxFooter:
		return fail(p.file.path, fmt.Sprintf("the metadata takes %d bytes, at most %d are read", n, maxFooter), "write the file with larger row groups")
	}
	b := make([]byte, n)
	if _, err := in.ReadAt(b, size-8-n); err != nil {
		return err
	}
	// An item of a list takes eight bytes or more in files that mean it.
	t := &thrift{b: b, items: len(b)/8 + 4096}
	if err := t.skip(thriftStruct, 0, false); err != nil {
		return fail(p.file.path, err.Error(), "copy the file again")
	}
	return nil
}

// check goes over the pages of all columns that are read, once.
func (r *parquetRecords) check() error {
	f, rows := r.library, int64(0)
	for g := range f.Metadata().RowGroups {
		group := &f.Metadata().RowGroups[g]
		if group.NumRows < 0 || group.NumRows > math.MaxInt64-rows {
			return errPage
		}
		rows += group.NumRows
		for _, c := range r.cols {
			i := c.leaf.Index()
			if i >= len(group.Columns) {
				return errPage
			}
			m := &group.Columns[i].MetaData
			start := m.DataPageOffset
			if m.DictionaryPageOffset != 0 {
				start = m.DictionaryPageOffset
			}
			size := r.p.file.was.size
			if start < 0 || m.TotalCompressedSize < 0 || start > size || m.TotalCompressedSize > size-start {
				return errPage
			}
			k := &pageCheck{in: r.in, most: r.p.share, rows: group.NumRows, optional: c.leaf.Optional(), codec: m.Codec}
			err := k.chunk(start, m.TotalCompressedSize)
			if k.zstd != nil {
				k.zstd.Close()
			}
			if err != nil {
				return &Error{File: r.p.file.path, Problems: []Problem{{Column: c.name, Message: err.Error()}}}
			}
			if err := r.ctx.Err(); err != nil {
				return context.Cause(r.ctx)
			}
		}
	}
	return nil
}

func (r *parquetRecords) columns() ([]column, error) {
	out := make([]column, len(r.cols))
	for i, c := range r.cols {
		out[i] = c.column
	}
	return out, nil
}

func (r *parquetRecords) close() error {
	for _, c := range r.cols {
		c := c
		r.p.guarded(func() error { c.end(); return nil })
	}
	if r.in == nil {
		return nil
	}
	return r.in.Close()
}

func (c *parquetColumn) end() {
	c.have, c.values = nil, nil
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	if c.pages != nil {
		c.pages.Close()
		c.pages = nil
	}
}

func (r *parquetRecords) read() (line int, cells []cell, err error) {
	err = r.p.guarded(func() error {
		if !r.p.checked {
			if err := r.check(); err != nil {
				return err
			}
			r.p.checked = true
		}
		for r.left == 0 {
			if r.group == len(r.groups) {
				return io.EOF
			}
			if err := context.Cause(r.ctx); err != nil {
				return err
			}
			g := r.groups[r.group]
			r.group++
			chunks := g.ColumnChunks()
			for _, c := range r.cols {
				c.end()
				c.pages = chunks[c.leaf.Index()].Pages()
			}
			r.left = g.NumRows()
		}
		r.left--
		r.row++
		for i, c := range r.cols {
			v, err := c.next()
			if err == io.EOF {
				err = errPage // fewer values than rows
			}
			if err != nil {
				return err
			}
			if v.IsNull() {
				r.cells[i] = cell{kind: isAbsent}
			} else {
				r.cells[i] = c.cell(v)
			}
		}
		return nil
	})
	return r.row, r.cells, err
}

// next returns the column's next value.
func (c *parquetColumn) next() (parquet.Value, error) {
	for len(c.have) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf[:])
		c.have = c.buf[:n]
		switch {
		case err == io.EOF && n == 0:
			parquet.Release(c.page)
			c.page, c.values = nil, nil
		case err != nil && err != io.EOF:
			return parquet.Value{}, err
		}
	}
	v := c.have[0]
	c.have = c.have[1:]
	return v, nil
}

// parquetCell says what a column of this type holds and how its values become
// cells.
func parquetCell(t parquet.Type) (valueKinds, string, func(parquet.Value) cell) {
	name := t.String()
	none := func(parquet.Value) cell { return cell{kind: isAbsent} }
	var logical any
	if l := t.LogicalType(); l != nil {
		logical = l.Value
	}
	integer := func(v parquet.Value) int64 {
		if v.Kind() == parquet.Int32 {
			return int64(v.Int32())
		}
		return v.Int64()
	}
	switch kind := t.Kind(); kind {
	case parquet.Boolean:
		return booleans, name, func(v parquet.Value) cell { return boolCell(v.Boolean()) }
	case parquet.Int32, parquet.Int64:
		switch l := logical.(type) {
		case nil:
		case *format.IntType:
			if !l.IsSigned && kind == parquet.Int32 {
				return numbers, name, func(v parquet.Value) cell { return naturalCell(uint64(v.Uint32())) }
			} else if !l.IsSigned {
				return numbers, name, func(v parquet.Value) cell { return naturalCell(v.Uint64()) }
			}
		case *format.DecimalType:
			return numbers, name, func(v parquet.Value) cell { return textCell(decimal(integer(v), int(l.Scale))) }
		case *format.DateType:
			return instants, name, func(v parquet.Value) cell { return instantCell(time.Unix(integer(v)*86400, 0)) }
		case *format.TimestampType:
			switch l.Unit.Value.(type) {
			case *format.MilliSeconds:
				return instants, name, func(v parquet.Value) cell { return instantCell(time.UnixMilli(integer(v))) }
			case *format.MicroSeconds:
				return instants, name, func(v parquet.Value) cell { return instantCell(time.UnixMicro(integer(v))) }
			case *format.NanoSeconds:
				return instants, name, func(v parquet.Value) cell {
					n := integer(v)
					s := n / 1e9
					return instantCell(time.Unix(s, n-s*1e9))
				}
			}
			return otherwise, name, none
		default:
			return otherwise, name, none
		}
		return numbers, name, func(v parquet.Value) cell { return integerCell(integer(v)) }
	case parquet.Int96: // nanoseconds of a day and its Julian number, as Impala and old Sparks wrote timestamps
		return instants, name, func(v parquet.Value) cell {
			i := v.Int96()
			return instantCell(time.Unix((int64(i[2])-2440588)*86400, int64(i[0])|int64(i[1])<<32))
		}
	case parquet.Float:
		return numbers, name, func(v parquet.Value) cell { return numberCell(float64(v.Float())) }
	case parquet.Double:
		return numbers, name, func(v parquet.Value) cell { return numberCell(v.Double()) }
	case parquet.ByteArray:
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
			return texts, name, func(v parquet.Value) cell { return textCell(string(v.ByteArray())) }
		}
	}
	return otherwise, name, none
}

// decimal writes n / 10^scale exactly.
func decimal(n int64, scale int) string {
	s := strconv.FormatInt(n, 10)
	if scale <= 0 || scale > 40 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if len(s) <= scale {
		s = strings.Repeat("0", scale+1-len(s)) + s
	}
	return sign + s[:len(s)-scale] + "." + s[len(s)-scale:]
}
