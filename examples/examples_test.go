// Package examples_test holds the example plans to what their files say.
package examples_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tacit/client"
	"tacit/client/solo"
	"tacit/dataset"
	"tacit/nn"
	"tacit/plan"
	"tacit/vault"
)

// example is one folder of this one.
type example struct {
	name   string
	data   string // its folder of TACIT_DATA; "": the rows are shipped
	params int
}

var examples = []example{
	{"heart-disease", "", 14},
	{"bank-marketing", "bank-marketing", 5185},
	{"mnist-mlp", "mnist", 235146},
	{"mnist-cnn", "mnist", 55338},
	{"ett-gru", "ett", 3585},
	{"shakespeare-lstm", "tiny-shakespeare", 93409},
}

func (e example) plan(t testing.TB, set ...string) *plan.Plan {
	t.Helper()
	path := filepath.Join(e.name, "plan.yaml")
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Parse(src, path, set...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// source is the data set of the example's agent.yaml, with the folder data beside it
// as a person would have filled it from TACIT_DATA.
func (e example) source(t testing.TB) dataset.Source {
	t.Helper()
	path := filepath.Join(e.name, "agent.yaml")
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if e.data != "" {
		dir := t.TempDir()
		path = filepath.Join(dir, "agent.yaml")
		e.fill(t, filepath.Join(dir, "data"))
	}
	cfg, err := client.ParseConfig(src, path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cfg.Source(e.plan(t).Data.Source)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill makes the folder data.
func (e example) fill(t testing.TB, dir string) {
	t.Helper()
	from, err := filepath.Abs(filepath.Join(dataFolder(t), e.data))
	if err != nil {
		t.Fatal(err)
	}
	if e.name != "ett-gru" {
		if err := os.Symlink(from, dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	// What its README makes with head: 20 months and the header.
	rows := bytes.SplitAfterN(unzipped(t, filepath.Join(from, "ETTh1.csv.gz")), []byte("\n"), 14402)
	if len(rows) != 14402 {
		t.Fatalf("ETTh1 has %d lines", len(rows))
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ETTh1-20-months.csv"), bytes.Join(rows[:14401], nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dataFolder is where the larger data sets are, or the test skips.
func dataFolder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TACIT_DATA")
	if dir == "" {
		if os.Getenv("TACIT_REQUIRE_DATA") != "" {
			t.Fatal("TACIT_DATA names no folder")
		}
		t.Skip("TACIT_DATA names no folder of data sets")
	}
	return dir
}

func unzipped(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// train is what tacit model train does.
func train(t testing.TB, p *plan.Plan, source dataset.Source, options solo.Options) *solo.Result {
	t.Helper()
	data, err := dataset.Load(p, source)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	dir := t.TempDir()
	v, err := vault.OpenOrCreate(dir, vault.KeyFile(filepath.Join(dir, "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	options.Dir, options.Vault, options.Name = filepath.Join(dir, "out"), v, source.Name
	r, err := solo.Train(t.Context(), p, data, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// value is a test metric of a result.
func value(t testing.TB, r *solo.Result, name string) float64 {
	t.Helper()
	for _, m := range r.Metrics {
		if m.Name == name {
			return m.Value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestPlans holds every example to its files: the plan, the agent's file, the README
// and the size of the network.
func TestPlans(t *testing.T) {
	folders, err := filepath.Glob("*/plan.yaml")
	if err != nil || len(folders) != len(examples) {
		t.Fatalf("%d plans, the test knows %d (%v)", len(folders), len(examples), err)
	}
	for _, e := range examples {
		p := e.plan(t)
		if p.Name != e.name {
			t.Errorf("%s: the plan is called %s", e.name, p.Name)
		}
		layers, err := p.Spec().Describe()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, l := range layers {
			sum += l.Params
		}
		if sum != e.params || p.NumParams() != e.params {
			t.Errorf("%s: %d parameters, its layers have %d, want %d", e.name, p.NumParams(), sum, e.params)
		}
		if _, err := nn.ArenaBytes(p.Spec(), nn.Options{Batch: p.Training.Batch, Optimizer: p.Optimizer()}); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		src, err := os.ReadFile(filepath.Join(e.name, "agent.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := client.ParseConfig(src, filepath.Join(e.name, "agent.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cfg.Source(p.Data.Source); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		readme, err := os.ReadFile(filepath.Join(e.name, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(readme), "tacit model train plan.yaml --out out") {
			t.Errorf("%s: its README does not say how to train it", e.name)
		}
	}
	if n := examples[3].params; n > 60000 {
		t.Errorf("the CNN has %d parameters, more than 60,000", n)
	}
}

// TestSteps takes a few steps of every example on its own data.
func TestSteps(t *testing.T) {
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			source := e.source(t)
			small(t, &source)
			p := e.plan(t, "training.epochs=0", "federation.rounds=1", "training.steps=20", "training.validation=0", "training.patience=0", "training.schedule.kind=constant")
			var first, last float64
			r := train(t, p, source, solo.Options{Step: func(at solo.Progress) {
				if at.Step == 1 {
					first = at.Loss
				}
				last = at.Loss
			}})
			if r.Steps != 20 || r.TestLoss == nil || last >= first {
				t.Errorf("loss %v, then %v; %+v", first, last, r)
			}
		})
	}
}

// TestDigits trains the CNN on 2,000 images to a floor.
func TestDigits(t *testing.T) {
	e := examples[3]
	source := e.source(t)
	small(t, &source)
	p := e.plan(t, "training.epochs=10", "training.validation=0", "training.patience=0")
	r := train(t, p, source, solo.Options{})
	if accuracy := value(t, r, "accuracy"); r.Train != 2000 || r.Test != 1000 || accuracy < 0.94 {
		t.Errorf("%d images, tested on %d: accuracy %v, want 0.94 or more", r.Train, r.Test, accuracy)
	}
}

// small cuts image files down to 2,000 images to train on and 1,000 to test on.
func small(t *testing.T, s *dataset.Source) {
	if !strings.Contains(s.Path, "idx3") {
		return
	}
	dir := t.TempDir()
	cut := func(path string, n, size int) string {
		b := unzipped(t, path)
		head := 8
		if size > 1 {
			head = 16
		}
		if got := int(binary.BigEndian.Uint32(b[4:])); got < n || len(b) < head+n*size {
			t.Fatalf("%s has %d", path, got)
		}
		binary.BigEndian.PutUint32(b[4:], uint32(n))
		out := filepath.Join(dir, strings.TrimSuffix(filepath.Base(path), ".gz"))
		if err := os.WriteFile(out, b[:head+n*size], 0o600); err != nil {
			t.Fatal(err)
		}
		return out
	}
	s.Path, s.Labels = cut(s.Path, 2000, 784), cut(s.Labels, 2000, 1)
	s.Test, s.TestLabels = cut(s.Test, 1000, 784), cut(s.TestLabels, 1000, 1)
}
