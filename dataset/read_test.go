package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tacit/plan"
	heartdisease "tacit/testdata/heart-disease"
)

const people = `tacit: plan/v1
name: people
data:
  header: true
  max_examples: 10
  columns:
    - {name: age, type: numeric, min: 0, max: 100}
    - {name: town, type: categorical, values: [A, B, 3], drop_first: true}
    - {name: note, use: false}
    - {name: ill, type: categorical, values: [no, yes]}
  target: {column: ill, type: binary, positive_values: [yes]}
model: {family: logreg}
training: {batch: 2}
evaluation: {holdout: 0}
`

func parsePlan(t testing.TB, src string, set ...string) *plan.Plan {
	t.Helper()
	p, err := plan.Parse([]byte(src), "plan.yaml", set...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func readText(p *plan.Plan, rows, split, center string) (*Data, error) {
	f := Files{Name: "rows.csv", Rows: strings.NewReader(rows), SplitName: "split.csv", Center: center}
	if split != "" {
		f.Split = strings.NewReader(split)
	}
	return Read(p, f)
}

const goodRows = "age,town,note,ill\n50,A,x,yes\n100,B,\"a, b\",no\n0,3.0,,yes\n"

func TestRead(t *testing.T) {
	for name, rows := range map[string]string{
		"as written":       goodRows,
		"another order":    "ill,note,age,town\nyes,x,50,A\nno,,100,B\nyes,,0,3\n",
		"mark and CRLF":    "\ufeff" + strings.ReplaceAll(goodRows, "\n", "\r\n"),
		"space and quotes": "age, town ,note,ill\n 50 ,\"A\",x, yes\n1e2, B,,no\n-0, 3,,yes\n",
	} {
		d, err := readText(parsePlan(t, people), rows, "", "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// age, town=B, town=3
		if want := []float64{0.5, 0, 0, 1, 1, 0, 0, 0, 1}; !slices.Equal(rowsOf(d.Train).u, want) || !slices.Equal(rowsOf(d.Train).labels, []int32{1, 0, 1}) || d.Rows != 3 {
			t.Errorf("%s: rows %v, labels %v", name, rowsOf(d.Train).u, rowsOf(d.Train).labels)
		}
	}
}

func TestReadTargets(t *testing.T) {
	class := strings.Replace(people, "type: binary, positive_values: [yes]", "type: class", 1)
	d, err := readText(parsePlan(t, class), goodRows, "", "")
	if err != nil || !slices.Equal(rowsOf(d.Train).labels, []int32{1, 0, 1}) || rowsOf(d.Train).targets != nil {
		t.Errorf("class: %+v, %v", d, err)
	}
	number := strings.NewReplacer("column: ill, type: binary, positive_values: [yes]", "column: age, type: number", "logreg", "linear").Replace(people)
	d, err = readText(parsePlan(t, number), goodRows, "", "")
	if err != nil || !slices.Equal(rowsOf(d.Train).targets, []float32{0.5, 1, 0}) || rowsOf(d.Train).labels != nil || d.Train.Width() != 4 {
		t.Errorf("number: %+v, %v", d, err)
	}
}

func TestReadMissing(t *testing.T) {
	rows := goodRows + "?,A,x,no\n7,NA,,yes\n8,A,,\n"
	_, err := readText(parsePlan(t, people), rows, "", "")
	want := `rows.csv:5: column "age": the cell has no value
        fill it in, or ask for a plan with on_missing: drop_row
rows.csv:6: column "town": the cell has no value
        fill it in, or ask for a plan with on_missing: drop_row
rows.csv:7: column "ill": the cell has no value
        fill it in, or ask for a plan with on_missing: drop_row`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	d, err := readText(parsePlan(t, people, "data.on_missing=drop_row"), rows, "", "")
	if err != nil || d.Train.Len() != 3 || d.Dropped != 3 || d.Rows != 6 {
		t.Errorf("dropped: %+v, %v", d, err)
	}
}

// Values that no error may repeat.
const canary = "31337"

func TestReadRefuses(t *testing.T) {
	const head = "age,town,note,ill\n"
	for _, c := range []struct{ name, rows, want string }{
		{"outside", head + canary + ",A,,yes\n", `rows.csv:2: column "age": the value is outside the plan's range, 0 to 100
        correct the cell, or ask for a plan with a wider range`},
		{"not a number", head + "x" + canary + ",A,,yes\n", `rows.csv:2: column "age": the cell is not a number
        correct the cell; if it means that there is no value, the plan can list it in data.missing`},
		{"value", head + "1," + canary + ",,yes\n", `rows.csv:2: column "town": the value is none of the plan's: A, B, 3
        correct the cell, or ask for a plan that lists it`},
		{"two in one row", head + "1,A,,yes\n" + canary + ",A,," + canary + "\n", `rows.csv:3: column "age": the value is outside the plan's range, 0 to 100
        correct the cell, or ask for a plan with a wider range
rows.csv:3: column "ill": the value is none of the plan's: no, yes
        correct the cell, or ask for a plan that lists it`},
		{"cells", head + "1,A,yes\n1,A,,yes," + canary + "\n", `rows.csv:2: 3 cells, want 4
        a cell that holds the delimiter must stand in quotes
rows.csv:3: 5 cells, want 4
        a cell that holds the delimiter must stand in quotes`},
		{"columns", "age;town;note;ill\n" + canary + ";A;;yes\n", `rows.csv: the file has 1 columns, the plan's schema has 4 (age, town, note, ill)
        give the agent the file that the plan describes, or check data.delimiter in the plan`},
		{"a row for a header", canary + ",A,,yes\n", `rows.csv: the header lacks 4 of the plan's columns: age, town, note, ill
        give the agent the file that the plan describes; if the first line is a row, the plan needs data.header: false`},
		{"header twice", "age,age," + canary + ",ill\n1,A,,yes\n", `rows.csv: two columns of the header have one name, the second is column 2`},
		{"quotes", head + "1,A,\"x\"" + canary + "\",yes\n", `rows.csv:2: extraneous or missing " in quoted-field
        a cell with quotes is written "like ""this"""`},
		{"line of a cell with breaks", head + "1,A,\"x\ny\",yes\n" + canary + ",A,,yes\n", `rows.csv:4: column "age": the value is outside the plan's range, 0 to 100
        correct the cell, or ask for a plan with a wider range`},
		{"too many", head + strings.Repeat("1,A,,yes\n", 11), `rows.csv: more than 10 rows, the most that the plan allows
        ask the plan's owner to raise data.max_examples`},
		{"empty", "", `rows.csv: no row is left to learn from (0 read, 0 without a value that the plan needs)`},
		{"header only", head, `rows.csv: no row is left to learn from (0 read, 0 without a value that the plan needs)`},
	} {
		d, err := readText(parsePlan(t, people), c.rows, "", "")
		if err == nil || err.Error() != c.want || d != nil {
			t.Errorf("%s: got\n%v\nwant\n%s", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error repeats a row's value", c.name)
		}
		var typed *Error
		if !errors.As(err, &typed) {
			t.Errorf("%s: a %T", c.name, err)
		}
	}
	_, err := readText(parsePlan(t, people, "data.header=false"), goodRows, "", "")
	if want := `rows.csv:1: column "age": the cell is not a number
        correct the cell; if the first line names the columns, the plan needs data.header: true`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a header for a row: got\n%v\nwant\n%s …", err, want)
	}
	_, err = readText(parsePlan(t, people), head+strings.Repeat(canary+",A,,yes\n", 30), "", "")
	if err == nil || !strings.HasSuffix(err.Error(), "\nrows.csv: and 10 more") || strings.Count(err.Error(), "outside") != 20 {
		t.Errorf("30 bad rows: %v", err)
	}
	if _, err := Load(parsePlan(t, people), Source{Path: filepath.Join(t.TempDir(), "none.csv")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	broken := io.MultiReader(strings.NewReader(head), readerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe }))
	if _, err := Read(parsePlan(t, people), Files{Name: "rows.csv", Rows: broken}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a broken disk: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

const splitHead = "center,center_id,row,label,set\n"

func TestSplit(t *testing.T) {
	for name, c := range map[string]struct{ split, center string }{
		"own lines":      {splitHead + "c,0,1,1,train\nc,0,2,0,test\nc,0,3,1,train\n", ""},
		"another order":  {splitHead + "c,0,3,1,train\nc,0,1,1,train\nc,0,2,0,test\n", "c"},
		"several center": {splitHead + "b,0,1,0,test\nc,0,1,1,train\nc,0,2,0,test\nc,0,3,1,train\n", "c"},
	} {
		d, err := readText(parsePlan(t, people), goodRows, c.split, c.center)
		if err != nil || d.Train.Len() != 2 || d.Test.Len() != 1 || rowsOf(d.Test).u[0] != 1 || rowsOf(d.Test).labels[0] != 0 {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	const two = "c,0,1,1,train\nc,0,2,0,test\n"
	for _, c := range []struct{ split, center, want string }{
		{"center,row\n", "", "split.csv: the first line is not center,center_id,row,label,set\n        give the agent a split file, or none"},
		{splitHead + two, "", "split.csv: 1 rows of rows.csv are in neither set, the first is row 3\n        make a split of all rows that stay"},
		{splitHead + two + "c,0,3,0,train\n", "", "split.csv:4: column \"label\": the label of row 3 disagrees with rows.csv\n        the split belongs to another file, or the plan defines the target differently"},
		{splitHead + two + "c,0,2,0,test\n", "", "split.csv:4: column \"row\": row 2 is here twice"},
		{splitHead + two + "c,0,4,1,test\n", "", "split.csv:4: column \"row\": row 4 of rows.csv has a missing value and is dropped\n        remove the line, or make a split of the rows that stay"},
		{splitHead + two + "c,0,5,1,test\n", "", "split.csv:4: column \"row\": row 5 is beyond the end of rows.csv (4 rows)\n        the split belongs to another file"},
		{splitHead + two + "c,0,03,1,test\n", "", "split.csv:4: column \"row\": not a row number from 1"},
		{splitHead + two + "c,0,3,1,both\n", "", "split.csv:4: column \"set\": neither train nor test"},
		{splitHead + two + "c,0,3\n", "", "split.csv:4: 3 cells, want 5"},
		{splitHead + two + "d,0,3,1,test\n", "", "split.csv: the split lists several centers\n        say which one this branch is, or give the agent its own lines only"},
		{splitHead + two, "d", "split.csv: no line belongs to center \"d\""},
		{splitHead, "", "split.csv: no line belongs to center \"\""},
		{splitHead + "c,0,1,1,test\nc,0,2,0,test\nc,0,3,1,test\n", "", "rows.csv: every row is a test row\n        train on some"},
		{splitHead + "\"c", "", "split.csv:2: extraneous or missing \" in quoted-field\n        a cell with quotes is written \"like \"\"this\"\"\""},
	} {
		d, err := readText(parsePlan(t, people, "data.on_missing=drop_row"), goodRows+"?,A,,yes\n", c.split, c.center)
		if err == nil || err.Error() != c.want || d != nil {
			t.Errorf("%q: got\n%v\nwant\n%s", c.split, err, c.want)
		}
	}
}

func TestHoldout(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("age,town,note,ill\n")
	for i := range 100 {
		fmt.Fprintf(&rows, "%d,A,,yes\n", i)
	}
	read := func(set ...string) *Data {
		d, err := readText(parsePlan(t, people, append(set, "data.max_examples=100", "evaluation.holdout=0.25")...), rows.String(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a, b, c := read("seed=1"), read("seed=1"), read("seed=2")
	if a.Train.Len() != 75 || a.Test.Len() != 25 {
		t.Errorf("%d and %d rows, want 75 and 25", a.Train.Len(), a.Test.Len())
	}
	if !slices.Equal(rowsOf(a.Test).u, rowsOf(b.Test).u) || slices.Equal(rowsOf(a.Test).u, rowsOf(c.Test).u) {
		t.Error("the holdout is not a function of the seed")
	}
	all, err := Concat(a.Train, a.Test)
	if err != nil {
		t.Fatal(err)
	}
	ages := map[float64]bool{}
	for i := range all.Len() {
		ages[rowsOf(all).u[i*all.width]] = true
	}
	if len(ages) != 100 {
		t.Errorf("%d of 100 rows are in one set or the other", len(ages))
	}
}

// The counts that FLamby's preprocessing gives (README of the data).
func TestHeart(t *testing.T) {
	p := parsePlan(t, string(heartdisease.Plan("heart-logreg")))
	if got := fmt.Sprint(p.Data.FeatureNames()); got != "[age sex trestbps chol fbs thalach exang oldpeak cp=2 cp=3 cp=4 restecg=1 restecg=2]" {
		t.Errorf("features %s", got)
	}
	want := []struct{ rows, train, test, positive int }{{303, 199, 104, 139}, {294, 172, 89, 98}, {123, 30, 16, 45}, {200, 85, 45, 101}}
	dir := t.TempDir()
	total := 0
	for i, s := range heartdisease.Sites() {
		rows, split := filepath.Join(dir, s.File), filepath.Join(dir, s.Name+".csv")
		for name, b := range map[string][]byte{rows: heartdisease.Rows(s.Name), split: heartdisease.Split(s.Name)} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, err := Load(p, Source{Path: rows, Split: split, Center: s.Name})
		if err != nil {
			t.Fatal(err)
		}
		positive := 0
		for _, l := range append(slices.Clone(rowsOf(d.Train).labels), rowsOf(d.Test).labels...) {
			positive += int(l)
		}
		got := [...]int{d.Rows, d.Train.Len(), d.Test.Len(), positive}
		if w := want[i]; got != [...]int{w.rows, w.train, w.test, w.positive} || d.Rows-d.Dropped != w.train+w.test {
			t.Errorf("%s: rows, train, test, positive %v, want %v", s.Name, got, w)
		}
		total += d.Train.Len() + d.Test.Len()
		if s.Name == "cleveland" {
			// 63,1,1,145,233,1,2,150,0,2.3: the first row, a training row.
			first := []float64{63.0 / 120, 1, 145.0 / 300, 0.233, 1, 150.0 / 250, 0, (2.3 + 10) / 20, 0, 0, 0, 0, 1}
			if !slices.Equal(rowsOf(d.Train).u[:13], first) || rowsOf(d.Train).labels[0] != 0 {
				t.Errorf("first row %v, label %d; want %v, 0", rowsOf(d.Train).u[:13], rowsOf(d.Train).labels[0], first)
			}
		}
		if s.Name == "switzerland" {
			std, err := d.Train.Standardisation()
			if err != nil {
				t.Fatal(err)
			}
			if std.Std[3] != 0 {
				t.Errorf("Swiss cholesterol is 0 everywhere and deviates by %v", std.Std[3])
			}
		}
	}
	if total != 740 {
		t.Errorf("%d rows stay, want 740", total)
	}
	_, err := Read(p, Files{Name: "rows", Rows: bytes.NewReader(heartdisease.Rows("va")), SplitName: "split", Split: bytes.NewReader(heartdisease.Split("cleveland"))})
	var typed *Error
	if !errors.As(err, &typed) || typed.File != "split" {
		t.Errorf("another hospital's split: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	p := parsePlan(f, people, "data.on_missing=drop_row")
	f.Add(goodRows, splitHead+"c,0,1,1,train\nc,0,2,0,test\nc,0,3,1,train\n")
	f.Add(goodRows+"?,A,,\n", "")
	f.Add("age,town,note,ill\n"+canary+",A,\"\",yes\n", splitHead)
	f.Add("\ufeffage,town\n", "\"")
	f.Fuzz(func(t *testing.T, rows, split string) {
		d, err := readText(p, rows, split, "")
		if err != nil {
			if d != nil {
				t.Error("rows beside an error")
			}
			// Line numbers and counts could hold it by chance only in huge inputs.
			if len(rows) < 10000 && strings.Contains(err.Error(), canary) && !strings.Contains(split, canary) {
				t.Errorf("an error repeats a row's value: %v", err)
			}
			return
		}
		for _, table := range []*Table{d.Train, d.Test} {
			all := rowsOf(table)
			if len(all.u) != table.Len()*table.Width() || len(all.labels) != table.Len() {
				t.Errorf("a table of %d rows has %d values and %d labels", table.Len(), len(all.u), len(all.labels))
			}
			for _, u := range all.u {
				if !(u >= 0 && u <= 1) {
					t.Errorf("u = %v", u)
				}
			}
		}
		if n := d.Train.Len() + d.Test.Len(); n == 0 || n > p.Data.MaxExamples || n+d.Dropped != d.Rows {
			t.Errorf("%d rows kept, %d dropped of %d", n, d.Dropped, d.Rows)
		}
	})
}
