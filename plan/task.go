package plan

import "fmt"

// Task is what one round is for.
type Task uint8

const (
	Statistics Task = 1 // round 0: what standardisation needs
	Train      Task = 2
	Evaluate   Task = 3 // after the last training round: metrics of the final model on the branches' test rows
)

// String returns "statistics", "train" or "evaluate".
func (t Task) String() string {
	switch t {
	case Statistics:
		return "statistics"
	case Train:
		return "train"
	case Evaluate:
		return "evaluate"
	}
	return fmt.Sprintf("task(%d)", uint8(t))
}

// ParseTask is the inverse of [Task.String].
func ParseTask(s string) (Task, error) {
	for _, t := range []Task{Statistics, Train, Evaluate} {
		if s == t.String() {
			return t, nil
		}
	}
	return 0, fmt.Errorf("plan: no task is named %q", s)
}

// FirstRound returns the index of the first round: 0, the statistics round, when
// standardisation is federated, else 1.
func (p *Plan) FirstRound() uint64 {
	if p.Data.Standardise == Federated {
		return 0
	}
	return 1
}

// LastRound returns the index of the last round: the last training round, or the
// evaluate round behind it.
func (p *Plan) LastRound() uint64 {
	n := uint64(p.Federation.Rounds)
	if p.Evaluation.Final {
		n++
	}
	return n
}

// Task returns what the round with the given index is for, or false when the plan
// has no such round.
func (p *Plan) Task(round uint64) (Task, bool) {
	switch {
	case round < p.FirstRound() || round > p.LastRound():
		return 0, false
	case round == 0:
		return Statistics, true
	case round <= uint64(p.Federation.Rounds):
		return Train, true
	default:
		return Evaluate, true
	}
}
