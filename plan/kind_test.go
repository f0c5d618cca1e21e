package plan

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func spell(v any) string { return fmt.Sprint(v) }

// roundTrip checks that both encodings of p read back to p.
func roundTrip(t testing.TB, p *Plan) {
	t.Helper()
	q, err := ParseCanonical(p.Canonical())
	if err != nil || !bytes.Equal(q.Canonical(), p.Canonical()) || q.Hash() != p.Hash() {
		t.Errorf("canonical bytes read back: %v", err)
	}
	q, err = Parse([]byte(p.YAML()), "rendered.yaml")
	if err != nil || q.Hash() != p.Hash() || q.YAML() != p.YAML() {
		t.Errorf("commented YAML reads back: %v\n%s", err, p.YAML())
	}
}

func TestKinds(t *testing.T) {
	table := edit(t, minimal, "    - {name: ill", `    - {name: seen, type: timestamp, min: 2000-01-01, max: "2020-01-01 12:00:00", parts: [month, weekday]}
    - {name: note, type: text, buckets: 2}
    - {name: ill`)
	for _, c := range []struct {
		name, src                string
		shape, names, stat       string
		labels, targets, outputs int
		classes                  string
		standardise              string
	}{
		{"table", table, "[8]",
			"age seen seen.month.sin seen.month.cos seen.weekday.sin seen.weekday.cos note#0 note#1", "",
			1, 0, 1, "[]", Federated},
		{"images", imagesPlan, "[8 12 3]", "pixel[0,0,0] pixel[0,0,1] pixel[0,0,2] pixel[0,1,0]", "channel 0 channel 1 channel 2", 1, 0, 3, "[cat dog bird]", Federated},
		{"text", textPlan, "[6]", "character[0] character[1] character[2] character[3] character[4] character[5]", "-", 6, 0, 5, "[\n   a b c]", None},
		{"series", seriesPlan, "[4 4]",
			"row[0].date.hour.sin row[0].date.hour.cos", "", 1, 1, 1, "[]", Federated},
		{"survival", survivalPlan, "[1]", "age", "", 1, 2, 1, "[]", Federated},
	} {
		p := mustParse(t, c.src)
		s := &p.Data.Schema
		if got := spell(s.Shape()); got != c.shape {
			t.Errorf("%s: shape %s, want %s", c.name, got, c.shape)
		}
		width := 1
		for _, n := range s.Shape() {
			width *= n
		}
		names := s.FeatureNames()
		if s.Width() != width || len(names) != width {
			t.Errorf("%s: width %d and %d names, want %d", c.name, s.Width(), len(names), width)
		}
		if got := strings.Join(names, " "); c.name != "series" && !strings.HasPrefix(got, c.names) {
			t.Errorf("%s: features %s", c.name, got)
		}
		for i, n := range names {
			if got := s.FeatureName(i); got != n {
				t.Errorf("%s: feature %d is %s, want %s", c.name, i, got, n)
			}
		}
		if s.FeatureName(-1) != "" || s.FeatureName(width) != "" {
			t.Errorf("%s: a feature outside has a name", c.name)
		}
		if len(s.Features()) != s.RowWidth() {
			t.Errorf("%s: %d features, row width %d", c.name, len(s.Features()), s.RowWidth())
		}
		if n := len(s.StatNames()); n != s.StatWidth() {
			t.Errorf("%s: %d statistics, %d names", c.name, s.StatWidth(), n)
		}
		if c.stat != "" {
			if got := strings.Join(s.StatNames(), " "); got != strings.Trim(c.stat, "-") {
				t.Errorf("%s: statistics of %s", c.name, got)
			}
		}
		if s.LabelsPerExample() != c.labels || s.TargetsPerExample() != c.targets || s.Labelled() != (c.targets == 0) || s.Outputs() != c.outputs {
			t.Errorf("%s: %d labels, %d targets, %d outputs", c.name, s.LabelsPerExample(), s.TargetsPerExample(), s.Outputs())
		}
		if got := spell(s.Classes()); got != c.classes {
			t.Errorf("%s: classes %q, want %q", c.name, got, c.classes)
		}
		if p.Data.Standardise != c.standardise {
			t.Errorf("%s: standardise %s", c.name, p.Data.Standardise)
		}
		for _, f := range s.Features() {
			if got := strings.HasSuffix(f.Name, ".cos"); got != f.Cosine || got && f.Part == "" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		roundTrip(t, p)
	}
	s := &mustParse(t, seriesPlan).Data.Schema
	// The target's own past is a feature; the timestamp's position is none.
	if got := strings.Join(s.StatNames(), " "); got != "date.hour.sin date.hour.cos load oil" {
		t.Errorf("a series' features: %s", got)
	}
	if s.TimeIndex() != 0 || (&mustParse(t, minimal).Data.Schema).TimeIndex() != -1 {
		t.Error("the timestamp that orders a series")
	}
	if i := (&mustParse(t, survivalPlan).Data.Schema).EventIndex(); i != 2 {
		t.Errorf("the event is column %d", i)
	}
	ids := (&mustParse(t, textPlan).Data.Text).IDs()
	if len(ids) != 5 || ids['\n'] != 0 || ids['c'] != 4 {
		t.Errorf("ids %v", ids)
	}
	if p := mustParse(t, textPlan); p.Data.Text.Stride != 6 || p.Data.Target.Type != Next {
		t.Errorf("text's defaults: %+v", p.Data)
	}
}

// A series' and an image's values are standardised by the features of their last
// axis.
func TestStandardisePositions(t *testing.T) {
	s := &Standardisation{Mean: []float64{0, 0.5}, Std: []float64{1 - Epsilon, 0.25 - Epsilon}}
	got := make([]float32, 6)
	s.Apply(got, []float64{0.5, 0.75, 1, 0.25, 0, 0.5})
	if !slices.Equal(got, []float32{0.5, 1, 1, -1, 0, 0}) {
		t.Errorf("got %v", got)
	}
}

func TestSegmentsOfKinds(t *testing.T) {
	text := mustParse(t, textPlan, "data.max_examples=100")
	for task, want := range map[Task]string{
		Statistics: "",
		Train:      fmt.Sprintf("update:%d weight:1 metrics.loss:1 metrics.examples:1 metrics.correct:1 counts.clamped_update:1 counts.clamped_loss:1", text.NumParams()),
		Evaluate:   "metrics.loss:1 metrics.examples:1 metrics.correct:1 counts.clamped_loss:1",
	} {
		var got []string
		for _, s := range text.Segments(task) {
			if s.Length > 0 {
				got = append(got, fmt.Sprintf("%s:%d", s.Name, s.Length))
			}
			bound := map[string]float64{SegLoss: 600 * 16, SegExamples: 600, SegCorrect: 600, SegClampedLoss: 600}[s.Name]
			if bound != 0 && s.Bound != bound {
				t.Errorf("%s: bound %v, want %v: six labels an example", s.Name, s.Bound, bound)
			}
		}
		if spell := strings.Join(got, " "); spell != want {
			t.Errorf("%v: %s, want %s", task, spell, want)
		}
	}
	for src, want := range map[string]int{imagesPlan: 3, seriesPlan: 4, survivalPlan: 1} {
		p := mustParse(t, src)
		if s := p.Segments(Statistics); len(s) != 3 || s[0].Length != want || s[2].Length != want || s[0].Bound != 10000 {
			t.Errorf("statistics %v, want 3 of length %d", s, want)
		}
	}
	for _, s := range mustParse(t, survivalPlan).Segments(Evaluate) {
		if s.Name == SegCorrect {
			t.Error("a time of survival is right or wrong")
		}
	}
}

func TestTimestamps(t *testing.T) {
	for s, want := range map[string]string{
		"2016-07-01":                "2016-07-01T00:00:00Z",
		"2016-07-01 13:05:06":       "2016-07-01T13:05:06Z",
		"2016-07-01T13:05:06Z":      "2016-07-01T13:05:06Z",
		"2016-07-01T13:05:06+02:00": "2016-07-01T11:05:06Z",
	} {
		if got, ok := ParseTime(s); !ok || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v; want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "2016", "01.07.2016", "2016-13-01", "2016-02-30", "2016-07-01 25:00:00", "0000-01-01", "1467331200"} {
		if got, ok := ParseTime(s); ok {
			t.Errorf("%q is %v", s, got)
		}
	}
	c := Column{Type: Timestamp, Min: Seconds(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), Max: Seconds(time.Date(2000, 1, 11, 0, 0, 0, 0, time.UTC))}
	half, _ := ParseTime("2000-01-06")
	if u, ok := c.Unit(Seconds(half)); u != 0.5 || !ok {
		t.Errorf("the middle is at %v, %v", u, ok)
	}
	if _, ok := c.Unit(c.Max + 1); ok {
		t.Error("a second too late is inside")
	}
	// A Monday in January at midnight is 0 of every part; the clock is the writer's.
	monday, _ := ParseTime("2024-01-01T00:30:00+09:00")
	for _, part := range partNames() {
		if s, c := PartUnit(part, false, monday), PartUnit(part, true, monday); s != 0.5 || c != 1 {
			t.Errorf("%s: %v, %v, want 0.5, 1", part, s, c)
		}
	}
	for i, want := range []struct {
		at, part string
		sin, cos float64
	}{
		{"2024-01-01 06:59:59", Hour, 1, 0.5}, {"2024-01-01 12:00:00", Hour, 0.5, 0}, {"2024-01-01 18:00:00", Hour, 0, 0.5},
		{"2024-04-01", Month, 1, 0.5}, {"2024-07-31", Month, 0.5, 0},
		{"2024-01-07", Weekday, (1 + math.Sin(12*math.Pi/7)) / 2, (1 + math.Cos(12*math.Pi/7)) / 2},
	} {
		at, _ := ParseTime(want.at)
		if s, c := PartUnit(want.part, false, at), PartUnit(want.part, true, at); math.Abs(s-want.sin) > 1e-12 || math.Abs(c-want.cos) > 1e-12 {
			t.Errorf("%d: %s of %s: %v, %v; want %v, %v", i, want.part, want.at, s, c, want.sin, want.cos)
		}
	}
	for _, part := range partNames() {
		for h := range 24 * 400 {
			at := monday.Add(time.Duration(h) * time.Hour)
			for _, cosine := range []bool{false, true} {
				if u := PartUnit(part, cosine, at); !(u >= 0 && u <= 1) {
					t.Fatalf("%s at %v: %v", part, at, u)
				}
			}
		}
	}
}

func TestWords(t *testing.T) {
	if got := strings.Join(slices.Collect(Words(" Chest-pain, SINCE 3 days; Ärztin …")), "|"); got != "chest|pain|since|3|days|ärztin" {
		t.Errorf("words %s", got)
	}
	// FNV-1a of 32 bits (http://www.isthe.com/chongo/tech/comp/fnv/): "a" is
	// 0xe40c292c, "foobar" is 0xbf9cf968.
	if a, f := Bucket("a", 1<<16), Bucket("foobar", 1000); a != 0x292c || f != 0xbf9cf968%1000 {
		t.Errorf("buckets %x and %d", a, f)
	}
}

// An old plan's bytes have revision-1 fields only, and a plan that revision 1 cannot
// mean has a later one, so that an older reader refuses it by name.
func TestRevisions(t *testing.T) {
	greatest := func(p *Plan) (most uint8) {
		b := p.Canonical()[len(magic):]
		for len(b) > 0 {
			most = max(most, b[2])
			n := int(b[3])<<24 | int(b[4])<<16 | int(b[5])<<8 | int(b[6])
			b = b[7+n:]
		}
		return most
	}
	for _, c := range []struct {
		src  string
		set  []string
		want uint8
	}{
		{minimal, nil, 1},
		{minimal, []string{"model.family=mlp", "model.hidden=[3]", "model.activation=sigmoid", "training.optimizer=adam"}, 1},
		{minimal, []string{"data.kind=table", "training.beta1=0.9", "training.schedule.kind=constant"}, 1},
		{minimal, []string{"model.family=mlp", "model.hidden=[3]", "model.activation=gelu"}, 2},
		{minimal, []string{"training.optimizer=adagrad"}, 2},
		{minimal, []string{"training.weight_decay=0.1"}, 2},
		{minimal, []string{"data.source=ward"}, 2},
		{survivalPlan, nil, 2}, {imagesPlan, nil, 2}, {textPlan, nil, 2}, {seriesPlan, nil, 2},
	} {
		if got := greatest(mustParse(t, c.src, c.set...)); got != c.want {
			t.Errorf("%v: revision %d, want %d", c.set, got, c.want)
		}
	}
	timestamp := edit(t, minimal, "type: numeric, min: 0, max: 120", "type: timestamp, min: 2000-01-01, max: 2001-01-01")
	column := mustParse(t, timestamp).Canonical()
	if !bytes.Contains(column, record(2, 2, []byte(Timestamp))) {
		t.Error("a timestamp column does not say that it is new")
	}
}
