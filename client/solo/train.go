package solo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tacit/dataset"
	"tacit/id"
	"tacit/internal/crashpoint"
	"tacit/internal/durable"
	"tacit/nn"
	"tacit/plan"
	"tacit/strategy"
	"tacit/vault"
)

// Crash points of training alone.
var (
	pointStep  = crashpoint.Register("solo.step")       // a step taken, nothing written
	pointSaved = crashpoint.Register("solo.checkpoint") // a checkpoint durable, the epoch's line not
	pointModel = crashpoint.Register("solo.model")      // the result is sealed, the checkpoint still there
)

// DefaultEvery is Options.Every where it is 0.
const DefaultEvery = 30 * time.Second

// Options say where a training keeps what it makes, and who hears of it.
type Options struct {
	Dir    string       // made if missing
	Vault  *vault.Vault // seals model and checkpoint
	Name   string       // of the data set, for the result
	Resume bool         // fail where there is no checkpoint; one that is there is used in any case

	// Every is the longest time between two checkpoints. At the end of an epoch one
	// is written too, unless the last is younger than that and a second.
	Every time.Duration

	Start func(Start)    // before the first step; may be nil
	Step  func(Progress) // after every step; may be nil
	Epoch func(Epoch)    // after every epoch; may be nil
}

// Start says what is about to be trained.
type Start struct {
	Train, Validation, Test int // examples
	Parameters              int
	ArenaBytes              int64
	Epochs                  int
	Step, Steps             uint64 // Step > 0: resumed
}

// Progress is how far a training is.
type Progress struct {
	Epoch, Epochs int
	Step, Steps   uint64
	Loss          float64 // mean over the epoch so far
}

// Epoch is what one epoch came to.
type Epoch struct {
	Epoch      int                `json:"epoch"`
	Step       uint64             `json:"step"`
	Loss       float64            `json:"loss"`               // mean over the epoch's batches, each before its step
	Accuracy   *float64           `json:"accuracy,omitempty"` // the same
	Validation *float64           `json:"validation_loss,omitempty"`
	Metrics    map[string]float64 `json:"validation_metrics,omitempty"`
	Best       bool               `json:"best"` // the best so far
	Seconds    float64            `json:"seconds"`
}

// Result is what a training came to.
type Result struct {
	Plan       string   `json:"plan"`
	Name       string   `json:"name"`
	Model      string   `json:"model"` // hash
	Data       string   `json:"data"`
	Train      int      `json:"train_examples"`
	Validation int      `json:"validation_examples"`
	Test       int      `json:"test_examples"`
	Parameters int      `json:"parameters"`
	Epochs     int      `json:"epochs"`
	Steps      uint64   `json:"steps"`
	Best       int      `json:"best_epoch"`
	Stopped    string   `json:"stopped"` // "end" or "patience"
	Loss       float64  `json:"loss"`    // of the best epoch, while training
	BestLoss   *float64 `json:"validation_loss,omitempty"`
	TestLoss   *float64 `json:"test_loss,omitempty"`
	Metrics    []Metric `json:"test_metrics,omitempty"`
	Seconds    float64  `json:"seconds"`
}

// Metric is a value of nn/metric as JSON has it: one that is not a number is left out.
type Metric struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Weight float64 `json:"weight"`
	Error  float64 `json:"error,omitempty"`
}

// OfClass reports whether the metric is of one class or output alone: precision.3.
func (m Metric) OfClass() bool {
	_, class, ok := strings.Cut(m.Name, ".")
	_, err := strconv.Atoi(class)
	return ok && err == nil
}

// Metrics returns the values that are numbers.
func (m *Measured) Metrics() []Metric {
	var out []Metric
	for _, v := range m.Values {
		if finite(v.Value) {
			out = append(out, Metric{v.Name, v.Value, v.Weight, v.Error})
		}
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// training is one Train.
type training struct {
	ctx  context.Context
	plan *plan.Plan
	hash id.PlanHash
	opt  Options
	data id.Digest

	train, validation, test *dataset.Examples // validation, test: nil where there are none
	std                     *plan.Standardisation

	prog  *nn.Program
	per   uint64 // batches in an epoch
	total uint64 // steps

	where    where
	best     *strategy.Record
	kept     bool      // best is in ModelName
	begun    time.Time // this process's part
	before   float64   // seconds of other processes
	saved    time.Time
	savedAt  uint64 // step
	savedEnd int    // epochs at that time
}

// Train trains p's model on data until its last epoch, patience or ctx ends, or goes
// on where a checkpoint in the directory stands. After a result it leaves the sealed
// model, and no checkpoint.
func Train(ctx context.Context, p *plan.Plan, data *dataset.Data, opt Options) (*Result, error) {
	if opt.Every == 0 {
		opt.Every = DefaultEvery
	}
	if err := durable.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.Lock(opt.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	t := &training{ctx: ctx, plan: p, hash: p.Hash(), opt: opt}
	saved, err := t.look()
	if err != nil {
		return nil, err
	}
	if t.data, err = Digest(data); err != nil {
		return nil, err
	}
	if saved != nil && saved.data != t.data {
		return nil, otherData(opt.Dir)
	}
	if err := t.prepare(data); err != nil {
		return nil, err
	}
	if err := t.begin(saved); err != nil {
		return nil, err
	}
	if err := t.loop(); err != nil {
		return nil, err
	}
	return t.finish()
}

// look reads what the directory holds.
func (t *training) look() (*checkpoint, error) {
	dir := t.opt.Dir
	saved, err := readCheckpoint(t.opt.Vault, dir)
	switch {
	case err != nil:
		return nil, err
	case saved != nil && saved.plan != t.hash:
		return nil, otherPlan(dir, saved.plan, t.hash)
	case saved != nil:
		return saved, nil
	}
	for _, left := range []struct{ name, what string }{
		{ResultName, " holds a training that is over"},
		{ModelName, " holds the best model of a training that has no checkpoint to go on from"},
	} {
		if _, err := os.Lstat(filepath.Join(dir, left.name)); err == nil {
			return nil, &RefusedError{What: dir + left.what, Do: "tacit model eval " + dir + " says how good it is; train into another directory"}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if t.opt.Resume {
		return nil, &RefusedError{What: dir + " holds no checkpoint to resume from", Do: "without --resume the training begins anew"}
	}
	return nil, nil
}

// prepare divides the rows, standardises them and compiles the network.
func (t *training) prepare(data *dataset.Data) error {
	p := t.plan
	train, rest := data.Train, (*dataset.Table)(nil)
	if share := p.Training.Validation; share > 0 {
		var err error
		if train, rest, err = data.Train.Split(share, p.Seed); err != nil {
			return err
		}
		if rest.Len() == 0 || train.Len() == 0 {
			return &RefusedError{What: fmt.Sprintf("training.validation: a share of %v of %d training examples leaves %d to train on and %d to judge by", share, data.Train.Len(), train.Len(), rest.Len()),
				Do: "choose another share with --set training.validation=0.2, or 0 for none"}
		}
	}
	if p.Data.Standardise != plan.None {
		var err error
		if t.std, err = train.Standardisation(); err != nil {
			return err
		}
	}
	for to, table := range map[**dataset.Examples]*dataset.Table{&t.train: train, &t.validation: rest, &t.test: data.Test} {
		if table == nil || table.Len() == 0 {
			continue
		}
		examples, err := table.Examples(t.std)
		if err != nil {
			return err
		}
		*to = examples
	}
	if t.train == nil {
		return dataset.ErrNoExamples
	}
	batch := uint64(p.Training.Batch)
	t.per = (uint64(t.train.Len()) + batch - 1) / batch
	t.total = uint64(p.Training.Epochs) * t.per
	if p.Training.Epochs == 0 {
		t.total = uint64(p.Federation.Rounds) * uint64(p.Training.Steps)
	}
	// A cosine that the plan does not end elsewhere ends with this training.
	rule := p.Optimizer()
	if rule.Schedule.Total == p.Federation.Rounds*p.Training.Steps && p.Training.Epochs > 0 {
		rule.Schedule.Total = int(min(t.total, math.MaxInt32))
	}
	var err error
	t.prog, err = nn.Compile(p.Spec(), nn.Options{Batch: p.Training.Batch, Device: p.Device, Seed: p.Seed, Optimizer: rule})
	return err
}

func (t *training) epochs() int { return int((t.total + t.per - 1) / t.per) }

// begin starts from the plan's first parameters, or from a checkpoint.
func (t *training) begin(saved *checkpoint) error {
	t.begun = time.Now()
	t.saved = t.begun
	if saved == nil {
		params, err := t.plan.InitialParams()
		if err != nil {
			return err
		}
		if err := t.prog.Load(params); err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(t.opt.Dir, PlanName), []byte(t.plan.YAML()), 0o600); err != nil {
			return err
		}
	} else {
		t.where, t.best = saved.where, saved.best
		t.before = saved.where.Seconds
		t.savedAt, t.savedEnd = saved.where.Step, saved.where.Epoch
		err := check(t.plan, saved.now)
		if err == nil && saved.best != nil {
			err = check(t.plan, saved.best)
		}
		if err == nil {
			err = t.prog.Load(saved.now.Params)
		}
		if err == nil {
			err = t.prog.LoadState(saved.state)
		}
		if err != nil {
			return &vault.DamagedError{Path: filepath.Join(t.opt.Dir, CheckpointName), What: err.Error()}
		}
	}
	// The lines of epochs that a checkpoint does not know are written again.
	if err := t.writeMetrics(); err != nil {
		return err
	}
	if t.opt.Start != nil {
		s := Start{Train: t.train.Len(), Parameters: t.prog.NumParams(), ArenaBytes: t.prog.ArenaBytes(), Epochs: t.epochs(), Step: t.where.Step, Steps: t.total}
		if t.validation != nil {
			s.Validation = t.validation.Len()
		}
		if t.test != nil {
			s.Test = t.test.Len()
		}
		t.opt.Start(s)
	}
	return nil
}

// loop takes steps until the training is over.
func (t *training) loop() error {
	stream, err := t.train.Stream(t.plan.Seed, t.plan.Training.Batch, t.where.Step)
	if err != nil {
		return err
	}
	w := &t.where
	for {
		if w.Step > uint64(w.Epoch)*t.per && (w.Step%t.per == 0 || w.Step == t.total) {
			if err := t.endEpoch(); err != nil {
				return t.stop(err)
			}
		}
		if t.over() {
			return nil
		}
		if t.ctx.Err() != nil {
			return t.stop(t.ctx.Err())
		}
		if time.Since(t.saved) >= t.opt.Every && w.Step > t.savedAt {
			if err := t.save(); err != nil {
				return err
			}
		}
		b, err := stream.Next()
		if err != nil {
			return t.stop(err)
		}
		m, err := t.prog.Step(nn.Batch{X: b.X, Labels: b.Labels, Targets: b.Targets})
		if err != nil {
			return t.stop(t.locate(err, b))
		}
		w.Step++
		w.Examples += m.Examples
		w.LossSum += m.LossSum
		w.Weight += m.Weight
		w.Correct += m.Correct
		pointStep.Hit()
		if t.opt.Step != nil {
			t.opt.Step(Progress{Epoch: w.Epoch + 1, Epochs: t.epochs(), Step: w.Step, Steps: t.total, Loss: t.sums().Loss()})
		}
	}
}

// sums are those of the epoch in progress.
func (t *training) sums() nn.Metrics {
	w := &t.where
	return nn.Metrics{Examples: w.Examples, LossSum: w.LossSum, Weight: w.Weight, Correct: w.Correct}
}

// over reports whether no step is left, or patience.
func (t *training) over() bool { return t.where.Step >= t.total || t.patienceLost() }

func (t *training) patienceLost() bool {
	n := t.plan.Training.Patience
	return n > 0 && t.validation != nil && t.where.BestEpoch > 0 && t.where.Epoch-t.where.BestEpoch >= n
}

// locate says where a number that is not finite was met.
func (t *training) locate(err error, b dataset.Batch) error {
	w := &t.where
	var nan *nn.NonFiniteError
	if !errors.As(err, &nan) {
		return fmt.Errorf("epoch %d, batch %d: %w", w.Epoch+1, w.Step%t.per+1, err)
	}
	d := &DivergedError{Epoch: w.Epoch + 1, Batch: int(w.Step%t.per) + 1, Step: w.Step + 1, Example: nan.Example + 1}
	if nan.Example < 0 {
		return d // no single one
	}
	per := len(b.X) / max(b.Len(), 1)
	d.Rows = slices.ContainsFunc(b.X[nan.Example*per:][:per], func(v float32) bool { return v-v != 0 })
	return d
}

// stop ends the training before its time. What was learned until here is kept: a
// checkpoint where a person or the disk stopped it, the best model where the numbers
// did.
func (t *training) stop(err error) error {
	var diverged *DivergedError
	if errors.As(err, &diverged) {
		diverged.Kept, diverged.Dir = t.where.BestEpoch, t.opt.Dir
		if kept := t.keepBest(); kept != nil {
			return fmt.Errorf("%w (%w)", err, kept)
		}
		return err
	}
	if saved := t.save(); saved != nil && saved.Error() == err.Error() {
		return err // what stopped it
	} else if saved != nil {
		return fmt.Errorf("%w (and the checkpoint: %w)", err, saved)
	}
	if t.ctx.Err() != nil {
		return &InterruptedError{Dir: t.opt.Dir, Step: t.where.Step, Total: t.total, Err: t.ctx.Err()}
	}
	return err
}

// record is the model as it is now.
func (t *training) record() (*strategy.Record, error) {
	r := &strategy.Record{Params: make([]float32, t.prog.NumParams()), Standardisation: t.std, State: strategy.State(nil).Hash()}
	if err := t.prog.Store(r.Params); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(r.Params, func(v float32) bool { return v-v != 0 }) {
		return nil, &DivergedError{Epoch: t.where.Epoch + 1, Step: t.where.Step}
	}
	return r, nil
}

// endEpoch judges the model and keeps it where it is the best.
func (t *training) endEpoch() error {
	w := &t.where
	now, err := t.record()
	if err != nil {
		return err
	}
	sums := t.sums()
	e := Epoch{Epoch: w.Epoch + 1, Step: w.Step, Loss: sums.Loss(), Best: true}
	if t.plan.Data.Labelled() {
		accuracy := sums.Accuracy()
		e.Accuracy = &accuracy
	}
	if t.validation != nil {
		m, err := Measure(t.ctx, t.plan, t.prog, t.validation)
		if err != nil {
			return err
		}
		if !finite(m.Loss) {
			return &DivergedError{Epoch: e.Epoch, Step: w.Step, Validation: true}
		}
		e.Validation = &m.Loss
		e.Metrics = map[string]float64{}
		for _, v := range m.Metrics() {
			if !v.OfClass() {
				e.Metrics[v.Name] = v.Value
			}
		}
		e.Best = w.BestEpoch == 0 || m.Loss < *w.Best.Validation
	}
	e.Seconds = t.seconds()
	if e.Best {
		t.best, t.kept = now, false
		w.BestEpoch = e.Epoch
		w.Best = Info{Data: t.opt.Name, DataDigest: t.data.String(), Epoch: e.Epoch, Step: w.Step, Validation: e.Validation, Rows: t.train.Len()}
	}
	w.Epoch = e.Epoch
	w.History = append(w.History, e)
	w.Examples, w.LossSum, w.Weight, w.Correct = 0, 0, 0, 0
	if since := time.Since(t.saved); since >= min(t.opt.Every, time.Second) && !t.over() {
		if err := t.save(); err != nil {
			return err
		}
	}
	if err := t.appendMetrics(e); err != nil {
		return err
	}
	if t.opt.Epoch != nil {
		t.opt.Epoch(e)
	}
	return nil
}

func (t *training) seconds() float64 { return t.before + time.Since(t.begun).Seconds() }

// save writes a checkpoint, unless the last one is of this very moment.
func (t *training) save() error {
	w := &t.where
	if w.Step == t.savedAt && w.Epoch == t.savedEnd {
		return nil
	}
	now, err := t.record()
	if err != nil {
		return t.stop(err)
	}
	w.Seconds = t.seconds()
	c := &checkpoint{plan: t.hash, data: t.data, where: *w, now: now, state: t.prog.AppendState(nil), best: t.best}
	b, err := c.encode()
	if err != nil {
		return err
	}
	if err := t.opt.Vault.WriteSealed(filepath.Join(t.opt.Dir, CheckpointName), checkpointUse, b); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	t.saved, t.savedAt, t.savedEnd = time.Now(), w.Step, w.Epoch
	pointSaved.Hit()
	// Only now: a model beside no checkpoint would be all that is left of a training
	// that could have gone on. The checkpoint holds the best model too.
	return t.keepBest()
}

// keepBest seals the best model so far, if there is one that is not sealed yet.
func (t *training) keepBest() error {
	if t.best == nil || t.kept {
		return nil
	}
	m := &Model{Plan: t.plan, Record: t.best, Info: t.where.Best}
	b, err := m.encode()
	if err != nil {
		return err
	}
	if err := t.opt.Vault.WriteSealed(filepath.Join(t.opt.Dir, ModelName), modelUse, b); err != nil {
		return fmt.Errorf("write the model: %w", err)
	}
	t.kept = true
	return nil
}

// writeMetrics writes the lines of every epoch that is known.
func (t *training) writeMetrics() error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, e := range t.where.History {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return durable.WriteFile(filepath.Join(t.opt.Dir, MetricsName), b.Bytes(), 0o600)
}

// appendMetrics adds an epoch's line, which a checkpoint before it may still have to
// write again.
func (t *training) appendMetrics(e Epoch) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(t.opt.Dir, MetricsName), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// finish tests the best model and writes the result.
func (t *training) finish() (*Result, error) {
	// A process that dies from here on comes back to this place.
	if err := t.save(); err != nil {
		return nil, err
	}
	w := &t.where
	r := &Result{
		Plan: t.hash.String(), Name: t.plan.Name, Model: t.best.Hash().String(), Data: t.opt.Name,
		Train: t.train.Len(), Parameters: t.prog.NumParams(), Epochs: w.Epoch, Steps: w.Step, Best: w.BestEpoch,
		Stopped: "end", BestLoss: w.Best.Validation, Loss: w.History[w.BestEpoch-1].Loss,
	}
	if w.Step < t.total {
		r.Stopped = "patience"
	}
	if t.validation != nil {
		r.Validation = t.validation.Len()
	}
	if t.test != nil {
		r.Test = t.test.Len()
		if err := t.prog.Load(t.best.Params); err != nil {
			return nil, err
		}
		m, err := Measure(t.ctx, t.plan, t.prog, t.test)
		if err != nil {
			return nil, t.stop(err)
		}
		if finite(m.Loss) {
			r.TestLoss = &m.Loss
		}
		r.Metrics = m.Metrics()
	}
	r.Seconds = t.seconds()
	if err := t.keepBest(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(t.opt.Dir, ResultName), append(text, '\n'), 0o600); err != nil {
		return nil, err
	}
	pointModel.Hit()
	var disk *durable.Disk
	return r, disk.Remove(filepath.Join(t.opt.Dir, CheckpointName))
}
