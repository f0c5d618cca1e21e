package plan

import (
	"fmt"

	"tacit/nn"
)

// lossesOf returns the losses that a target can be learned with, the default
// first.
func lossesOf(target string) []string {
	switch target {
	case Binary:
		return []string{nn.BinaryCrossEntropy}
	case Class, Next:
		return []string{nn.CrossEntropy}
	case Number:
		return []string{nn.MSE, nn.MAE, nn.Huber}
	case Survival:
		return []string{nn.Cox}
	}
	return nil
}

// kindsOf returns the kinds of data that a family takes.
func kindsOf(family string) []string {
	switch family {
	case LogReg, MLP, Linear:
		return []string{KindTable, KindImages, KindSeries}
	case CNN, ResNet:
		return []string{KindImages}
	case RNN, LSTM, GRU, Transformer:
		return []string{KindText, KindSeries}
	}
	return kindNames
}

// Spec returns the network that p trains, every layer of it.
func (p *Plan) Spec() nn.Spec {
	m := &p.Model
	s := nn.Spec{Inputs: p.Data.Width(), Loss: m.Loss, LabelSmoothing: m.LabelSmoothing}
	if shape := p.Data.Shape(); len(shape) > 1 {
		s.Shape = shape
	}
	if len(m.ClassWeights) > 0 {
		s.ClassWeights = m.ClassWeights
	}
	if m.Loss == nn.Huber {
		s.Delta = m.HuberDelta
	}
	switch m.Family {
	case CNN:
		s.Layers = p.cnn()
	case ResNet:
		s.Layers = p.resnet()
	case RNN, LSTM, GRU:
		s.Layers = p.recurrent()
	case Transformer:
		s.Layers = p.transformer()
	case Layers:
		s.Layers = p.written()
	default:
		s.Layers = p.mlp(s.Shape != nil)
	}
	return s
}

// NumParams returns the length of the model's flat parameter vector.
func (p *Plan) NumParams() int { return p.Spec().NumParams() }

// Optimizer returns the branch's update rule.
func (p *Plan) Optimizer() nn.Optimizer {
	t := &p.Training
	o := nn.Optimizer{Kind: t.Optimizer, LR: t.LearningRate, WeightDecay: t.WeightDecay, ClipNorm: t.ClipNorm, Schedule: t.Schedule.rule()}
	switch t.Optimizer {
	case nn.SGD:
		o.Momentum, o.Nesterov = t.Momentum, t.Nesterov
	case nn.Adam, nn.AdamW:
		o.Beta1, o.Beta2, o.Epsilon = t.Beta1, t.Beta2, t.Epsilon
	case nn.RMSProp:
		o.Momentum, o.Alpha, o.Epsilon = t.Momentum, t.Alpha, t.Epsilon
	case nn.Adagrad:
		o.Epsilon = t.Epsilon
	}
	return o
}

// rule returns s as nn has it: without the fields that its kind does not use.
func (s *Schedule) rule() nn.Schedule {
	out := nn.Schedule{Warmup: s.Warmup}
	switch s.Kind {
	case Step:
		out.Kind, out.Every, out.Gamma = s.Kind, s.Every, s.Gamma
	case Cosine:
		out.Kind, out.Min, out.Total = s.Kind, s.Min, s.Total
	}
	return out
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
