package solo

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tacit/dataset"
	"tacit/internal/durable"
	"tacit/plan"
	"tacit/vault"
)

const toyPlan = `tacit: plan/v1
name: toy
data:
  header: true
  columns:
    - {name: a, type: numeric, min: -10, max: 10}
    - {name: b, type: numeric, min: -10, max: 10}
    - {name: c, type: categorical, values: [x, y, z]}
    - {name: y, type: categorical, values: [no, yes]}
  target: {column: y, type: binary, positive_values: [yes]}
model: {family: mlp, hidden: [8]}
training: {optimizer: adam, learning_rate: 0.01, batch: 16, epochs: 6, validation: 0.2}
evaluation: {holdout: 0.25}
`

// toyRows is n rows that a small network learns.
func toyRows(n int) string {
	r := rand.New(rand.NewPCG(5, 6))
	b := &strings.Builder{}
	b.WriteString("a,b,c,y\n")
	for range n {
		x, z := r.Float64()*20-10, r.Float64()*20-10
		y := "no"
		if x*z > 0 {
			y = "yes"
		}
		fmt.Fprintf(b, "%.3f,%.3f,%c,%s\n", x, z, 'x'+rune(r.IntN(3)), y)
	}
	return b.String()
}

func toy(t testing.TB, set ...string) (*plan.Plan, *dataset.Data) {
	t.Helper()
	p, err := plan.Parse([]byte(toyPlan), "toy.yaml", set...)
	if err != nil {
		t.Fatal(err)
	}
	return p, rowsOf(t, p, toyRows(300))
}

func rowsOf(t testing.TB, p *plan.Plan, rows string) *dataset.Data {
	t.Helper()
	d, err := dataset.Read(p, dataset.Files{Name: "rows.csv", Rows: strings.NewReader(rows)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func openVault(t testing.TB) *vault.Vault {
	t.Helper()
	dir := t.TempDir()
	v, err := vault.OpenOrCreate(dir, vault.KeyFile(filepath.Join(dir, "root.key")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestTrain(t *testing.T) {
	p, d := toy(t, "training.epochs=30")
	v, dir := openVault(t), filepath.Join(t.TempDir(), "out")
	var epochs []Epoch
	r, err := Train(t.Context(), p, d, Options{Dir: dir, Vault: v, Name: "rows", Epoch: func(e Epoch) { epochs = append(epochs, e) }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Epochs != 30 || len(epochs) != 30 || r.Steps != 30*12 || r.Train != 180 || r.Validation != 45 || r.Test != 75 || r.Stopped != "end" {
		t.Errorf("%+v", r)
	}
	accuracy := 0.0
	for _, m := range r.Metrics {
		if m.Name == "accuracy" {
			accuracy = m.Value
		}
	}
	if accuracy < 0.85 || !(*r.TestLoss < 0.5) {
		t.Errorf("accuracy %v, loss %v", accuracy, *r.TestLoss)
	}
	m, err := ReadModel(v, dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Record.Hash().String() != r.Model || m.Plan.Hash() != p.Hash() || m.Info.Epoch != r.Best || m.Info.Data != "rows" {
		t.Errorf("the model that is kept: %+v, hash %s; result %+v", m.Info, m.Record.Hash(), r)
	}
	best := 0
	for i, e := range epochs {
		if *e.Validation < *epochs[best].Validation {
			best = i
		}
	}
	if r.Best != best+1 || *r.BestLoss != *epochs[best].Validation {
		t.Errorf("best epoch %d (%v), want %d (%v)", r.Best, *r.BestLoss, best+1, *epochs[best].Validation)
	}
	var left []string
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if f.Name() != "LOCK" {
			left = append(left, f.Name())
		}
	}
	if want := []string{MetricsName, ModelName, PlanName, ResultName}; !slices.Equal(left, want) {
		t.Errorf("files %v, want %v", left, want)
	}
	var again Result
	text, _ := os.ReadFile(filepath.Join(dir, ResultName))
	if err := json.Unmarshal(text, &again); err != nil || again.Model != r.Model {
		t.Errorf("result.json: %v %s", err, text)
	}
	reread, err := plan.Parse(second(os.ReadFile(filepath.Join(dir, PlanName))), PlanName)
	if err != nil || reread.Hash() != p.Hash() {
		t.Errorf("plan.yaml: %v", err)
	}
}

func second(b []byte, _ error) []byte { return b }

var seconds = regexp.MustCompile(`"seconds":[^}]*`)

// TestResume interrupts a training at every k-th step, and every resumed one again:
// model, metrics and result are those of a training without a break.
func TestResume(t *testing.T) {
	for name, set := range map[string][]string{
		"adam":     {"training.schedule.kind=cosine", "training.schedule.total=72"},
		"sgd":      {"training.optimizer=sgd", "training.momentum=0.9", "training.learning_rate=0.05"},
		"dropout":  {"model.dropout=0.3", "training.optimizer=rmsprop"},
		"patience": {"training.epochs=40", "training.learning_rate=0.1", "training.patience=3"},
		"steps":    {"training.validation=0", "training.epochs=0", "federation.rounds=4", "training.steps=7"},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := toy(t, set...)
			v := openVault(t)
			whole := filepath.Join(t.TempDir(), "whole")
			want, err := Train(t.Context(), p, d, Options{Dir: whole, Vault: v})
			if err != nil {
				t.Fatal(err)
			}
			for _, every := range []uint64{7, 12} {
				dir := filepath.Join(t.TempDir(), "broken")
				var got *Result
				breaks := 0
				for got == nil {
					ctx, cancel := context.WithCancel(t.Context())
					n := uint64(0)
					o := Options{Dir: dir, Vault: v, Resume: breaks > 0, Step: func(Progress) {
						if n++; n == every {
							cancel()
						}
					}}
					got, err = Train(ctx, p, d, o)
					cancel()
					var interrupted *InterruptedError
					switch {
					case errors.As(err, &interrupted):
						breaks++
					case err != nil:
						t.Fatal(err)
					}
				}
				if uint64(breaks) < want.Steps/every-1 {
					t.Errorf("every %d: %d breaks in %d steps", every, breaks, want.Steps)
				}
				if got.Model != want.Model || got.Best != want.Best || got.Epochs != want.Epochs || !slices.Equal(got.Metrics, want.Metrics) {
					t.Errorf("every %d: got %+v\nwant %+v", every, got, want)
				}
				a, b := second(os.ReadFile(filepath.Join(whole, MetricsName))), second(os.ReadFile(filepath.Join(dir, MetricsName)))
				if a, b = seconds.ReplaceAll(a, nil), seconds.ReplaceAll(b, nil); !bytes.Equal(a, b) {
					t.Errorf("every %d: metrics\n%s\nwant\n%s", every, b, a)
				}
			}
		})
	}
}

// TestCheckpointEvery wants checkpoints inside an epoch, and that a copy of the
// directory as a kill would leave it goes on to the same model.
func TestCheckpointEvery(t *testing.T) {
	p, d := toy(t)
	v, dir, copied := openVault(t), t.TempDir(), t.TempDir()
	want, err := Train(t.Context(), p, d, Options{Dir: dir, Vault: v, Every: time.Nanosecond, Step: func(at Progress) {
		if at.Step == 30 {
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Error(err)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCheckpoint(v, copied)
	if err != nil || c == nil || c.where.Step != 29 {
		t.Fatalf("checkpoint %+v, %v", c, err)
	}
	got, err := Train(t.Context(), p, d, Options{Dir: copied, Vault: v, Resume: true})
	if err != nil || got.Model != want.Model {
		t.Errorf("%v %v, want %v", got, err, want.Model)
	}
}

func TestPatience(t *testing.T) {
	p, d := toy(t, "training.epochs=200", "training.learning_rate=0.5", "training.patience=2")
	r, err := Train(t.Context(), p, d, Options{Dir: t.TempDir(), Vault: openVault(t)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Stopped != "patience" || r.Epochs != r.Best+2 {
		t.Errorf("%+v", r)
	}
}

func TestTrainRefuses(t *testing.T) {
	p, d := toy(t)
	v := openVault(t)
	interrupted := func() string {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := Train(ctx, p, d, Options{Dir: dir, Vault: v, Step: func(Progress) { cancel() }}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return dir
	}
	finished := t.TempDir()
	if _, err := Train(t.Context(), p, d, Options{Dir: finished, Vault: v}); err != nil {
		t.Fatal(err)
	}
	damaged := interrupted()
	b := second(os.ReadFile(filepath.Join(damaged, CheckpointName)))
	b[len(b)/2] ^= 1
	os.WriteFile(filepath.Join(damaged, CheckpointName), b, 0o600)
	other, _ := toy(t, "training.learning_rate=0.02")
	few, _ := toy(t, "training.validation=0.001")
	locked := t.TempDir()
	lock, err := durable.Lock(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	for name, c := range map[string]struct {
		plan *plan.Plan
		data *dataset.Data
		dir  string
		opt  Options
		want string
	}{
		"another plan":       {other, d, interrupted(), Options{}, "holds a training of another plan"},
		"other rows":         {p, rowsOf(t, p, toyRows(301)), interrupted(), Options{}, "holds a training on other rows"},
		"finished":           {p, d, finished, Options{}, "holds a training that is over"},
		"nothing to resume":  {p, d, t.TempDir(), Options{Resume: true}, "holds no checkpoint"},
		"damaged":            {p, d, damaged, Options{}, "does not open"},
		"another vault":      {p, d, interrupted(), Options{Vault: openVault(t)}, "does not open"},
		"no validation rows": {few, d, t.TempDir(), Options{}, "training.validation: a share of 0.001 of 225"},
		"in use":             {p, d, locked, Options{}, "in use"},
	} {
		c.opt.Dir = c.dir
		if c.opt.Vault == nil {
			c.opt.Vault = v
		}
		_, err := Train(t.Context(), c.plan, c.data, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A checkpoint that cannot be written stops the training with nothing half done: no
// model is left that would pass for its result, and it can begin again.
func TestFirstCheckpointFails(t *testing.T) {
	p, d := toy(t)
	v := openVault(t)
	dir := t.TempDir()
	block := filepath.Join(dir, CheckpointName)
	opt := Options{Dir: dir, Vault: v, Step: func(pr Progress) { os.Mkdir(block, 0o700) }}
	_, err := Train(t.Context(), p, d, opt)
	if err == nil || strings.Count(err.Error(), "write the checkpoint") != 1 {
		t.Fatalf("a checkpoint that cannot be written: %v", err)
	}
	for _, name := range []string{ModelName, ResultName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	got, err := Train(t.Context(), p, d, Options{Dir: dir, Vault: v})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Train(t.Context(), p, d, Options{Dir: t.TempDir(), Vault: v})
	if err != nil || got.Model != want.Model {
		t.Errorf("model %s, want %s (%v)", got.Model, want.Model, err)
	}
}

// TestDiverged lets the numbers overflow, at once and after some good epochs: the
// best model before stays, and opens.
func TestDiverged(t *testing.T) {
	linear := strings.NewReplacer("{column: y, type: binary, positive_values: [yes]}", "{column: b, type: number}", "{family: mlp, hidden: [8]}", "{family: linear}").Replace(toyPlan)
	train := func(set ...string) (*DivergedError, *Model, Epoch) {
		t.Helper()
		p, err := plan.Parse([]byte(linear), "linear.yaml", append(set, "training.optimizer=sgd", "training.learning_rate=1000", "training.epochs=300")...)
		if err != nil {
			t.Fatal(err)
		}
		v, dir, best := openVault(t), t.TempDir(), Epoch{}
		_, err = Train(t.Context(), p, rowsOf(t, p, toyRows(300)), Options{Dir: dir, Vault: v, Epoch: func(e Epoch) {
			if e.Best {
				best = e
			}
		}})
		var diverged *DivergedError
		if !errors.As(err, &diverged) {
			t.Fatalf("%v after the best epoch %+v", err, best)
		}
		m, err := ReadModel(v, dir)
		if err != nil && !(diverged.Kept == 0 && errors.Is(err, fs.ErrNotExist)) {
			t.Fatal(err)
		}
		return diverged, m, best
	}
	d, m, _ := train()
	if d.Epoch != 1 || d.Batch < 2 || d.Step != uint64(d.Batch) || d.Example < 1 || d.Rows || m != nil || d.Hint() == "" {
		t.Errorf("at once: %+v, %v", d, m)
	}
	d, m, best := train("training.schedule.warmup=500000")
	if best.Epoch < 2 || d.Kept != best.Epoch || d.Epoch <= best.Epoch || m == nil || m.Info.Epoch != best.Epoch || *m.Info.Validation != *best.Validation {
		t.Errorf("after some epochs: %+v, model %+v, want that of epoch %d", d, m, best.Epoch)
	}
}

// TestNothingInPlaintext looks for the model's and the optimizer's numbers in every
// file that a training leaves, finished or not.
func TestNothingInPlaintext(t *testing.T) {
	p, d := toy(t)
	v, dir := openVault(t), t.TempDir()
	var at []string
	_, err := Train(t.Context(), p, d, Options{Dir: dir, Vault: v, Every: time.Nanosecond, Step: func(s Progress) {
		if s.Step == 40 {
			c, err := readCheckpoint(v, dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, params := range [][]float32{c.now.Params, c.best.Params} {
				at = append(at, pairs(params)...)
			}
			files(t, dir, at)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadModel(v, dir)
	if err != nil {
		t.Fatal(err)
	}
	files(t, dir, append(at, pairs(m.Record.Params)...))
}

// pairs are neighbouring numbers as bytes, in both orders.
func pairs(v []float32) (out []string) {
	for i := range len(v) - 1 {
		if v[i] == 0 && v[i+1] == 0 {
			continue
		}
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			b := order.AppendUint32(nil, math.Float32bits(v[i]))
			out = append(out, string(order.AppendUint32(b, math.Float32bits(v[i+1]))))
		}
	}
	return out
}

func files(t *testing.T, dir string, never []string) {
	t.Helper()
	if len(never) < 50 {
		t.Fatalf("%d patterns: the guard sees nothing", len(never))
	}
	seen := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, n := range never {
			if bytes.Contains(b, []byte(n)) {
				t.Errorf("%s holds parameters in plaintext", path)
				break
			}
		}
		seen++
		return err
	})
	if err != nil || seen < 3 {
		t.Fatalf("%d files, %v", seen, err)
	}
}

// TestFilesRefuse cuts what is inside the seal at every length.
func TestFilesRefuse(t *testing.T) {
	p, d := toy(t)
	v, dir := openVault(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Train(ctx, p, d, Options{Dir: dir, Vault: v, Step: func(s Progress) {
		if s.Step == 20 {
			cancel()
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c, err := readCheckpoint(v, dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if _, err := parseCheckpoint(b[:i]); err == nil {
			t.Fatalf("a checkpoint of %d of %d bytes", i, len(b))
		}
	}
	if _, err := parseCheckpoint(append(b, 0)); err == nil {
		t.Error("a checkpoint with a byte too many")
	}
	m, err := ReadModel(v, dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = m.encode(); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if _, err := parseModel(b[:i]); err == nil {
			t.Fatalf("a model of %d of %d bytes", i, len(b))
		}
	}
	other, _ := toy(t, "model.hidden=[9]")
	wrong := &Model{Plan: other, Record: m.Record}
	if b, err = wrong.encode(); err != nil {
		t.Fatal(err)
	}
	if _, err := parseModel(b); err == nil {
		t.Error("a record of another network")
	}
}
