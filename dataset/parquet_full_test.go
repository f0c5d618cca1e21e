//go:build full

package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
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

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/format"

	"tacit/plan"
)

// parquetPerson has columns that the plan does not know, in another order.
type parquetPerson struct {
	Ill    bool      `parquet:"ill"`
	Extra  []int32   `parquet:"extra"`
	Town   string    `parquet:"town,dict"`
	Age    *float32  `parquet:"age,optional"`
	Visits int64     `parquet:"visits,delta"`
	Cost   int64     `parquet:"cost,decimal(2:10)"`
	Seen   time.Time `parquet:"seen,timestamp(microsecond)"`
	Note   string    `parquet:"note"`
	Height float64   `parquet:"height"`
}

func parquetPlan() *plan.Plan {
	p := plan.Default()
	p.Data.OnMissing = plan.MissingDropRow
	p.Data.Columns = []plan.Column{
		{Name: "age", Type: plan.Numeric, Min: 0, Max: 100},
		{Name: "town", Type: plan.Categorical, Values: []string{"A", "B"}},
		{Name: "not there", Unused: true},
		{Name: "visits", Type: plan.Numeric, Min: 0, Max: 1e6},
		{Name: "cost", Type: plan.Numeric, Min: 0, Max: 1000},
		{Name: "seen", Type: plan.Timestamp, Min: 0, Max: 86400 * 1e5},
		{Name: "note", Type: plan.FreeText, Buckets: 4},
		{Name: "height", Type: plan.Numeric, Min: 0, Max: 3},
		{Name: "ill", Type: plan.Categorical, Values: []string{"false", "true"}},
	}
	p.Data.Target = plan.Target{Column: "ill", Type: plan.Binary, PositiveValues: []string{"true"}}
	p.Evaluation.Holdout = 0
	return p
}

func parquetPeople(n int) []parquetPerson {
	out := make([]parquetPerson, n)
	for i := range out {
		age := float32(i % 100)
		out[i] = parquetPerson{Ill: i%3 == 0, Extra: []int32{1, 2}, Town: []string{"A", "B"}[i%2], Age: &age, Visits: int64(i), Cost: int64(i), Seen: time.Unix(int64(i)*3600, 0).UTC(), Note: fmt.Sprint("word", i%7), Height: 1.5}
	}
	return out
}

func parquetBytes(t testing.TB, codec compress.Codec, rows []parquetPerson) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetPerson](&b, parquet.Compression(codec), parquet.MaxRowsPerRowGroup(70), parquet.PageBufferSize(512))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// deltaBytes has a column in an encoding by which little may become much.
func deltaBytes(t testing.TB) []byte {
	type row struct {
		Ill  bool   `parquet:"ill"`
		Note string `parquet:"note,delta"`
	}
	var b bytes.Buffer
	if err := parquet.Write(&b, []row{{Note: "a"}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquet(t *testing.T) {
	rows := parquetPeople(200)
	rows[5].Age = nil
	for name, codec := range map[string]compress.Codec{"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd} {
		path := filepath.Join(folderOf(t, map[string][]byte{"a.parquet": parquetBytes(t, codec, rows)}), "a.parquet")
		for _, memory := range []int64{0, 1 << 12} {
			d, err := Load(parquetPlan(), Source{Path: path, Memory: memory})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			all := rowsOf(d.Train)
			if d.Train.Len() != 199 || d.Dropped != 1 || d.Rows != 200 || d.Train.Streamed() != (memory > 0) {
				t.Errorf("%s: %d rows of %d, %d dropped", name, d.Train.Len(), d.Rows, d.Dropped)
			}
			for i := range 199 {
				k := i
				if i >= 5 {
					k++
				}
				// age visits cost seen height town=A town=B note#0…3
				u := all.u[i*11:][:11]
				want := []float64{float64(k%100) / 100, float64(k) / 1e6, float64(k) / 100 / 1000, float64(k) * 3600 / (86400 * 1e5), 0.5, 1 - float64(k%2), float64(k % 2)}
				if !slices.Equal(u[:7], want) || u[7+plan.Bucket(fmt.Sprint("word", k%7), 4)] != 1 || all.labels[i] == 1 != (k%3 == 0) {
					t.Fatalf("%s: row %d: %v, want %v", name, k, u, want)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestParquetRefuses(t *testing.T) {
	good := parquetBytes(t, &parquet.Snappy, parquetPeople(50))
	hungry := slices.Clone(good)
	binary.LittleEndian.PutUint32(hungry[len(hungry)-8:], 1<<31)
	change := func(f func(p *plan.Plan)) *plan.Plan {
		p := parquetPlan()
		f(p)
		return p
	}
	bad := parquetPeople(3)
	bad[2].Height = math.NaN()
	for name, c := range map[string]struct {
		p    *plan.Plan
		file []byte
		want string
	}{
		"empty":    {parquetPlan(), nil, ": not a Parquet file"},
		"cut":      {parquetPlan(), good[:len(good)-1], ": not a Parquet file, or cut short\n"},
		"footer":   {parquetPlan(), hungry, ": the metadata promises more than the file holds\n"},
		"missing":  {change(func(p *plan.Plan) { p.Data.Columns[0].Name = "years" }), good, ": 1 of the plan's columns are not there: years\n"},
		"type":     {change(func(p *plan.Plan) { p.Data.Columns[1] = plan.Column{Name: "town", Type: plan.Numeric, Max: 1} }), good, `: column "town": the source has it as text (STRING), the plan as numeric`},
		"nested":   {change(func(p *plan.Plan) { p.Data.Columns[2] = plan.Column{Name: "extra", Type: plan.Numeric, Max: 1} }), good, `: column "extra": the column is nested`},
		"NaN":      {parquetPlan(), parquetBytes(t, &parquet.Snappy, bad), `:3: column "height": the value is not finite`},
		"brotli":   {parquetPlan(), parquetBytes(t, &parquet.Brotli, parquetPeople(50)), `: column "ill": the compression BROTLI is not read here`},
		"encoding": {change(func(p *plan.Plan) { p.Data.Columns = []plan.Column{p.Data.Columns[6], p.Data.Columns[8]} }), deltaBytes(t), `: column "note": the encoding DELTA_BYTE_ARRAY is not read here`},
		"too many": {change(func(p *plan.Plan) { p.Data.MaxExamples = 20 }), good, ": more than 20 rows"},
	} {
		path := filepath.Join(folderOf(t, map[string][]byte{"a.parquet": c.file}), "a.parquet")
		_, err := Load(c.p, Source{Path: path})
		var typed *Error
		if !errors.As(err, &typed) || !strings.HasPrefix(err.Error(), path+c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Damaged files are errors, whatever byte is damaged, and never take memory that
// they do not hold.
func TestParquetDamaged(t *testing.T) {
	step := 7
	if testing.Short() {
		step = 97
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.parquet")
	for name, codec := range map[string]compress.Codec{"none": &parquet.Uncompressed, "zstd": &parquet.Zstd} {
		good := parquetBytes(t, codec, parquetPeople(40))
		for i := 0; i < len(good); i += step {
			b := slices.Clone(good)
			b[i] ^= byte(1 + i*31)
			if err := loadBytes(t, path, b); err != nil && !harmless(err) {
				t.Fatalf("%s: byte %d: %v", name, i, err)
			}
		}
		for i := 0; i < len(good); i += step * 5 {
			if err := loadBytes(t, path, good[:i]); err == nil || !harmless(err) {
				t.Fatalf("%s: %d bytes of %d: %v", name, i, len(good), err)
			}
		}
	}
}

// harmless reports an error about the contents.
func harmless(err error) bool { var e *Error; return errors.As(err, &e) }

// loadBytes loads a file and fails the test where that took much memory.
func loadBytes(t testing.TB, path string, b []byte) error {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := Load(parquetPlan(), Source{Path: path, Memory: 8 << 20})
	runtime.ReadMemStats(&after)
	if d != nil {
		d.Close()
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes were allocated for a file of %d", n, len(b))
	}
	return err
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetBytes(f, &parquet.Uncompressed, parquetPeople(9)))
	f.Add(parquetBytes(f, &parquet.Snappy, parquetPeople(3)))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := loadBytes(t, path, b); err != nil && !harmless(err) {
			t.Error(err)
		}
	})
}

// Bytes that promise much, one by one.
func TestParquetBounds(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		bits byte
		ok   bool
	}{
		"nothing":          {nil, 1, true},
		"a run":            {[]byte{20 << 1, 1}, 1, true},
		"a run of 10^9":    {binary.AppendUvarint(nil, 1e9<<1), 1, false},
		"packed":           {[]byte{3<<1 | 1, 0, 0, 0}, 1, true},
		"packed, 10^9":     {binary.AppendUvarint(nil, 1e8<<1|1), 0, false},
		"two runs":         {[]byte{20 << 1, 1, 20 << 1, 1}, 1, false},
		"too wide":         {[]byte{1 << 1, 1}, 33, false},
		"a varint without": {[]byte{0x80}, 1, false},
	} {
		if err := runs(c.b, c.bits, 20); err == nil != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := delta(append([]byte{128, 1, 4}, 200, 1), 100); err == nil {
		t.Error("200 delta values of 100")
	}
	list := &thrift{b: append([]byte{0xf9}, binary.AppendUvarint(nil, 1<<40)...), items: 1 << 20}
	list.b[0] = 0xf5
	if err := list.skip(thriftList, 0, false); err == nil {
		t.Error("a list of 2^40 in 7 bytes")
	}
	deep := &thrift{b: bytes.Repeat([]byte{0x1c}, 100), items: 10}
	if err := deep.skip(thriftStruct, 0, false); err == nil {
		t.Error("100 structs in each other")
	}
	if context.Cause(context.Background()) != nil {
		t.Error("no cause has a cause")
	}
	for n, want := range map[int64]string{5: "0.05", -5: "-0.05", 12345: "123.45", 0: "0.00"} {
		if got := decimal(n, 2); got != want {
			t.Errorf("decimal %d: %s, want %s", n, got, want)
		}
	}
}

// What a page's header promises is bounded before it is allocated.
func TestParquetPages(t *testing.T) {
	// header is a data page of version 1 in plain encoding.
	header := func(plain, compressed, values int64) []byte {
		b := []byte{0x15, 0x00} // field 1, i32: data page
		for _, n := range []int64{plain, compressed} {
			b = binary.AppendVarint(append(b, 0x15), n)
		}
		b = binary.AppendVarint(append(b, 0x2c, 0x15), values) // field 5: struct, its field 1
		return append(b, 0x15, 0x00, 0x00, 0x00)               // plain; ends of both structs
	}
	page := func(plain, compressed, values int64, body int) []byte {
		return append(header(plain, compressed, values), make([]byte, body)...)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"good":       {page(40, 40, 10, 40), ""},
		"two":        {append(page(40, 40, 10, 40), page(4, 4, 1, 4)...), ""},
		"large":      {page(1<<30, 40, 10, 40), "larger than its share of memory"},
		"compressed": {page(40, 1<<30, 10, 40), errPage.Error()},
		"negative":   {page(-1, 40, 10, 40), errPage.Error()},
		"values":     {page(40, 40, 1<<30, 40), errPage.Error()},
		"cut":        {page(40, 40, 10, 40)[:30], errPage.Error()},
		"no header":  {bytes.Repeat([]byte{0xff}, 50), errThrift.Error()},
	} {
		k := &pageCheck{in: bytes.NewReader(c.b), most: 1 << 20, rows: 1000}
		err := k.chunk(0, int64(len(c.b)))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A frame of zeros that is a thousand times what its header says.
	for name, codec := range map[format.CompressionCodec]compress.Codec{format.Gzip: &parquet.Gzip, format.Zstd: &parquet.Zstd, format.Snappy: &parquet.Snappy} {
		bomb, err := codec.Encode(nil, make([]byte, 8<<20))
		if err != nil {
			t.Fatal(err)
		}
		k := &pageCheck{most: 1 << 20, codec: name}
		if out, err := k.decompress(bomb, 8<<10); err == nil || out != nil {
			t.Errorf("%v: %d bytes of a bomb, %v", name, len(out), err)
		}
	}
}

var noFile = file{path: "a.parquet"}

// A footer that promises 2^31 row groups in a few bytes, and a library that panics.
func TestParquetFooter(t *testing.T) {
	footer := []byte{0x15, 0x02, 0x19, 0xfc} // version 1; a list of structs …
	footer = binary.AppendUvarint(footer, 1<<31-1)
	file := append([]byte("PAR1"), footer...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(footer)))
	file = append(file, "PAR1"...)
	path := filepath.Join(t.TempDir(), "a.parquet")
	if err := loadBytes(t, path, file); err == nil || !strings.Contains(err.Error(), "the metadata is damaged") {
		t.Errorf("2^31 of something: %v", err)
	}
	p := &parquetFile{file: &noFile}
	if err := p.guarded(func() error { panic("index out of range") }); err == nil || !harmless(err) || strings.Contains(err.Error(), "index") {
		t.Errorf("a panic: %v", err)
	}
	if err := p.guarded(func() error { return errors.New("a value: 31337") }); err == nil || !harmless(err) || strings.Contains(err.Error(), "31337") {
		t.Errorf("an error: %v", err)
	}
}

func FuzzThrift(f *testing.F) {
	good := parquetBytes(f, &parquet.Uncompressed, parquetPeople(3))
	n := binary.LittleEndian.Uint32(good[len(good)-8:])
	f.Add(good[len(good)-8-int(n) : len(good)-8])
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &thrift{b: b, items: 1000}
		if err := w.skip(thriftStruct, 0, false); err == nil && w.i > len(b) {
			t.Error("went beyond the end")
		}
		parsePageHeader(&thrift{b: b, items: 1000})
		runs(b, 3, 100)
		delta(b, 100)
	})
}
