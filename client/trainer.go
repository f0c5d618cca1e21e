package client

import (
	"context"
	"errors"
	"fmt"
	"math"

	"tacit/dataset"
	"tacit/dp"
	"tacit/nn"
	"tacit/plan"
	"tacit/strategy"
)

// A Trainer turns a global model into this branch's part of a round. It runs in a
// goroutine of its own and must return soon after ctx ends. Its result is not yet
// quantized; clipping to the plan's bound is its last step, so that every trainer's
// output has the same meaning.
type Trainer interface {
	Train(ctx context.Context, global *strategy.Record, task plan.Task, round uint64) (plan.Contribution, error)
}

// trainer trains with nn on the branch's tables.
type trainer struct {
	plan *plan.Plan
	data *dataset.Data
}

// NewTrainer returns the trainer that an agent uses when it is given no other.
func NewTrainer(p *plan.Plan, data *dataset.Data) Trainer { return &trainer{plan: p, data: data} }

// Train does what the task asks: sums of the training rows, local steps from the
// global model, or the global model's metrics on the test rows.
func (t *trainer) Train(ctx context.Context, global *strategy.Record, task plan.Task, round uint64) (plan.Contribution, error) {
	switch task {
	case plan.Statistics:
		s := t.data.Train.Statistics()
		return plan.Contribution{N: s.N, Sum: s.Sum, SumSq: s.SumSq}, nil
	case plan.Train:
		return t.train(ctx, global, round)
	case plan.Evaluate:
		return t.evaluate(ctx, global)
	}
	return plan.Contribution{}, fmt.Errorf("client: no such task: %v", task)
}

// standardisation is what the plan says rows are standardised with.
func (t *trainer) standardisation(global *strategy.Record) (*plan.Standardisation, error) {
	switch t.plan.Data.Standardise {
	case plan.Federated:
		if global.Standardisation == nil {
			return nil, errors.New("client: the model record has no standardisation yet")
		}
		return global.Standardisation, nil
	case plan.SiteWise:
		return t.data.Train.Standardisation()
	}
	return nil, nil
}

func (t *trainer) program(global *strategy.Record) (*nn.Program, error) {
	p, err := nn.Compile(t.plan.Spec(), nn.Options{
		Batch: t.plan.Training.Batch, Device: t.plan.Device, Seed: t.plan.Seed, Optimizer: t.plan.Optimizer(),
	})
	if err != nil {
		return nil, err
	}
	return p, p.Load(global.Params)
}

// train takes the plan's steps from the global model. The metrics are of the model
// as it came, over all training rows. The update leaves clipped to the plan's L2
// bound and then multiplied by the branch's weight.
func (t *trainer) train(ctx context.Context, global *strategy.Record, round uint64) (plan.Contribution, error) {
	fail := func(err error) (plan.Contribution, error) { return plan.Contribution{}, err }
	std, err := t.standardisation(global)
	if err != nil {
		return fail(err)
	}
	rows, err := t.data.Train.Examples(std)
	if err != nil {
		return fail(err)
	}
	p, err := t.program(global)
	if err != nil {
		return fail(err)
	}
	c, err := t.metrics(ctx, p, rows)
	if err != nil {
		return fail(err)
	}
	if c.Weight, err = t.plan.WeightShare(rows.Len()); err != nil {
		return fail(err)
	}
	// The stream is a function of (seed, step) alone, so that a restarted agent sees
	// the batches that it would have seen.
	steps := t.plan.Training.Steps
	stream, err := rows.Stream(t.plan.Seed, t.plan.Training.Batch, (round-1)*uint64(steps))
	if err != nil {
		return fail(err)
	}
	p.SetStep((round - 1) * uint64(steps))
	for range steps {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		b, err := stream.Next()
		if err != nil {
			return fail(err)
		}
		if _, err := p.Step(nn.Batch{X: b.X, Labels: b.Labels, Targets: b.Targets}); err != nil {
			return fail(fmt.Errorf("local training: %w", err))
		}
	}
	local := make([]float32, p.NumParams())
	if err := p.Store(local); err != nil {
		return fail(err)
	}
	c.Update = make([]float64, len(local))
	for i := range local {
		c.Update[i] = float64(local[i]) - float64(global.Params[i])
	}
	if _, _, err := dp.ClipL2(c.Update, t.plan.Federation.Clip); err != nil {
		return fail(fmt.Errorf("local training: the update: %w", err))
	}
	for i := range c.Update {
		c.Update[i] *= c.Weight
	}
	return c, nil
}

// evaluate measures the global model on the test rows.
func (t *trainer) evaluate(ctx context.Context, global *strategy.Record) (plan.Contribution, error) {
	if t.data.Test == nil || t.data.Test.Len() == 0 {
		return plan.Contribution{}, nil
	}
	std, err := t.standardisation(global)
	if err != nil {
		return plan.Contribution{}, err
	}
	rows, err := t.data.Test.Examples(std)
	if err != nil {
		return plan.Contribution{}, err
	}
	p, err := t.program(global)
	if err != nil {
		return plan.Contribution{}, err
	}
	return t.metrics(ctx, p, rows)
}

// metrics sums loss and counts of p over the rows, every example's loss clamped to
// the plan's bound. Counts and losses of a sequence with a label a step are per step.
func (t *trainer) metrics(ctx context.Context, p *nn.Program, rows *dataset.Examples) (plan.Contribution, error) {
	var c plan.Contribution
	var sum nn.Metrics
	losses := make([]float64, t.plan.Training.Batch)
	steps := float64(t.plan.Data.LabelsPerExample())
	for b, err := range rows.Pass(t.plan.Training.Batch) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return plan.Contribution{}, err
		}
		batch := nn.Batch{X: b.X, Labels: b.Labels, Targets: b.Targets}
		if t.plan.Model.Loss == nn.Cox { // a batch has one loss, the mean over its events
			m, err := p.Evaluate(batch)
			if err != nil {
				return plan.Contribution{}, err
			}
			loss, clamped := t.plan.ClampLoss(m.Loss())
			if m.Weight == 0 {
				loss, clamped = 0, false // no event, nothing to say
			}
			c.LossSum += loss * float64(m.Examples)
			if clamped {
				c.ClampedLoss += m.Examples
			}
			sum.Add(m)
			continue
		}
		m, err := p.Losses(losses[:b.Len()], batch)
		if err != nil {
			return plan.Contribution{}, err
		}
		sum.Add(m)
		// Losses are not negative: where their sum is within one example's bound, so
		// is each of them.
		if m.LossSum >= 0 && m.LossSum <= t.plan.Evaluation.LossBound {
			c.LossSum += m.LossSum
			continue
		}
		var part float64
		for _, l := range losses[:b.Len()] {
			loss, clamped := t.plan.ClampLoss(l)
			part += loss
			if clamped {
				c.ClampedLoss++
			}
		}
		c.LossSum += part * steps
	}
	c.Examples, c.Correct = sum.Examples, sum.Correct
	c.TruePositive, c.FalsePositive, c.FalseNegative = sum.TruePositive, sum.FalsePositive, sum.FalseNegative
	return c, nil
}

// checkContribution reports a contribution that no sum may hold.
func checkContribution(p *plan.Plan, task plan.Task, c *plan.Contribution) error {
	for _, s := range p.Segments(task) {
		v := c.Segment(s.Name)
		if len(v) != s.Length {
			return fmt.Errorf("segment %s has %d coordinates, the plan %d", s.Name, len(v), s.Length)
		}
		for _, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("segment %s is not finite", s.Name)
			}
		}
	}
	return nil
}
