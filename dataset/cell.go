package dataset

import (
	"strconv"
	"strings"
	"time"
)

// cellKind says which of a cell's fields holds its value.
type cellKind uint8

const (
	isText    cellKind = iota // as a text file has everything
	isNumber                  // float64; integers beyond 2^53 come as text
	isInstant                 // a point in time
	isAbsent                  // NULL
)

// cell is one value of a record.
type cell struct {
	kind   cellKind
	text   string // without space around it
	number float64
	time   time.Time
}

func textCell(s string) cell    { return cell{kind: isText, text: strings.TrimSpace(s)} }
func numberCell(f float64) cell { return cell{kind: isNumber, number: f} }
func integerCell(i int64) cell  { return exactOr(float64(i), i, strconv.FormatInt(i, 10)) }
func (c *cell) spelled() string {
	if c.kind == isNumber {
		return strconv.FormatFloat(c.number, 'g', -1, 64)
	}
	return c.text
}

// exactOr is a number cell where f holds i exactly, else a text cell.
func exactOr(f float64, i int64, text string) cell {
	if i > -1<<53 && i < 1<<53 {
		return numberCell(f)
	}
	return cell{kind: isText, text: text}
}

// naturalCell is integerCell for numbers without a sign.
func naturalCell(i uint64) cell {
	if i < 1<<53 {
		return numberCell(float64(i))
	}
	return cell{kind: isText, text: strconv.FormatUint(i, 10)}
}

// records is one pass over a table's records in the source's order.
type records interface {
	// columns describes the cells of every record, or is nil where only their
	// order does.
	columns() ([]column, error)
	// read returns the next record and the line it begins in (for a source
	// without lines: its number from 1), or io.EOF. Cells are valid until the next
	// call. A *badRecord leaves the reader in order; any other error ends the pass.
	read() (line int, cells []cell, err error)
	close() error
}

// badRecord is a record that does not read, where the next one may.
type badRecord struct{ message, hint string }

func (b *badRecord) Error() string { return b.message }

// column is one column as the source describes it.
type column struct {
	name  string
	kinds valueKinds
	found string // the source's own name of its type, for errors
}

// valueKinds says what a column can hold.
type valueKinds uint8

const (
	numbers valueKinds = 1 << iota
	texts
	instants
	booleans
	otherwise
	anything valueKinds = 0 // a text file: every cell says for itself
)

func (k valueKinds) String() string {
	switch k {
	case numbers:
		return "numbers"
	case texts:
		return "text"
	case instants:
		return "timestamps"
	case booleans:
		return "booleans"
	}
	return "something else"
}
