package evil

import (
	"errors"
	"math/big"
	"slices"

	"tacit/id"
	"tacit/secureagg"
)

// What an honest server withstands of a corrupt member: SECAGG 2.5 R1 to R4, and
// Hardening 4 and 5.
var agentAttacks = []*Attack{
	{
		Name: "two reports", By: Agent, Item: "2.5 R1",
		Does:   "reports twice in one attempt",
		Wants:  "two vectors in the sum, of which one can be unmasked",
		Guards: []string{"ReportOnce"},
		Stop:   drops(secureagg.StageReport, secureagg.ReasonSecond),
		Proves: secureagg.FaultTwoReports,
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				return d.mask(s.input(i)).share().seal().report(s.agents[i].key)
			}, func() error {
				second := s.deal(3, "second").mask(s.input(3)).share().seal()
				if err := s.accept(3, second.report(s.agents[3].key), second.vector); err != nil {
					return err
				}
				return s.wrongSum(s.all(), second.vector)
			})
		},
	},
	{
		Name: "unsigned report", By: Agent, Item: "2.5 R1",
		Does:   "sends a report that it did not sign",
		Wants:  "all others refuse the set, and cannot tell whose fault it is",
		Guards: []string{"ReportReceived"},
		Stop:   drops(secureagg.StageReport, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				return open(d.mask(s.input(i)).share().seal().report(s.agents[i].key), s.n).flip("sig").bytes()
			}, func() error {
				sets, err := s.sets()
				if err != nil {
					return err
				}
				_, err = s.tell(0, sets[0])
				return succeedsIf(err, secureagg.StageVote, secureagg.ReasonSignature)
			})
		},
	},
	{
		Name: "report of another context", By: Agent, Item: "2.5 R1; H3",
		Does:   "reports under the context of another model",
		Wants:  "a vector in the sum that no mask of the others fits",
		Shape:  "every message of an attempt begins with its ctx, and every key and signature binds it",
		Stop:   drops(secureagg.StageReport, secureagg.ReasonMismatch),
		Silent: "a report in another context is none if a server announced that, too",
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				d.ctx = slices.Clone(d.ctx)
				d.ctx[0] ^= 1
				copy(d.header[headerSize-32:], d.ctx)
				return d.mask(s.input(i)).share().seal().report(s.agents[i].key)
			}, nil)
		},
	},
	{
		Name: "another vector", By: Agent, Item: "2.5 R1",
		Does:   "sends another vector than its report signs",
		Wants:  "a wrong sum for which it need not answer",
		Guards: []string{"ReportVector"},
		Stop:   drops(secureagg.StageReport, secureagg.ReasonMismatch),
		Silent: "what is not signed proves nothing",
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				msg := d.mask(s.input(i)).share().seal().report(s.agents[i].key)
				d.vector = add(d.vector, s.input(2), 1)
				return msg
			}, func() error { return s.wrongSum(s.all(), nil) })
		},
	},
	{
		Name: "lying about a pair's seed", By: Agent, Item: "2.5 R1",
		Does:   "masks with another seed than the pair's, and commits to it and shares it",
		Wants:  "a wrong sum that passes for right",
		Guards: []string{"PairCommitments"},
		Stop:   Stop{Stage: secureagg.StageReport, Reason: secureagg.ReasonPair, Names: OneOfTwo},
		Proves: secureagg.FaultPair,
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				d.masks[1] = big.NewInt(1)
				d.shared[1] = d.masks[1]
				return d.mask(s.input(i)).share().seal().report(s.agents[i].key)
			}, func() error { return s.wrongSum(s.all(), nil) })
		},
	},
	{
		Name: "self seed unlike its commitment", By: Agent, Item: "H5",
		Does:   "shares another self seed than it masked with and committed to",
		Wants:  "a wrong sum that passes for right",
		Guards: []string{"SeedCommitment"},
		Stop:   abortsNaming(secureagg.StageUnmask, secureagg.ReasonCommitment),
		Proves: secureagg.FaultSeed,
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				d.shared[i] = big.NewInt(1)
				return d.mask(s.input(i)).share().seal().report(s.agents[i].key)
			}, func() error { return s.wrongSum(s.all(), nil) })
		},
	},
	{
		Name: "pair seed unlike its commitment", By: Agent, Item: "H5",
		Does:   "shares another seed than that of the pair with a branch that drops out",
		Wants:  "a wrong sum that passes for right",
		Guards: []string{"SeedCommitment"},
		Stop:   abortsNaming(secureagg.StageUnmask, secureagg.ReasonCommitment),
		Proves: secureagg.FaultSeed,
		run: func(s *scene) error {
			return s.dealtBy(setOf(1, 2, 3), setOf(3), func(i int, d *dealing) []byte {
				d.shared[0] = big.NewInt(1)
				return d.mask(s.input(i)).share().seal().report(s.agents[i].key)
			}, func() error { return s.wrongSum(setOf(1, 2, 3), nil) })
		},
	},
	{
		Name: "bad blobs", By: Agent, Item: "H4",
		Does:   "deals blobs that do not open to more members than the others can make up for",
		Wants:  "a certificate of a set that can never be opened, and that uses the model up",
		Guards: []string{"ComplaintLimit"},
		Stop:   abortsNaming(secureagg.StageVote, secureagg.ReasonComplaints),
		Proves: secureagg.FaultBadBlob,
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				d.mask(s.input(i)).share().seal()
				for u := range 2 {
					d.blobs[u][0] ^= 1
				}
				return d.report(s.agents[i].key)
			}, s.stuck)
		},
	},
	{
		Name: "foreign salt", By: Agent, Item: "H3, H4",
		Does:   "seals its blobs under another salt than its report says",
		Wants:  "a certificate of a set that can never be opened, and that uses the model up",
		Guards: []string{"ComplaintLimit"},
		Stop:   abortsNaming(secureagg.StageVote, secureagg.ReasonComplaints),
		Proves: secureagg.FaultUnproven,
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				d.mask(s.input(i)).share().seal()
				d.salt = open(s.agents[0].sent[secureagg.KindReport], s.n).get("salt")
				return d.report(s.agents[i].key)
			}, s.stuck)
		},
	},
	{
		Name: "shares unlike their commitment", By: Agent, Item: "H5",
		Does:   "deals other shares than it commits to, in blobs that open",
		Wants:  "an honest member is blamed for the share that it was dealt",
		Guards: []string{"BlobShares"},
		Stop:   abortsNaming(secureagg.StageVote, secureagg.ReasonComplaints),
		Proves: secureagg.FaultBadBlob,
		run: func(s *scene) error {
			return s.dealt(setOf(3), func(i int, d *dealing) []byte {
				d.mask(s.input(i)).share()
				for u := range 2 {
					d.plain[u][40] ^= 1
				}
				return d.seal().report(s.agents[i].key)
			}, func() error {
				cert, err := s.certified(s.all())
				if err != nil {
					return err
				}
				m, err := s.tell(0, cert)
				if err != nil {
					return err
				}
				_, err = s.round.Shares(s.agents[0].id, m)
				var d *secureagg.Drop
				if errors.As(err, &d) && d.Reason == secureagg.ReasonShare && d.Agent == s.agents[0].id {
					return nil
				}
				return err
			})
		},
	},
	{
		Name: "false complaint", By: Agent, Item: "H4",
		Does:   "complains of an honest branch's blob, while another member is away",
		Wants:  "the attempt fails, and the honest branch is blamed",
		Guards: []string{"ComplaintFalse"},
		Stop:   drops(secureagg.StageVote, secureagg.ReasonComplaints),
		Proves: secureagg.FaultFalseComplaint,
		run: func(s *scene) error {
			return s.complains(func(key []byte, sign func(key []byte) []byte) ([]byte, []byte) { return key, sign(key) })
		},
	},
	{
		Name: "unsigned complaint", By: Agent, Item: "H4",
		Does:   "complains of an honest branch's blob with a key that it made up, and does not sign it",
		Wants:  "the attempt fails, and the honest branch is blamed, on a word that nobody can be held to",
		Guards: []string{"ComplaintSignature"},
		Stop:   drops(secureagg.StageVote, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			return s.complains(func(_ []byte, sign func(key []byte) []byte) ([]byte, []byte) {
				return make([]byte, 32), make([]byte, id.SignatureSize)
			})
		},
	},
	{
		Name: "double vote", By: Agent, Item: "2.5 R2",
		Does:   "votes for another set than the server sent, and for that one",
		Wants:  "a certificate that no member accepts",
		Guards: []string{"VoteSet"},
		Stop:   drops(secureagg.StageVote, secureagg.ReasonMismatch),
		Proves: secureagg.FaultTwoVotes,
		run: func(s *scene) error {
			return s.votesBadly(func(set []byte) []byte {
				other, honest := s.voteAs(3, s.subset(set, setOf(1, 2, 3))), s.voteAs(3, set)
				s.keep(other, honest)
				return other
			})
		},
	},
	{
		Name: "unsigned vote", By: Agent, Item: "2.5 R2",
		Does:   "sends a vote that it did not sign",
		Wants:  "a certificate that no member accepts",
		Guards: []string{"VoteReceived"},
		Stop:   drops(secureagg.StageVote, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			return s.votesBadly(func(set []byte) []byte { return open(s.voteAs(3, set), s.n).flip("sig").bytes() })
		},
	},
	{
		Name: "wrong share", By: Agent, Item: "H5",
		Does:   "releases another share than it was dealt",
		Wants:  "the dealer is blamed, and the attempt lost",
		Guards: []string{"ShareProof"},
		Stop:   drops(secureagg.StageShares, secureagg.ReasonShare),
		Proves: secureagg.FaultWrongShare,
		run: func(s *scene) error {
			return s.releasesBadly(func(w *wire) []byte {
				w.set(at(at("share", 1), 1), encode(big.NewInt(9)))
				return w.set("sig", s.agents[0].key.Sign(id.LabelRelease, w.unsigned())).bytes()
			}, func() error {
				err := s.round.Unmask(make([]uint32, s.dim))
				var a *secureagg.Abort
				if errors.As(err, &a) && a.Stage == secureagg.StageUnmask && a.Culprit == s.agents[1].id {
					return nil
				}
				return err
			})
		},
	},
	{
		Name: "unsigned release", By: Agent, Item: "H5",
		Does:   "releases shares that it did not sign",
		Wants:  "the server counts on shares for which nobody answers",
		Guards: []string{"SharesReceived"},
		Stop:   drops(secureagg.StageShares, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			return s.releasesBadly(func(w *wire) []byte { return w.flip("sig").bytes() }, func() error {
				return got(slices.Contains(s.round.Released(), s.agents[0].id))
			})
		},
	},
	{
		Name: "unsigned Close", By: Agent, Item: "H2",
		Does:   "gives an attempt up with a Close that it did not sign",
		Wants:  "an abort certificate that no member accepts, so that none goes on",
		Guards: []string{"CloseReceived"},
		Stop:   drops(secureagg.StageClose, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			s.evil = setOf(3)
			if err := s.reported(); err != nil {
				return err
			}
			ask, err := s.round.AskClose()
			if err != nil {
				return &setupError{err}
			}
			closes, err := s.tellAll(s.all(), ask[0].Msg)
			if err != nil {
				return &setupError{err}
			}
			closes[3] = open(closes[3], s.n).flip("sig").bytes()
			for _, i := range []int{3, 0, 1} {
				cert, _, err := s.round.CloseSigned(s.agents[i].id, closes[i])
				if err != nil {
					return err
				}
				if cert != nil {
					_, err := s.tell(2, cert)
					return succeedsIf(err, secureagg.StageClose, secureagg.ReasonSignature)
				}
			}
			return errMissed
		},
	},
}

// succeedsIf is nil for an honest member's abort of that kind, which the adversary wants.
func succeedsIf(err error, stage secureagg.Stage, why secureagg.Reason) error {
	var a *secureagg.Abort
	if errors.As(err, &a) && a.Stage == stage && a.Reason == why {
		return nil
	}
	return errors.Join(errMissed, err)
}

// deal begins a report of member i in the open attempt, from its journal's keys.
func (s *scene) deal(i int, name string) *dealing {
	return deal(s.round.Start(), s.n, s.params.Threshold, i, s.agents[i].chain(), name)
}

// dealt opens attempt 1 in which the evil members report what report makes of their
// dealing, and the others what they should. The honest Round takes them; then the attack
// goes on.
func (s *scene) dealt(evil set, report func(i int, d *dealing) []byte, then func() error) error {
	return s.dealtBy(s.all(), evil, report, then)
}

func (s *scene) dealtBy(reporters, evil set, report func(i int, d *dealing) []byte, then func() error) error {
	s.evil = evil
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.attempt(s.inputs(1), s.all(), reporters&^evil); err != nil {
		return &setupError{err}
	}
	for _, i := range evil.members() {
		d := s.deal(i, "dealer")
		msg := report(i, d)
		s.agents[i].vector = d.vector
		if err := s.accept(i, msg, d.vector); err != nil {
			return err
		}
	}
	if then == nil {
		return errMissed
	}
	return then()
}

// certified leads the members through R2 with the honest Round.
func (s *scene) certified(voters set) ([]byte, error) {
	sets, err := s.sets()
	if err != nil {
		return nil, err
	}
	votes, err := s.vote(voters, sets)
	if err != nil {
		return nil, err
	}
	for _, i := range voters.members() {
		cert, _, err := s.round.Vote(s.agents[i].id, votes[i])
		if cert != nil || err != nil {
			return cert, err
		}
	}
	return nil, errMissed
}

// wrongSum leads the attempt to its end, and wants the honest server to publish a sum that
// is not that of the reporters. It adds one more vector that it took in.
func (s *scene) wrongSum(online set, more []uint32) error {
	cert, err := s.certified(s.all())
	if err != nil {
		return err
	}
	shares, err := s.release(s.all(), cert)
	if err != nil {
		return err
	}
	for i, m := range shares {
		if _, err := s.round.Shares(s.agents[i].id, m); err != nil {
			return err
		}
	}
	sum := make([]uint32, s.dim)
	for _, i := range online.members() {
		sum = add(sum, s.agents[i].vector, 1)
	}
	if more != nil {
		sum = add(sum, more, 1)
	}
	if err := s.round.Unmask(sum); err != nil {
		if slices.ContainsFunc(sum, func(w uint32) bool { return w != 0 }) {
			return nil // something is left to publish
		}
		return err
	}
	return got(!slices.Equal(sum, s.sum(online)))
}

// stuck wants a certificate of a set that the shares of all do not open.
func (s *scene) stuck() error {
	cert, err := s.certified(s.all())
	if err != nil {
		return err
	}
	shares, err := s.release(s.all(), cert)
	if err != nil {
		return err
	}
	for i, m := range shares {
		if done, err := s.round.Shares(s.agents[i].id, m); done || err != nil {
			return errors.Join(errMissed, err)
		}
	}
	return nil
}

// complains lets corrupt member 3 vote with a complaint of member 0, and member 2 be away.
func (s *scene) complains(of func(key []byte, sign func(key []byte) []byte) (k, sig []byte)) error {
	s.evil = setOf(3)
	if err := s.reported(); err != nil {
		return err
	}
	sets, err := s.sets()
	if err != nil {
		return &setupError{err}
	}
	w := open(sets[3], s.n)
	key := blobKey(s.agents[3].chain()[0], 0, 3, w.get("ctx"), w.get("salt.0"))
	k, sig := of(key, func(k []byte) []byte {
		body := join(w.header(secureagg.KindVote), []byte{3, 0}, w.get("root.0"), k)
		return s.agents[3].key.Sign(id.LabelComplaint, body)
	})
	lie := open(s.voteAs(3, sets[3]), s.n).setByte("count", 1).bytes()
	lie = join(lie, []byte{0}, k, sig)
	votes, err := s.vote(setOf(0, 1), sets)
	if err != nil {
		return &setupError{err}
	}
	votes[3] = lie
	for _, i := range []int{0, 1, 3} {
		if cert, _, err := s.round.Vote(s.agents[i].id, votes[i]); err != nil || cert != nil {
			return errors.Join(err, got(err == nil && cert == nil))
		}
	}
	why := s.round.Why()
	return got(why != nil && why.Reason == secureagg.ReasonComplaints && why.Culprit == s.agents[0].id)
}

// votesBadly lets corrupt member 3 vote first, as bad says, and wants a certificate that
// member 2, which did not vote yet, refuses.
func (s *scene) votesBadly(bad func(set []byte) []byte) error {
	s.evil = setOf(3)
	if err := s.reported(); err != nil {
		return err
	}
	sets, err := s.sets()
	if err != nil {
		return &setupError{err}
	}
	votes, err := s.vote(setOf(0, 1, 2), sets)
	if err != nil {
		return &setupError{err}
	}
	votes[3] = bad(sets[3])
	for _, i := range []int{3, 0, 1} {
		cert, _, err := s.round.Vote(s.agents[i].id, votes[i])
		if err != nil {
			return err
		}
		if cert != nil {
			_, err := s.tell(2, cert)
			return succeedsIf(err, secureagg.StageCertificate, secureagg.ReasonSignature)
		}
	}
	return errMissed
}

// releasesBadly leads an honest attempt to R3, where corrupt member 0 releases what bad
// makes of its Shares, and the others what they should.
func (s *scene) releasesBadly(bad func(*wire) []byte, then func() error) error {
	s.evil = setOf(0)
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
	shares[0] = bad(open(shares[0], s.n))
	for _, i := range s.all().members() {
		s.traffic = append(s.traffic, shares[i])
		if _, err := s.round.Shares(s.agents[i].id, shares[i]); err != nil {
			return err
		}
	}
	return then()
}
