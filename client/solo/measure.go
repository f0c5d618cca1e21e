package solo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"tacit/dataset"
	"tacit/id"
	"tacit/nn"
	"tacit/nn/metric"
	"tacit/plan"
)

// manyClasses is from where on classes are measured without a table of them all.
const manyClasses = 200

// Target says how predictions of p's model are measured. Numbers are in the target
// column's own unit.
func Target(p *plan.Plan, examples int) metric.Target {
	var t metric.Target
	classes := len(p.Data.Classes())
	switch p.Data.Target.Type {
	case plan.Binary:
		t = metric.Binary()
	case plan.Class:
		if t = metric.Class(classes); classes > manyClasses {
			t = metric.Token(classes)
		}
	case plan.Next:
		t = metric.Token(classes)
	case plan.Survival:
		t = metric.Survival()
		t.Batch = max(examples, 1) // one Observe forms every pair
		return t
	default:
		c := p.Data.Columns[p.Data.TargetIndex()]
		return metric.Number(c.Min, c.Max)
	}
	t.LossBound = p.Evaluation.LossBound
	return t
}

// Unit brings predictions or targets of numbers back to the target column's unit, in
// place; others it leaves alone.
func Unit(p *plan.Plan, v []float32) {
	if p.Data.Target.Type != plan.Number {
		return
	}
	c := p.Data.Columns[p.Data.TargetIndex()]
	for i, u := range v {
		v[i] = float32(c.Min + float64(u)*(c.Max-c.Min))
	}
}

// Measured is a model's loss and metrics on some examples.
type Measured struct {
	Loss   float64
	Values []metric.Value
	Set    *metric.Set
}

// Measure evaluates the program's model on examples. The loss is the one that is
// trained with, and its mean may be NaN or infinite.
func Measure(ctx context.Context, p *plan.Plan, prog *nn.Program, examples *dataset.Examples) (*Measured, error) {
	set, err := metric.New(Target(p, examples.Len()))
	if err != nil {
		return nil, err
	}
	var sum nn.Metrics
	outputs := prog.Spec().Outputs()
	survival := p.Data.Target.Type == plan.Survival
	var pred, all, targets []float32
	for b, err := range examples.Pass(p.Training.Batch) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		m, err := prog.Evaluate(nn.Batch{X: b.X, Labels: b.Labels, Targets: b.Targets})
		if err != nil {
			return nil, err
		}
		sum.Add(m)
		if n := b.Len() * outputs; cap(pred) < n {
			pred = make([]float32, n)
		} else {
			pred = pred[:n]
		}
		if err := prog.Predict(pred, b.X); err != nil {
			return nil, err
		}
		if survival {
			all, targets = append(all, pred...), append(targets, b.Targets...)
			continue
		}
		targets = append(targets[:0], b.Targets...)
		if len(targets) == 0 {
			targets = nil
		}
		Unit(p, pred)
		Unit(p, targets)
		if err := set.Observe(pred, b.Labels, targets); err != nil {
			return nil, err
		}
	}
	if survival && len(all) > 0 {
		if err := set.Observe(all, nil, targets); err != nil {
			return nil, err
		}
	}
	return &Measured{Loss: sum.Loss(), Values: set.Values(), Set: set}, nil
}

// Digest is a data set's fingerprint: of every example, in order, as the model gets
// it before standardisation; of examples that are larger than memory, of their sums
// alone. A number that is not finite is a *[RowError].
func Digest(data *dataset.Data) (id.Digest, error) {
	h := sha256.New()
	h.Write([]byte("tacit-solo-data/1\n"))
	var buf []byte
	for i, t := range []*dataset.Table{data.Train, data.Test} {
		if t == nil {
			continue
		}
		buf = binary.BigEndian.AppendUint64(buf[:0], uint64(t.Len()))
		stats := t.Statistics()
		for _, list := range [][]float64{stats.N, stats.Sum, stats.SumSq} {
			for _, v := range list {
				buf = binary.BigEndian.AppendUint64(buf, math.Float64bits(v))
			}
		}
		h.Write(buf)
		if t.Streamed() {
			continue
		}
		examples, err := t.Examples(nil)
		if err != nil {
			return id.Digest{}, err
		}
		n := 0
		for b, err := range examples.Pass(64) {
			if err != nil {
				return id.Digest{}, err
			}
			buf = buf[:0]
			for _, list := range [][]float32{b.X, b.Targets} {
				for j, v := range list {
					if v-v != 0 {
						per := max(len(list)/b.Len(), 1)
						return id.Digest{}, &RowError{Set: [2]string{"training", "test"}[i], Example: n + j/per + 1}
					}
					buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
				}
			}
			for _, l := range b.Labels {
				buf = binary.LittleEndian.AppendUint32(buf, uint32(l))
			}
			h.Write(buf)
			n += b.Len()
		}
	}
	return id.Digest(h.Sum(nil)), nil
}
