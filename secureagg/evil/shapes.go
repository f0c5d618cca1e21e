package evil

import (
	"bytes"
	"errors"
	"slices"

	"tacit/id"
	"tacit/secureagg"
)

// What no single check stops but the shape of the protocol, some of it in the peer that
// SECAGG measures itself by.
var shapes = []*Attack{
	{
		Name: "split votes", By: Server, Item: "2.5 secrecy; 2.8 different sets to different members",
		Does:   "shows some members one set and the others another, in every way, while a corrupt one votes for both",
		Wants:  "two certificates",
		Shape:  "two quorums of Q share more than f members",
		Stop:   refuses(errMissed),
		Proves: secureagg.FaultTwoVotes,
		run: func(s *scene) error {
			s.evil = setOf(3)
			for split := range 1 << 3 { // which of the honest see the smaller set
				s.evidence, s.traffic = nil, nil
				if err := s.enrol(defaultSize, 256); err != nil {
					return err
				}
				if err := s.reported(); err != nil {
					return err
				}
				sets, err := s.sets()
				if err != nil {
					return &setupError{err}
				}
				small := setOf(0, 1, 2)
				some := s.subsets(sets, small)
				large, err := s.vote(setOf(0, 1, 2)&^set(split), sets)
				if err != nil {
					return &setupError{err}
				}
				fewer, err := s.vote(set(split), some)
				if err != nil {
					return &setupError{err}
				}
				large[3], fewer[3] = s.voteAs(3, sets[3]), s.voteAs(3, some[3])
				s.keep(large[3], fewer[3])
				if s.verified(s.certificate(s.all(), large)) && s.verified(s.certificate(small, fewer)) {
					return nil
				}
			}
			return errMissed
		},
	},
	{
		Name: "isolated branch", By: Server, Item: "2.8 isolating one agent by chosen drops",
		Does:   "says that as many branches dropped out as may, to open all pair masks of one that did not",
		Wants:  "that branch's vector",
		Shape:  "every pair of honest members in a set shares a mask that no release opens",
		Stop:   refuses(errMissed),
		Silent: "branches drop out among the honest too",
		run: func(s *scene) error {
			if err := s.enrol(5, 256); err != nil {
				return err
			}
			s.evil = setOf(3)
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			left := s.all() &^ setOf(1) // one of five may be gone
			shares, err := s.releaseSet(left, s.subsets(sets, left))
			if err != nil {
				return &setupError{err}
			}
			return got(slices.Equal(s.alone(0, shares, shares), s.input(0)))
		},
	},
	{
		Name: "counts and metrics in clear", By: Server, Item: "2.7; Flower: counts and metrics travel beside the vector",
		Does:   "reads a branch's report for anything that its rows decide but the masked vector",
		Wants:  "a byte that differs between two inputs",
		Shape:  "a report has no place for it: all that a branch learns is in the vector, also its weights and metrics",
		Stop:   refuses(errMissed),
		Silent: "nothing is sent but what an honest server sends",
		run: func(s *scene) error {
			var reports []*wire
			for _, x := range [][]uint32{make([]uint32, s.dim), s.input(3)} {
				if err := s.enrol(defaultSize, 256); err != nil { // the same coins each time
					return err
				}
				if err := s.ready(); err != nil {
					return err
				}
				if err := s.attempt(s.inputs(1), s.all(), 0); err != nil {
					return &setupError{err}
				}
				out, err := s.agents[0].m.Report(x)
				if err != nil {
					return &setupError{err}
				}
				reports = append(reports, open(out.Send[0], s.n))
			}
			s.traffic = nil // two federations with the same keys
			for _, f := range reports[0].fields {
				if f.name != "vector" && f.name != "sig" && !bytes.Equal(f.b, reports[1].get(f.name)) {
					return nil
				}
			}
			if len(reports[0].bytes()) != len(reports[1].bytes()) || bytes.Equal(reports[0].get("vector"), reports[1].get("vector")) {
				return nil
			}
			return errMissed
		},
	},
	{
		Name: "early dropouts", By: Agent, Item: "2.5; Flower: an early dropout raises KeyError, and the default timeout is infinite",
		Does:   "stops before its report, one more than the attempt can do without, and comes back later",
		Wants:  "a server that waits for ever, or falls",
		Shape:  "what is missing is a typed Abort whenever the server asks, it can have the attempt given up at any time, and the next one goes on",
		Stop:   aborts(secureagg.StageReport, secureagg.ReasonBelowMinimum),
		Silent: "silence is no fault",
		run: func(s *scene) error {
			s.evil = setOf(2, 3)
			if err := s.ready(); err != nil {
				return err
			}
			if err := s.attempt(s.inputs(1), s.all(), setOf(0, 1)); err != nil {
				return &setupError{err}
			}
			why := s.round.Why()
			_, err := s.sets()
			if why == nil || err == nil {
				return nil
			}
			if s.giveUp(s.all()) != nil {
				return nil
			}
			in := s.inputs(2)
			if s.attempt(in, s.all(), s.all()) != nil || !errors.Is(s.wrongSum(s.all(), nil), errMissed) {
				return nil
			}
			return err
		},
	},
	{
		Name: "Close and release", By: Agent, Item: "H2",
		Does:   "releases its shares, and gives the same attempt up",
		Wants:  "an abort certificate of an attempt that is opened",
		Shape:  "the server takes no Close once it has a certificate, and the two signatures convict",
		Stop:   refuses(secureagg.ErrStale),
		Proves: secureagg.FaultCloseReleased,
		run: func(s *scene) error {
			s.evil = setOf(3)
			if err := s.reported(); err != nil {
				return err
			}
			cert, err := s.certified(s.all())
			if err != nil {
				return &setupError{err}
			}
			shares, err := s.release(s.all(), cert)
			if err != nil {
				return &setupError{err}
			}
			h := open(cert, s.n).header(secureagg.KindClose)
			gaveUp := join(h, []byte{byte(s.n), 3}, s.agents[3].key.Sign(id.LabelClose, join(h, []byte{3, 0})))
			s.keep(shares[3], gaveUp)
			_, _, err = s.round.CloseSigned(s.agents[3].id, gaveUp)
			return err
		},
	},
}
