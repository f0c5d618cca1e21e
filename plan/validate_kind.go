package plan

import (
	"fmt"
	"unicode/utf8"
)

// checkKind reports what is wrong with the data of the plan's kind; sound says
// whether every field of it is in range.
func (p *Plan) checkKind(sound bool, bad func(key, message, hint string)) {
	note := func(key, message, hint string) {
		sound = false
		bad(key, message, hint)
	}
	s := &p.Data.Schema
	switch s.Kind {
	case KindImages:
		s.checkImages(note)
	case KindText:
		p.checkTextKind(note)
	default:
		s.checkColumns(note)
		if sound {
			s.checkTarget(note)
		}
		if sound && s.Kind == KindSeries {
			s.checkSeries(note)
		}
	}
}

func (s *Schema) checkImages(bad func(key, message, hint string)) {
	if s.Image == (Image{}) {
		bad("data.image", "images need their size", "image: {height: 28, width: 28, channels: 1}")
	}
	if n := float64(s.Image.Height) * float64(s.Image.Width) * float64(s.Image.Channels); n > MaxInputs {
		bad("data.image", fmt.Sprintf("an image of %d × %d × %d has more than %d values", s.Image.Height, s.Image.Width, s.Image.Channels, MaxInputs), "")
	}
	if t := s.Target.Type; t != Class {
		bad("data.target.type", fmt.Sprintf("images are learned by their class; the target is %s", t), "type: class, or leave the target out")
	}
	if n := len(s.ClassNames); n < 2 || n > MaxValues {
		bad("data.classes", fmt.Sprintf("data.classes has %d, want 2 to %d", n, MaxValues), "list every class, in label order: classes: [cat, dog]")
	}
	seen := map[string]bool{}
	for i, c := range s.ClassNames {
		key := fmt.Sprintf("data.classes[%d]", i)
		if err := checkText(c); err != nil {
			bad(key, fmt.Sprintf("class %q: %v", c, err), "")
		} else if seen[c] {
			bad(key, fmt.Sprintf("class %q is listed twice", c), "")
		}
		seen[c] = true
	}
}

func (p *Plan) checkTextKind(bad func(key, message, hint string)) {
	t := &p.Data.Text
	if !utf8.ValidString(t.Alphabet) {
		bad("data.text.alphabet", "the alphabet is not UTF-8", "")
		return
	}
	switch n := t.Size(); {
	case n == 0:
		bad("data.text.alphabet", "text needs its alphabet: every character that it may have", `alphabet: "\n abcdefghijklmnopqrstuvwxyz"`)
	case n < 2 || n > MaxAlphabet:
		bad("data.text.alphabet", fmt.Sprintf("the alphabet has %d of them, want 2 to %d characters", n, MaxAlphabet), "")
	}
	seen := map[rune]bool{}
	for _, r := range t.Alphabet {
		if r == utf8.RuneError || seen[r] {
			message := fmt.Sprintf("the alphabet has %q twice", r)
			if r == utf8.RuneError {
				message = fmt.Sprintf("%q stands for bytes that are no character, so it cannot be one", r)
			}
			bad("data.text.alphabet", message, "")
			break
		}
		seen[r] = true
	}
	if p.Data.Standardise != None {
		bad("data.standardise", fmt.Sprintf("text is ids of characters, which have no mean to standardise by; standardise is %s", p.Data.Standardise), "standardise: none, or leave it out")
	}
}

// checkSeries reports what a series cannot have; columns and target are sound.
func (s *Schema) checkSeries(bad func(key, message, hint string)) {
	times := 0
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Unused || c.Type == Numeric {
			continue
		}
		at := fmt.Sprintf("data.columns[%d]", i)
		if c.Type != Timestamp {
			bad(at+".type", fmt.Sprintf("column %q is %s; the columns of a series are numeric, or the timestamp that orders it", c.Name, c.Type), "use: false")
		} else if times++; times > 1 {
			bad(at, fmt.Sprintf("column %q is a second timestamp, and one orders the rows", c.Name), "use: false")
		}
	}
	if t := s.Target.Type; t != Number {
		bad("data.target.type", fmt.Sprintf("a series predicts a number; the target is %s", t), "type: number")
	}
	if n := float64(s.Series.Length) * float64(s.RowWidth()); n > MaxInputs {
		bad("data.series.length", fmt.Sprintf("%d rows of %d features are more than %d values", s.Series.Length, s.RowWidth(), MaxInputs), "")
	}
}
