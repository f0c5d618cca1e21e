package evil

import (
	"errors"
	"maps"
	"math/big"
	"slices"

	"tacit/secureagg"
)

// What R2 and R3 withstand: SECAGG 2.5, 2.8 and Hardening 4, 8 and 11.
var setAttacks = []*Attack{
	{
		Name: "two online sets", By: Server, Item: "2.8 lying about dropouts",
		Does:   "shows every member two online sets of one attempt",
		Wants:  "two certificates",
		Guards: []string{"OneVote"},
		Stop:   aborts(secureagg.StageVote, secureagg.ReasonSecond),
		Silent: "sets bear no signature of the server, and each member votes for one",
		run: func(s *scene) error {
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			first, err := s.vote(s.all(), sets)
			if err != nil {
				return &setupError{err}
			}
			second, err := s.vote(s.all(), s.subsets(sets, setOf(0, 1, 2)))
			if err != nil {
				return err
			}
			return got(s.verified(s.certificate(s.all(), first)) && s.verified(s.certificate(setOf(0, 1, 2), second)))
		},
	},
	{
		Name: "both secrets", By: Server, Item: "2.8 asking b and s of one agent; Flower: a client answers for a peer that is active and dead",
		Does:   "takes what members release for a certified set, and looks for the pair seeds beside the self seeds",
		Wants:  "every branch's vector",
		Guards: []string{"OneSecret"},
		Stop:   refuses(errMissed),
		Silent: "nothing is sent but what an honest server sends: a release has no place for both",
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
			shares, err := s.release(s.all(), s.certificate(s.all(), votes))
			if err != nil {
				return &setupError{err}
			}
			for i := range s.n {
				if !slices.Equal(s.alone(i, shares, shares), s.input(i)) {
					return errMissed
				}
			}
			return nil
		},
	},
	{
		Name: "both secrets, by two releases", By: Server, Item: "2.8 asking b and s of one agent",
		Does:   "lets one attempt be released twice: with a branch, and as if it had dropped out",
		Wants:  "that branch's vector",
		Guards: []string{"OneVote", "ReleaseOnce", "Erase"},
		Stop:   refuses(secureagg.ErrStale),
		Silent: "sets bear no signature of the server",
		run: func(s *scene) error {
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			with, err := s.releaseSet(s.all(), sets)
			if err != nil {
				return &setupError{err}
			}
			without, err := s.releaseSet(setOf(1, 2, 3), s.subsets(sets, setOf(1, 2, 3)))
			if err != nil {
				return err
			}
			return got(slices.Equal(s.alone(0, with, without), s.input(0)))
		},
	},
	{
		Name: "set below the minimum", By: Server, Item: "2.8 small release; isolating one agent; H8",
		Does:   "says that all but one honest branch dropped out, and has the rest on its side",
		Wants:  "that branch's vector",
		Guards: []string{"SetMinimum", "CertificateMinimum"},
		Stop:   aborts(secureagg.StageVote, secureagg.ReasonBelowMinimum),
		Silent: "sets bear no signature of the server",
		run: func(s *scene) error {
			if err := s.enrol(5, 256); err != nil {
				return err
			}
			s.evil = setOf(3, 4)
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			few := setOf(0, 3, 4)
			shares, err := s.releaseSet(few, s.subsets(sets, few))
			if err != nil {
				return err
			}
			sum := s.unmask(few, s.vectors(), slices.Collect(maps.Values(shares))...)
			return got(sum != nil && slices.Equal(add(sum, s.sum(setOf(3, 4)), -1), s.input(0)))
		},
	},
	{
		Name: "certificate without a quorum", By: Server, Item: "2.5 R3",
		Does:   "shows two members two sets, and certifies each with a corrupt member's second vote",
		Wants:  "shares for two sets of one attempt",
		Guards: []string{"CertificateQuorum"},
		Stop:   aborts(secureagg.StageCertificate, secureagg.ReasonQuorum),
		Proves: secureagg.FaultTwoVotes,
		run: func(s *scene) error {
			s.evil = setOf(3)
			return s.twoSets(func(online set, set []byte, vote map[int][]byte) []byte {
				vote[3] = s.voteAs(3, set)
				cert := s.certificate(online, vote)
				s.keep(cert)
				return cert
			})
		},
	},
	{
		Name: "forged votes", By: Server, Item: "2.5 R3",
		Does:   "shows two members two sets, and certifies each with votes that it made up",
		Wants:  "shares for two sets of one attempt",
		Guards: []string{"CertificateSignature"},
		Stop:   aborts(secureagg.StageCertificate, secureagg.ReasonSignature),
		Silent: "whoever made the votes up left no name",
		run: func(s *scene) error {
			return s.twoSets(func(online set, set []byte, vote map[int][]byte) []byte {
				for _, i := range []int{2, 3} {
					w := open(s.voteAs(i, set), s.n)
					vote[i] = w.flip("sig").bytes()
				}
				return s.certificate(online, vote)
			})
		},
	},
	{
		Name: "another set is certified", By: Server, Item: "2.8 lying about dropouts",
		Does:   "certifies one set with the members that it showed it to, and sends the certificate to one that it showed another",
		Wants:  "shares for a set that no quorum voted on",
		Guards: []string{"CertifiedSet"},
		Stop:   aborts(secureagg.StageCertificate, secureagg.ReasonConflict),
		Silent: "the certificate is genuine, and the other set bears no signature of the server",
		run: func(s *scene) error {
			s.evil = setOf(3)
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			if _, err := s.vote(setOf(0), sets); err != nil {
				return &setupError{err}
			}
			few := setOf(1, 2, 3)
			votes, err := s.vote(few, s.subsets(sets, few))
			if err != nil {
				return &setupError{err}
			}
			m, err := s.tell(0, s.certificate(few, votes))
			if err != nil {
				return err
			}
			return got(set(open(m, s.n).byte("online")) == s.all())
		},
	},
	{
		Name: "stale certificate", By: Server, Item: "2.8 replay",
		Does:   "sends the certificate of an attempt in the next one",
		Wants:  "a sum for which no quorum voted",
		Guards: []string{"CertificateContext", "CertifiedSet"},
		Stop:   refuses(secureagg.ErrStale),
		Silent: "the certificate is genuine",
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
			stale := s.certificate(s.all(), votes)
			if _, err := s.release(s.all(), stale); err != nil {
				return &setupError{err}
			}
			if err := s.attempt(s.inputs(2), s.all(), s.all()); err != nil {
				return &setupError{err}
			}
			if sets, err = s.sets(); err != nil {
				return &setupError{err}
			}
			if _, err := s.vote(s.all(), sets); err != nil {
				return &setupError{err}
			}
			shares, err := s.release(s.all(), stale)
			if err != nil {
				return err
			}
			return got(slices.Equal(s.unmask(s.all(), s.vectors(), slices.Collect(maps.Values(shares))...), s.sum(s.all())))
		},
	},
	{
		Name: "forged report", By: Server, Item: "2.5 R2",
		Does:   "puts a branch into the set that never reported",
		Wants:  "a certificate that says that it took part",
		Guards: []string{"SetReportSignature"},
		Stop:   aborts(secureagg.StageVote, secureagg.ReasonSignature),
		Silent: "the branch signed nothing, nor did the server",
		run: func(s *scene) error {
			return s.absent(func(w *wire) []byte { return w.flip("sig").setByte("member", 3).bytes() })
		},
	},
	{
		Name: "duplicated client", By: Server, Item: "2.8 isolating one agent",
		Does:   "lists one branch's report under two names, to reach the minimum",
		Wants:  "a certificate that counts one branch twice",
		Guards: []string{"SetReportSignature"},
		Stop:   aborts(secureagg.StageVote, secureagg.ReasonSignature),
		Silent: "the report is genuine; sets bear no signature of the server",
		run: func(s *scene) error {
			return s.absent(func(w *wire) []byte { return w.bytes() })
		},
	},
	{
		Name: "wrong blobs", By: Server, Item: "H4",
		Does:   "spoils a branch's blobs on their way, so that the members complain and reveal their keys",
		Wants:  "that branch's vector, from its genuine blobs",
		Guards: []string{"BlobPath"},
		Stop:   aborts(secureagg.StageVote, secureagg.ReasonMismatch),
		Silent: "sets bear no signature of the server",
		run: func(s *scene) error {
			s.evil = setOf(3)
			if err := s.reported(); err != nil {
				return err
			}
			sets, err := s.sets()
			if err != nil {
				return &setupError{err}
			}
			report := open(s.agents[0].sent[secureagg.KindReport], s.n)
			ctx, h := report.get("ctx"), report.header(secureagg.KindReport)
			keys := map[int][]byte{3: blobKey(s.agents[3].chain()[0], 0, 3, ctx, report.get("salt"))}
			for _, u := range []int{1, 2} {
				v, err := s.tell(u, open(sets[u], s.n).flip("blob.0").bytes())
				if err != nil {
					return err
				}
				if w := open(v, s.n); w.has("key.0") {
					keys[u] = w.get("key.0")
				}
			}
			y := s.agents[0].vector
			for k := range s.n {
				z := s.openSecret(report, h, 0, k, keys)
				if z == nil {
					return errMissed
				}
				y = s.strip(y, 0, k, z, ctx)
			}
			return got(slices.Equal(y, s.input(0)))
		},
	},
}

// subsets leaves some of the members in every OnlineSet.
func (s *scene) subsets(sets map[int][]byte, keep set) map[int][]byte {
	some := make(map[int][]byte)
	for i, m := range sets {
		some[i] = s.subset(m, keep)
	}
	return some
}

// releaseSet leads all members through R2 and R3 for a set.
func (s *scene) releaseSet(online set, sets map[int][]byte) (map[int][]byte, error) {
	votes, err := s.vote(s.all(), sets)
	if err != nil {
		return nil, err
	}
	return s.release(s.all(), s.certificate(online, votes))
}

// strip takes the mask of a seed away from the vector of member i.
func (s *scene) strip(y []uint32, i, k int, z *big.Int, ctx []byte) []uint32 {
	if k == i {
		return add(y, stream(z, ctx, len(y)), -1)
	}
	return add(y, stream(z, ctx, len(y)), -sign(i, k))
}

// alone opens the vector of one member: its self seed out of the first shares, the seeds
// of its pairs, by either end, out of the second.
func (s *scene) alone(i int, first, second map[int][]byte) []uint32 {
	shares := [][][]byte{slices.Collect(maps.Values(first)), slices.Collect(maps.Values(second))}
	self, ctx := s.seed(i, i, shares[0])
	if self == nil {
		return nil
	}
	y := s.strip(s.agents[i].vector, i, i, self, ctx)
	for k := range s.n {
		if k == i {
			continue
		}
		z, _ := s.seed(i, k, shares[1])
		if z == nil {
			z, _ = s.seed(k, i, shares[1])
		}
		if z == nil {
			return nil
		}
		y = s.strip(y, i, k, z, ctx)
	}
	return y
}

// twoSets shows members 0 and 1 two sets, and wants each to release its own, with the
// certificates that certify makes of their vote.
func (s *scene) twoSets(certify func(online set, set []byte, vote map[int][]byte) []byte) error {
	if err := s.reported(); err != nil {
		return err
	}
	sets, err := s.sets()
	if err != nil {
		return &setupError{err}
	}
	certs := make(map[int][]byte)
	for i, online := range []set{s.all(), setOf(0, 1, 2)} {
		shown := s.subset(sets[i], online)
		v, err := s.tell(i, shown)
		if err != nil {
			return &setupError{err}
		}
		certs[i] = certify(online, shown, map[int][]byte{i: v})
	}
	var released []set
	for i := range 2 {
		m, err := s.tell(i, certs[i])
		if err != nil {
			return err
		}
		released = append(released, set(open(m, s.n).byte("online")))
	}
	return got(released[0] != released[1])
}

// absent says that member 3, which did not report, reported what forge makes of the
// report of member 2.
func (s *scene) absent(forge func(*wire) []byte) error {
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.attempt(s.inputs(1), s.all(), setOf(0, 1, 2)); err != nil {
		return &setupError{err}
	}
	reports := make(map[int][]byte)
	for _, i := range []int{0, 1, 2} {
		reports[i] = s.agents[i].sent[secureagg.KindReport]
	}
	reports[3] = forge(open(reports[2], s.n))
	votes, err := s.vote(setOf(0, 1, 2), s.show(s.all(), reports, s.round.Start()))
	if err != nil {
		return err
	}
	f, err := secureagg.VerifyCertificate(s.certificate(s.all(), votes), s.roster.AppendBinary(nil), s.charter.AppendBinary(nil))
	if err != nil {
		return errors.Join(errMissed, err)
	}
	return got(slices.Contains(f.Online, s.agents[3].id))
}
