package strategy

import (
	"encoding/binary"
	"fmt"
	"math"

	"tacit/plan"
)

// UpdateKind says what the branches' updates are.
type UpdateKind uint8

const (
	Delta       UpdateKind = 1 // local − global, weighted; divided by the masked sum of weights
	GradientSum UpdateKind = 2 // sum of clipped per-example gradients; divided by a public constant
)

// String returns "delta" or "gradientSum".
func (k UpdateKind) String() string {
	switch k {
	case Delta:
		return "delta"
	case GradientSum:
		return "gradientSum"
	}
	return fmt.Sprintf("update kind %d", uint8(k))
}

// Aggregate is the opened sum of updates. Update/Divisor is their mean.
type Aggregate struct {
	Kind    UpdateKind
	Update  []float64
	Divisor float64 // > 0
}

// Strategy turns aggregates into models. Implementations are pure functions of
// their arguments: same bits in, same bits out, on every machine. They change
// neither the state nor the model they are given.
type Strategy interface {
	Name() string
	// Start returns the state before the first training round.
	Start(p *plan.Plan) State
	// Apply returns the next state and model. An error means that the aggregate
	// cannot be applied and that the round is to be aborted.
	Apply(s State, global []float32, a Aggregate) (State, []float32, error)
}

// For returns the strategy that p names.
func For(p *plan.Plan) (Strategy, error) {
	if p.Federation.Strategy == plan.FedAvg {
		return FedAvg{}, nil
	}
	return nil, fmt.Errorf("strategy: no strategy is named %q", p.Federation.Strategy)
}

// FedAvg adds the weighted mean of the branches' deltas to the global model
// (McMahan et al. 2017, Algorithm 1, https://arxiv.org/abs/1602.05629, written
// with differences: Σ w_k·(θ_k − θ)/Σ w_k + θ = Σ w_k·θ_k/Σ w_k). Its state
// is the number of rounds applied, 8 bytes big-endian, empty before the first: a round
// whose sum is zero leaves the parameters alone, and the next one must still begin with
// a model of its own, since no agent reports on one model twice.
type FedAvg struct{}

// Name returns plan.FedAvg.
func (FedAvg) Name() string { return plan.FedAvg }

// Start returns the empty state.
func (FedAvg) Start(*plan.Plan) State { return nil }

// Apply returns θ + Update/Divisor, each coordinate rounded once to float32.
func (FedAvg) Apply(s State, global []float32, a Aggregate) (State, []float32, error) {
	switch {
	case len(s) != 0 && len(s) != 8:
		return nil, nil, &StateError{Reason: fmt.Sprintf("fedavg's state has 8 bytes, got %d", len(s))}
	case a.Kind != Delta:
		return nil, nil, fmt.Errorf("strategy: fedavg averages deltas, not a %v", a.Kind)
	case len(a.Update) != len(global):
		return nil, nil, fmt.Errorf("strategy: an update of %d coordinates for %d parameters", len(a.Update), len(global))
	case !(a.Divisor > 0) || math.IsInf(a.Divisor, 0):
		return nil, nil, fmt.Errorf("strategy: fedavg divides by %v", a.Divisor)
	}
	next := make([]float32, len(global))
	for i, g := range global {
		mean := float64(a.Update[i] / a.Divisor)
		next[i] = float32(float64(float64(g) + mean))
		if next[i]-next[i] != 0 {
			return nil, nil, fmt.Errorf("strategy: parameter %d leaves the range of float32", i)
		}
	}
	var applied uint64
	if len(s) > 0 {
		applied = binary.BigEndian.Uint64(s)
	}
	return binary.BigEndian.AppendUint64(nil, applied+1), next, nil
}

// StateError means that a strategy's stored state is not what this round needs:
// integrity is lost, and the run stops.
type StateError struct{ Reason string }

func (e *StateError) Error() string { return "strategy: " + e.Reason }
