package main

import (
	"errors"
	"fmt"

	"tacit/dataset"
	"tacit/nn"
	"tacit/nn/safetensors"
	"tacit/plan"
)

// openedModel is an exported model, opened: what its owner has.
type openedModel struct {
	params []float32
	std    *plan.Standardisation // nil where the plan does not standardise together
}

// openModel reads the payload of an export.
func openModel(p *plan.Plan, payload []byte) (*openedModel, error) {
	tensors, _, err := safetensors.Parse(payload)
	if err != nil {
		return nil, err
	}
	byName := map[string][]float32{}
	for _, t := range tensors {
		byName[t.Name] = t.Data
	}
	layout, err := p.Spec().Layout()
	if err != nil {
		return nil, err
	}
	m := &openedModel{params: make([]float32, p.NumParams())}
	for _, e := range layout {
		data, ok := byName[e.Name]
		if !ok || len(data) != e.Len {
			return nil, fmt.Errorf("the exported model has no tensor %s of %d numbers", e.Name, e.Len)
		}
		copy(m.params[e.Offset:], data)
	}
	mean, std := byName["standardise.mean"], byName["standardise.std"]
	if len(mean) != len(std) {
		return nil, errors.New("the exported model's standardisation is incomplete")
	}
	if len(mean) > 0 {
		m.std = &plan.Standardisation{Mean: widen(mean), Std: widen(std)}
	}
	return m, nil
}

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
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
