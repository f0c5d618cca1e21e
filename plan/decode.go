package plan

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"tacit/internal/nearest"
	"tacit/nn"
)

// value decodes n into what at points to.
func (d *decoder) value(n ast.Node, keyToken *token.Token, key string, at any) {
	tk := valueToken(n, keyToken)
	wrong := func(want, hint string) {
		if n == nil || n.Type() == ast.NullType {
			d.bad(keyToken, key, fmt.Sprintf("%s has no value, want %s", key, want), "leave the key out to get its default")
			return
		}
		d.bad(tk, key, fmt.Sprintf("%s: want %s", key, want), hint)
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.bad(tk, key, fmt.Sprintf("%s: anchors, aliases and tags are not part of a plan", key), "write the value itself")
		return
	case *ast.LiteralNode:
		d.bad(tk, key, fmt.Sprintf("%s: block text is not part of a plan", key), `put the value in quotes, such as "> 0"`)
		return
	}
	text, quoted, isScalar := scalar(n)
	switch v := at.(type) {
	case *string:
		if !isScalar {
			hint := ""
			if key == "privacy" {
				hint = "differential privacy is not built yet, so nothing can be claimed: privacy: none"
			}
			wrong("text", hint)
			return
		}
		*v = text
	case *uint64:
		u, err := strconv.ParseUint(text, 10, 64)
		if !isScalar || quoted || err != nil || text != strconv.FormatUint(u, 10) {
			wrong("a whole number from 0 to 18446744073709551615", "")
			return
		}
		*v = u
	case *int:
		i, ok := wholeNumber(text)
		if !isScalar || quoted || !ok {
			wrong("a whole number", "")
			return
		}
		*v = i
	case *float64:
		f, ok := ParseNumber(text)
		if !isScalar || quoted || !ok {
			wrong("a number", "")
			return
		}
		*v = f
	case *bool, *inverted:
		if !isScalar || quoted || text != "true" && text != "false" {
			wrong("true or false", "")
			return
		}
		if b, ok := at.(*bool); ok {
			*b = text == "true"
		} else {
			*at.(*inverted) = text == "false"
		}
	case *time.Duration:
		t, err := time.ParseDuration(text)
		if !isScalar || err != nil {
			wrong("a duration such as 30s, 10m or 1h30m", "")
			return
		}
		*v = t
	case *[]string:
		*v = []string{}
		d.list(n, wrong, func(text string, quoted bool) bool {
			*v = append(*v, text)
			return true
		}, key, "text")
	case *[]int:
		*v = []int{}
		d.list(n, wrong, func(text string, quoted bool) bool {
			i, ok := wholeNumber(text)
			*v = append(*v, i)
			return ok && !quoted
		}, key, "a whole number")
	case *[]float64:
		*v = []float64{}
		d.list(n, wrong, func(text string, quoted bool) bool {
			f, ok := ParseNumber(text)
			*v = append(*v, f)
			return ok && !quoted
		}, key, "a number")
	case *[2]int:
		d.pair(n, wrong, key, v)
	case *[]Column:
		d.columns(n, wrong, v)
	case *[]nn.Layer:
		d.layers(n, wrong, key, v)
	}
}

func wholeNumber(text string) (int, bool) {
	i, err := strconv.Atoi(text)
	return i, err == nil && text == strconv.Itoa(i)
}

func (d *decoder) list(n ast.Node, wrong func(want, hint string), add func(text string, quoted bool) bool, key, want string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		wrong("a list, such as [a, b]", "")
		return
	}
	if len(s.Values) > MaxValues {
		d.bad(s.GetToken(), key, fmt.Sprintf("%s: %d items, at most %d", key, len(s.Values), MaxValues), "")
		return
	}
	for i, item := range s.Values {
		text, quoted, ok := scalar(item)
		tk := valueToken(item, s.GetToken())
		if tk != nil && tk.Position != nil {
			d.at[fmt.Sprintf("%s[%d]", key, i)] = place{d.file, tk.Position.Line, tk.Position.Column}
		}
		if !ok || !add(text, quoted) {
			d.bad(tk, key, fmt.Sprintf("%s: item %d: want %s", key, i+1, want), "")
		}
	}
}

// fieldNames returns the keys of a table.
func fieldNames[T any](fields []field[T]) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	return names
}

// columnType returns what a column's type key says, wherever it stands.
func columnType(m *ast.MappingNode) string {
	for _, v := range m.Values {
		if keyText(v) == "type" {
			text, _, _ := scalar(v.Value)
			return text
		}
	}
	return ""
}

// moment decodes the end of a timestamp's range.
func (d *decoder) moment(n ast.Node, keyToken *token.Token, key string, out *float64) {
	text, _, ok := scalar(n)
	t, isTime := ParseTime(text)
	if !ok || !isTime {
		d.bad(valueToken(n, keyToken), key, fmt.Sprintf("%s: want a date, or a date and a time", key), `2016-07-01 or "2016-07-01 13:00:00"`)
		return
	}
	*out = Seconds(t)
}

func (d *decoder) columns(n ast.Node, wrong func(want, hint string), out *[]Column) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		wrong("a list of columns", "- {name: age, type: numeric, min: 0, max: 120}")
		return
	}
	if len(s.Values) > MaxColumns {
		d.bad(s.GetToken(), "data.columns", fmt.Sprintf("%d columns, at most %d", len(s.Values), MaxColumns), "")
		return
	}
	names := fieldNames(columnFields)
	for i, item := range s.Values {
		at := fmt.Sprintf("data.columns[%d]", i)
		tk := valueToken(item, s.GetToken())
		d.at[at] = place{d.file, tk.Position.Line, tk.Position.Column}
		m, ok := item.(*ast.MappingNode)
		if !ok {
			d.bad(tk, at, fmt.Sprintf("column %d: want keys such as name and type", i+1), "{name: age, type: numeric, min: 0, max: 120}")
			continue
		}
		var c Column
		seen := map[string]bool{}
		for _, v := range m.Values {
			key, ktk := keyText(v), v.Key.GetToken()
			f := slices.Index(names, key)
			switch {
			case f < 0:
				hint := "known keys are " + quoteList(names)
				if near := nearest.Name(key, names); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				d.bad(ktk, at, fmt.Sprintf("unknown key %q in column %d", key, i+1), hint)
			case seen[key]:
				d.bad(ktk, at, fmt.Sprintf("key %q is here twice in column %d", key, i+1), "remove one")
			default:
				full := at + "." + key
				vtk := valueToken(v.Value, ktk)
				d.at[full] = place{d.file, vtk.Position.Line, vtk.Position.Column}
				if (key == "min" || key == "max") && columnType(m) == Timestamp {
					d.moment(v.Value, ktk, full, columnFields[f].at(&c).(*float64))
					break
				}
				d.value(v.Value, ktk, full, columnFields[f].at(&c))
			}
			seen[key] = true
		}
		*out = append(*out, c)
	}
}
