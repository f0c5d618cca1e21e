package main

import (
	"tacit/dataset"
	"tacit/nn"
	"tacit/nn/model"
	"tacit/plan"
)

// openedModel is an exported model, opened: what its owner has.
type openedModel struct {
	params []float32
	std    *plan.Standardisation // nil where the plan does not standardise together
}

// openModel reads the payload of an export.
func openModel(p *plan.Plan, payload []byte) (*openedModel, error) {
	layout, err := p.Spec().Layout()
	if err != nil {
		return nil, err
	}
	file, err := model.Parse(layout, payload)
	if err != nil {
		return nil, err
	}
	m := &openedModel{params: file.Params}
	if len(file.Mean) > 0 {
		m.std = &plan.Standardisation{Mean: file.Mean, Std: file.Std}
	}
	return m, nil
}

// score evaluates parameters on rows.
func score(p *plan.Plan, params []float32, rows *dataset.Table, std *plan.Standardisation) (nn.Metrics, error) {
	var sum nn.Metrics
	prog, err := nn.Compile(p.Spec(), nn.Options{Batch: 64, Seed: p.Seed})
	if err != nil {
		return sum, err
	}
	if err := prog.Load(params); err != nil {
		return sum, err
	}
	examples, err := rows.Examples(std)
	if err != nil {
		return sum, err
	}
	for b, err := range examples.Pass(64) {
		if err != nil {
			return sum, err
		}
		m, err := prog.Evaluate(nn.Batch{X: b.X, Labels: b.Labels, Targets: b.Targets})
		if err != nil {
			return sum, err
		}
		sum.Add(m)
	}
	return sum, nil
}

// trainAlone trains on one table what the federation trains on many: the same Spec,
// optimizer, seed, batch and number of steps, without rounds between them.
func trainAlone(p *plan.Plan, rows *dataset.Table, std *plan.Standardisation) ([]float32, error) {
	prog, err := nn.Compile(p.Spec(), nn.Options{Batch: p.Training.Batch, Seed: p.Seed, Optimizer: p.Optimizer()})
	if err != nil {
		return nil, err
	}
	params, err := p.InitialParams()
	if err != nil {
		return nil, err
	}
	if err := prog.Load(params); err != nil {
		return nil, err
	}
	examples, err := rows.Examples(std)
	if err != nil {
		return nil, err
	}
	stream, err := examples.Stream(p.Seed, p.Training.Batch, 0)
	if err != nil {
		return nil, err
	}
	for range p.Federation.Rounds * p.Training.Steps {
		b, err := stream.Next()
		if err != nil {
			return nil, err
		}
		if _, err := prog.Step(nn.Batch{X: b.X, Labels: b.Labels, Targets: b.Targets}); err != nil {
			return nil, err
		}
	}
	return params, prog.Store(params)
}
