package evil

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"tacit/id"
	"tacit/secureagg"
)

// scene is a federation of one cohort in which an attack is played. Its members are the
// real ones, honest until the attack says otherwise; of the corrupt ones the adversary
// has keys and journals. The server's side is whatever the attack makes of it: a lying
// server uses the honest Epoch and Round as tools.
type scene struct {
	n       int
	params  secureagg.Params
	charter *id.Charter
	roster  *id.Roster
	server  *id.PrivateKey
	agents  []*agent
	run     id.RunID
	epoch   *secureagg.Epoch
	round   *secureagg.Round
	in      secureagg.RoundInputs
	dim     int

	evil     set
	pending  []answered
	evidence [][]byte // what the honest, or a third party, keep
	traffic  [][]byte // everything that was sent
}

// agent is a member with its journal.
type agent struct {
	m       *secureagg.Member
	cfg     secureagg.MemberConfig
	id      id.AgentID
	key     *id.PrivateKey
	journal map[string][]byte
	vector  []uint32 // masked, of its last report
	sent    map[secureagg.MessageKind][]byte
	event   any
}

func (a *agent) get(key string) ([]byte, bool) { v, ok := a.journal[key]; return v, ok }

func testKey(tag byte, i int) *id.PrivateKey {
	return id.NewPrivateKey([32]byte{tag, byte(i), 1})
}

// size is how many members the attack's cohort has.
const defaultSize = 4

func newScene(a *Attack) (*scene, error) {
	s := &scene{run: id.RunID{7}, dim: 37, server: testKey('s', 0)}
	return s, s.enrol(defaultSize, 256)
}

// enrol makes a federation of n members whose epochs have so many attempts.
func (s *scene) enrol(n int, attempts uint32) error {
	admin := testKey('a', 0)
	s.charter = &id.Charter{
		Federation: id.FederationID{1}, Version: 1, Name: "a federation under attack",
		Administrators: []id.PublicKey{admin.Public()}, Threshold: 1,
		Server: s.server.Public(), LogKey: "log.test+00000000+key",
		MinCohort: 3, AllowSmall: true, MaxOrgShare: 100, RoundsPerEpoch: attempts, EpochsPerDay: 100,
	}
	s.roster = &id.Roster{Federation: s.charter.Federation, Version: 1}
	keys := make([]*id.PrivateKey, n)
	for i := range keys {
		keys[i] = testKey('m', i)
	}
	slices.SortFunc(keys, func(a, b *id.PrivateKey) int {
		p, q := a.Public(), b.Public()
		return p.AgentID().Compare(q.AgentID())
	})
	for i, k := range keys {
		site := fmt.Sprintf("site %c", 'A'+i)
		s.roster.Members = append(s.roster.Members, id.Member{Org: site, Site: site, Key: k.Public(), NotAfter: 1 << 40})
	}
	if err := errors.Join(s.charter.Sign(admin), s.roster.Sign(s.charter, admin)); err != nil {
		return &setupError{err}
	}
	var err error
	if s.params, err = secureagg.CohortParams(n, 3, 0, true); err != nil {
		return &setupError{err}
	}
	s.n, s.agents = n, nil
	for i, k := range keys {
		pub := k.Public()
		a := &agent{key: k, id: pub.AgentID(), journal: make(map[string][]byte), sent: make(map[secureagg.MessageKind][]byte),
			cfg: secureagg.MemberConfig{Key: k, Charter: s.charter, Roster: s.roster, Run: s.run, Rand: coins(fmt.Sprint("agent ", i))}}
		if a.m, err = secureagg.NewMember(a.cfg); err != nil {
			return &setupError{err}
		}
		s.agents = append(s.agents, a)
	}
	return nil
}

func (s *scene) evilIDs() (ids []id.AgentID) {
	for _, i := range s.evil.members() {
		ids = append(ids, s.agents[i].id)
	}
	return ids
}

// keep adds to the evidence.
func (s *scene) keep(messages ...[]byte) {
	for _, m := range messages {
		if m != nil {
			s.evidence = append(s.evidence, bytes.Clone(m))
			s.traffic = append(s.traffic, bytes.Clone(m))
		}
	}
}

// sent notes what a member did: its journal first, then its messages.
func (s *scene) sent(i int, out secureagg.Output) {
	a := s.agents[i]
	for _, r := range out.Journal {
		if r.Value == nil {
			delete(a.journal, r.Key)
		} else {
			a.journal[r.Key] = bytes.Clone(r.Value)
		}
	}
	for _, m := range out.Send {
		k, _ := secureagg.Kind(m)
		a.sent[k] = bytes.Clone(m)
		s.traffic = append(s.traffic, bytes.Clone(m))
	}
	a.event = out.Event
}

// tell gives member i a message and returns its first answer.
func (s *scene) tell(i int, msg []byte) ([]byte, error) {
	s.traffic = append(s.traffic, bytes.Clone(msg))
	out, err := s.agents[i].m.Handle(msg)
	s.sent(i, out)
	if err != nil || len(out.Send) == 0 {
		return nil, err
	}
	return out.Send[0], nil
}

// tellAll gives the members the same message and returns their answers; the first
// refusal ends it.
func (s *scene) tellAll(members set, msg []byte) (map[int][]byte, error) {
	answers := make(map[int][]byte)
	for _, i := range members.members() {
		m, err := s.tell(i, msg)
		if err != nil {
			return answers, err
		}
		answers[i] = m
	}
	return answers, nil
}

func (s *scene) all() set { return 1<<s.n - 1 }

// propose opens an epoch whose setup has not begun.
func (s *scene) propose(e, start uint64) ([]byte, error) {
	ep, out, err := secureagg.NewEpoch(secureagg.EpochConfig{Key: s.server, Charter: s.charter, Roster: s.roster, Run: s.run, Epoch: e, Start: start})
	if err != nil {
		return nil, &setupError{err}
	}
	s.epoch = ep
	return out[0].Msg, nil
}

// tampering changes a message on its way: from an agent when to is −1, else to a member.
type tampering func(from, to int, msg []byte) []byte

// setup runs an epoch's setup with every member, its messages as tamper leaves them, until
// nothing is left to deliver. The error is the first of an honest party.
func (s *scene) setup(e, start uint64, tamper tampering) error {
	p, err := s.propose(e, start)
	if err != nil {
		return err
	}
	return s.deliver([]secureagg.Outgoing{{Msg: p}}, tamper)
}

// deliver carries messages between the honest Epoch and the members.
func (s *scene) deliver(out []secureagg.Outgoing, tamper tampering) error {
	if tamper == nil {
		tamper = func(_, _ int, msg []byte) []byte { return msg }
	}
	for len(out) > 0 {
		o := out[0]
		out = out[1:]
		for i, a := range s.agents {
			if !o.To.IsZero() && o.To != a.id {
				continue
			}
			if msg := tamper(-1, i, o.Msg); msg != nil {
				reply, err := s.tell(i, msg)
				if err != nil {
					return err
				}
				if reply != nil {
					s.answer(i, tamper(i, -1, reply))
				}
			}
			for ; len(s.pending) > 0; s.pending = s.pending[1:] {
				p := s.pending[0]
				s.traffic = append(s.traffic, p.msg)
				more, err := s.epoch.Handle(s.agents[p.from].id, p.msg)
				if err != nil {
					return err
				}
				out = append(out, more...)
			}
		}
	}
	return nil
}

// answered is what the adversary answers to the Epoch by itself.
type answered struct {
	from int
	msg  []byte
}

// answer answers for a member that does not run its Member.
func (s *scene) answer(i int, msg []byte) { s.pending = append(s.pending, answered{i, msg}) }

// ready runs an honest setup of epoch 1.
func (s *scene) ready() error {
	if err := s.setup(1, 1, nil); err != nil {
		return &setupError{err}
	}
	for _, a := range s.agents {
		if !a.m.Live() {
			return &setupError{errors.New("the epoch is not live")}
		}
	}
	return nil
}

// inputs are those of attempt r on the r-th model.
func (s *scene) inputs(r uint64) secureagg.RoundInputs {
	return secureagg.RoundInputs{Run: s.run, Plan: id.PlanHash{2}, R: r, Round: r, Task: 1, Model: id.ModelHash{3, byte(r)},
		Config: id.ConfigHash{4}, Charter: s.charter.Hash(), Cohorts: 1, Dim: s.dim}
}

// input is what member i learns from its rows: always the same of the same model, and
// here of every model.
func (s *scene) input(i int) []uint32 {
	x := make([]uint32, s.dim)
	for k := range x {
		x[k] = uint32(i*1000003 + k*7919)
	}
	return x
}

func (s *scene) sum(members set) []uint32 {
	x := make([]uint32, s.dim)
	for _, i := range members.members() {
		x = add(x, s.input(i), 1)
	}
	return x
}

// begin makes a Round of the inputs.
func (s *scene) begin(in secureagg.RoundInputs) error {
	r, err := s.epoch.NewRound(in)
	if err != nil {
		return &setupError{err}
	}
	s.round, s.in = r, in
	return nil
}

// open lets member i accept a RoundStart for a model that it holds itself.
func (s *scene) open(i int, start []byte, own secureagg.RoundInputs) error {
	s.traffic = append(s.traffic, bytes.Clone(start))
	out, err := s.agents[i].m.Open(start, own)
	s.sent(i, out)
	return err
}

// report lets member i train and report.
func (s *scene) report(i int) ([]byte, error) {
	out, err := s.agents[i].m.Report(s.input(i))
	s.sent(i, out)
	if err != nil {
		return nil, err
	}
	s.agents[i].vector = out.Event.(*secureagg.Masked).Vector
	return out.Send[0], nil
}

// attempt opens an attempt and lets the reporters report to the honest Round.
func (s *scene) attempt(in secureagg.RoundInputs, openers, reporters set) error {
	if err := s.begin(in); err != nil {
		return err
	}
	for _, i := range openers.members() {
		if err := s.open(i, s.round.Start(), in); err != nil {
			return err
		}
	}
	for _, i := range reporters.members() {
		if err := s.hand(i); err != nil {
			return err
		}
	}
	return nil
}

// hand lets member i report to the Round.
func (s *scene) hand(i int) error {
	msg, err := s.report(i)
	if err != nil {
		return err
	}
	return s.accept(i, msg, s.agents[i].vector)
}

func (s *scene) accept(i int, report []byte, vector []uint32) error {
	s.traffic = append(s.traffic, bytes.Clone(report))
	return s.round.AcceptReport(s.agents[i].id, report, secureagg.VectorHash(vector))
}

// reported is an honest setup and an attempt 1 in which everybody has reported.
func (s *scene) reported() error {
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.attempt(s.inputs(1), s.all(), s.all()); err != nil {
		return &setupError{err}
	}
	return nil
}

// sets are the OnlineSets of the reports that the Round has, by member.
func (s *scene) sets() (map[int][]byte, error) {
	_, out, err := s.round.CloseCollection()
	if err != nil {
		return nil, err
	}
	m := make(map[int][]byte)
	for i, a := range s.agents {
		for _, o := range out {
			if o.To == a.id {
				m[i] = o.Msg
			}
		}
	}
	return m, nil
}

// subset is an OnlineSet with some of its members only.
func (s *scene) subset(msg []byte, keep set) []byte {
	w := open(msg, s.n)
	for _, i := range set(w.byte("online")).members() {
		if !keep.has(i) {
			w.drop(i)
		}
	}
	return w.setByte("online", int(keep)).bytes()
}

// vote lets the members vote for the set that each is shown.
func (s *scene) vote(members set, sets map[int][]byte) (map[int][]byte, error) {
	votes := make(map[int][]byte)
	for _, i := range members.members() {
		v, err := s.tell(i, sets[i])
		if err != nil {
			return votes, err
		}
		votes[i] = v
	}
	return votes, nil
}

// certificate puts votes together; they are for one set.
func (s *scene) certificate(online set, votes map[int][]byte) []byte {
	var msg []byte
	for _, i := range slices.Sorted(maps.Keys(votes)) {
		w := open(votes[i], s.n)
		if msg == nil {
			msg = join(w.header(secureagg.KindCertificate), []byte{byte(s.n), byte(online)}, w.get("digests"), []byte{byte(len(votes))})
		}
		msg = join(msg, []byte{byte(i)}, w.get("sig"))
	}
	return msg
}

// voteAs signs a corrupt member's vote for the set that a message shows.
func (s *scene) voteAs(i int, set []byte) []byte {
	w := open(set, s.n)
	hash, digests := s.setHashes(w)
	body := join(w.header(secureagg.KindVote), []byte{byte(i)}, hash[:], digests[:])
	return join(w.header(secureagg.KindVote), []byte{byte(s.n), byte(i)}, hash[:], digests[:],
		s.agents[i].key.Sign(id.LabelVote, body), []byte{0})
}

// setHashes are H(O) and H(digests) of an OnlineSet.
func (s *scene) setHashes(w *wire) (set_, digests digest) {
	var b []byte
	for _, i := range set(w.byte("online")).members() {
		for _, name := range []string{"vector", "blobs", "coms", "root", "salt", "sig"} {
			b = append(b, w.get(at(name, i))...)
		}
	}
	return hash("set", []byte{byte(s.n)}, w.get("online")), hash("digests", b)
}

// release gives the members a certificate and returns their Shares.
func (s *scene) release(members set, cert []byte) (map[int][]byte, error) {
	return s.tellAll(members, cert)
}

// verified reports whether a third party accepts a certificate.
func (s *scene) verified(cert []byte) bool {
	_, err := secureagg.VerifyCertificate(cert, s.roster.AppendBinary(nil), s.charter.AppendBinary(nil))
	return err == nil
}

// unmask opens the sum over a set from the vectors and a threshold of Shares, as the
// adversary does. It returns nil if there are too few.
func (s *scene) unmask(online set, vectors map[int][]uint32, shares ...[]byte) []uint32 {
	var sum []uint32
	for _, j := range online.members() {
		if sum == nil {
			sum = make([]uint32, len(vectors[j]))
		}
		sum = add(sum, vectors[j], 1)
	}
	for _, j := range online.members() {
		for _, k := range opened(j, s.n, online).members() {
			z, ctx := s.seed(j, k, shares)
			if z == nil {
				return nil
			}
			sign_ := 1
			if k != j {
				sign_ = sign(j, k)
			}
			sum = add(sum, stream(z, ctx, len(sum)), -sign_)
		}
	}
	return sum
}

// seed opens secret k of dealer j from a threshold of Shares.
func (s *scene) seed(j, k int, shares [][]byte) (*big.Int, []byte) {
	values := make(map[int]*big.Int)
	var ctx []byte
	for _, m := range shares {
		if m == nil {
			continue
		}
		w := open(m, s.n)
		ctx = w.get("ctx")
		if name := at(at("share", j), k); w.has(name) && len(values) < s.params.Threshold {
			values[w.byte("member")] = new(big.Int).SetBytes(w.get(name))
		}
	}
	if len(values) < s.params.Threshold {
		return nil, nil
	}
	return recoverSecret(values), ctx
}

// openSecret opens secret k of dealer i from its report, whose wire and header these
// are, with a threshold of blob keys by member. It returns nil if they do not fit.
func (s *scene) openSecret(report *wire, header []byte, i, k int, keys map[int][]byte) *big.Int {
	values := make(map[int]*big.Int)
	for u, key := range keys {
		if shares := openBlob(header, i, u, s.n, key, report.get(at("blob", u))); shares != nil && len(values) < s.params.Threshold {
			values[u] = shares[k]
		}
	}
	if len(values) < s.params.Threshold {
		return nil
	}
	return recoverSecret(values)
}

// vectors are what the server received.
func (s *scene) vectors() map[int][]uint32 {
	m := make(map[int][]uint32)
	for i, a := range s.agents {
		m[i] = a.vector
	}
	return m
}

// chain are the chain keys in the journal of a member, by partner.
func (a *agent) chain() (keys [][]byte) {
	b := a.journal["epoch/chain"][1+8+8:]
	for ; len(b) >= 32; b = b[32:] {
		keys = append(keys, b[:32])
	}
	return keys
}

// rewind puts member i back to a journal, as who restores a snapshot does.
func (s *scene) rewind(i int, journal map[string][]byte) error {
	a := s.agents[i]
	a.journal = maps.Clone(journal)
	m, err := secureagg.RestoreMember(a.cfg, a.get)
	if err != nil {
		return err
	}
	a.m = m
	return nil
}

// reentry is what a restarted member asks the others.
func (s *scene) reentry(i int) ([]byte, error) {
	out, err := s.agents[i].m.Reenter()
	s.sent(i, out)
	if err != nil || len(out.Send) == 0 {
		return nil, err
	}
	return out.Send[0], nil
}

func number(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
