package plan

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tacit/nn"
)

// YAML returns p as a commented file that [Parse] reads back to the same hash:
// every key that applies, with the value that holds and what it means. Keys that
// hold their default say so.
func (p *Plan) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tacit: %s\n", Format)
	def := p.defaults()
	var open []string // sections whose heading stands
	for _, f := range planFields {
		at := f.at(p)
		if f.rule.only != nil {
			if applies, _, _ := f.rule.only(p); !applies {
				continue
			}
		}
		if unset(at) && f.key != "name" && (equal(at, f.at(def)) || !isList(at)) {
			continue // text and lists that have no value to write
		}
		path := strings.Split(f.key, ".")
		sections, word := path[:len(path)-1], path[len(path)-1]
		same := 0
		for same < len(sections) && same < len(open) && sections[same] == open[same] {
			same++
		}
		for i := same; i < len(sections); i++ {
			if i == 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", i), sections[i])
		}
		if len(sections) == 0 && len(open) > 0 {
			b.WriteByte('\n')
		}
		open = sections
		indent := strings.Repeat("  ", len(sections))
		note := f.doc
		if equal(at, f.at(def)) {
			note = strings.TrimPrefix(note+" (default)", " ")
		}
		if columns, ok := at.(*[]Column); ok {
			fmt.Fprintf(&b, "%s%s: # %s\n", indent, word, note)
			for i := range *columns {
				fmt.Fprintf(&b, "%s  - %s\n", indent, renderColumn(&(*columns)[i]))
			}
			continue
		}
		if layers, ok := at.(*[]nn.Layer); ok && len(*layers) > 0 {
			fmt.Fprintf(&b, "%s%s: # %s\n", indent, word, note)
			renderLayers(&b, indent+"  ", *layers)
			continue
		}
		fmt.Fprintf(&b, "%s%s: %s", indent, word, renderValue(at))
		if note != "" {
			b.WriteString(" # " + note)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func unset(at any) bool {
	switch v := at.(type) {
	case *string:
		return *v == ""
	case *[]int:
		return len(*v) == 0
	case *[]float64:
		return len(*v) == 0
	case *[]Column:
		return len(*v) == 0
	case *[]nn.Layer:
		return len(*v) == 0
	}
	return false
}

// isList says whether an empty value of a field can be written: [].
func isList(at any) bool {
	_, text := at.(*string)
	return !text
}

func renderColumn(c *Column) string {
	var parts []string
	for _, f := range columnFields {
		at := f.at(c)
		isBound := f.key == "min" || f.key == "max"
		switch {
		case isBound && c.Type == Timestamp:
			parts = append(parts, f.key+": "+quoteText(formatSeconds(*at.(*float64))))
		case isBound && c.Type == Numeric, !equal(at, f.at(new(Column))):
			parts = append(parts, f.key+": "+renderValue(at))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// renderLayers writes one layer a line; those that hold others have lines for them.
func renderLayers(b *strings.Builder, indent string, layers []nn.Layer) {
	for i := range layers {
		l := &layers[i]
		var parts []string
		for _, f := range layerFields {
			at := f.at(l)
			if _, inner := at.(*[]nn.Layer); !inner && !equal(at, f.at(new(nn.Layer))) {
				parts = append(parts, f.key+": "+renderValue(at))
			}
		}
		switch {
		case len(l.Body)+len(l.Shortcut) > 0:
			fmt.Fprintf(b, "%s- %s\n", indent, strings.Join(parts, "\n"+indent+"  "))
			for _, inner := range []struct {
				key    string
				layers []nn.Layer
			}{{"body", l.Body}, {"shortcut", l.Shortcut}} {
				if len(inner.layers) > 0 {
					fmt.Fprintf(b, "%s  %s:\n", indent, inner.key)
					renderLayers(b, indent+"    ", inner.layers)
				}
			}
		case len(parts) == 1:
			fmt.Fprintf(b, "%s- %s\n", indent, quoteText(l.Kind))
		default:
			fmt.Fprintf(b, "%s- {%s}\n", indent, strings.Join(parts, ", "))
		}
	}
}

// plainWord is text that YAML reads back as the same text without quotes.
var plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_/-]*$`)

func quoteText(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(s)
	}
	if plainWord.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

func renderValue(at any) string {
	switch v := at.(type) {
	case *string:
		return quoteText(*v)
	case *uint64:
		return strconv.FormatUint(*v, 10)
	case *int:
		return strconv.Itoa(*v)
	case *float64:
		return strconv.FormatFloat(*v, 'g', -1, 64)
	case *bool:
		return strconv.FormatBool(*v)
	case *inverted:
		return strconv.FormatBool(!bool(*v))
	case *time.Duration:
		return v.String()
	case *[]string:
		items := make([]string, len(*v))
		for i, s := range *v {
			items[i] = quoteText(s)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *[]int:
		items := make([]string, len(*v))
		for i, n := range *v {
			items[i] = strconv.Itoa(n)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *[]float64:
		items := make([]string, len(*v))
		for i, f := range *v {
			items[i] = strconv.FormatFloat(f, 'g', -1, 64)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *[2]int:
		if v[0] == v[1] {
			return strconv.Itoa(v[0])
		}
		return fmt.Sprintf("[%d, %d]", v[0], v[1])
	}
	return ""
}
