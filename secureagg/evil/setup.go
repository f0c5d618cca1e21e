package evil

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudflare/circl/kem/xwing"

	"tacit/id"
	"tacit/secureagg"
)

// What an epoch's setup withstands: SECAGG 2.4, and Hardening 1, 7 and 12.
var setupAttacks = []*Attack{
	{
		Name: "impostor", By: Server, Item: "2.3",
		Does:   "proposes an epoch under another key than the charter names",
		Wants:  "an agent makes keys for it",
		Guards: []string{"ProposalSignature"},
		Stop:   aborts(secureagg.StageProposal, secureagg.ReasonSignature),
		Silent: "the charter's server signed nothing",
		run: func(s *scene) error {
			p, err := s.propose(1, 1)
			if err != nil {
				return err
			}
			w := open(p, s.n)
			_, err = s.tell(0, w.set("sig", testKey('x', 0).SignHybrid(id.LabelProposal, w.unsigned())).bytes())
			return err
		},
	},
	{
		Name: "second proposal", By: Server, Item: "H12",
		Does:   "proposes one epoch twice, to draw its keys again",
		Wants:  "two epoch keys of one agent for one epoch",
		Guards: []string{"ProposalOnce", "EpochRises"},
		Stop:   aborts(secureagg.StageProposal, secureagg.ReasonSecond),
		Proves: secureagg.FaultTwoProposals,
		run: func(s *scene) error {
			p, err := s.propose(1, 1)
			if err != nil {
				return err
			}
			w := open(p, s.n).set("start", number(2))
			return s.twoKeys(p, w.set("sig", s.server.SignHybrid(id.LabelProposal, w.unsigned())).bytes())
		},
	},
	{
		Name: "grinding", By: Server, Item: "H12",
		Does:   "gives an epoch up and opens it again under the same number, as often as its keys do not please",
		Wants:  "a second epoch key for a number that was used",
		Guards: []string{"EpochRises"},
		Stop:   refuses(errRekey),
		Silent: "the same Proposal twice is no fault, and every try uses a number up",
		run: func(s *scene) error {
			first, err := s.propose(1, 1)
			if err != nil {
				return err
			}
			second, err := s.propose(2, 1)
			if err != nil {
				return err
			}
			if _, err := s.tell(0, first); err != nil {
				return &setupError{err}
			}
			if _, err := s.tell(0, second); err != nil {
				return &setupError{err}
			}
			return s.expect(0, first, secureagg.KindEpochKey)
		},
	},
	{
		Name: "used attempts", By: Server, Item: "2.8 replay",
		Does:   "begins an epoch at an attempt that this run has had",
		Wants:  "an attempt number that is opened twice",
		Guards: []string{"StartRises"},
		Stop:   aborts(secureagg.StageProposal, secureagg.ReasonReplay),
		Silent: "each message is proper by itself",
		run: func(s *scene) error {
			if err := s.ready(); err != nil {
				return err
			}
			if err := s.attempt(s.inputs(1), s.all(), 0); err != nil {
				return &setupError{err}
			}
			if err := s.setup(2, 1, nil); err != nil {
				return err
			}
			return s.attempt(s.inputs(1), s.all(), 0)
		},
	},
	{
		Name: "branch left out", By: Server, Item: "H7",
		Does:   "proposes an epoch for fewer branches than the administrators enrolled",
		Wants:  "the others make keys without it (no further: a Roster holds an EpochKey of every enrolled member)",
		Guards: []string{"ProposalRoster"},
		Stop:   aborts(secureagg.StageProposal, secureagg.ReasonRoster),
		Proves: secureagg.FaultForeignRoster,
		run: func(s *scene) error {
			p, err := s.propose(1, 1)
			if err != nil {
				return err
			}
			w := open(p, s.n)
			w.setByte("count", s.n-1).set("agents", w.get("agents")[:16*(s.n-1)])
			_, err = s.tell(0, w.set("sig", s.server.SignHybrid(id.LabelProposal, w.unsigned())).bytes())
			return err
		},
	},
	{
		Name: "forged roster", By: Server, Item: "2.8 key substitution; Flower: keys are relayed unsigned",
		Does:   "puts keys of its own into the Roster under the others' names, and plays all of them to one agent",
		Wants:  "that agent's vector, from its report alone",
		Guards: []string{"EpochKeySignature", "CtListSignature", "ReadySignature"},
		Stop:   aborts(secureagg.StageRoster, secureagg.ReasonSignature),
		Proves: secureagg.FaultForgedRoster,
		run:    (*scene).middle,
	},
	{
		Name: "unsigned roster", By: Server, Item: "H1",
		Does:   "sends a Roster that it did not sign",
		Wants:  "an epoch over a Roster that it can deny",
		Guards: []string{"RosterSignature"},
		Stop:   aborts(secureagg.StageRoster, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			err := s.setup(1, 1, s.change(secureagg.KindRoster, func(_ int, w *wire) { w.flip("sig") }))
			if err != nil {
				return err
			}
			return got(s.agents[0].m.Live())
		},
	},
	{
		Name: "two rosters", By: Server, Item: "2.8 key substitution",
		Does:   "shows one agent another Roster than the others, with a corrupt member's second epoch key",
		Wants:  "honest members live in one epoch under two roots",
		Guards: []string{"CtListSignature", "Confirmed", "ReadyQuorum"},
		Stop:   aborts(secureagg.StageCtList, secureagg.ReasonSignature),
		Proves: secureagg.FaultTwoRosters,
		run:    (*scene).twoRosters,
	},
	{
		Name: "swapped ciphertext", By: Server, Item: "H1",
		Does:   "delivers another ciphertext than the sender made",
		Wants:  "a live epoch in which two members hold different keys, so that every attempt fails",
		Guards: []string{"CtListSignature", "Confirmed", "ReadyList"},
		Stop:   aborts(secureagg.StageCtList, secureagg.ReasonSignature),
		Silent: "deliveries bear no signature of the server",
		run: func(s *scene) error {
			err := s.setup(1, 1, s.change(secureagg.KindCtDelivery, func(to int, w *wire) {
				if to == 0 {
					w.set("ct.0", w.get("ct.1"))
				}
			}))
			if err != nil {
				return err
			}
			return s.unequal(0, 1)
		},
	},
	{
		Name: "ciphertext of nothing", By: Agent, Item: "H1",
		Does:   "sends one partner a ciphertext whose key it does not hold",
		Wants:  "a live epoch in which the two hold different keys, so that every attempt fails",
		Guards: []string{"Confirmed"},
		Stop:   abortsNaming(secureagg.StageConfirm, secureagg.ReasonUnconfirmed),
		Silent: "who of the two, or the server, spoilt the tag cannot be told",
		run: func(s *scene) error {
			s.evil = setOf(3)
			err := s.setup(1, 1, func(from, _ int, msg []byte) []byte {
				switch k, _ := secureagg.Kind(msg); {
				case from == 3 && k == secureagg.KindCtList:
					w := open(msg, s.n).set("ct.0", open(msg, s.n).get("ct.1"))
					s.agents[3].sent[k] = s.signList(w)
					return s.agents[3].sent[k]
				case from == 3 && k == secureagg.KindReady:
					list := root(s.listLeaves(open(s.agents[3].sent[secureagg.KindCtList], s.n)))
					w := open(msg, s.n).set("list", list[:])
					return w.set("sig", s.agents[3].key.SignHybrid(id.LabelReady, w.unsigned())).bytes()
				}
				return msg
			})
			if err != nil {
				return err
			}
			return s.unequal(0, 3)
		},
	},
	{
		Name: "copied epoch key", By: Agent, Item: "2.4 E2",
		Does:   "offers another member's epoch key as its own",
		Wants:  "a live epoch with a member that shares no key with anyone",
		Guards: []string{"EpochKeyDistinct", "Confirmed"},
		Stop:   abortsNaming(secureagg.StageRoster, secureagg.ReasonMismatch),
		Silent: "the Roster shows that one of two copied, not who",
		run:    (*scene).copiedKey,
	},
	{
		Name: "unsigned list", By: Agent, Item: "H1",
		Does:   "sends ciphertexts that it did not sign",
		Wants:  "all others give the epoch up, and cannot tell why",
		Guards: []string{"CtListReceived"},
		Stop:   drops(secureagg.StageCtList, secureagg.ReasonSignature),
		Silent: "it signed nothing",
		run: func(s *scene) error {
			s.evil = setOf(3)
			err := s.setup(1, 1, func(from, _ int, msg []byte) []byte {
				if k, _ := secureagg.Kind(msg); from == 3 && k == secureagg.KindCtList {
					return open(msg, s.n).flip("sig").bytes()
				}
				return msg
			})
			var a *secureagg.Abort
			if errors.As(err, &a) && a.Stage == secureagg.StageCtList && a.Culprit.IsZero() {
				return nil
			}
			return err
		},
	},
}

// errRekey: the member asks for a new epoch instead of an answer.
var errRekey = errors.New("evil: the member asks for a new epoch instead")

// errNothing: the member takes the message, and answers nothing.
var errNothing = errors.New("evil: the member answers nothing")

// expect is nil if the member answers with a message of the kind.
func (s *scene) expect(i int, msg []byte, want secureagg.MessageKind) error {
	answer, err := s.tell(i, msg)
	if err != nil {
		return err
	}
	if answer == nil {
		return errNothing
	}
	switch k, _ := secureagg.Kind(answer); k {
	case want:
		return nil
	case secureagg.KindRekey:
		return errRekey
	}
	return errMissed
}

// twoKeys wants two different epoch keys of agent 0 for two proposals of one epoch.
func (s *scene) twoKeys(first, second []byte) error {
	a, err := s.tell(0, first)
	if err != nil {
		return &setupError{err}
	}
	if err := s.expect(0, second, secureagg.KindEpochKey); err != nil {
		return err
	}
	b := s.agents[0].sent[secureagg.KindEpochKey]
	return got(!slices.Equal(a, b))
}

// change is a tampering with what the server sends of one kind.
func (s *scene) change(kind secureagg.MessageKind, f func(to int, w *wire)) tampering {
	return func(from, to int, msg []byte) []byte {
		if k, _ := secureagg.Kind(msg); from >= 0 || k != kind {
			return msg
		}
		w := open(msg, s.n)
		f(to, w)
		return w.bytes()
	}
}

// unequal wants both members live, with different keys for their pair.
func (s *scene) unequal(i, j int) error {
	a, b := s.agents[i], s.agents[j]
	return got(a.m.Live() && b.m.Live() && !slices.Equal(a.chain()[j], b.chain()[i]))
}

// seat is a member as the adversary plays it in an epoch's setup.
type seat struct {
	key  *id.PrivateKey // with which it signs
	dk   *xwing.PrivateKey
	ek   []byte
	sent [][]byte // shared secrets by partner
}

// sitDown makes the epoch key of a seat and its E1, like another E1 of the epoch.
func (s *scene) sitDown(i int, like []byte, key *id.PrivateKey) (*seat, []byte) {
	t := &seat{key: key}
	dk, ek, err := xwing.GenerateKeyPair(coins(fmt.Sprint("seat ", i)))
	if err != nil {
		panic(err)
	}
	t.dk, t.ek = dk, make([]byte, xwing.PublicKeySize)
	ek.Pack(t.ek)
	return t, s.epochKey(i, like, t.ek, key)
}

// epochKey signs an E1 of member i.
func (s *scene) epochKey(i int, like, ek []byte, key *id.PrivateKey) []byte {
	w := open(like, s.n).set("agent", s.agents[i].id[:]).set("key", ek)
	return w.set("sig", key.SignHybrid(id.LabelEpochKey, w.unsigned())).bytes()
}

// rosterOf is a Roster of these E1, signed by the server, and its root.
func (s *scene) rosterOf(keys [][]byte) ([]byte, digest) {
	var leaves []digest
	for _, k := range keys {
		leaves = append(leaves, leaf("epochkey", k))
	}
	r := root(leaves)
	signed := join(open(keys[0], s.n).header(secureagg.KindRoster), r[:])
	return join(signed, []byte{byte(len(keys))}, join(keys...), s.server.SignHybrid(id.LabelRosterE, signed)), r
}

// listOf is member i's CtList under a root, in which t encapsulates to the others' keys.
func (s *scene) listOf(i int, t *seat, keys [][]byte, r digest) []byte {
	msg := join(open(keys[0], s.n).header(secureagg.KindCtList), []byte{byte(s.n), byte(i)}, r[:])
	coin := coins(fmt.Sprint("list ", i))
	t.sent = make([][]byte, s.n)
	for j, k := range keys {
		if j == i {
			continue
		}
		ss, ct, err := xwing.Encapsulate(open(k, s.n).get("key"), join(draw(coin), draw(coin)))
		if err != nil {
			panic(err)
		}
		t.sent[j] = ss
		msg = append(msg, ct...)
	}
	w := open(append(msg, make([]byte, id.HybridSignatureSize)...), s.n)
	return w.set("sig", t.key.SignHybrid(id.LabelCtList, s.listBody(w))).bytes()
}

// signList signs a changed CtList as the corrupt member that made it.
func (s *scene) signList(w *wire) []byte {
	return w.set("sig", s.agents[w.byte("member")].key.SignHybrid(id.LabelCtList, s.listBody(w))).bytes()
}

func ctName(member, partner int) string {
	if partner > member {
		partner--
	}
	return at("ct", partner)
}

func (s *scene) listLeaves(w *wire) (leaves []digest) {
	i := w.byte("member")
	for j := range s.n {
		var h digest
		if j != i {
			h = sha256.Sum256(w.get(ctName(i, j)))
		}
		leaves = append(leaves, leaf("ctlist", w.header(secureagg.KindCtList), w.get("root"), []byte{byte(i), byte(j)}, h[:]))
	}
	return leaves
}

func (s *scene) listBody(w *wire) []byte {
	r := root(s.listLeaves(w))
	return join(w.header(secureagg.KindCtList), w.get("member"), w.get("root"), r[:])
}

// deliveryOf routes the ciphertexts for a member out of the lists.
func (s *scene) deliveryOf(to int, lists map[int][]byte, r digest) []byte {
	var msg []byte
	for i := range s.n {
		if i == to {
			continue
		}
		w := open(lists[i], s.n)
		if msg == nil {
			msg = join(w.header(secureagg.KindCtDelivery), []byte{byte(s.n), byte(to)}, r[:])
		}
		msg = join(msg, w.get(ctName(i, to)), flat(proof(s.listLeaves(w), setOf(to))), w.get("sig"))
	}
	return msg
}

// tagsOf is a ConfirmSet for a member.
func (s *scene) tagsOf(to int, like []byte, r digest, tag func(from int) []byte) []byte {
	msg := join(open(like, s.n).header(secureagg.KindConfirmSet), []byte{byte(s.n), byte(to)}, r[:])
	for i := range s.n {
		if i != to {
			msg = append(msg, tag(i)...)
		}
	}
	return msg
}

// pairKey is CK^0 of members lo < hi.
func (s *scene) pairKey(epoch []byte, r digest, lo, hi int, ssLo, ssHi, ekLo, ekHi, ctLo, ctHi []byte) []byte {
	prk, err := hkdf.Extract(sha256.New, join(ssLo, ssHi), r[:])
	if err != nil {
		panic(err)
	}
	t := hash("pair", ekLo, ekHi, ctLo, ctHi)
	return expand(32, prk, "ck", s.run[:], epoch, []byte{byte(lo), byte(hi)}, t[:])
}

// middle plays all other members to member 0 and opens its report.
func (s *scene) middle() error {
	p, err := s.propose(1, 1)
	if err != nil {
		return err
	}
	own, err := s.tell(0, p)
	if err != nil {
		return &setupError{err}
	}
	seats, keys := make([]*seat, s.n), [][]byte{own}
	for i := 1; i < s.n; i++ {
		t, k := s.sitDown(i, own, testKey('x', i))
		seats[i], keys = t, append(keys, k)
	}
	roster, r := s.rosterOf(keys)
	list, err := s.tell(0, roster)
	if err != nil {
		return err
	}
	lists := make(map[int][]byte)
	for i := 1; i < s.n; i++ {
		lists[i] = s.listOf(i, seats[i], keys, r)
	}
	if _, err := s.tell(0, s.deliveryOf(0, lists, r)); err != nil {
		return err
	}
	// Both ends of every pair of member 0 are known now.
	chain := make([][]byte, s.n)
	ek, epoch := open(own, s.n).get("key"), open(own, s.n).get("epoch")
	for i := 1; i < s.n; i++ {
		from := make([]byte, 32)
		ct := open(list, s.n).get(ctName(0, i))
		seats[i].dk.DecapsulateTo(from, ct)
		chain[i] = s.pairKey(epoch, r, 0, i, from, seats[i].sent[0], ek, seats[i].ek, ct, open(lists[i], s.n).get(ctName(i, 0)))
	}
	tags := s.tagsOf(0, own, r, func(i int) []byte { return expand(16, chain[i], "confirm", []byte{byte(i), 0}) })
	ready, err := s.tell(0, tags)
	if err != nil {
		return err
	}
	set := join(open(own, s.n).header(secureagg.KindReadySet), []byte{byte(s.n)}, r[:], []byte{byte(s.n - 1)})
	for i := 1; i < s.n; i++ {
		l := root(s.listLeaves(open(lists[i], s.n)))
		w := open(ready, s.n).setByte("member", i).set("list", l[:])
		set = join(set, []byte{byte(i)}, l[:], seats[i].key.SignHybrid(id.LabelReady, w.unsigned()))
	}
	if _, err := s.tell(0, set); err != nil {
		return err
	}
	in := s.inputs(1)
	start := s.startOf(in, 1, r)
	if err := s.open(0, start, in); err != nil {
		return err
	}
	report, err := s.report(0)
	if err != nil {
		return err
	}
	return got(slices.Equal(s.readReport(report, 0, s.agents[0].vector, chain), s.input(0)))
}

// readReport opens a dealer's vector with all its chain keys: the pair seeds follow from
// them, and its self seed from its blobs.
func (s *scene) readReport(report []byte, i int, y []uint32, chain [][]byte) []uint32 {
	w := open(report, s.n)
	ctx, h := w.get("ctx"), w.header(secureagg.KindReport)
	shares := make(map[int][]byte)
	for u := range s.n {
		if u != i && len(shares) < s.params.Threshold {
			shares[u] = blobKey(chain[u], i, u, ctx, w.get("salt"))
		}
		if u != i {
			y = add(y, stream(pairSeed(chain[u], ctx), ctx, len(y)), -sign(i, u))
		}
	}
	self := s.openSecret(w, h, i, i, shares)
	if self == nil {
		return nil
	}
	return add(y, stream(self, ctx, len(y)), -1)
}

// startOf is a RoundStart that the server signs, whatever the honest Epoch thinks of it.
func (s *scene) startOf(in secureagg.RoundInputs, epoch uint64, r digest) []byte {
	ctx := in.Ctx(epoch, r)
	var four [4]byte
	msg := join([]byte{byte(secureagg.KindRoundStart), 1}, in.Run[:], number(epoch), number(in.R), four[:], ctx[:], r[:],
		number(in.Round), []byte{in.Task}, in.Plan[:], in.Model[:], in.Config[:], in.Charter[:], number(uint64(in.Cohorts))[4:], number(uint64(in.Dim))[4:])
	return append(msg, s.server.Sign(id.LabelRoundStart, msg)...)
}

// twoRosters shows member 0 one Roster and the others a second.
func (s *scene) twoRosters() error {
	s.evil = setOf(3)
	p, err := s.propose(1, 1)
	if err != nil {
		return err
	}
	answers, err := s.tellAll(s.all(), p)
	if err != nil {
		return &setupError{err}
	}
	var keys [][]byte
	for i := range s.n {
		keys = append(keys, answers[i])
	}
	others := slices.Clone(keys)
	spare, second := s.sitDown(3, keys[3], s.agents[3].key)
	others[3] = second
	rosters, roots, lists := make([][]byte, 2), make([]digest, 2), []map[int][]byte{{}, {}}
	view := func(i int) int { return min(i, 1) } // what member i is shown
	for v, k := range [][][]byte{keys, others} {
		rosters[v], roots[v] = s.rosterOf(k)
		s.keep(rosters[v])
		lists[v][3] = s.listOf(3, spare, k, roots[v])
	}
	honest := []int{0, 1, 2}
	for _, i := range honest {
		l, err := s.tell(i, rosters[view(i)])
		if err != nil {
			return err
		}
		lists[0][i], lists[1][i] = l, l
	}
	for _, i := range honest {
		v := view(i)
		if _, err := s.tell(i, s.deliveryOf(i, lists[v], roots[v])); err != nil {
			return err
		}
		if _, err := s.tell(i, s.tagsOf(i, keys[0], roots[v], func(int) []byte { return make([]byte, 16) })); err != nil {
			return err
		}
		none := join(open(keys[0], s.n).header(secureagg.KindReadySet), []byte{byte(s.n)}, roots[v][:], []byte{0})
		if _, err := s.tell(i, none); err != nil {
			return err
		}
	}
	return got(s.agents[0].m.Live() && s.agents[1].m.Live() && s.agents[2].m.Live())
}

// copiedKey runs a setup in which member 3 offers the epoch key of member 1, and plays on.
func (s *scene) copiedKey() error {
	s.evil = setOf(3)
	key := s.agents[3].key
	t := &seat{key: key}
	var keys [][]byte
	return errors.Join(s.setup(1, 1, func(from, to int, msg []byte) []byte {
		k, _ := secureagg.Kind(msg)
		switch {
		case from == 3 && k == secureagg.KindEpochKey:
			return s.epochKey(3, msg, open(s.agents[1].sent[k], s.n).get("key"), key)
		case to == 3 && k == secureagg.KindRoster:
			// Its own Member would not go on. It answers by itself from here.
			w := open(msg, s.n)
			for i := range s.n {
				keys = append(keys, w.get(at("key", i)))
			}
			r := w.digest("root")
			s.answer(3, s.listOf(3, t, keys, r))
			return nil
		case to == 3 && k == secureagg.KindCtDelivery:
			w := open(msg, s.n)
			s.answer(3, join(w.header(secureagg.KindConfirm), []byte{byte(s.n), 3}, w.get("root"), make([]byte, 16*(s.n-1))))
			return nil
		case to == 3 && k != secureagg.KindProposal:
			return nil
		}
		return msg
	}), got(s.agents[0].m.Live() && s.agents[1].m.Live() && s.agents[2].m.Live()))
}
