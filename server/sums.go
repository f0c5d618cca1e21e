package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tacit/audit"
	"tacit/id"
	"tacit/server/engine"
	"tacit/server/store"
	"tacit/wire"
)

// A branch accepts no model that it has not computed itself: from the initial one,
// which follows from the plan, through the opened sum of every round. So the server
// keeps each sum, sealed, until every branch has replayed it, and tells a branch that
// was away of every commit that it missed.

func sumsOf(run id.RunID) string { return "sums/" + run.String() }

func sumName(run id.RunID, r uint64) string { return fmt.Sprintf("%s/%d.age", sumsOf(run), r) }

// keepSum seals the sum of a round that is about to be committed. One that is then
// not committed is written over by the next attempt to, or goes with the run.
func (s *Server) keepSum(run *activeRun, w *engine.Write) error {
	sealed, err := s.keeper.Seal(purposeSum, w.Sum)
	if err != nil {
		return err
	}
	return s.blobs.Put(sumName(run.id, w.Log[0].R), sealed)
}

// executeCatchUp tells a branch of every commit from a round on, in order.
func (s *Server) executeCatchUp(run *activeRun, e *engine.CatchUp) error {
	ss := s.present[e.To]
	if ss == nil {
		return nil
	}
	attempts, err := s.store.Attempts(context.Background(), run.id)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if a.Phase != engine.AttemptCommitted || a.Round < e.Round {
			continue
		}
		m, l, err := s.committedAgain(run, a)
		if errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("a branch has lost a model that everyone held; it takes no part in the rest of the run but on the committee",
				"site", run.roster.Lookup(e.To).Site, "round", a.Round)
			effects, err := run.engine.Step(engine.Behind{Agent: e.To})
			if err != nil {
				return err
			}
			return s.execute(run, effects)
		}
		if err != nil {
			return err
		}
		ss.send(outgoing{msg: m, entry: &l})
	}
	return nil
}

// committedAgain rebuilds the message of a round's commit from what is durable.
func (s *Server) committedAgain(run *activeRun, a store.Attempt) (*wire.Committed, logged, error) {
	ctx := context.Background()
	sealed, err := s.blobs.Get(sumName(run.id, a.R))
	if err != nil {
		return nil, logged{}, err
	}
	sum, err := s.keeper.Open(purposeSum, sealed)
	if err != nil {
		return nil, logged{}, fmt.Errorf("server: %s: %w", sumName(run.id, a.R), err)
	}
	l, err := s.find(run.id, engine.EntryName{What: "end", R: a.R})
	if err != nil {
		return nil, logged{}, err
	}
	e, err := audit.ParseEntry(l.entry)
	if err != nil {
		return nil, logged{}, err
	}
	committed, ok := e.Payload.(audit.RoundCommitted)
	if !ok {
		return nil, logged{}, fmt.Errorf("server: attempt %d is committed in the store and not in the log", a.R)
	}
	if l.document, err = s.store.Record(ctx, e.Digest); err != nil {
		return nil, logged{}, err
	}
	rec, err := audit.ParseRoundRecord(l.document)
	if err != nil {
		return nil, logged{}, err
	}
	_, more := run.plan.Task(a.Round + 1)
	return &wire.Committed{
		Run: run.id, R: a.R, Round: a.Round, Task: a.Task, Set: rec.Set, Certificate: rec.Certificate,
		Next: committed.After, Done: !more, Sum: sum,
	}, l, nil
}
