package plan

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"pgregory.net/rapid"

	"tacit/nn"
)

var update = flag.Bool("update", false, "rewrite testdata/plan/vectors.json: never for a vector that was released")

const vectorDir = "../testdata/plan"

// vector is a plan with the bytes and hashes that every later version must give.
type vector struct {
	File      string            `json:"file"`
	Canonical string            `json:"canonical"`
	Hash      string            `json:"hash"`
	Config    map[string]string `json:"config"`
}

func TestGoldenVectors(t *testing.T) {
	files, err := filepath.Glob(vectorDir + "/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d plans in %s, %v; want at least 15", len(files), vectorDir, err)
	}
	heart, err := filepath.Glob("../testdata/heart-disease/plans/*.yaml")
	if err != nil || len(heart) != 3 {
		t.Fatalf("%d heart plans, %v; want 3", len(heart), err)
	}
	var got []vector
	for _, f := range append(files, heart...) {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(src, f)
		if err != nil {
			t.Fatal(err)
		}
		v := vector{File: filepath.Base(f), Canonical: hex.EncodeToString(p.Canonical()), Hash: p.Hash().String(), Config: map[string]string{}}
		for _, task := range []Task{Statistics, Train, Evaluate} {
			v.Config[task.String()] = p.Config(task).String()
		}
		got = append(got, v)
		q, err := ParseCanonical(p.Canonical())
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("%s: canonical bytes read back as %+v, %v; want %+v", f, q, err, p)
		}
	}
	name := vectorDir + "/vectors.json"
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var want []vector
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != len(got) {
		t.Fatalf("%d vectors, %d plans", len(want), len(got))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("%s: got %+v\nwant %+v", want[i].File, got[i], want[i])
		}
	}
}

// The minimal plan, written out by hand from the package doc.
func TestCanonicalByHand(t *testing.T) {
	text := func(s string) []byte { return []byte(s) }
	list := func(items ...[]byte) []byte {
		b := cryptobyte.NewBuilder(nil)
		b.AddUint32(uint32(len(items)))
		for _, i := range items {
			b.AddUint32(uint32(len(i)))
			b.AddBytes(i)
		}
		return b.BytesOrPanic()
	}
	fields := func(parts ...any) []byte { // number, value, number, value …
		b := cryptobyte.NewBuilder(nil)
		for i := 0; i < len(parts); i += 2 {
			v := parts[i+1].([]byte)
			b.AddUint16(uint16(parts[i].(int)))
			b.AddUint8(1)
			b.AddUint32(uint32(len(v)))
			b.AddBytes(v)
		}
		return b.BytesOrPanic()
	}
	age := fields(1, text("age"), 2, text("numeric"), 4, []byte{0x40, 0x5e, 0, 0, 0, 0, 0, 0}) // max 120; min 0 is the default
	ill := fields(1, text("ill"), 2, text("categorical"), 5, list(text("no"), text("yes")))
	want := append([]byte("tacit plan v1\x00"), fields(
		1, text("minimal"),
		9, list(age, ill),
		10, text("ill"), 11, text("binary"), 13, list(text("yes")),
		20, text("logreg"),
	)...)
	if got := mustParse(t, minimal).Canonical(); !bytes.Equal(got, want) {
		t.Errorf("canonical bytes\n%q\nwant\n%q", got, want)
	}
}

// record is one field of canonical bytes.
func record(num uint16, revision uint8, value []byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16(num)
	b.AddUint8(revision)
	b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(value) })
	return b.BytesOrPanic()
}

func TestParseCanonicalRefuses(t *testing.T) {
	p := mustParse(t, minimal)
	good := p.Canonical()
	uint := func(v uint64) []byte { return cryptobyteUint64(v) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	name := record(1, 1, []byte("minimal"))
	rest := good[len(magic)+len(name):]
	for what, b := range map[string][]byte{
		"nothing":                     nil,
		"magic alone":                 []byte(magic)[:5],
		"another version":             join([]byte("tacit plan v2\x00"), good[len(magic):]),
		"truncated":                   good[:len(good)-1],
		"longer":                      join(good, []byte{0}),
		"seed at its default":         join([]byte(magic), name, record(2, 1, uint(1)), rest),
		"fields out of order":         join([]byte(magic), record(2, 1, uint(7)), name, rest),
		"field twice":                 join([]byte(magic), name, name, rest),
		"short number":                join([]byte(magic), name, record(2, 1, []byte{7}), rest),
		"long number":                 join([]byte(magic), name, record(2, 1, append(uint(7), 0)), rest),
		"flag that is 2":              join([]byte(magic), name, record(3, 1, []byte{2}), rest),
		"flag that is the default":    join([]byte(magic), name, record(3, 1, []byte{0}), rest),
		"unknown old field":           join([]byte(magic), name, rest, record(999, 1, nil)),
		"revision 0":                  join([]byte(magic), record(1, 0, []byte("minimal")), rest),
		"length beyond the end":       join([]byte(magic), name, []byte{0, 2, 1, 0xff, 0xff, 0xff, 0xff}),
		"list that lies":              join([]byte(magic), name, record(5, 1, []byte{0xff, 0xff, 0xff, 0xff}), rest),
		"invalid UTF-8":               join([]byte(magic), record(1, 1, []byte{0xff}), rest),
		"int beyond int64":            join([]byte(magic), name, record(7, 1, uint(math.MaxUint64)), rest),
		"learning rate NaN":           join(good, record(31, 1, uint(math.Float64bits(math.NaN())))),
		"learning rate −0":            join(good, record(32, 1, uint(math.Float64bits(math.Copysign(0, -1))))),
		"weight_max by default":       join(good, record(43, 1, uint(math.Float64bits(10000)))),
		"two branches":                join(good, record(45, 1, uint(2))),
		"a value spelled 1.0":         bytes.Replace(good, []byte("\x00\x00\x00\x03yes"), []byte("\x00\x00\x00\x031.0"), 2),
		"kind that is the default":    join([]byte(magic), name, rest, record(100, 2, []byte(KindTable))),
		"kind that does not exist":    join([]byte(magic), name, rest, record(100, 2, []byte("video"))),
		"new field as if it were old": join(good, record(101, 1, []byte("ward"))),
		"old field as if it were new": join([]byte(magic), record(1, 2, []byte("minimal")), rest),
		"new value as if it were old": join(good, record(30, 1, []byte("adagrad"))),
		"old value as if it were new": join(good, record(30, 2, []byte("adam"))),
		"derived value that is 0":     join(good, record(30, 1, []byte("adam")), record(164, 2, uint(0))),
		"epsilon by default":          join(good, record(30, 1, []byte("adam")), record(164, 2, uint(math.Float64bits(1e-8)))),
		"pixels of a table":           join(good, record(103, 2, uint(3))),
		"weights without a list":      join(good, record(147, 2, nil)),
		"weights that lie":            join(good, record(147, 2, []byte{0xff, 0xff, 0xff, 0xff})),
		"weight −0":                   join(good, record(147, 2, join([]byte{0, 0, 0, 2}, uint(math.Float64bits(1)), uint(math.Float64bits(math.Copysign(0, -1)))))),
		"too many columns":            join([]byte(magic), name, record(9, 1, layerList(slices.Repeat([][]byte{nil}, MaxColumns+1)...)), rest[bytes.Index(rest, []byte{0, 10, 1}):]),
		"layers of logreg":            join(good, record(150, 2, layerList(layerBytes(1, "relu")))),
		"empty layers":                join(good, record(150, 2, layerList())),
		"layers without end":          layered([]byte{0xff, 0xff, 0xff, 0xff}),
		"more layers than are":        layered([]byte{0, 0, 0, 2, 0, 0, 0, 0}),
		"too many layers":             layered(layerList(slices.Repeat([][]byte{layerBytes(1, "relu")}, 1025)...)),
		"too many inside":             layered(layerList(slices.Repeat([][]byte{residual(layerList(slices.Repeat([][]byte{layerBytes(1, "relu")}, 40)...))}, 40)...)),
		"layers too deep":             layered(deepLayers(10)),
		"layers without bottom":       layered(deepLayers(2000)),
		"layer of no kind":            layered(layerList(nil)),
		"layer of unknown kind":       layered(layerList(layerBytes(1, "lines"))),
		"layer's fields out of order": layered(layerList(join(record(2, 2, uint(1)), layerBytes(1, "dense")))),
		"layer's field twice":         layered(layerList(join(layerBytes(1, "dense"), layerBytes(1, "dense"), record(2, 2, uint(1))))),
		"layer's unknown field":       layered(layerList(join(layerBytes(1, "dense"), record(2, 2, uint(1)), record(90, 2, nil)))),
		"layer's field of revision 1": layered(layerList(join(layerBytes(1, "dense"), record(2, 1, uint(1))))),
		"layer's field by default":    layered(layerList(join(layerBytes(1, "dense"), record(2, 2, uint(1)), record(4, 2, []byte{0})))),
		"layer's option of another":   layered(layerList(join(layerBytes(1, "dense"), record(2, 2, uint(1)), record(15, 2, uint(1))))),
		"size of one number":          layered(layerList(join(layerBytes(1, "dense"), record(2, 2, uint(1)), record(6, 2, uint(1))))),
		"two outputs":                 layered(layerList(join(layerBytes(1, "dense"), record(2, 2, uint(2))))),
	} {
		if q, err := ParseCanonical(b); err == nil || q != nil {
			t.Errorf("%s: got %v, %v", what, q, err)
		} else if limit := what == "too many columns" || what == "too many layers" || what == "too many inside" || what == "layers too deep"; limit && err != ErrCanonical {
			t.Errorf("%s: refused only when all of it was read: %v", what, err)
		}
	}
	if q, err := ParseCanonical(layered(layerList(join(layerBytes(1, "dense"), record(2, 2, uint(1)))))); err != nil || len(q.Model.Layers) != 1 {
		t.Errorf("a layer written by hand: %v", err)
	}
	if q, err := ParseCanonical(layered(layerList(residual(deepLayers(8)), join(layerBytes(1, "dense"), record(2, 2, uint(1)))))); err != nil || len(q.Model.Layers[0].Body) != 1 {
		t.Errorf("layers as deep as they may be: %v", err)
	}
	newest := Revision + 1
	_, err := ParseCanonical(layered(layerList(record(1, uint8(newest), nil))))
	var later *NewerError
	if !errors.As(err, &later) || later.Revision != newest || later.Field != 1 {
		t.Errorf("a later field of a layer: %v", err)
	}
	if _, err := ParseCanonical(good); err != nil {
		t.Errorf("the unchanged plan: %v", err)
	}
	if _, err := ParseCanonical(join(good, record(33, 1, uint(16)))); err != nil {
		t.Errorf("a batch of 16 added: %v", err)
	}
	var newer *NewerError
	_, err = ParseCanonical(join(good, record(1000, 3, []byte("what is this"))))
	if !errors.As(err, &newer) || newer.Revision != 3 || newer.Field != 1000 {
		t.Errorf("a later field: %v", err)
	} else if want := "plan: field 1000 belongs to plan/v1 revision 3; this build reads up to revision 2: update tacit"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

// layered is the minimal plan with model.layers of these bytes.
func layered(layers []byte) []byte {
	p := Default()
	p.Name = "layers"
	p.Data.Columns = []Column{{Name: "age", Type: Numeric, Max: 1}, {Name: "y", Type: Numeric, Max: 1}}
	p.Data.Target = Target{Column: "y", Type: Number}
	p.Model.Family = Layers
	if err := p.Resolve(); err == nil {
		panic("family layers without layers")
	}
	return append(p.Canonical(), record(150, 2, layers)...)
}

func layerBytes(num uint16, text string) []byte { return record(num, 2, []byte(text)) }

func layerList(layers ...[]byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint32(uint32(len(layers)))
	for _, l := range layers {
		b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(l) })
	}
	return b.BytesOrPanic()
}

func residual(body []byte) []byte {
	return append(layerBytes(1, "residual"), record(21, 2, body)...)
}

// deepLayers nests so many lists of layers.
func deepLayers(n int) []byte {
	b := layerList(layerBytes(1, "relu"))
	for range n - 1 {
		b = layerList(residual(b))
	}
	return b
}

func cryptobyteUint64(v uint64) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint64(v)
	return b.BytesOrPanic()
}

// Numbers and revisions are forever; keys are unique.
func TestFieldTables(t *testing.T) {
	check := func(what string, nums []uint16, revisions []uint8, keys []string) {
		for i := range nums {
			if i > 0 && nums[i] <= nums[i-1] {
				t.Errorf("%s: %s has number %d after %d", what, keys[i], nums[i], nums[i-1])
			}
			if revisions[i] < 1 || revisions[i] > Revision {
				t.Errorf("%s: %s has revision %d", what, keys[i], revisions[i])
			}
			if slices.Index(keys, keys[i]) != i {
				t.Errorf("%s: %s is there twice", what, keys[i])
			}
		}
	}
	var nums []uint16
	var revisions []uint8
	var keys []string
	p, seen := Default(), map[any]string{}
	for _, f := range planByNumber {
		nums, revisions, keys = append(nums, f.num), append(revisions, f.revision), append(keys, f.key)
		if other, twice := seen[f.at(p)]; twice {
			t.Errorf("%s and %s are one field", f.key, other)
		}
		seen[f.at(p)] = f.key
	}
	check("plan", nums, revisions, keys)
	if leaves := countLeaves(reflect.TypeFor[Plan]()); leaves != len(planFields) {
		t.Errorf("a Plan has %d fields, the table %d", leaves, len(planFields))
	}
	nums, revisions, keys = nil, nil, nil
	for _, f := range columnFields {
		nums, revisions, keys = append(nums, f.num), append(revisions, f.revision), append(keys, f.key)
	}
	check("column", nums, revisions, keys)
	if n := reflect.TypeFor[Column]().NumField(); n != len(columnFields) {
		t.Errorf("a Column has %d fields, the table %d", n, len(columnFields))
	}
	nums, revisions, keys = nil, nil, nil
	for _, f := range layerFields {
		nums, revisions, keys = append(nums, f.num), append(revisions, f.revision), append(keys, f.key)
	}
	check("layer", nums, revisions, keys)
	if n := reflect.TypeFor[nn.Layer]().NumField(); n != len(layerFields) {
		t.Errorf("an nn.Layer has %d fields, the table %d", n, len(layerFields))
	}
	for _, kind := range nn.LayerKinds() {
		for _, option := range nn.LayerFields(kind) {
			if !slices.Contains(keys, option) {
				t.Errorf("%s has an option %q that the table lacks", kind, option)
			}
		}
	}
	// A value that revision 1 cannot read is one that the field can have.
	for _, f := range planFields {
		for _, v := range f.rule.newer {
			if f.revision != 1 || !slices.Contains(f.rule.oneOf, v) {
				t.Errorf("%s: %q is no newer value", f.key, v)
			}
		}
	}
}

func countLeaves(t reflect.Type) (n int) {
	if t.Kind() != reflect.Struct {
		return 1
	}
	for i := range t.NumField() {
		n += countLeaves(t.Field(i).Type)
	}
	return n
}

// drawPlan draws valid plans of all kinds.
func drawPlan(t *rapid.T) *Plan {
	p := Default()
	name := rapid.StringMatching(`[a-zA-Z0-9é:#'"\\{}\[\]_-][ a-zA-Z0-9é:#'"\\{}_-]{0,8}[a-zA-Z0-9"']`)
	p.Name = name.Draw(t, "name")
	p.Seed = rapid.Uint64().Draw(t, "seed")
	p.Data.Header = rapid.Bool().Draw(t, "header")
	p.Data.Delimiter = rapid.SampledFrom([]string{",", ";", "\t", "|", "é"}).Draw(t, "delimiter")
	p.Data.Missing = rapid.SampledFrom([][]string{{}, {""}, {"?", "-9", "null", "n/a"}}).Draw(t, "missing")
	p.Data.OnMissing = rapid.SampledFrom([]string{MissingError, MissingDropRow}).Draw(t, "on missing")
	p.Data.MaxExamples = rapid.IntRange(64, 100000).Draw(t, "max examples")
	p.Data.Standardise = rapid.SampledFrom([]string{Federated, SiteWise, None}).Draw(t, "standardise")
	for i := range rapid.IntRange(1, 4).Draw(t, "columns") {
		c := Column{Name: fmt.Sprint(name.Draw(t, "column"), i), Type: Numeric}
		switch {
		case i > 0 && rapid.Bool().Draw(t, "unused"):
			c = Column{Name: c.Name, Unused: true}
		case rapid.Bool().Draw(t, "categorical"):
			c.Type, c.Values = Categorical, []string{"a b", NormalValue(name.Draw(t, "value") + "!"), "1"}
			c.DropFirst = rapid.Bool().Draw(t, "drop first")
		default:
			c.Min = rapid.Float64Range(-1e6, 1e6).Draw(t, "min")
			c.Max = c.Min + rapid.Float64Range(1, 1e9).Draw(t, "width")
		}
		p.Data.Columns = append(p.Data.Columns, c)
	}
	p.Model.Family = MLP
	p.Model.Hidden = rapid.SliceOfN(rapid.IntRange(1, 9), 1, 3).Draw(t, "hidden")
	p.Model.Activation = rapid.SampledFrom([]string{"relu", "tanh", "sigmoid"}).Draw(t, "activation")
	target := Column{Name: "target", Type: Categorical, Values: []string{"0", "x", "true"}}
	p.Data.Target = Target{Column: "target", Type: rapid.SampledFrom([]string{Binary, Class, Number}).Draw(t, "target")}
	switch p.Data.Target.Type {
	case Binary:
		p.Data.Target.PositiveValues = []string{"true", "0"}
	case Number:
		target = Column{Name: "target", Type: Numeric, Min: -1, Max: 1e3}
	}
	p.Data.Columns = append(p.Data.Columns, target)
	switch kind := rapid.SampledFrom(kindNames).Draw(t, "kind"); kind {
	case KindTable:
	case KindSeries:
		p.Data.Kind = kind
		p.Data.Series = Series{Length: rapid.IntRange(1, 5).Draw(t, "length"), Horizon: rapid.IntRange(1, 9).Draw(t, "horizon"), Stride: rapid.IntRange(1, 9).Draw(t, "stride")}
		p.Data.Columns = []Column{
			{Name: "at", Type: Timestamp, Min: float64(rapid.Int64Range(-62135596800, 0).Draw(t, "first")), Max: float64(rapid.Int64Range(1, 253402300799).Draw(t, "last")),
				Parts: rapid.SampledFrom([][]string{nil, {Hour}, {Month, Weekday}}).Draw(t, "parts")},
			{Name: "target", Type: Numeric, Min: -1, Max: 1e3},
		}
		p.Data.Target = Target{Column: "target"}
		drawFamily(t, p)
	case KindImages:
		d := Default().Data
		d.Kind, d.MaxExamples = kind, p.Data.MaxExamples
		d.Image = Image{Height: rapid.IntRange(4, 9).Draw(t, "height"), Width: rapid.IntRange(4, 9).Draw(t, "width"), Channels: rapid.IntRange(1, 4).Draw(t, "channels")}
		d.ClassNames = []string{name.Draw(t, "class") + "1", "2"}
		p.Data = d
		drawFamily(t, p)
	case KindText:
		d := Default().Data
		d.Kind, d.MaxExamples = kind, p.Data.MaxExamples
		d.Text = Text{Length: rapid.IntRange(1, 9).Draw(t, "length"), Unknown: rapid.SampledFrom([]string{UnknownError, UnknownSkip}).Draw(t, "unknown")}
		d.Text.Alphabet = rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != utf8.RuneError }), 2, 20, -1).
			Filter(func(s string) bool {
				return len(slices.Compact(slices.Sorted(slices.Values([]rune(s))))) == utf8.RuneCountInString(s)
			}).Draw(t, "alphabet")
		d.Text.Stride = rapid.IntRange(0, 9).Draw(t, "stride")
		p.Data = d
		drawFamily(t, p)
	}
	if p.Data.Target.Type != Number && p.Data.Kind != KindSeries {
		p.Model.LabelSmoothing = rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "smoothing")
	} else {
		p.Model.Loss = rapid.SampledFrom([]string{"", "mae", "huber"}).Draw(t, "loss")
	}
	drawTraining(t, p)
	p.Training.Batch = rapid.IntRange(1, 64).Draw(t, "batch")
	p.Federation.Weights = rapid.SampledFrom([]string{ByExamples, ByBatches, Uniform}).Draw(t, "weights")
	p.Federation.Clip = rapid.Float64Range(1e-3, 1e3).Draw(t, "clip")
	p.Federation.MinBranches = rapid.IntRange(3, 10).Draw(t, "min branches")
	p.Federation.MaxBranches = rapid.IntRange(10, 128).Draw(t, "max branches")
	p.Federation.StartGrace = time.Duration(rapid.Int64Range(0, 86400e9).Draw(t, "grace"))
	p.Evaluation.Final = rapid.Bool().Draw(t, "final")
	p.Evaluation.Holdout = rapid.Float64Range(0, 0.9).Draw(t, "holdout")
	return p
}

// drawFamily draws a preset that fits the kind of p's data.
func drawFamily(t *rapid.T, p *Plan) {
	families := slices.DeleteFunc(familiesOf(p.Data.Kind), func(f string) bool {
		return f == Layers || f == LogReg && p.Data.Kind == KindSeries || f == Linear && p.Data.Kind == KindImages
	})
	m := Default().Model
	m.Family = rapid.SampledFrom(families).Draw(t, "family")
	switch m.Family {
	case MLP:
		m.Hidden = []int{3}
	case CNN:
		m.Channels = rapid.SampledFrom([][]int{nil, {1}, {3, 2}}).Draw(t, "channels")
		m.Hidden = rapid.SampledFrom([][]int{nil, {}, {3}}).Draw(t, "hidden")
	case ResNet:
		m.Channels = []int{2, 6}
		m.Norm = rapid.SampledFrom([]string{GroupNorm, BatchNorm, NoNorm}).Draw(t, "norm")
		m.Activation = rapid.SampledFrom(append([]string{""}, activations...)).Draw(t, "activation")
	case RNN, LSTM, GRU:
		m.Units, m.Depth = rapid.IntRange(1, 5).Draw(t, "units"), rapid.IntRange(0, 2).Draw(t, "depth")
	case Transformer:
		m.Heads, m.Embedding = 2, 2*rapid.IntRange(1, 4).Draw(t, "embedding")
	}
	if m.Family != LogReg && m.Family != Linear {
		m.Dropout = rapid.SampledFrom([]float64{0, 0.25}).Draw(t, "dropout")
	}
	p.Model = m
	if rapid.Bool().Draw(t, "as layers") { // what the preset stands for, written out
		q := *p
		if err := q.Resolve(); err != nil {
			t.Fatal(err)
		}
		layers := q.Spec().Layers
		p.Model = Default().Model
		p.Model.Family, p.Model.Layers = Layers, layers
	}
}

func drawTraining(t *rapid.T, p *Plan) {
	tr := &p.Training
	tr.LearningRate = rapid.Float64Range(1e-9, 10).Draw(t, "rate")
	tr.Optimizer = rapid.SampledFrom(optimizerNames).Draw(t, "optimizer")
	switch tr.Optimizer {
	case "sgd":
		tr.Momentum = rapid.Float64Range(0.1, 0.9).Draw(t, "momentum")
		tr.Nesterov = rapid.Bool().Draw(t, "nesterov")
	case "rmsprop":
		tr.Alpha = rapid.Float64Range(0, 0.999).Draw(t, "alpha")
	case "adamw":
		tr.WeightDecay = rapid.Float64Range(0.001, 0.09).Draw(t, "decay")
		tr.Beta1, tr.Epsilon = rapid.Float64Range(0, 0.99).Draw(t, "beta1"), rapid.SampledFrom([]float64{0, 1e-3}).Draw(t, "epsilon")
	}
	tr.ClipNorm = rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "clip norm")
	switch tr.Schedule.Kind = rapid.SampledFrom(scheduleNames).Draw(t, "schedule"); tr.Schedule.Kind {
	case Step:
		tr.Schedule.Every, tr.Schedule.Gamma = rapid.IntRange(1, 99).Draw(t, "every"), rapid.Float64Range(0.1, 1).Draw(t, "gamma")
	case Cosine:
		tr.Schedule.Total = rapid.SampledFrom([]int{0, 77}).Draw(t, "total")
	}
	tr.Schedule.Warmup = rapid.IntRange(0, 76).Draw(t, "warmup")
	if rapid.Bool().Draw(t, "epochs") {
		tr.Epochs, tr.Validation, tr.Patience = 7, 0.125, rapid.IntRange(0, 2).Draw(t, "patience")
	}
}

func TestPlanRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		if err := p.Resolve(); err != nil {
			t.Fatalf("%v\n%s", err, p.YAML())
		}
		q, err := ParseCanonical(p.Canonical())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Canonical(), q.Canonical()) {
			t.Fatal("canonical bytes changed on their way")
		}
		r, err := Parse([]byte(p.YAML()), "rendered.yaml")
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, p.YAML())
		}
		if r.Hash() != p.Hash() || r.YAML() != p.YAML() {
			t.Fatalf("the rendered plan is another plan:\n%s\n%s", p.YAML(), r.YAML())
		}
	})
}

// Any change of any field changes the hash.
func TestHashCoversEveryField(t *testing.T) {
	p := mustParse(t, minimal)
	for _, f := range planFields {
		q := mustParse(t, minimal)
		switch v := f.at(q).(type) {
		case *string:
			*v += "x"
		case *uint64:
			*v++
		case *int:
			*v++
		case *float64:
			*v = math.Nextafter(*v, 1e9)
		case *bool:
			*v = !*v
		case *time.Duration:
			*v++
		case *[]string:
			*v = append(*v, "x")
		case *[]int:
			*v = append(*v, 1)
		case *[]float64:
			*v = append(*v, 1)
		case *[]Column:
			*v = append(*v, Column{Name: "x"})
		case *[]nn.Layer:
			*v = append(*v, nn.Layer{Kind: "x"})
		}
		if q.Hash() == p.Hash() {
			t.Errorf("%s is not in the hash", f.key)
		}
	}
	for _, f := range columnFields {
		q := mustParse(t, minimal)
		switch v := f.at(&q.Data.Columns[0]).(type) {
		case *string:
			*v += "x"
		case *float64:
			*v++
		case *[]string:
			*v = append(*v, "x")
		case *bool:
			*v = !*v
		case *inverted:
			*v = !*v
		case *int:
			*v++
		}
		if q.Hash() == p.Hash() {
			t.Errorf("a column's %s is not in the hash", f.key)
		}
	}
	for _, f := range layerFields {
		q := *p
		q.Model.Layers = []nn.Layer{{Kind: "x"}}
		before := q.Hash()
		switch v := f.at(&q.Model.Layers[0]).(type) {
		case *string:
			*v += "x"
		case *float64:
			*v++
		case *bool:
			*v = !*v
		case *int:
			*v++
		case *[2]int:
			v[1]++
		case *[]nn.Layer:
			*v = append(*v, nn.Layer{Kind: "x"})
		}
		if q.Hash() == before {
			t.Errorf("a layer's %s is not in the hash", f.key)
		}
	}
}

func FuzzParseCanonical(f *testing.F) {
	p := mustParse(f, minimal)
	f.Add(p.Canonical())
	f.Add([]byte(magic))
	f.Add(append(p.Canonical(), record(1000, 2, nil)...))
	f.Add(mustParse(f, survivalPlan).Canonical())
	f.Add(mustParse(f, imagesPlan, "model.class_weights=[1, 2, 3]", "training.schedule.kind=cosine").Canonical())
	f.Add(mustParse(f, textPlan, "model.units=2").Canonical())
	f.Add(mustParse(f, seriesPlan, "model.loss=huber").Canonical())
	f.Add(layered(layerList(residual(deepLayers(3)), append(layerBytes(1, "dense"), record(2, 2, cryptobyteUint64(1))...))))
	f.Add(layered(deepLayers(20)))
	f.Add(mustParse(f, minimal, "model.family=mlp", "model.hidden=[3, 4]", "federation.clip=0.5", "data.header=true").Canonical())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseCanonical(b)
		if err != nil {
			if p != nil {
				t.Error("a plan beside an error")
			}
			return
		}
		if !bytes.Equal(p.Canonical(), b) {
			t.Error("two encodings of one plan")
		}
	})
}
