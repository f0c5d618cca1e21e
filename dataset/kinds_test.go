package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tacit/plan"
)

func letterPlan(length, stride int, holdout float64, unknown string) *plan.Plan {
	p := plan.Default()
	p.Name = "letters"
	p.Data.Kind = plan.KindText
	p.Data.Text = plan.Text{Alphabet: "abc\nö", Length: length, Stride: stride, Unknown: unknown}
	p.Data.Target.Type = plan.Next
	p.Evaluation.Holdout = holdout
	return p
}

func seriesPlan(length, horizon, stride int, holdout float64) *plan.Plan {
	p := plan.Default()
	p.Name = "hours"
	p.Data.Kind = plan.KindSeries
	p.Data.Header = true
	p.Data.Columns = []plan.Column{
		{Name: "date", Type: plan.Timestamp, Min: 0, Max: 86400 * 365, Parts: []string{plan.Hour}},
		{Name: "load", Type: plan.Numeric, Min: 0, Max: 1000},
		{Name: "heat", Type: plan.Numeric, Min: -1000, Max: 0},
	}
	p.Data.Target = plan.Target{Column: "load", Type: plan.Number}
	p.Data.Series = plan.Series{Length: length, Horizon: horizon, Stride: stride}
	p.Evaluation.Holdout = holdout
	return p
}

// hours is n rows, an hour each, of load i and heat −i.
func hours(n int) string {
	var b strings.Builder
	b.WriteString("date,load,heat\n")
	for i := range n {
		fmt.Fprintf(&b, "1970-01-%02d %02d:00:00,%d,%d\n", 1+i/24, i%24, i, -i)
	}
	return b.String()
}

func TestText(t *testing.T) {
	const letters = "abcab\ncabö"
	path := filepath.Join(folderOf(t, map[string][]byte{"a.txt": []byte(letters), "b.txt.gz": zipped([]byte("\ufeffa-bc!ab\ncabö"))}), "")
	for _, c := range []struct {
		file, unknown string
		memory        int64
	}{{"a.txt", plan.UnknownError, 0}, {"b.txt.gz", plan.UnknownSkip, 0}, {"a.txt", plan.UnknownError, 1}, {"b.txt.gz", plan.UnknownSkip, 1}} {
		d, err := Load(letterPlan(3, 2, 0, c.unknown), Source{Path: filepath.Join(path, c.file), Memory: c.memory})
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		all := rowsOf(d.Train)
		wantX := []float64{0, 1, 2, 2, 0, 1, 1, 3, 2, 2, 0, 1}
		wantY := []int32{1, 2, 0, 0, 1, 3, 3, 2, 0, 0, 1, 4}
		if !slices.Equal(all.u, wantX) || !slices.Equal(all.labels, wantY) || d.Rows != 10 || d.Train.Streamed() != (c.memory > 0) {
			t.Errorf("%s in %d bytes: %v → %v of %d characters", c.file, c.memory, all.u, all.labels, d.Rows)
		}
		if s := d.Train.Statistics(); len(s.N) != 0 {
			t.Errorf("a text has statistics: %v", s)
		}
		e, err := d.Train.Examples(&plan.Standardisation{})
		if err != nil {
			t.Fatal(err)
		}
		for b, err := range e.Pass(2) {
			if err != nil || b.Len() != 2 || len(b.X) != 6 || len(b.Labels) != 6 {
				t.Errorf("a batch %+v, %v", b, err)
			}
		}
	}
	d, err := readText(letterPlan(3, 1, 0.4, plan.UnknownError), letters, "", "")
	if err != nil || d.Train.Len() != 3 || d.Test.Len() != 1 || !slices.Equal(rowsOf(d.Test).labels, []int32{0, 1, 4}) {
		t.Errorf("the last share: %+v, %v", d, err)
	}
}

func TestTextRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"character": {"abc\nabx", "t.txt:2: character 3 is not in the plan's alphabet\n        ask for a plan with data.text.unknown: skip, or with a wider alphabet"},
		"bytes":     {"abc\xffabc", "t.txt:1: character 4 is not UTF-8\n        store the text as UTF-8"},
		"short":     {"abc", "t.txt: the text has 3 characters, a window and the one after it are 4"},
		"empty":     {"", "t.txt: the text has 0 characters, a window and the one after it are 4"},
		"many":      {strings.Repeat("abc", 20), "t.txt: more than 10 windows, the most that the plan allows\n        ask the plan's owner to raise data.max_examples"},
	} {
		p := letterPlan(3, 3, 0, plan.UnknownError)
		p.Data.MaxExamples = 10
		if _, err := Read(p, Files{Name: "t.txt", Rows: strings.NewReader(c.text)}); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSeries(t *testing.T) {
	shuffled := strings.Split(strings.TrimSuffix(hours(10), "\n"), "\n")
	slices.Reverse(shuffled[1:])
	dir := folderOf(t, map[string][]byte{"a.csv": []byte(hours(10)), "b.csv.gz": zipped([]byte(strings.Join(shuffled, "\n")))})
	for _, c := range []Source{{Path: "a.csv"}, {Path: "b.csv.gz"}, {Path: "a.csv", Memory: 1}} {
		c.Path = filepath.Join(dir, c.Path)
		d, err := Load(seriesPlan(3, 2, 2, 0), c)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		// Rows 0 … 9; windows of 3 and the row 2 after: they begin at 0, 2, 4.
		if d.Train.Len() != 3 || d.Train.Width() != 12 || d.Rows != 10 || d.Train.Streamed() != (c.Memory > 0) {
			t.Errorf("%+v: %d windows of %d", c, d.Train.Len(), d.Train.Width())
			continue
		}
		all := rowsOf(d.Train)
		for i := range 3 {
			for j := range 3 {
				k := 2*i + j
				row := all.u[i*12+j*4:][:4] // load, heat, date.hour.sin, date.hour.cos
				noon := 2 * math.Pi * float64(k) / 24
				names := fmt.Sprint(seriesPlan(3, 2, 2, 0).Data.StatNames())
				if names != "[date.hour.sin date.hour.cos load heat]" {
					t.Fatalf("features %s", names)
				}
				if row[2] != float64(k)/1000 || row[3] != float64(1000-k)/1000 || math.Abs(row[0]-(1+math.Sin(noon))/2) > 1e-9 || math.Abs(row[1]-(1+math.Cos(noon))/2) > 1e-9 {
					t.Errorf("%+v: row %d of window %d: %v", c, j, i, row)
				}
			}
			if want := float32(float64(2*i+4) / 1000); all.targets[i] != want {
				t.Errorf("%+v: target %v, want %v", c, all.targets[i], want)
			}
		}
		s := d.Train.Statistics()
		want := 0.0
		for i := range 3 {
			want += float64(2*i+2*i+1+2*i+2) / 3000
		}
		if s.N[2] != 3 || !near(s.Sum[2], want) {
			t.Errorf("%+v: statistics %v, want %v", c, s.Sum[2], want)
		}
	}
	_, err := Load(seriesPlan(3, 2, 2, 0), Source{Path: filepath.Join(dir, "b.csv.gz"), Memory: 1})
	if err == nil || !strings.Contains(err.Error(), `column "date": the row is earlier than the one before`) {
		t.Errorf("rows out of order that do not fit: %v", err)
	}
	for _, memory := range []int64{0, 1} {
		d, err := Load(seriesPlan(2, 1, 1, 0.4), Source{Path: filepath.Join(dir, "a.csv"), Memory: memory})
		if err != nil || d.Train.Len() != 4 || d.Test.Len() != 2 || rowsOf(d.Test).targets[0] != 0.008 {
			t.Errorf("the last share in %d bytes: %+v, %v", memory, d, err)
			continue
		}
		a, b, err := d.Train.Split(0.5, 1)
		if err != nil || a.Len() != 1 || b.Len() != 1 || rowsOf(a).targets[0] != 0.002 || rowsOf(b).targets[0] != 0.005 {
			t.Errorf("split in %d bytes: %d and %d windows, %v", memory, a.Len(), b.Len(), err)
		}
	}
	if _, err := readText(seriesPlan(20, 1, 1, 0), hours(20), "", ""); err == nil || err.Error() != "rows.csv: 20 rows are left, a window and what it is told by take 21" {
		t.Errorf("too short: %v", err)
	}
	p := seriesPlan(3, 1, 1, 0)
	p.Data.MaxExamples = 5
	if _, err := readText(p, hours(20), "", ""); err == nil || !strings.Contains(err.Error(), "more than 5 windows") {
		t.Errorf("too many: %v", err)
	}
}

// What a window cursor gives is what windows in memory are, for any shape of them.
func TestWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "elements")
		w := window{length: rapid.IntRange(1, 9).Draw(t, "length"), ahead: rapid.IntRange(1, 5).Draw(t, "ahead"), stride: rapid.IntRange(1, 20).Draw(t, "stride"), to: n}
		if rapid.Bool().Draw(t, "rest") {
			_, w = w.parts(rapid.Float64Range(0, 0.99).Draw(t, "share"))
		}
		p := seriesPlan(w.length, w.ahead, w.stride, 0)
		p.Data.MaxExamples = 1000
		whole := hours(n)
		r, err := readRows(p, "x", newCSV("x", strings.NewReader(whole), ",", true, 3, ""))
		if err != nil {
			t.Fatal(err)
		}
		l := layoutOf(p)
		c := newSeriesCursor(r, &l, w)
		letters := letterPlan(w.length, w.stride, 0, plan.UnknownError)
		tw := w
		tw.ahead = 1
		tc := &textCursor{window: tw, in: newLetters(&letters.Data.Text, "x", strings.NewReader(strings.Repeat("abcab", n/5+1)[:n]))}
		for i := range w.len() {
			var x example
			if err := c.next(&x); err != nil {
				t.Fatal(err)
			}
			for j := range w.length {
				if want := float64(w.start(i)+j) / 1000; x.u[j*4+2] != want {
					t.Fatalf("window %d has %v in place %d, want %v", i, x.u[j*4+2], j, want)
				}
			}
			if want := float32(float64(w.start(i)+w.length-1+w.ahead) / 1000); x.targets[0] != want {
				t.Fatalf("window %d is told by %v, want %v", i, x.targets[0], want)
			}
		}
		for i := range tw.len() {
			var x example
			if err := tc.next(&x); err != nil {
				t.Fatal(err)
			}
			for j := range w.length {
				if k := tw.start(i) + j; x.u[j] != float64("\x00\x01\x02\x00\x01"[k%5]) || x.labels[j] != int32("\x00\x01\x02\x00\x01"[(k+1)%5]) {
					t.Fatalf("window %d: %v → %v", i, x.u, x.labels)
				}
			}
		}
		if err := c.next(new(example)); err != io.EOF {
			t.Fatalf("after the last: %v", err)
		}
		if err := tc.next(new(example)); err != io.EOF {
			t.Fatalf("after the last: %v", err)
		}
	})
}

// Columns of every type, and a target of survival.
func TestColumnTypes(t *testing.T) {
	p := plan.Default()
	p.Data.Header = true
	p.Data.Columns = []plan.Column{
		{Name: "seen", Type: plan.Timestamp, Min: 0, Max: 86400 * 10, Parts: []string{plan.Weekday}},
		{Name: "note", Type: plan.FreeText, Buckets: 8},
		{Name: "days", Type: plan.Numeric, Min: 0, Max: 100},
		{Name: "dead", Type: plan.Categorical, Values: []string{"no", "yes"}},
	}
	p.Data.Target = plan.Target{Column: "days", Type: plan.Survival, Event: "dead", EventValues: []string{"yes"}}
	p.Evaluation.Holdout = 0
	d, err := readText(p, "seen,note,days,dead\n1970-01-06,\"Stable, stable!\",12.5,yes\n1970-01-05T12:00:00Z,worse today,80,no\n", "", "")
	if err != nil {
		t.Fatal(err)
	}
	all := rowsOf(d.Train)
	if !slices.Equal(all.targets, []float32{12.5, 1, 80, 0}) || all.labels != nil || d.Train.Width() != 11 {
		t.Errorf("targets %v, width %d", all.targets, d.Train.Width())
	}
	if all.u[0] != 0.5 || all.u[11] != 0.45 || all.u[12] != 0.5 || all.u[13] != 1 { // a Monday
		t.Errorf("times %v, %v", all.u[:3], all.u[11:14])
	}
	words := func(row []float64) (n float64) {
		for _, u := range row {
			n += u
		}
		return n
	}
	if words(all.u[3:11]) != 1 || all.u[3+plan.Bucket("stable", 8)] != 1 || words(all.u[14:22]) < 1 {
		t.Errorf("words %v, %v", all.u[3:11], all.u[14:22])
	}
	e, _ := d.Train.Examples(nil)
	for b, err := range e.Pass(2) {
		if err != nil || b.Len() != 2 || len(b.Targets) != 4 || b.Labels != nil {
			t.Errorf("a batch %+v, %v", b, err)
		}
	}
	for rows, want := range map[string]string{
		"yesterday,x,1,no\n":       `rows.csv:2: column "seen": the cell is no date or time`,
		"1971-01-01,x,1,no\n":      `rows.csv:2: column "seen": the time is outside the plan's range, 1970-01-01 00:00:00 to 1970-01-11 00:00:00`,
		"1970-01-02,x,1,perhaps\n": `rows.csv:2: column "dead": the value is none of the plan's: no, yes`,
		"1970-01-02,x,NaN,no\n":    `rows.csv:2: column "days": the cell is not a number`,
		"1970-01-02,x,inf,no\n":    `rows.csv:2: column "days": the cell is not a number`,
		"1970-01-02," + strings.Repeat("x", maxRecordBytes) + strings.Repeat("y", 1<<17) + ",1,no\n": "rows.csv: a record is longer than 1 MiB",
	} {
		if _, err := readText(p, "seen,note,days,dead\n"+rows, "", ""); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40s: %v", rows, err)
		}
	}
	p.Data.Columns[3] = plan.Column{Name: "dead", Type: plan.Numeric, Min: 0, Max: 1}
	p.Data.Target.EventValues = nil
	if _, err := readText(p, "seen,note,days,dead\n1970-01-02,x,1,0.5\n", "", ""); err == nil || !strings.Contains(err.Error(), "the event is neither 0 nor 1") {
		t.Errorf("half an event: %v", err)
	}
}

// Rows as NumPy arrays, with the target among the columns or in a file of its own.
func TestNPYTable(t *testing.T) {
	p := parsePlan(t, people, "data.header=false")
	p.Data.Columns = []plan.Column{{Name: "age", Type: plan.Numeric, Min: 0, Max: 100}, {Name: "town", Type: plan.Categorical, Values: []string{"1", "2"}}, {Name: "ill", Type: plan.Categorical, Values: []string{"0", "1"}}}
	p.Data.Target = plan.Target{Column: "ill", Type: plan.Class}
	floats := func(v ...float32) (b []byte) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(x))
		}
		return b
	}
	dir := folderOf(t, map[string][]byte{
		"whole.npy":    npyBytesOf(1, ">f4", "(2, 3)", floats(50, 1, 0, 100, 2, 1)),
		"features.npy": npyBytesOf(1, ">f4", "(2, 2)", floats(50, 1, 100, 2)),
		"labels.npy":   npyBytesOf(1, "|i1", "(2,)", []byte{0, 1}),
		"nan.npy":      npyBytesOf(1, ">f4", "(2, 3)", floats(50, 1, 0, float32(math.NaN()), 2, 1)),
		"short.npy":    npyBytesOf(1, ">f4", "(2, 3)", floats(50, 1, 0, 100, 2)),
		"shortz.npy":   zipped(npyBytesOf(1, ">f4", "(2, 3)", floats(50, 1, 0, 100, 2))),
		"long.npy.gz":  zipped(npyBytesOf(1, ">f4", "(2, 3)", floats(50, 1, 0, 100, 2, 1, 9))),
		"huge.npy":     npyBytesOf(1, ">f4", "(2000000000, 3)", floats(50, 1, 0)),
		"wide.npy":     npyBytesOf(1, ">f4", "(1, 4)", floats(50, 1, 0, 2)),
		"text.npy":     npyBytesOf(1, "<U5", "(1, 3)", nil),
		"fortran.npy":  bytes.Replace(npyBytesOf(1, ">f4", "(2, 3)", floats(50, 1, 0, 100, 2, 1)), []byte("False"), []byte("True "), 1),
	})
	for _, name := range []string{"whole.npy", "features.npy"} {
		for _, memory := range []int64{0, 1} {
			d, err := Load(p, Source{Path: filepath.Join(dir, name), Memory: memory})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			all := rowsOf(d.Train)
			if !slices.Equal(all.u, []float64{0.5, 1, 0, 1, 0, 1}) || !slices.Equal(all.labels, []int32{0, 1}) {
				t.Errorf("%s: %v, %v", name, all.u, all.labels)
			}
		}
	}
	for name, want := range map[string]string{
		"nan.npy":     `:2: column "age": the value is not finite`,
		"short.npy":   ": the file holds 20 bytes of data, its header promises 24",
		"shortz.npy":  ": the file ends too early",
		"long.npy.gz": ": bytes stand behind the data that the header promises",
		"huge.npy":    ": the file holds 12 bytes of data, its header promises 24000000000",
		"wide.npy":    ": the array has 4 columns, the plan's schema has 3 here (age, town, ill)",
		"text.npy":    ": the type of the elements is not one of u1 to u8, i1 to i8, f4, f8",
		"fortran.npy": ": the array is in Fortran order",
	} {
		path := filepath.Join(dir, name)
		_, err := Load(p, Source{Path: path})
		var typed *Error
		if !errors.As(err, &typed) || !strings.HasPrefix(err.Error(), path+want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSourceRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		src  Source
		want string
	}{
		"nothing":         {Source{}, "dataset: no path"},
		"format":          {Source{Format: "xlsx", Path: "x"}, "dataset: format is \"xlsx\", want one of csv, idx, npy, images, text, parquet, postgres, mysql"},
		"query of a file": {Source{Path: "x", Query: "SELECT 1"}, "dataset: a query and a dsn need format: postgres or mysql"},
		"no query":        {Source{Format: "postgres", DSN: "env:X"}, "dataset: postgres needs a query, and a dsn that says where the connection string is: env:NAME or file:PATH"},
		"two tests":       {Source{Path: "x", Split: "s", Test: "t"}, "dataset: a split file and a test file say the same twice"},
		"password":        {Source{Format: "postgres", Query: "SELECT 1", DSN: "postgres://u:secret@h/d"}, "dataset: dsn says where the connection string is: env:NAME or file:PATH (not shown: it may hold a password)"},
		"kind":            {Source{Path: "x.npz", Format: "text"}, "x.npz: the plan is about table, which format text does not hold\n        formats of table: csv, npy, parquet, postgres, mysql"},
	} {
		_, err := Load(parsePlan(t, people), c.src)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := letterPlan(3, 3, 0, plan.UnknownError)
	if _, err := Read(p, Files{Name: "a", Rows: strings.NewReader("abc"), SplitName: "s", Split: strings.NewReader("")}); err == nil || !strings.Contains(err.Error(), "a split file divides the rows of a table") {
		t.Errorf("a split of a text: %v", err)
	}
}

// ETT's first transformer, as published.
func TestETT(t *testing.T) {
	dir := dataFolder(t, "ett")
	p := plan.Default()
	p.Data.Kind, p.Data.Header, p.Data.MaxExamples = plan.KindSeries, true, 20000
	start, _ := plan.ParseTime("2016-01-01")
	end, _ := plan.ParseTime("2019-01-01")
	p.Data.Columns = []plan.Column{{Name: "date", Type: plan.Timestamp, Min: plan.Seconds(start), Max: plan.Seconds(end), Parts: []string{plan.Hour}}}
	for _, name := range []string{"HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"} {
		p.Data.Columns = append(p.Data.Columns, plan.Column{Name: name, Type: plan.Numeric, Min: -100, Max: 100})
	}
	p.Data.Target = plan.Target{Column: "OT", Type: plan.Number}
	p.Data.Series = plan.Series{Length: 24, Horizon: 1, Stride: 1}
	p.Evaluation.Holdout = 0.2
	d, err := Load(p, Source{Path: filepath.Join(dir, "ETTh1.csv.gz")})
	if err != nil {
		t.Fatal(err)
	}
	if d.Rows != 17420 || d.Train.Len() != 17420-3484-24 || d.Test.Len() != 3484-24 || d.Train.Width() != 24*9 {
		t.Errorf("%d rows, %d and %d windows of %d", d.Rows, d.Train.Len(), d.Test.Len(), d.Train.Width())
	}
	streamed, err := Load(p, Source{Path: filepath.Join(dir, "ETTh1.csv.gz"), Memory: 1 << 18})
	if err != nil || !streamed.Test.Streamed() {
		t.Fatalf("in 256 KiB: %v", err)
	}
	a, b := rowsOf(d.Test), rowsOf(streamed.Test)
	if !slices.Equal(a.u, b.u) || !slices.Equal(a.targets, b.targets) {
		t.Error("windows of a stream are not those in memory")
	}
}

func TestShakespeare(t *testing.T) {
	dir := dataFolder(t, "tiny-shakespeare")
	p := plan.Default()
	p.Data.Kind, p.Data.MaxExamples = plan.KindText, 50000
	p.Data.Target.Type = plan.Next
	p.Data.Text = plan.Text{Alphabet: "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", Length: 64, Stride: 64, Unknown: plan.UnknownError}
	p.Evaluation.Holdout = 0.1
	d, err := Load(p, Source{Path: filepath.Join(dir, "input.txt.gz")})
	if err != nil || d.Rows != 1115394 || d.Train.Len() != (1115394-111539-65)/64+1 || p.Data.Text.Size() != 65 {
		t.Errorf("%+v, %v", d, err)
	}
}

func FuzzLetters(f *testing.F) {
	f.Add([]byte("abcab\ncabö"), uint8(3), uint8(2))
	f.Add([]byte("\xef\xbb\xbfabc\xff"), uint8(1), uint8(9))
	f.Fuzz(func(t *testing.T, b []byte, length, stride uint8) {
		p := letterPlan(int(length%32)+1, int(stride%32)+1, 0, plan.UnknownSkip)
		d, err := Read(p, Files{Name: "x", Rows: bytes.NewReader(b)})
		if err != nil {
			return
		}
		if d.Rows > utf8.RuneCount(b) || !utf8.Valid(b) && b[0] != 0x1f {
			t.Errorf("%d characters of %d", d.Rows, utf8.RuneCount(b))
		}
		all := rowsOf(d.Train)
		for i, u := range all.u {
			if u < 0 || u > 4 || all.labels[i] < 0 || all.labels[i] > 4 {
				t.Errorf("id %v, label %d", u, all.labels[i])
			}
		}
	})
}

func FuzzSeries(f *testing.F) {
	f.Add([]byte(hours(9)), uint8(3), uint8(1), uint8(1))
	f.Add([]byte("date,load,heat\n1970-01-01,1,-1\n1970-01-01,,-1\n"), uint8(1), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, length, horizon, stride uint8) {
		p := seriesPlan(int(length%16)+1, int(horizon%16)+1, int(stride%16)+1, 0.3)
		p.Data.OnMissing = plan.MissingDropRow
		d, err := Read(p, Files{Name: "x", Rows: bytes.NewReader(b)})
		if err != nil {
			return
		}
		for _, table := range []*Table{d.Train, d.Test} {
			all := rowsOf(table)
			if len(all.u) != table.Len()*table.Width() || len(all.targets) != table.Len() {
				t.Errorf("%d windows of %d have %d values", table.Len(), table.Width(), len(all.u))
			}
		}
	})
}
