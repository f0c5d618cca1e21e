package evil

import (
	"errors"
	"slices"

	"tacit/secureagg"
)

// What an attempt's opening withstands: SECAGG 2.5 R0 and R1, and Hardening 2 and 10.
var openingAttacks = []*Attack{
	{
		Name: "unsigned start", By: Server, Item: "2.5 R0",
		Does:   "opens an attempt with a RoundStart that it did not sign",
		Wants:  "a report on a RoundStart that it can deny",
		Guards: []string{"StartSignature"},
		Stop:   aborts(secureagg.StageRoundStart, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			in := s.inputs(1)
			if err := s.begin(in); err != nil {
				return err
			}
			if err := s.open(0, open(s.round.Start(), s.n).flip("sig").bytes(), in); err != nil {
				return err
			}
			_, err := s.report(0)
			return err
		},
	},
	{
		Name: "model under another name", By: Server, Item: "2.5 R0",
		Does:   "announces two models and sends the same one twice, the second time without counting one branch",
		Wants:  "two sums on one model whose difference is that branch's vector",
		Guards: []string{"OwnInputs"},
		Stop:   aborts(secureagg.StageRoundStart, secureagg.ReasonMismatch),
		Silent: "what the agent was sent instead is not in the RoundStart",
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			return s.difference(func(r uint64) (announced, held secureagg.RoundInputs) {
				announced, held = s.inputs(r), s.inputs(r)
				announced.Model[9], held.Model = byte(r), s.inputs(1).Model
				return announced, held
			})
		},
	},
	{
		Name: "swapped model", By: Server, Item: "2.8 model inconsistency (Pasquini et al. 2022)",
		Does:   "sends all branches but one a model on which they learn nothing",
		Wants:  "a sum that is the one branch's vector",
		Guards: []string{"ContextBindsModel"},
		Stop:   aborts(secureagg.StageVote, secureagg.ReasonSignature),
		Proves: secureagg.FaultTwoStarts,
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			trap := s.inputs(1)
			trap.Model[9] = 1
			reports := make(map[int][]byte)
			for _, i := range s.all().members() {
				in, x := trap, make([]uint32, s.dim)
				if i == 0 {
					in, x = s.inputs(1), s.input(0)
				}
				if err := s.begin(in); err != nil {
					return err
				}
				s.keep(s.round.Start())
				if err := s.open(i, s.round.Start(), in); err != nil {
					return &setupError{err}
				}
				out, err := s.agents[i].m.Report(x)
				s.sent(i, out)
				if err != nil {
					return &setupError{err}
				}
				s.agents[i].vector = out.Event.(*secureagg.Masked).Vector
				reports[i] = out.Send[0]
			}
			sum, err := s.openSum(s.all(), reports, s.round.Start(), setOf(1, 2, 3))
			if err != nil {
				return err
			}
			return got(slices.Equal(sum, s.input(0)))
		},
	},
	{
		Name: "replayed attempt", By: Server, Item: "2.8 replay",
		Does:   "opens an attempt again that a quorum gave up",
		Wants:  "a certificate of an attempt that has an abort certificate",
		Guards: []string{"AttemptsRise"},
		Stop:   refuses(errStored),
		Silent: "the same RoundStart twice is no fault",
		run: func(s *scene) error {
			if err := s.reported(); err != nil {
				return err
			}
			if err := s.giveUp(s.all()); err != nil {
				return &setupError{err}
			}
			aborted := s.round.Outcome()
			in, reports := s.inputs(1), make(map[int][]byte)
			for _, i := range s.all().members() {
				if err := s.open(i, s.round.Start(), in); err != nil {
					return err
				}
				if e, ok := s.agents[i].event.(*secureagg.Masked); ok && e.Again {
					return errStored
				}
				m, err := s.report(i)
				if err != nil {
					return err
				}
				reports[i] = m
			}
			votes, err := s.vote(s.all(), s.show(s.all(), reports, s.round.Start()))
			if err != nil {
				return err
			}
			_, err = secureagg.VerifyAbort(aborted, s.roster.AppendBinary(nil), s.charter.AppendBinary(nil))
			return errors.Join(err, got(s.verified(s.certificate(s.all(), votes))))
		},
	},
	{
		Name: "attempts beyond the charter", By: Server, Item: "2.3",
		Does:   "opens more attempts in an epoch than the charter allows",
		Wants:  "a report under chain keys that should be gone",
		Guards: []string{"AttemptsPerEpoch"},
		Stop:   aborts(secureagg.StageRoundStart, secureagg.ReasonCharter),
		Proves: secureagg.FaultOverdrawn,
		run: func(s *scene) error {
			if err := s.enrol(defaultSize, 2); err != nil {
				return err
			}
			if err := s.ready(); err != nil {
				return err
			}
			in := s.inputs(3)
			start := s.startOf(in, 1, digest(s.epoch.Root()))
			p, err := s.propose(1, 1) // the same as it was
			if err != nil {
				return err
			}
			s.keep(p, start)
			if err := s.open(0, start, in); err != nil {
				return err
			}
			_, err = s.report(0)
			return err
		},
	},
	{
		Name: "outcome withheld", By: Server, Item: "H2",
		Does:   "asks for the next report without telling how the last attempt ended",
		Wants:  "reports that leave no trail of what was opened",
		Guards: []string{"OutcomeFirst"},
		Stop:   refuses(secureagg.ErrOutcome),
		Silent: "what was not sent cannot be shown",
		run: func(s *scene) error {
			if err := s.reported(); err != nil {
				return err
			}
			return s.attempt(s.inputs(2), setOf(0), setOf(0))
		},
	},
	{
		Name: "same model again", By: Server, Item: "H2; 2.8 same model",
		Does:   "asks for a model again whose sum it has, this time without counting one branch",
		Wants:  "two sums on one model whose difference is that branch's vector",
		Guards: []string{"ModelOnce"},
		Stop:   refuses(secureagg.ErrConsumed),
		Proves: secureagg.FaultAskedAgain,
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			return s.difference(func(r uint64) (announced, held secureagg.RoundInputs) {
				in := s.inputs(r)
				in.Model = s.inputs(1).Model
				return in, in
			})
		},
	},
	{
		Name: "model with a bit changed", By: Server, Item: "H2; 2.8 same model",
		Does:   "asks for a round again on a model that differs in a bit, this time without counting one branch",
		Wants:  "two sums as good as on one model, whose difference is that branch's vector",
		Guards: []string{"RoundOnce"},
		Stop:   refuses(secureagg.ErrConsumed),
		Proves: secureagg.FaultAskedAgain,
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			return s.difference(func(r uint64) (announced, held secureagg.RoundInputs) {
				in := s.inputs(r)
				in.Round = 1
				return in, in
			})
		},
	},
	{
		Name: "retries without end", By: Server, Item: "H2",
		Does:   "lets every attempt on a model fail, to have it masked again and again",
		Wants:  "a fourth report on one model",
		Guards: []string{"Retries"},
		Stop:   refuses(secureagg.ErrConsumed),
		Silent: "attempts fail among the honest too",
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			for r := uint64(1); r <= 4; r++ {
				in := s.inputs(1)
				in.R = r
				if err := s.attempt(in, s.all(), s.all()); err != nil {
					return err
				}
				if err := s.giveUp(s.all()); err != nil {
					return &setupError{err}
				}
			}
			return nil
		},
	},
	{
		Name: "small seeds", By: Server, Item: "Flower: mask seeds are folded to 28-32 bits",
		Does:   "tries every seed of the one mask that it does not know",
		Wants:  "a branch's vector, behind a pair's mask with an honest one",
		Guards: []string{"WholeSeed"},
		Stop:   refuses(errMissed),
		Silent: "nothing is sent but what an honest server sends",
		run:    (*scene).trySeeds,
	},
}

// errStored: the member sends the bytes again that it sent before.
var errStored = errors.New("evil: the member answers with the stored bytes")

// giveUp lets the members close the attempt, and tells them that it is aborted.
func (s *scene) giveUp(members set) error {
	ask, err := s.round.AskClose()
	if err != nil {
		return err
	}
	closes, err := s.tellAll(members, ask[0].Msg)
	if err != nil {
		return err
	}
	var cert []byte
	for i, m := range closes {
		c, _, err := s.round.CloseSigned(s.agents[i].id, m)
		if err != nil {
			return err
		}
		if c != nil {
			cert = c
		}
	}
	_, err = s.tellAll(members, cert)
	return err
}

// show makes the OnlineSets, by member, that say that just these reports came in. The
// start is that of the attempt in which the members are.
func (s *scene) show(online set, reports map[int][]byte, start []byte) map[int][]byte {
	sets := make(map[int][]byte)
	h := open(start, s.n).header(secureagg.KindOnlineSet)
	for u := range s.n {
		msg := join(h, []byte{byte(s.n), byte(u), byte(online)})
		for _, i := range online.members() {
			w := open(reports[i], s.n)
			leaves, blobs := reportLeaves(w)
			b, c, r := hash("blobs", blobs), hash("coms", w.get("coms")), root(leaves)
			msg = join(msg, w.get("vector"), b[:], c[:], r[:], w.get("salt"), w.get("sig"), w.get(at("shares", u)), w.get(at("keyhash", u)),
				flat(proof(leaves, setOf(u))), w.get(at("blob", u)))
		}
		sets[u] = msg
	}
	return sets
}

// openSum leads the voters through R2 and R3 for a set and opens its sum.
func (s *scene) openSum(online set, reports map[int][]byte, start []byte, voters set) ([]uint32, error) {
	votes, err := s.vote(voters, s.show(online, reports, start))
	if err != nil {
		return nil, err
	}
	cert := s.certificate(online, votes)
	shares, err := s.release(voters, cert)
	if err != nil {
		return nil, err
	}
	s.keep(cert)
	sum := s.unmask(online, s.vectors(), shares[0], shares[1], shares[2], shares[3])
	if sum == nil {
		return nil, errMissed
	}
	return sum, nil
}

// difference opens two attempts, the second without member 0, and subtracts the sums. In
// each the server announces one thing and the agents hold another, or the same.
func (s *scene) difference(attempt func(r uint64) (announced, held secureagg.RoundInputs)) error {
	var sums [][]uint32
	for r := uint64(1); r <= 2; r++ {
		announced, held := attempt(r)
		if err := s.begin(announced); err != nil {
			return err
		}
		s.keep(s.round.Start())
		online := s.all()
		if r == 2 {
			online &^= setOf(0)
		}
		reports := make(map[int][]byte)
		for _, i := range online.members() {
			if err := s.open(i, s.round.Start(), held); err != nil {
				return err
			}
			m, err := s.report(i)
			if err != nil {
				return err
			}
			reports[i] = m
		}
		sum, err := s.openSum(online, reports, s.round.Start(), online)
		if err != nil {
			return err
		}
		sums = append(sums, sum)
	}
	return got(slices.Equal(add(sums[0], sums[1], -1), s.input(0)))
}

// trySeeds takes an honest attempt of three with one corrupt member: of the masks on the
// vector of member 0 the server opens the self seed, the corrupt member knows the second,
// and the third it tries.
func (s *scene) trySeeds() error {
	if err := s.enrol(3, 256); err != nil {
		return err
	}
	s.evil = setOf(2)
	if err := s.reported(); err != nil {
		return err
	}
	corrupt := pairSeed(s.agents[2].chain()[0], open(s.round.Start(), s.n).get("ctx"))
	sets, err := s.sets()
	if err != nil {
		return &setupError{err}
	}
	votes, err := s.vote(s.all(), sets)
	if err != nil {
		return &setupError{err}
	}
	shares, err := s.release(s.all(), s.certificate(s.all(), votes))
	if err != nil {
		return &setupError{err}
	}
	self, ctx := s.seed(0, 0, [][]byte{shares[0], shares[1], shares[2]})
	if self == nil {
		return errMissed
	}
	// What a client has that folds its seeds to 16 bits.
	folded := func(seed []byte) []uint32 {
		return streamOf(expand(32, join(seed[:2], make([]byte, 30)), "mask", ctx), s.dim)
	}
	y := add(s.agents[0].vector, folded(encode(self)), -1)
	y = add(y, folded(encode(corrupt)), -sign(0, 2))
	for v := range 1 << 16 {
		x := add(y, folded([]byte{byte(v >> 8), byte(v)}), -sign(0, 1))
		if !slices.ContainsFunc(x, func(w uint32) bool { return w >= 1<<24 }) { // small numbers: it is unmasked
			return got(slices.Equal(x, s.input(0)))
		}
	}
	return errMissed
}
