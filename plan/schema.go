package plan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"tacit/internal/nearest"
)

// Feature is one input of the model that a row gives: a numeric column, one value
// of a categorical one, a timestamp's position or a wave of one of its parts, or a
// bucket of words.
type Feature struct {
	Name   string // "age", "cp=2", "seen", "seen.hour.sin", "note#7"
	Column int    // index in Schema.Columns
	Value  int    // categorical: index in Column.Values that makes it 1; text: the bucket; else −1
	Part   string // timestamp: Hour, Weekday or Month; "" for its position
	Cosine bool   // of Part
}

// Features returns what one row of a table or a series gives: first the numeric
// and timestamp columns, then one feature per value of each categorical column
// (from the second value on with DropFirst) and per bucket of each text column,
// both in column order, as pandas.get_dummies lays them out. A timestamp gives its
// position and then sine and cosine of each part; in a series, where positions
// never come back, the parts alone. Unused columns, the target (but not in a
// series) and a Survival target's event have none. Other kinds have no rows: nil.
func (s *Schema) Features() []Feature {
	if s.Kind == KindImages || s.Kind == KindText {
		return nil
	}
	var out []Feature
	for i := range s.Columns {
		c := &s.Columns[i]
		if !s.isFeature(c) {
			continue
		}
		switch c.Type {
		case Numeric:
			out = append(out, Feature{Name: c.Name, Column: i, Value: -1})
		case Timestamp:
			if s.Kind != KindSeries {
				out = append(out, Feature{Name: c.Name, Column: i, Value: -1})
			}
			for _, part := range c.Parts {
				for k, wave := range partFeatures {
					out = append(out, Feature{Name: c.Name + "." + part + "." + wave, Column: i, Value: -1, Part: part, Cosine: k == 1})
				}
			}
		}
	}
	for i := range s.Columns {
		c := &s.Columns[i]
		if !s.isFeature(c) {
			continue
		}
		switch c.Type {
		case Categorical:
			for j, v := range c.Values {
				if j > 0 || !c.DropFirst {
					out = append(out, Feature{Name: c.Name + "=" + v, Column: i, Value: j})
				}
			}
		case FreeText:
			for j := range c.Buckets {
				out = append(out, Feature{Name: c.Name + "#" + strconv.Itoa(j), Column: i, Value: j})
			}
		}
	}
	return out
}

// isFeature reports whether the model sees c.
func (s *Schema) isFeature(c *Column) bool {
	if c.Unused || s.Target.Type == Survival && c.Name == s.Target.Event {
		return false
	}
	return c.Name != s.Target.Column || s.Kind == KindSeries
}

// columnFeatures returns how many features c gives.
func (s *Schema) columnFeatures(c *Column) int {
	if !s.isFeature(c) {
		return 0
	}
	switch c.Type {
	case Numeric:
		return 1
	case Timestamp:
		n := len(partFeatures) * len(c.Parts)
		if s.Kind != KindSeries {
			n++
		}
		return n
	case Categorical:
		if c.DropFirst && len(c.Values) > 0 {
			return len(c.Values) - 1
		}
		return len(c.Values)
	case FreeText:
		return max(c.Buckets, 0)
	}
	return 0
}

// TargetIndex returns the position of the target in Columns, or −1.
func (s *Schema) TargetIndex() int {
	for i, c := range s.Columns {
		if c.Name == s.Target.Column {
			return i
		}
	}
	return -1
}

// IsMissing reports whether a cell, without space around it, means: no value.
func (s *Schema) IsMissing(cell string) bool {
	for _, m := range s.Missing {
		if cell == m {
			return true
		}
	}
	return false
}

// NormalValue returns the one spelling of a categorical value: without space
// around it, and numbers in their shortest form, so that a file may write 1 or
// 1.0.
func NormalValue(v string) string {
	v = strings.TrimSpace(v)
	if f, ok := ParseNumber(v); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return v
}

// ParseNumber reads a finite decimal number such as -2, .5 or 1e-3, and nothing
// else that [strconv.ParseFloat] would take (inf, nan, hexadecimal, underscores).
// −0 reads as 0.
func ParseNumber(s string) (float64, bool) {
	for _, c := range s {
		if (c < '0' || c > '9') && !strings.ContainsRune("+-.eE", c) {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, false
	}
	return f + 0, true
}

// Unit maps a numeric column's value, or a timestamp in [Seconds], to
// u = (x−min)/(max−min), or reports that x lies outside.
func (c *Column) Unit(x float64) (u float64, ok bool) {
	if !(x >= c.Min && x <= c.Max) {
		return 0, false
	}
	return float64(x-c.Min) / float64(c.Max-c.Min), true
}

// ValueIndex returns the position of a cell in Values, or −1.
func (c *Column) ValueIndex(cell string) int {
	v := NormalValue(cell)
	for i, w := range c.Values {
		if v == w {
			return i
		}
	}
	return -1
}

// PositiveRule is a parsed Target.Positive.
type PositiveRule struct {
	Op    string // > >= < <= == !=
	Value float64
}

// ParsePositiveRule reads a comparison such as "> 0".
func ParsePositiveRule(s string) (PositiveRule, error) {
	s = strings.TrimSpace(s)
	for _, op := range []string{">=", "<=", "==", "!=", ">", "<"} {
		if rest, ok := strings.CutPrefix(s, op); ok {
			v, ok := ParseNumber(strings.TrimSpace(rest))
			if !ok {
				break
			}
			return PositiveRule{Op: op, Value: v}, nil
		}
	}
	return PositiveRule{}, errors.New(`want a comparison with a number, such as "> 0"`)
}

// Match applies the rule.
func (r PositiveRule) Match(x float64) bool {
	switch r.Op {
	case ">":
		return x > r.Value
	case ">=":
		return x >= r.Value
	case "<":
		return x < r.Value
	case "<=":
		return x <= r.Value
	case "==":
		return x == r.Value
	case "!=":
		return x != r.Value
	}
	return false
}

// checkColumns reports what is wrong with the columns. Keys are
// "data.columns[i].key".
func (s *Schema) checkColumns(bad func(key, message, hint string)) {
	if len(s.Columns) == 0 {
		bad("data.columns", "a plan needs at least one column and a target", "list the file's columns: - {name: age, type: numeric, min: 0, max: 120}")
		return
	}
	if len(s.Columns) > MaxColumns {
		bad("data.columns", fmt.Sprintf("%d columns, at most %d", len(s.Columns), MaxColumns), "")
		return
	}
	sound, report := true, bad
	bad = func(key, message, hint string) {
		sound = false
		report(key, message, hint)
	}
	names := map[string]int{}
	for i := range s.Columns {
		c := &s.Columns[i]
		at := fmt.Sprintf("data.columns[%d]", i)
		if err := checkText(c.Name); err != nil {
			bad(at+".name", fmt.Sprintf("column %d: %v", i+1, err), "")
		} else if j, twice := names[c.Name]; twice {
			bad(at+".name", fmt.Sprintf("columns %d and %d are both named %q", j+1, i+1, c.Name), "")
		}
		names[c.Name] = i
		if c.Unused {
			if c.Type != "" || c.Min != 0 || c.Max != 0 || len(c.Values) > 0 || c.DropFirst || len(c.Parts) > 0 || c.Buckets != 0 {
				bad(at, fmt.Sprintf("column %q is not used, so it has a name and nothing else", c.Name), "remove its other keys, or remove use: false")
			}
			continue
		}
		if c.Type != Timestamp && len(c.Parts) > 0 {
			bad(at+".parts", fmt.Sprintf("column %q has parts, and only a timestamp has", c.Name), "type: timestamp")
		}
		if c.Type != FreeText && c.Buckets != 0 {
			bad(at+".buckets", fmt.Sprintf("column %q has buckets, and only text has", c.Name), "type: text")
		}
		switch c.Type {
		case Numeric:
			if len(c.Values) > 0 || c.DropFirst {
				bad(at, fmt.Sprintf("column %q is numeric, so it has no values or drop_first", c.Name), "")
			}
			// Written so that NaN fails.
			if !(c.Min < c.Max) || math.IsInf(c.Min, 0) || math.IsInf(c.Max, 0) || math.IsInf(c.Max-c.Min, 0) {
				bad(at, fmt.Sprintf("column %q is numeric, so it needs min and max with min < max", c.Name), "give the widest range that a correct value can have: masked sums are bounded by it")
			}
		case Categorical:
			if c.Min != 0 || c.Max != 0 {
				bad(at, fmt.Sprintf("column %q is categorical, so it has no min or max", c.Name), "")
			}
			if len(c.Values) < 2 || len(c.Values) > MaxValues {
				bad(at, fmt.Sprintf("column %q is categorical, so it needs 2 to %d values", c.Name, MaxValues), "list every legal value")
			}
			seen := map[string]bool{}
			for _, v := range c.Values {
				switch err := checkText(v); {
				case err != nil:
					bad(at+".values", fmt.Sprintf("column %q: value %q: %v", c.Name, v, err), "")
				case v != NormalValue(v):
					bad(at+".values", fmt.Sprintf("column %q: value %q must be written %q", c.Name, v, NormalValue(v)), "")
				case seen[v]:
					bad(at+".values", fmt.Sprintf("column %q lists the value %q twice", c.Name, v), "")
				case s.IsMissing(v):
					bad(at+".values", fmt.Sprintf("column %q: %q cannot be a value and mean missing", c.Name, v), "change data.missing")
				}
				seen[v] = true
			}
		case Timestamp:
			s.checkTimestamp(c, at, bad)
		case FreeText:
			if len(c.Values) > 0 || c.DropFirst || c.Min != 0 || c.Max != 0 {
				bad(at, fmt.Sprintf("column %q is text, so it has buckets and no range or values", c.Name), "")
			}
			if c.Buckets < 1 || c.Buckets > MaxFeatures {
				bad(at, fmt.Sprintf("column %q is text, so it needs buckets: the features, 1 to %d, that its words are hashed into", c.Name, MaxFeatures), "buckets: 256")
			}
		case "":
			bad(at, fmt.Sprintf("column %q has no type", c.Name), "type: numeric, type: categorical, or use: false")
		default:
			hint := ""
			if n := nearest.Name(c.Type, columnTypes); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			bad(at+".type", fmt.Sprintf("column %q: type is %q, want %s", c.Name, c.Type, quoteList(columnTypes)), hint)
		}
	}
	switch n := s.RowWidth(); {
	case n > MaxFeatures:
		bad("data.columns", fmt.Sprintf("%d features after one-hot coding, at most %d", n, MaxFeatures), "")
		return
	case !sound:
		return
	case n == 0:
		bad("data.columns", "no column is left to learn from", "add a numeric or categorical column beside the target")
	}
	features := map[string]bool{}
	for _, n := range s.StatNames() {
		if features[n] {
			bad("data.columns", fmt.Sprintf("two features are named %q", n), "rename a column")
		}
		features[n] = true
	}
}

func (s *Schema) checkTimestamp(c *Column, at string, bad func(key, message, hint string)) {
	if len(c.Values) > 0 || c.DropFirst {
		bad(at, fmt.Sprintf("column %q is a timestamp, so it has no values or drop_first", c.Name), "")
	}
	switch {
	case !(c.Min < c.Max):
		bad(at, fmt.Sprintf("column %q is a timestamp, so it needs min and max with min < max", c.Name), "min: 2016-07-01, max: 2018-07-01")
	case !isSeconds(c.Min) || !isSeconds(c.Max):
		bad(at, fmt.Sprintf("column %q: min and max are whole seconds of the years 1 to 9999", c.Name), "")
	}
	seen := map[string]bool{}
	for _, part := range c.Parts {
		switch {
		case partSizes[part] == 0:
			hint := ""
			if n := nearest.Name(part, partNames()); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			bad(at+".parts", fmt.Sprintf("column %q: a timestamp has no part %q, want %s", c.Name, part, quoteList(partNames())), hint)
		case seen[part]:
			bad(at+".parts", fmt.Sprintf("column %q lists the part %q twice", c.Name, part), "")
		}
		seen[part] = true
	}
}

// checkTarget reports what is wrong with the target; the columns are sound.
func (s *Schema) checkTarget(bad func(key, message, hint string)) {
	t := &s.Target
	const at = "data.target"
	if t.Type == "" {
		bad(at+".type", "the target has no type", "binary, class, number or survival")
	}
	i := s.TargetIndex()
	if i < 0 || t.Column == "" {
		names := make([]string, len(s.Columns))
		for j, c := range s.Columns {
			names[j] = c.Name
		}
		hint := "name one of data.columns"
		if n := nearest.Name(t.Column, names); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		bad(at+".column", fmt.Sprintf("no column is named %q", t.Column), hint)
		return
	}
	c := &s.Columns[i]
	if c.Unused {
		bad(at+".column", fmt.Sprintf("column %q is the target and use: false", c.Name), "give it a type")
		return
	}
	if t.Type != Survival && t.Event != "" {
		bad(at+".event", "an event belongs to a survival target", "type: survival")
	}
	if t.Type != Binary && (t.Positive != "" || len(t.PositiveValues) > 0) {
		bad(at, "positive and positive_values belong to a binary target", "")
	}
	switch t.Type {
	case Binary:
		s.checkBinary(c, bad)
	case Class:
		if c.Type != Categorical {
			bad(at+".type", fmt.Sprintf("a class target needs a categorical column; %q is %s", c.Name, c.Type), "")
		}
		if c.DropFirst {
			bad(at+".column", fmt.Sprintf("column %q is the target, so it keeps all its values", c.Name), "remove drop_first")
		}
	case Number:
		if c.Type != Numeric {
			bad(at+".type", fmt.Sprintf("a number target needs a numeric column; %q is %s", c.Name, c.Type), "")
		}
	case Survival:
		if c.Type != Numeric {
			bad(at+".type", fmt.Sprintf("a survival target needs a numeric column of times; %q is %s", c.Name, c.Type), "")
		}
		s.checkEvent(bad)
	}
}

// checkEvent reports what is wrong with a survival target's event.
func (s *Schema) checkEvent(bad func(key, message, hint string)) {
	t := &s.Target
	i := s.EventIndex()
	switch {
	case t.Event == "":
		bad("data.target.event", "a survival target needs the column that says whether the event was seen", "event: died")
		return
	case i < 0:
		var names []string
		for _, c := range s.Columns {
			names = append(names, c.Name)
		}
		hint := "name one of data.columns"
		if n := nearest.Name(t.Event, names); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		bad("data.target.event", fmt.Sprintf("no column is named %q", t.Event), hint)
		return
	case t.Event == t.Column:
		bad("data.target.event", "the event and the time are one column", "name the column that says whether the event was seen")
		return
	}
	c := &s.Columns[i]
	switch {
	case c.Unused:
		bad("data.target.event", fmt.Sprintf("column %q is the event and use: false", c.Name), "give it a type")
	case c.Type == Numeric && (c.Min != 0 || c.Max != 1):
		bad("data.target.event", fmt.Sprintf("column %q is numeric, so as an event it is 0 or 1: min: 0, max: 1", c.Name), "or make it categorical and list event_values")
	case c.Type == Numeric && len(t.EventValues) > 0:
		bad("data.target.event_values", fmt.Sprintf("column %q is numeric, so 1 means that the event was seen", c.Name), "remove event_values")
	case c.Type == Categorical:
		if len(t.EventValues) == 0 || len(t.EventValues) >= len(c.Values) {
			bad("data.target.event_values", "list at least one value that means that the event was seen, and not all", "")
		}
		seen := map[string]bool{}
		for _, v := range t.EventValues {
			if v != NormalValue(v) || c.ValueIndex(v) < 0 || seen[v] {
				bad("data.target.event_values", fmt.Sprintf("%q is not one of column %q's values, or is there twice", v, c.Name), "")
			}
			seen[v] = true
		}
		if c.DropFirst {
			bad("data.target.event", fmt.Sprintf("column %q is the event, so it keeps all its values", c.Name), "remove drop_first")
		}
	case c.Type != Numeric:
		bad("data.target.event", fmt.Sprintf("an event is a numeric or categorical column; %q is %s", c.Name, c.Type), "")
	}
}

func (s *Schema) checkBinary(c *Column, bad func(key, message, hint string)) {
	t := &s.Target
	if c.Type == Categorical {
		switch {
		case t.Positive != "":
			bad("data.target.positive", fmt.Sprintf("column %q is categorical, so its positive class is a list", c.Name), "use positive_values")
		case len(t.PositiveValues) == 0 || len(t.PositiveValues) >= len(c.Values):
			bad("data.target.positive_values", "list at least one value of the positive class, and not all", "")
		}
		seen := map[string]bool{}
		for _, v := range t.PositiveValues {
			if v != NormalValue(v) || c.ValueIndex(v) < 0 || seen[v] {
				bad("data.target.positive_values", fmt.Sprintf("%q is not one of column %q's values, or is there twice", v, c.Name), "")
			}
			seen[v] = true
		}
		if c.DropFirst {
			bad("data.target.column", fmt.Sprintf("column %q is the target, so it keeps all its values", c.Name), "remove drop_first")
		}
		return
	}
	if len(t.PositiveValues) > 0 {
		bad("data.target.positive_values", fmt.Sprintf("column %q is numeric, so its positive class is a rule", c.Name), `use positive: "> 0"`)
		return
	}
	if t.Positive == "" {
		bad("data.target.positive", "a binary target over a numeric column needs a rule", `such as positive: "> 0"`)
		return
	}
	r, err := ParsePositiveRule(t.Positive)
	if err != nil {
		bad("data.target.positive", fmt.Sprintf("rule %q: %v", t.Positive, err), "")
		return
	}
	// Both ends alike and no interior point singled out: one class would be empty.
	if r.Match(c.Min) == r.Match(c.Max) && !(r.Value > c.Min && r.Value < c.Max) {
		bad("data.target.positive", fmt.Sprintf("rule %q makes one class of everything from %v to %v", t.Positive, c.Min, c.Max), "")
	}
}
