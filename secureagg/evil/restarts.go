package evil

import (
	"errors"
	"maps"
	"slices"

	"tacit/id"
	"tacit/secureagg"
)

// What a restarted agent withstands whose disk the adversary put back: SECAGG 2.8
// (rollback) and Hardening 6.
var restartAttacks = []*Attack{
	{
		Name: "restored snapshot", By: Server, Item: "2.8 rollback; H6",
		Does:   "puts a branch's disk back to before its vote, and shows it another set",
		Wants:  "two votes of one member",
		Guards: []string{"OutAfterRestart"},
		Stop:   refuses(secureagg.ErrOut),
		Silent: "the coordinator need not be who restored it",
		run: func(s *scene) error {
			return s.secondVote(func(map[int][]byte) error { return nil })
		},
	},
	{
		Name: "Floors kept back", By: Server, Item: "H6",
		Does:   "puts a branch's disk back, and lets it hear of the corrupt member alone, which saw nothing",
		Wants:  "two votes of one member",
		Guards: []string{"FloorCount"},
		Stop:   refuses(secureagg.ErrOut),
		Silent: "that a member saw more than it says cannot be shown",
		run: func(s *scene) error {
			s.evil = setOf(3)
			return s.secondVote(func(floors map[int][]byte) error {
				w := open(floors[3], s.n).set("seen", number(0)).setByte("role", 0)
				_, err := s.tell(0, w.set("sig", s.agents[3].key.Sign(id.LabelFloor, w.unsigned())).bytes())
				return err
			})
		},
	},
	{
		Name: "forged Floors", By: Server, Item: "H6",
		Does:   "puts a branch's disk back, and answers in the others' names that they saw nothing",
		Wants:  "two votes of one member",
		Guards: []string{"FloorSignature"},
		Stop:   Stop{Stage: secureagg.StageReentry, Reason: secureagg.ReasonSignature, Drop: true, Names: NoAgent},
		Silent: "whoever made the Floors up left no name",
		run: func(s *scene) error {
			return s.secondVote(func(floors map[int][]byte) error {
				for _, i := range []int{1, 2, 3} {
					w := open(floors[i], s.n).set("seen", number(0)).setByte("role", 0)
					if _, err := s.tell(0, w.bytes()); err != nil {
						return err
					}
				}
				return nil
			})
		},
	},
	{
		Name: "old Floors", By: Server, Item: "H6",
		Does:   "puts a branch's disk back, and replays what the others answered at an earlier restart",
		Wants:  "two votes of one member",
		Guards: []string{"FloorNonce"},
		Stop:   refuses(secureagg.ErrStale),
		Silent: "the Floors are genuine",
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			if err := s.rewind(0, s.agents[0].journal); err != nil {
				return &setupError{err}
			}
			ask, err := s.reentry(0)
			if err != nil {
				return &setupError{err}
			}
			old, err := s.tellAll(setOf(1, 2, 3), ask)
			if err != nil {
				return &setupError{err}
			}
			for _, i := range []int{1, 2, 3} {
				if _, err := s.tell(0, old[i]); err != nil {
					return &setupError{err}
				}
			}
			return s.votedTwice(func(map[int][]byte) error {
				for _, i := range []int{1, 2, 3} {
					if _, err := s.tell(0, old[i]); err != nil {
						return err
					}
				}
				return nil
			})
		},
	},
	{
		Name: "rolled-back agent", By: Server, Item: "H6",
		Does:   "puts a branch's disk back, and lets it hear of all others",
		Wants:  "two votes of one member",
		Guards: []string{"FloorMark"},
		Stop:   refuses(errRekey),
		Silent: "the coordinator need not be who restored it",
		run: func(s *scene) error {
			return s.secondVote(func(floors map[int][]byte) error {
				for _, i := range []int{1, 2, 3} {
					m, err := s.tell(0, floors[i])
					if err != nil {
						return err
					}
					if m != nil {
						return errRekey
					}
				}
				return nil
			})
		},
	},
	{
		Name: "second report after a restart", By: Server, Item: "H6",
		Does:   "puts a branch's disk back to before its report, which nobody else has seen yet, and opens the attempt again",
		Wants:  "two reports under the same pair masks",
		Guards: []string{"FreshReport"},
		Stop:   refuses(secureagg.ErrMayNotReport),
		Silent: "the coordinator need not be who restored it",
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			snapshot := maps.Clone(s.agents[0].journal)
			if err := s.attempt(s.inputs(1), s.all(), s.all()); err != nil {
				return &setupError{err}
			}
			first := s.agents[0].sent[secureagg.KindReport]
			if err := s.rewind(0, snapshot); err != nil {
				return &setupError{err}
			}
			ask, err := s.reentry(0)
			if err != nil {
				return &setupError{err}
			}
			floors, err := s.tellAll(setOf(1, 2, 3), ask)
			if err != nil {
				return &setupError{err}
			}
			for _, f := range floors {
				if _, err := s.tell(0, f); err != nil {
					return &setupError{err}
				}
			}
			if err := s.open(0, s.round.Start(), s.inputs(1)); err != nil {
				return &setupError{err}
			}
			second, err := s.report(0)
			if err != nil {
				return err
			}
			return got(!slices.Equal(first, second))
		},
	},
	{
		Name: "Floor in another's name", By: Agent, Item: "H6",
		Does:   "answers a restarted member in another's name that it saw more of it than there was",
		Wants:  "an honest member asks for a new epoch",
		Guards: []string{"FloorReceived", "FloorSignature"},
		Stop:   drops(secureagg.StageReentry, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			s.evil = setOf(3)
			if err := s.restarted(); err != nil {
				return err
			}
			ask, err := s.reentry(0)
			if err != nil {
				return &setupError{err}
			}
			f, err := s.tell(3, ask)
			if err != nil {
				return &setupError{err}
			}
			w := open(f, s.n).set("from", s.agents[1].id[:]).set("seen", number(9)).setByte("role", 1)
			out, err := s.epoch.Relay(s.agents[3].id, w.bytes())
			if err != nil {
				return err
			}
			return s.expect(0, out[0].Msg, secureagg.KindRekey)
		},
	},
	{
		Name: "Reentry in another's name", By: Agent, Item: "H6",
		Does:   "asks the members what they saw of another, in that one's name",
		Wants:  "they answer a question that nobody asked",
		Guards: []string{"ReentryReceived", "ReentrySignature"},
		Stop:   drops(secureagg.StageReentry, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			s.evil = setOf(3)
			if err := s.restarted(); err != nil {
				return err
			}
			ask, err := s.reentry(0)
			if err != nil {
				return &setupError{err}
			}
			forged := open(ask, s.n).set("agent", s.agents[1].id[:]).bytes()
			if _, err := s.epoch.Relay(s.agents[3].id, forged); err != nil {
				return err
			}
			return s.expect(2, forged, secureagg.KindFloor)
		},
	},
}

// restarted is a live epoch in which member 0 has just restarted.
func (s *scene) restarted() error {
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.rewind(0, s.agents[0].journal); err != nil {
		return &setupError{err}
	}
	return nil
}

// secondVote plays votedTwice in a new epoch.
func (s *scene) secondVote(readmit func(floors map[int][]byte) error) error {
	if err := s.ready(); err != nil {
		return err
	}
	return s.votedTwice(readmit)
}

// votedTwice puts member 0 back to before attempt 1, after it voted there, and wants
// another vote of it. readmit is given the genuine Floors of the others.
func (s *scene) votedTwice(readmit func(floors map[int][]byte) error) error {
	snapshot := maps.Clone(s.agents[0].journal)
	if err := s.attempt(s.inputs(1), s.all(), s.all()); err != nil {
		return &setupError{err}
	}
	sets, err := s.sets()
	if err != nil {
		return &setupError{err}
	}
	votes, err := s.vote(s.all(), sets)
	if err != nil {
		return &setupError{err}
	}
	if err := s.rewind(0, snapshot); err != nil {
		return &setupError{err}
	}
	ask, err := s.reentry(0)
	if err != nil {
		return &setupError{err}
	}
	if ask != nil { // it is out
		floors, err := s.tellAll(setOf(1, 2, 3), ask)
		if err != nil {
			return &setupError{err}
		}
		if err := readmit(floors); err != nil {
			return err
		}
	}
	if err := s.open(0, s.round.Start(), s.inputs(1)); err != nil {
		return err
	}
	second, err := s.tell(0, s.subset(sets[0], setOf(0, 1, 2)))
	if err != nil {
		return err
	}
	if second == nil {
		return errors.Join(errMissed, errNothing)
	}
	return got(!slices.Equal(votes[0], second))
}
