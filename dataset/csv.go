package dataset

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxRecordBytes bounds one record of a text file: a file without line ends must
// not fill the memory.
const maxRecordBytes = 1 << 20

var errLongRecord = errors.New("a record is longer than 1 MiB")

// csvRecords reads RFC 4180 text.
type csvRecords struct {
	file   string
	limit  *allowance
	csv    *csv.Reader
	header bool
	width  int // cells of a record
	want   string
	cells  []cell
	first  []string // a record that was read to learn the width
	line   int      // its line
	closer io.Closer
}

// allowance stops a reader that has given more than left bytes.
type allowance struct {
	r    io.Reader
	left int
}

func (a *allowance) Read(b []byte) (int, error) {
	if a.left <= 0 {
		return 0, errLongRecord
	}
	n, err := a.r.Read(b)
	a.left -= n
	return n, err
}

// strictCSV returns a strict CSV reader behind a byte order mark, if there is one.
func strictCSV(in io.Reader, delimiter string) (*csv.Reader, *allowance) {
	a := &allowance{r: in, left: maxRecordBytes}
	b := bufio.NewReaderSize(a, 1<<16)
	if mark, err := b.Peek(3); err == nil && string(mark) == "\ufeff" {
		b.Discard(3)
	}
	c := csv.NewReader(b)
	c.Comma, _ = utf8.DecodeRuneInString(delimiter)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	return c, a
}

// newCSV reads records of width cells. A header is their names; want lists them
// for errors.
func newCSV(file string, in io.Reader, delimiter string, header bool, width int, want string) *csvRecords {
	r := &csvRecords{file: file, header: header, width: width, want: want, cells: make([]cell, width)}
	r.csv, r.limit = strictCSV(in, delimiter)
	r.closer, _ = in.(io.Closer)
	return r
}

func (r *csvRecords) close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

func (r *csvRecords) record() ([]string, error) {
	r.limit.left = maxRecordBytes
	cells, err := r.csv.Read()
	if err != nil && err != io.EOF {
		return nil, unreadable(r.file, err)
	}
	return cells, err
}

// columns reads the first record, which a header is.
func (r *csvRecords) columns() ([]column, error) {
	cells, err := r.record()
	if err == io.EOF {
		r.first = nil
		if !r.header {
			return nil, nil
		}
		return nil, io.EOF
	}
	if err != nil {
		return nil, err
	}
	if len(cells) != r.width {
		return nil, fail(r.file, fmt.Sprintf("the file has %d columns, the plan's schema has %d (%s)", len(cells), r.width, r.want),
			"give the agent the file that the plan describes, or check data.delimiter in the plan")
	}
	r.line, _ = r.csv.FieldPos(0)
	if !r.header {
		r.first = cells
		return nil, nil
	}
	out := make([]column, len(cells))
	for i, c := range cells {
		out[i] = column{name: textCell(c).text}
	}
	return out, nil
}

func (r *csvRecords) read() (int, []cell, error) {
	cells, line := r.first, r.line
	if r.first = nil; cells == nil {
		var err error
		if cells, err = r.record(); err != nil {
			return 0, nil, err
		}
		line, _ = r.csv.FieldPos(0)
	}
	if len(cells) != r.width {
		return line, nil, &badRecord{fmt.Sprintf("%d cells, want %d", len(cells), r.width), "a cell that holds the delimiter must stand in quotes"}
	}
	for i, c := range cells {
		r.cells[i] = textCell(c)
	}
	return line, r.cells, nil
}

// unreadable turns a reading error into one with a place. What encoding/csv says
// of an error holds no cell's value.
func unreadable(file string, err error) error {
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errLongRecord):
		return fail(file, errLongRecord.Error(), "check data.delimiter and the file's line ends")
	case errors.As(err, &parse):
		return &Error{File: file, Problems: []Problem{{Line: parse.Line, Message: parse.Err.Error(), Hint: `a cell with quotes is written "like ""this"""`}}}
	}
	return damaged(file, err)
}
