package evil

import (
	"errors"
	"maps"
	"slices"

	"tacit/id"
	"tacit/secureagg"
)

// What giving an attempt up withstands: SECAGG Hardening 2 and 11.
var closeAttacks = []*Attack{
	{
		Name: "certificate after Close", By: Server, Item: "H2",
		Does:   "collects votes, has the attempt given up, and then certifies it",
		Wants:  "the sum of an attempt that has an abort certificate",
		Guards: []string{"ReleaseAfterClose", "Erase"},
		Stop:   refuses(errNothing),
		Silent: "a Close after a vote is no fault",
		run: func(s *scene) error {
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			votes, err := s.vote(s.all(), sets)
			if err != nil {
				return &setupError{err}
			}
			closes, err := s.closes()
			if err != nil {
				return &setupError{err}
			}
			return s.openAborted(votes, closes)
		},
	},
	{
		Name: "vote after Close", By: Server, Item: "H2, H11",
		Does:   "has an attempt given up, and then asks for votes and shares",
		Wants:  "the sum of an attempt that has an abort certificate",
		Guards: []string{"VoteAfterClose", "ReleaseAfterClose", "Erase"},
		Stop:   aborts(secureagg.StageVote, secureagg.ReasonClosed),
		Silent: "sets bear no signature of the server",
		run: func(s *scene) error {
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			closes, err := s.closes()
			if err != nil {
				return &setupError{err}
			}
			votes, err := s.vote(s.all(), sets)
			if err != nil {
				return err
			}
			return s.openAborted(votes, closes)
		},
	},
	{
		Name: "Close after release", By: Server, Item: "H2, H11",
		Does:   "takes the shares, and then has the attempt given up",
		Wants:  "an abort certificate that says of an opened attempt that it never will be",
		Guards: []string{"CloseAfterRelease"},
		Stop:   aborts(secureagg.StageClose, secureagg.ReasonConflict),
		Silent: "asking for a Close is no fault",
		run: func(s *scene) error {
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			if _, err := s.releaseSet(s.all(), sets); err != nil {
				return &setupError{err}
			}
			closes, err := s.closes()
			if err != nil {
				return err
			}
			return s.abortVerified(s.abortCert(closes))
		},
	},
	{
		Name: "forged abort certificate", By: Server, Item: "H2",
		Does:   "tells a branch with made-up Closes that an attempt was given up, whose sum it has",
		Wants:  "a second report on that model",
		Guards: []string{"AbortSignature"},
		Stop:   aborts(secureagg.StageClose, secureagg.ReasonSignature),
		Silent: "whoever made the Closes up left no name",
		run: func(s *scene) error {
			return s.againAfter(func() []byte {
				closes := make(map[int][]byte)
				for _, i := range []int{1, 2, 3} {
					closes[i] = make([]byte, id.SignatureSize)
				}
				return s.abortOf(closes)
			})
		},
	},
	{
		Name: "abort without a quorum", By: Server, Item: "H2",
		Does:   "tells a branch with a corrupt member's Close alone that an attempt was given up, whose sum it has",
		Wants:  "a second report on that model",
		Guards: []string{"AbortQuorum"},
		Stop:   aborts(secureagg.StageClose, secureagg.ReasonQuorum),
		Silent: "one Close is no fault",
		run: func(s *scene) error {
			s.evil = setOf(3)
			return s.againAfter(func() []byte {
				h := open(s.round.Start(), s.n).header(secureagg.KindClose)
				return s.abortOf(map[int][]byte{3: s.agents[3].key.Sign(id.LabelClose, join(h, []byte{3, 0}))})
			})
		},
	},
}

// closes has every member give the attempt up.
func (s *scene) closes() (map[int][]byte, error) {
	start := s.round.Start()
	return s.tellAll(s.all(), join(open(start, s.n).header(secureagg.KindCloseRequest), start))
}

// abortCert puts Closes together.
func (s *scene) abortCert(closes map[int][]byte) []byte {
	sigs := make(map[int][]byte)
	for i, m := range closes {
		sigs[i] = open(m, s.n).get("sig")
	}
	return s.abortOf(sigs)
}

func (s *scene) abortOf(sigs map[int][]byte) []byte {
	msg := join(open(s.round.Start(), s.n).header(secureagg.KindAbortCert), []byte{byte(s.n), byte(len(sigs))})
	for _, i := range slices.Sorted(maps.Keys(sigs)) {
		msg = join(msg, []byte{byte(i)}, sigs[i])
	}
	return msg
}

func (s *scene) abortVerified(cert []byte) error {
	if _, err := secureagg.VerifyAbort(cert, s.roster.AppendBinary(nil), s.charter.AppendBinary(nil)); err != nil {
		return errors.Join(errMissed, err)
	}
	return nil
}

// openAborted certifies an attempt that all gave up, and opens it.
func (s *scene) openAborted(votes, closes map[int][]byte) error {
	if err := s.abortVerified(s.abortCert(closes)); err != nil {
		return &setupError{err}
	}
	shares, err := s.release(s.all(), s.certificate(s.all(), votes))
	if err != nil {
		return err
	}
	if shares[0] == nil {
		return errNothing
	}
	sum := s.unmask(s.all(), s.vectors(), slices.Collect(maps.Values(shares))...)
	return got(sum != nil && slices.Equal(sum, s.sum(s.all())))
}

// againAfter opens attempt 1 with the others, tells member 0 the abort certificate, and
// wants its report on the same model again.
func (s *scene) againAfter(abort func() []byte) error {
	if err := s.reported(); err != nil {
		return err
	}
	sets, err := s.sets()
	if err != nil {
		return &setupError{err}
	}
	votes, err := s.vote(s.all(), sets)
	if err != nil {
		return &setupError{err}
	}
	shares, err := s.release(setOf(1, 2, 3), s.certificate(s.all(), votes))
	if err != nil {
		return &setupError{err}
	}
	if sum := s.unmask(s.all(), s.vectors(), shares[1], shares[2], shares[3]); !slices.Equal(sum, s.sum(s.all())) {
		return &setupError{errMissed}
	}
	if _, err := s.tell(0, abort()); err != nil {
		return err
	}
	in := s.inputs(1)
	in.R = 2
	return s.attempt(in, setOf(0), setOf(0))
}
