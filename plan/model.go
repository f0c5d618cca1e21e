package plan

import (
	"fmt"

	"tacit/nn"
)

// Spec returns the network that p trains.
func (p *Plan) Spec() nn.Spec {
	s := nn.Spec{Inputs: p.Data.Width(), Loss: p.Model.Loss}
	if p.Model.Family == MLP {
		for _, units := range p.Model.Hidden {
			s.Layers = append(s.Layers, nn.Layer{Kind: nn.Dense, Units: units}, nn.Layer{Kind: p.Model.Activation})
		}
	}
	outputs := 1
	if p.Data.Target.Type == Class {
		outputs = len(p.Data.Classes())
	}
	s.Layers = append(s.Layers, nn.Layer{Kind: nn.Dense, Units: outputs})
	return s
}

// NumParams returns the length of the model's flat parameter vector.
func (p *Plan) NumParams() int { return p.Spec().NumParams() }

// Optimizer returns the branch's update rule.
func (p *Plan) Optimizer() nn.Optimizer {
	if p.Training.Optimizer == nn.Adam {
		return nn.NewAdam(p.Training.LearningRate)
	}
	return nn.NewSGD(p.Training.LearningRate, p.Training.Momentum)
}

// InitialParams returns the parameters that training begins with: nn's
// initialisation with p.Seed.
func (p *Plan) InitialParams() ([]float32, error) {
	program, err := nn.Compile(p.Spec(), nn.Options{Batch: 1, Seed: p.Seed})
	if err != nil {
		return nil, fmt.Errorf("plan: model: %w", err)
	}
	params := make([]float32, program.NumParams())
	if err := program.Store(params); err != nil {
		return nil, fmt.Errorf("plan: model: %w", err)
	}
	return params, nil
}
