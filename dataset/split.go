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

// readSplit returns for each kept row whether it is a test row. The split must
// name exactly the kept rows, each once, with the label that the row has.
func (r *reader) readSplit(f Files) ([]bool, error) {
	e := &Error{File: f.SplitName}
	c := records(f.Split, ",")
	cells, err := c.Read()
	if err != nil || !slices.Equal(cells, splitHeader) {
		return nil, fail(f.SplitName, "the first line is not "+strings.Join(splitHeader, ","), "give the agent a split file, or none")
	}
	place := make(map[int]int, len(r.rows)) // record → kept row
	for i, k := range r.rows {
		place[k.record] = i
	}
	test, named := make([]bool, len(r.rows)), make([]bool, len(r.rows))
	center, lines := f.Center, 0
	for {
		cells, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			r.problem = *e
			return nil, r.unreadable(f.SplitName, err)
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
			if f.Center == "" {
				return nil, fail(f.SplitName, "the split lists several centers", "say which one this branch is, or give the agent its own lines only")
			}
			continue
		}
		lines++
		n, err := strconv.Atoi(cells[2])
		if err != nil || n < 1 || cells[2] != strconv.Itoa(n) {
			bad("row", "not a row number from 1", "")
			continue
		}
		i, kept := place[n]
		switch {
		case n > r.records:
			bad("row", fmt.Sprintf("row %d is beyond the end of %s (%d rows)", n, f.Name, r.records), "the split belongs to another file")
			continue
		case !kept:
			bad("row", fmt.Sprintf("row %d of %s has a missing value and is dropped", n, f.Name), "remove the line, or make a split of the rows that stay")
			continue
		case named[i]:
			bad("row", fmt.Sprintf("row %d is here twice", n), "")
			continue
		}
		named[i] = true
		if !labelAgrees(cells[3], r.p.Data.Target.Type, r.rows[i].label) {
			bad("label", fmt.Sprintf("the label of row %d disagrees with %s", n, f.Name), "the split belongs to another file, or the plan defines the target differently")
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
		return nil, fail(f.SplitName, fmt.Sprintf("no line belongs to center %q", center), "")
	}
	if err := e.orNil(); err != nil {
		return nil, err
	}
	absent, first := 0, 0
	for i := range named {
		if !named[i] {
			if absent == 0 {
				first = r.rows[i].record
			}
			absent++
		}
	}
	if absent > 0 {
		return nil, fail(f.SplitName, fmt.Sprintf("%d rows of %s are in neither set, the first is row %d", absent, f.Name, first), "make a split of all rows that stay")
	}
	return test, nil
}

// labelAgrees compares the split's label with the row's; a number target has none.
func labelAgrees(cell, target string, label int32) bool {
	if target == plan.Number {
		return cell == ""
	}
	return cell == strconv.Itoa(int(label))
}
