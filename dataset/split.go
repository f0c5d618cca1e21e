package dataset

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tacit/plan"
)

var splitHeader = []string{"center", "center_id", "row", "label", "set"}

// splitFile is an open split file. Its name is only printed.
type splitFile struct {
	name   string
	in     io.Reader
	center string
}

// keptRows is what a split file is compared with.
type keptRows struct {
	record []int // ascending
	label  []int32
}

func (k *keptRows) add(r *row) {
	k.record, k.label = append(k.record, r.record), append(k.label, r.label)
}

func (k *keptRows) bytes() int64 { return int64(cap(k.record))*8 + int64(cap(k.label))*4 }

// readSplit returns for each kept row whether it is a test row. The split must
// name exactly the kept rows, each once, with the label that the row has.
func (k *keptRows) readSplit(l *loading, r *rows) ([]bool, error) {
	f := l.splitFile
	e := &Error{File: f.name}
	c, limit := strictCSV(f.in, ",")
	cells, err := c.Read()
	if err != nil || !slices.Equal(cells, splitHeader) {
		return nil, fail(f.name, "the first line is not "+strings.Join(splitHeader, ","), "give the agent a split file, or none")
	}
	test, named := make([]bool, len(k.record)), make([]bool, len(k.record))
	center, lines := f.center, 0
	for {
		limit.left = maxRecordBytes
		cells, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, e.and(unreadable(f.name, err))
		}
		line, _ := c.FieldPos(0)
		bad := func(column, message, hint string) {
			e.add(Problem{Line: line, Column: column, Message: message, Hint: hint})
		}
		if len(cells) != len(splitHeader) {
			bad("", fmt.Sprintf("%d cells, want %d", len(cells), len(splitHeader)), "")
			continue
		}
		if center == "" {
			center = strings.Clone(cells[0])
		}
		if cells[0] != center {
			if f.center == "" {
				return nil, fail(f.name, "the split lists several centers", "say which one this branch is, or give the agent its own lines only")
			}
			continue
		}
		lines++
		n, err := strconv.Atoi(cells[2])
		if err != nil || n < 1 || cells[2] != strconv.Itoa(n) {
			bad("row", "not a row number from 1", "")
			continue
		}
		i, kept := slices.BinarySearch(k.record, n)
		switch {
		case n > r.records:
			bad("row", fmt.Sprintf("row %d is beyond the end of %s (%d rows)", n, l.name, r.records), "the split belongs to another file")
			continue
		case !kept:
			bad("row", fmt.Sprintf("row %d of %s has a missing value and is dropped", n, l.name), "remove the line, or make a split of the rows that stay")
			continue
		case named[i]:
			bad("row", fmt.Sprintf("row %d is here twice", n), "")
			continue
		}
		named[i] = true
		if !labelAgrees(cells[3], l.plan.Data.Target.Type, k.label[i]) {
			bad("label", fmt.Sprintf("the label of row %d disagrees with %s", n, l.name), "the split belongs to another file, or the plan defines the target differently")
		}
		switch cells[4] {
		case "train":
		case "test":
			test[i] = true
		default:
			bad("set", "neither train nor test", "")
		}
	}
	if lines == 0 {
		return nil, fail(f.name, fmt.Sprintf("no line belongs to center %q", center), "")
	}
	if err := e.orNil(); err != nil {
		return nil, err
	}
	absent, first := 0, 0
	for i := range named {
		if !named[i] {
			if absent == 0 {
				first = k.record[i]
			}
			absent++
		}
	}
	if absent > 0 {
		return nil, fail(f.name, fmt.Sprintf("%d rows of %s are in neither set, the first is row %d", absent, l.name, first), "make a split of all rows that stay")
	}
	return test, nil
}

// labelAgrees compares the split's label with the row's; a number or survival target
// has none.
func labelAgrees(cell, target string, label int32) bool {
	if target == plan.Number || target == plan.Survival {
		return cell == ""
	}
	return cell == strconv.Itoa(int(label))
}
