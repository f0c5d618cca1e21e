package dataset

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tacit/plan"
)

// linePlan is a plan about rows of one feature and a target that says the same.
func linePlan(n int, holdout float64) *plan.Plan {
	p := plan.Default()
	p.Data.MaxExamples = max(n, 1)
	p.Data.Columns = []plan.Column{{Name: "x", Type: plan.Numeric, Min: 0, Max: 1 << 20}, {Name: "y", Type: plan.Numeric, Min: 0, Max: 1 << 20}}
	p.Data.Target = plan.Target{Column: "y", Type: plan.Number}
	p.Evaluation.Holdout = holdout
	return p
}

func lines(n int) []byte {
	var b []byte
	for i := range n {
		b = fmt.Appendf(b, "%d,%d\n", i, i)
	}
	return b
}

// drain takes batches up to a number of examples and returns what is in them.
func drain(t testing.TB, s *Stream, n int) (rows []int) {
	t.Helper()
	for len(rows) < n {
		b, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range b.X {
			if b.Targets[i] != x {
				t.Fatalf("row %v has target %v", x, b.Targets[i])
			}
			rows = append(rows, int(math.Round(float64(x)*(1<<20))))
		}
	}
	return rows
}

// A stream that begins at a step is the rest of the stream from the beginning, a
// pass goes over all rows once, and the sums are those of a table in memory,
// whatever the buffer.
func TestSequence(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(rt, "rows")
		// 12 bytes a row: half of the memory is the buffer.
		memory := rapid.Int64Range(1, 24*int64(n)-1).Draw(rt, "memory")
		size := rapid.IntRange(1, 70).Draw(rt, "batch")
		seed := rapid.Uint64().Draw(rt, "seed")
		from := rapid.IntRange(0, 30).Draw(rt, "from")
		path := filepath.Join(folderOf(t, map[string][]byte{"a.csv": lines(n)}), "a.csv")
		d, err := Load(linePlan(n, 0), Source{Path: path, Memory: memory})
		if err != nil {
			rt.Fatal(err)
		}
		defer d.Close()
		whole, err := Load(linePlan(n, 0), Source{Path: path})
		if err != nil {
			rt.Fatal(err)
		}
		if !d.Train.Streamed() || whole.Train.Streamed() {
			rt.Fatalf("%d rows in %d bytes: streamed is %t", n, memory, d.Train.Streamed())
		}
		if a, b := d.Train.Statistics(), whole.Train.Statistics(); fmt.Sprint(a) != fmt.Sprint(b) {
			rt.Fatalf("statistics %v, want %v", a, b)
		}
		if a, b := rowsOf(d.Train), rowsOf(whole.Train); !slices.Equal(a.u, b.u) || !slices.Equal(a.targets, b.targets) {
			rt.Fatal("a pass in file order is another")
		}
		e, _ := d.Train.Examples(nil)
		a, _ := e.Stream(seed, size, 0)
		var first []int
		for range 3 {
			pass := drain(t, a, n)
			first = append(first, pass...)
			slices.Sort(pass)
			for i, row := range pass {
				if i != row || len(pass) != n {
					rt.Fatalf("a pass goes over %v", pass)
				}
			}
		}
		per := (n + size - 1) / size
		from %= 2 * per
		b, _ := e.Stream(seed, size, uint64(from))
		skipped := from/per*n + from%per*size
		got := drain(t, b, n)
		if want := first[skipped:][:len(got)]; !slices.Equal(got, want) {
			rt.Fatalf("from step %d on: %v, want %v", from, got, want)
		}
	})
}

// Two streams of one table may take turns; each sees its own order.
func TestSequenceShared(t *testing.T) {
	path := filepath.Join(folderOf(t, map[string][]byte{"a.csv": lines(50)}), "a.csv")
	d, err := Load(linePlan(50, 0), Source{Path: path, Memory: 300})
	if err != nil {
		t.Fatal(err)
	}
	e, _ := d.Train.Examples(nil)
	alone, _ := e.Stream(1, 7, 0)
	want := drain(t, alone, 50)
	a, _ := e.Stream(1, 7, 0)
	b, _ := e.Stream(2, 5, 0)
	var got, other []int
	for len(got) < 50 {
		got = append(got, drain(t, a, 1)...)
		other = append(other, drain(t, b, 1)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v beside another stream, want %v", got, want)
	}
	// The same place of another pass is not where this one goes on.
	first, _ := e.Stream(1, 7, 0)
	drain(t, first, 14)
	second, _ := e.Stream(1, 7, 8+2)
	after := drain(t, second, 7)
	through, _ := e.Stream(1, 7, 0)
	if want := drain(t, through, 50+21)[50+14:]; !slices.Equal(after, want) {
		t.Errorf("from the second pass on: %v, want %v", after, want)
	}
	if slices.Equal(other, got[:len(other)]) {
		t.Error("two seeds give one order")
	}
	if slices.IsSorted(want) {
		t.Error("the buffer does not shuffle")
	}
}

// Test rows and validation rows are drawn row by row, and every row is in one set.
func TestSequenceSplit(t *testing.T) {
	path := filepath.Join(folderOf(t, map[string][]byte{"a.csv": lines(2000)}), "a.csv")
	p := linePlan(2000, 0.25)
	d, err := Load(p, Source{Path: path, Memory: 1000})
	if err != nil {
		t.Fatal(err)
	}
	most, rest, err := d.Train.Split(0.2, 9)
	if err != nil {
		t.Fatal(err)
	}
	in := func(n, want, of int) bool { return math.Abs(float64(n)-float64(want)) < 4*math.Sqrt(float64(of)/4) }
	if !in(d.Test.Len(), 500, 2000) || !in(rest.Len(), 300, 1500) || most.Len()+rest.Len()+d.Test.Len() != 2000 {
		t.Errorf("%d, %d and %d rows", most.Len(), rest.Len(), d.Test.Len())
	}
	seen := map[float64]bool{}
	for _, table := range []*Table{most, rest, d.Test} {
		for _, u := range rowsOf(table).u {
			seen[u] = true
		}
	}
	if len(seen) != 2000 {
		t.Errorf("%d of 2000 rows are in a set", len(seen))
	}
	if _, _, err := most.Split(0.5, 1); err == nil {
		t.Error("a part of a split splits again")
	}
	var split strings.Builder
	split.WriteString(splitHead)
	for i := range 2000 {
		fmt.Fprintf(&split, "c,0,%d,,%s\n", i+1, []string{"train", "test"}[i%2])
	}
	s := filepath.Join(folderOf(t, map[string][]byte{"s.csv": []byte(split.String())}), "s.csv")
	d, err = Load(p, Source{Path: path, Split: s, Memory: 47000})
	if err != nil || !d.Train.Streamed() {
		t.Fatalf("a split file: %v", err)
	}
	for i, u := range rowsOf(d.Test).u {
		if u != float64(2*i+1)/(1<<20) {
			t.Fatalf("test row %d is %v", i, u)
		}
	}
	if _, err = Load(p, Source{Path: path, Split: s, Memory: 1000}); err == nil || !strings.Contains(err.Error(), "too many rows to keep in memory which set each is in") {
		t.Errorf("a split file larger than memory: %v", err)
	}
	small, err := Load(p, Source{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	a, b, err := small.Train.Split(0.2, 9)
	if err != nil || a.Len() != 1200 || b.Len() != 300 || slices.Contains(rowsOf(a).u, rowsOf(b).u[0]) {
		t.Errorf("in memory: %d and %d, %v", a.Len(), b.Len(), err)
	}
	if _, _, err := small.Train.Split(1, 9); err == nil {
		t.Error("everything is validation")
	}
	if _, err := Concat(d.Train, d.Test); err == nil {
		t.Error("sequences join")
	}
}

// A file that is not what it was is an error, in whatever way it changed.
func TestSequenceChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"longer": func(path string) error { return os.WriteFile(path, lines(51), 0o600) },
		"touched": func(path string) error {
			return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
		},
		"gone": os.Remove,
	} {
		path := filepath.Join(folderOf(t, map[string][]byte{"a.csv": lines(50)}), "a.csv")
		d, err := Load(linePlan(50, 0), Source{Path: path, Memory: 300})
		if err != nil {
			t.Fatal(err)
		}
		e, _ := d.Train.Examples(nil)
		s, _ := e.Stream(1, 25, 0)
		drain(t, s, 50)
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(); err == nil || name == "gone" != errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		for _, err := range e.Pass(10) {
			if err == nil {
				t.Errorf("%s: a pass", name)
			}
			break
		}
	}
	// The same size and time, and other rows: what a query may do.
	l := layoutOf(linePlan(50, 0))
	was, now := lines(50), lines(50)
	for i, change := range []func(){
		func() { now[0] = '7' },                            // another value
		func() { now = lines(49) },                         // fewer
		func() { now = lines(51) },                         // more
		func() { now = append(lines(50)[4:], "0,0\n"...) }, // another order
	} {
		now = was
		table, err := newSequence(l, "a query", 100, func() (cursor, error) {
			r, err := readRows(linePlan(100, 0), "a query", newCSV("a query", strings.NewReader(string(now)), ",", false, 2, ""))
			return &rowCursor{in: r, layout: l}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		now = lines(50)
		change()
		e, _ := table.Examples(nil)
		s, _ := e.Stream(1, 10, 0)
		for range 5 {
			if _, err = s.Next(); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "the rows are not those of the pass before") {
			t.Errorf("change %d: a stream ends with %v", i, err)
		}
		err = nil
		for _, err = range e.Pass(10) {
		}
		if err == nil {
			t.Errorf("change %d: a pass ends well", i)
		}
	}
}

// A file of many times the memory is read within it.
func TestSequenceMemory(t *testing.T) {
	rows, memory := 200_000, int64(4<<20)
	if testing.Short() {
		rows, memory = 50_000, 1<<20
	}
	path := filepath.Join(t.TempDir(), "big.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	r := newRandom(1, 9, 9)
	for range rows {
		v := r.next()
		for i := range 16 {
			fmt.Fprintf(w, "%d.%06d,", v>>(4*i)&15, v%1000000)
		}
		fmt.Fprintln(w, v&1)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	p := plan.Default()
	p.Data.MaxExamples = rows
	for i := range 16 {
		p.Data.Columns = append(p.Data.Columns, plan.Column{Name: fmt.Sprint("x", i), Type: plan.Numeric, Min: 0, Max: 16})
	}
	p.Data.Columns = append(p.Data.Columns, plan.Column{Name: "y", Type: plan.Numeric, Min: 0, Max: 1})
	p.Data.Target = plan.Target{Column: "y", Type: plan.Binary, Positive: "> 0"}
	p.Evaluation.Holdout = 0.1
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	d, err := Load(p, Source{Path: path, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// In memory all of it would take 16 × 8 bytes a row, 6 times the budget.
	if all := int64(rows) * 128; !d.Train.Streamed() || all < 6*memory || d.Train.Len()+d.Test.Len() != rows {
		t.Fatalf("%d rows, streamed is %t", d.Train.Len(), d.Train.Streamed())
	}
	e, err := d.Train.Examples(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := e.Stream(1, 100, 0)
	most := int64(0)
	for i := range d.Train.Len() / 100 {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		if i%300 == 0 {
			most = max(most, heap()-before)
		}
	}
	if most > memory+1<<19 {
		t.Errorf("%d bytes are held, of %d allowed", most, memory)
	}
	if most < memory/4 {
		t.Errorf("%d bytes are held of %d: the measurement sees nothing", most, memory)
	}
}

// Training from memory makes no garbage.
func TestStreamAllocates(t *testing.T) {
	pixels, labels := counted(64, 6)
	dir := folderOf(t, map[string][]byte{
		"images-idx3-ubyte": idxBytesOf(8, []int{64, 2, 3}, pixels), "labels-idx1-ubyte": idxBytesOf(8, []int{64}, labels),
		"a.csv": []byte(hours(64)), "a.txt": []byte(strings.Repeat("abc", 40)), "rows.csv": lines(64),
	})
	for name, c := range map[string]struct {
		p   *plan.Plan
		src Source
	}{
		"images":  {imagePlan(2, 3, 1, 0.5), Source{Path: "images-idx3-ubyte"}},
		"on disk": {imagePlan(2, 3, 1, 0.5), Source{Path: "images-idx3-ubyte", Memory: 1}},
		"series":  {seriesPlan(4, 1, 1, 0.5), Source{Path: "a.csv"}},
		"text":    {letterPlan(4, 2, 0.5, plan.UnknownError), Source{Path: "a.txt"}},
		"table":   {linePlan(64, 0.5), Source{Path: "rows.csv"}},
	} {
		c.src.Path = filepath.Join(dir, c.src.Path)
		d, err := Load(c.p, c.src)
		if err != nil {
			t.Fatal(name, err)
		}
		var std *plan.Standardisation
		if name != "text" {
			if std, err = d.Train.Standardisation(); err != nil {
				t.Fatal(name, err)
			}
		}
		e, err := d.Train.Examples(std)
		if err != nil {
			t.Fatal(name, err)
		}
		s, _ := e.Stream(1, 8, 0)
		drainAny := func() {
			if _, err := s.Next(); err != nil {
				t.Fatal(name, err)
			}
		}
		drainAny()
		if n := testing.AllocsPerRun(1, drainAny); n != 0 && name != "on disk" {
			t.Errorf("%s: %v allocations a batch", name, n)
		}
	}
}

func TestLoadEnds(t *testing.T) {
	path := filepath.Join(folderOf(t, map[string][]byte{"a.csv": lines(50)}), "a.csv")
	ctx, cancel := context.WithCancel(context.Background())
	d, err := LoadContext(ctx, linePlan(50, 0), Source{Path: path, Memory: 300})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // bounds the loading, not what was loaded
	e, _ := d.Train.Examples(nil)
	s, _ := e.Stream(1, 10, 0)
	drain(t, s, 50)
	if _, err := LoadContext(ctx, linePlan(50, 0), Source{Path: path}); !errors.Is(err, context.Canceled) {
		t.Errorf("a loading that was cancelled: %v", err)
	}
}
