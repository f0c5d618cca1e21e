package plan

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Shape returns the shape of one example, as nn.Spec has it: [features] of a
// table, [height, width, channels] of an image, [length] ids of a text and
// [length, features] of a series.
func (s *Schema) Shape() []int {
	switch s.Kind {
	case KindImages:
		return []int{s.Image.Height, s.Image.Width, s.Image.Channels}
	case KindText:
		return []int{s.Text.Length}
	case KindSeries:
		return []int{s.Series.Length, s.RowWidth()}
	}
	return []int{s.RowWidth()}
}

// Width returns the number of values of one example: the product of Shape.
func (s *Schema) Width() int {
	width := 1
	for _, n := range s.Shape() {
		width *= n
	}
	return width
}

// RowWidth returns the number of features of one row of a table or a series, 0
// for other kinds. It allocates nothing.
func (s *Schema) RowWidth() int {
	if s.Kind == KindImages || s.Kind == KindText {
		return 0
	}
	width := 0
	for i := range s.Columns {
		width += s.columnFeatures(&s.Columns[i])
	}
	return width
}

// LabelsPerExample returns how many labels one example has: the length of a text,
// else 1.
func (s *Schema) LabelsPerExample() int {
	if s.Kind == KindText {
		return s.Text.Length
	}
	return 1
}

// TargetsPerExample returns how many targets one example has: 1 for a Number
// target, 2 for a Survival target (time, event), 0 where there are labels.
func (s *Schema) TargetsPerExample() int {
	switch s.Target.Type {
	case Number:
		return 1
	case Survival:
		return 2
	}
	return 0
}

// Labelled reports whether examples have labels, so that answers are right or
// wrong.
func (s *Schema) Labelled() bool { return s.TargetsPerExample() == 0 }

// Classes returns the names of the classes, in label order: a Class target's
// values, an image's classes, the characters of a text's alphabet; nil where the
// target is none of these.
func (s *Schema) Classes() []string {
	switch s.Kind {
	case KindImages:
		return s.ClassNames
	case KindText:
		names := make([]string, 0, len(s.Text.Alphabet))
		for _, r := range s.Text.Alphabet {
			names = append(names, string(r))
		}
		return names
	}
	i := s.TargetIndex()
	if s.Target.Type != Class || i < 0 {
		return nil
	}
	return s.Columns[i].Values
}

// Outputs returns how many values the model gives for each label or target: one
// for each class, else 1.
func (s *Schema) Outputs() int {
	switch {
	case s.Kind == KindText:
		return s.Text.Size()
	case s.Kind == KindImages, s.Target.Type == Class:
		return len(s.Classes())
	}
	return 1
}

// Size returns the number of characters of the alphabet.
func (t *Text) Size() int { return utf8.RuneCountInString(t.Alphabet) }

// IDs returns the id of each character of the alphabet: its position.
func (t *Text) IDs() map[rune]int32 {
	ids := make(map[rune]int32, len(t.Alphabet))
	for _, r := range t.Alphabet {
		ids[r] = int32(len(ids))
	}
	return ids
}

// StatWidth returns how many features statistics and a [Standardisation] have:
// the last axis of Shape, that is the features of a table or a series and the
// channels of an image; 0 for text. Each example counts once in a feature: with
// the mean over its positions (pixels, rows) of u, and of u².
func (s *Schema) StatWidth() int {
	switch s.Kind {
	case KindText:
		return 0
	case KindImages:
		return s.Image.Channels
	}
	return s.RowWidth()
}

// StatNames returns the names of the features that StatWidth counts.
func (s *Schema) StatNames() []string {
	switch s.Kind {
	case KindText:
		return nil
	case KindImages:
		names := make([]string, s.Image.Channels)
		for c := range names {
			names[c] = "channel " + strconv.Itoa(c)
		}
		return names
	}
	features := s.Features()
	names := make([]string, len(features))
	for i, f := range features {
		names[i] = f.Name
	}
	return names
}

// FeatureName returns the name of value i of an example: a feature of a table,
// "pixel[y,x,c]", "character[t]" or "row[t].feature" ; "" outside 0 … Width−1.
// Where many names of a table or a series are wanted, [Schema.FeatureNames] is
// faster.
func (s *Schema) FeatureName(i int) string {
	if i < 0 || i >= s.Width() {
		return ""
	}
	switch s.Kind {
	case KindImages:
		c, w := s.Image.Channels, s.Image.Width
		return fmt.Sprintf("pixel[%d,%d,%d]", i/(c*w), i/c%w, i%c)
	case KindText:
		return fmt.Sprintf("character[%d]", i)
	case KindSeries:
		features := s.Features()
		return seriesName(i/len(features), features[i%len(features)].Name)
	}
	return s.Features()[i].Name
}

func seriesName(row int, feature string) string { return fmt.Sprintf("row[%d].%s", row, feature) }

// FeatureNames returns [Schema.FeatureName] of every value of an example: a string
// a pixel.
func (s *Schema) FeatureNames() []string {
	switch s.Kind {
	case KindImages, KindText:
		names := make([]string, s.Width())
		for i := range names {
			names[i] = s.FeatureName(i)
		}
		return names
	case KindSeries:
		var names []string
		features := s.StatNames()
		for t := range s.Series.Length {
			for _, f := range features {
				names = append(names, seriesName(t, f))
			}
		}
		return names
	}
	return s.StatNames()
}

// TimeIndex returns the position in Columns of the timestamp column that orders a
// series, or −1: the rows are in file order.
func (s *Schema) TimeIndex() int {
	if s.Kind != KindSeries {
		return -1
	}
	return slices.IndexFunc(s.Columns, func(c Column) bool { return c.Type == Timestamp && !c.Unused })
}

// EventIndex returns the position in Columns of a Survival target's event, or −1.
func (s *Schema) EventIndex() int {
	if s.Target.Type != Survival {
		return -1
	}
	return slices.IndexFunc(s.Columns, func(c Column) bool { return c.Name == s.Target.Event })
}
