package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"tacit/id"
)

// sample is a federation whose log is written by hand: what a server would log.
type sample struct {
	tb       testing.TB
	admin    *id.PrivateKey
	server   *id.PrivateKey
	agents   []*id.PrivateKey // ascending by agent id
	sites    map[id.AgentID][2]string
	logKey   string
	signer   note.Signer
	charter  *id.Charter
	roster   *id.Roster
	now      int64 // Unix milliseconds
	entries  [][]byte
	stored   hashStore
	records  map[id.Digest][]byte
	charters [][]byte
	rosters  [][]byte
	cosigned [][]byte

	run     id.RunID
	plan    id.PlanHash
	model   id.ModelHash
	epoch   uint64
	root    id.EpochRoot
	round   uint64
	r       uint64
	traffic []Traffic
}

func seed(n byte) (s [32]byte) {
	for i := range s {
		s[i] = n
	}
	return s
}

func short(n byte) [16]byte { return [16]byte(bytes.Repeat([]byte{n}, 16)) }

func digestOf(format string, a ...any) id.Digest {
	return id.SumDigest(fmt.Appendf(nil, format, a...))
}

// fixedLogKey makes a log key from a seed: note.GenerateKey promises no particular
// bytes for a given source.
func fixedLogKey(tb testing.TB, origin string, n byte) (signer note.Signer, verifierKey string) {
	tb.Helper()
	s := seed(n)
	key := ed25519.NewKeyFromSeed(s[:])
	vkey, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		tb.Fatal(err)
	}
	hash := strings.Split(vkey, "+")[1]
	skey := "PRIVATE+KEY+" + origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, s[:]...))
	signer, err = NewSigner(skey)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, vkey
}

var hospitals = [][2]string{
	{"Cleveland Clinic Foundation", "Cleveland"},
	{"Hungarian Institute of Cardiology", "Budapest"},
	{"University Hospital Zurich", "Switzerland"},
	{"V.A. Medical Center", "Long Beach"},
}

func newSample(tb testing.TB) *sample {
	s := &sample{
		tb: tb, admin: id.NewPrivateKey(seed(1)), server: id.NewPrivateKey(seed(2)),
		now: 1772460000000, records: make(map[id.Digest][]byte), sites: make(map[id.AgentID][2]string),
	}
	fed := id.FederationID(short(7))
	s.signer, s.logKey = fixedLogKey(tb, LogOrigin(fed), 3)
	s.charter = &id.Charter{
		Federation: fed, Version: 1, Name: "Heart disease consortium", Administrators: []id.PublicKey{s.admin.Public()},
		Threshold: 1, Server: s.server.Public(), Channel: digestOf("channel"), LogKey: s.logKey, MinCohort: 4,
		MinRelease: 3, AllowSmall: true, MaxOrgShare: 100, ModelFamilies: []string{"logistic-regression", "mlp"},
		RoundsPerEpoch: 256, EpochsPerDay: 100,
	}
	s.must(s.charter.Sign(s.admin))
	s.charters = append(s.charters, s.charter.AppendBinary(nil))
	s.add(Genesis{fed, s.charter.Name, s.charter.Hash(), s.logKey}, s.digest(s.charters[0]))
	s.add(SoftwareRecorded{"tacit 0.1.0", digestOf("binary")}, id.Digest{})
	s.add(ServerStarted{1}, id.Digest{})
	s.add(ConfigurationChanged{"server", id.Digest{}, digestOf("server.yaml")}, id.Digest{})
	s.roster = &id.Roster{Federation: fed}
	for i, h := range hospitals {
		key := id.NewPrivateKey(seed(byte(10 + i)))
		pub := key.Public()
		token := Commit(seed(byte(40+i)), []byte{byte(i)})
		s.add(TokenIssued{token, s.now/1000 + 86400}, id.Digest{})
		s.add(TokenRedeemed{token}, id.Digest{})
		s.add(IdentityEnrolled{pub.AgentID(), id.SumDigest(pub.AppendBinary(nil))}, id.Digest{})
		next, err := s.roster.With(id.Member{Org: h[0], Site: h[1], Key: pub, NotBefore: s.now / 1000, NotAfter: s.now/1000 + 365*86400})
		s.must(err)
		s.must(next.Sign(s.charter, s.admin))
		s.roster = next
		s.rosters = append(s.rosters, next.AppendBinary(nil))
		s.add(RosterChanged{next.Version, next.Hash(), uint32(len(next.Members))}, s.digest(s.rosters[i]))
		s.agents = append(s.agents, key)
		s.sites[pub.AgentID()] = h
	}
	slices.SortFunc(s.agents, func(a, b *id.PrivateKey) int {
		pa, pb := a.Public(), b.Public()
		return pa.AgentID().Compare(pb.AgentID())
	})
	return s
}

func (s *sample) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

func (s *sample) digest(b []byte) id.Digest { return id.SumDigest(b) }

func (s *sample) agent(i int) id.AgentID { p := s.agents[i].Public(); return p.AgentID() }

// log appends an entry as it is.
func (s *sample) log(e Entry) {
	s.tb.Helper()
	s.now += 137
	e.Sequence, e.Time = uint64(len(s.entries)), s.now
	raw, err := e.AppendBinary(nil)
	s.must(err)
	x, err := Extend(s.stored, uint64(len(s.entries)), [][]byte{raw})
	s.must(err)
	s.entries, s.stored = append(s.entries, raw), append(s.stored, x.Hashes...)
}

func (s *sample) add(p Payload, digest id.Digest) {
	s.tb.Helper()
	e := Entry{Digest: digest, Payload: p}
	if k := kinds[p.Kind()]; k.scope != ofFederation {
		e.Run = s.run
		if k.scope == ofAttempt {
			e.Round, e.R = s.round, s.r
		}
	}
	s.log(e)
}

type appender interface{ AppendBinary([]byte) ([]byte, error) }

func (s *sample) record(r appender) id.Digest {
	s.tb.Helper()
	b, err := r.AppendBinary(nil)
	s.must(err)
	d := id.SumDigest(b)
	s.records[d] = b
	return d
}

func (s *sample) sent(i int, kind string, c Class, messages, bytes uint64) {
	s.traffic = append(s.traffic, Traffic{s.agent(i), kind, c, messages, bytes})
}

func (s *sample) takeTraffic() []Traffic {
	t := Tidy(s.traffic)
	s.traffic = nil
	return t
}

func (s *sample) startRun(name, purpose, family string, n byte, rounds uint32, text string) {
	s.tb.Helper()
	s.run, s.r, s.round = id.RunID(short(n)), 0, 0
	canonical := []byte("canonical plan of " + name)
	s.plan = planHash(canonical)
	s.model = id.ModelHash(digestOf("%s initial", name))
	s.add(PlanApproved{Plan: s.plan}, id.Digest{})
	for i := range s.agents {
		s.add(PlanApproved{Plan: s.plan, Agent: s.agent(i)}, id.Digest{})
	}
	d := s.record(&RunRecord{
		Run: s.run, Plan: s.plan, Name: name, Purpose: purpose, Family: family, Privacy: "none", Canonical: canonical, Text: text,
		Values: []Value{{"batch_size", 4}, {"clip", 1}, {"learning_rate", 0.01}, {"local_batches", 100}, {"rounds", float64(rounds)}},
	})
	s.add(RunStarted{s.plan, s.model, rounds}, d)
}

func (s *sample) openEpoch() {
	s.tb.Helper()
	s.epoch++
	s.root = id.EpochRoot(digestOf("epoch %d", s.epoch))
	rec := &EpochRecord{
		Run: s.run, Epoch: s.epoch, Root: s.root, Charter: s.charter.Hash(), Roster: s.roster.Hash(), RosterVersion: s.roster.Version,
		Quorum: 3, Threshold: 3, MinRelease: 3, Live: 1, Private: 1,
	}
	for i, a := range s.agents {
		pub := a.Public()
		h := s.sites[pub.AgentID()]
		rec.Members = append(rec.Members, EpochMember{pub.AgentID(), h[0], h[1], pub.Fingerprint()})
		s.sent(i, "join", ClassControl, 1, 2411)
		s.sent(i, "epoch_key", ClassKeysAndShares, 1, 4702)
		s.sent(i, "ct_list", ClassKeysAndShares, 1, 6890)
		s.sent(i, "confirm", ClassKeysAndShares, 1, 164)
		s.sent(i, "ready", ClassKeysAndShares, 1, 3530)
	}
	rec.Traffic = s.takeTraffic()
	s.add(EpochOpened{s.epoch, s.root, uint16(len(s.agents)), 3, 3, 3}, s.record(rec))
}

const full = Opened | Reported | InSet | Voted | Released

// openRound opens the next attempt of a round.
func (s *sample) openRound(task Task, round uint64) {
	s.tb.Helper()
	s.r++
	s.round = round
	s.add(RoundOpened{
		Epoch: s.epoch, Task: task, Plan: s.plan, Model: s.model, Ctx: id.Ctx(digestOf("ctx %s %d", s.run, s.r)),
		Config: id.ConfigHash(digestOf("config %d", task)), Charter: s.charter.Hash(), Root: s.root, Cohorts: 1, Dim: 18,
	}, id.Digest{})
}

func (s *sample) roundRecord(task Task, o Outcome, strip []BranchState) *RoundRecord {
	rec := &RoundRecord{
		Run: s.run, R: s.r, Round: s.round, Epoch: s.epoch, Task: task, Outcome: o,
		Ctx: id.Ctx(digestOf("ctx %s %d", s.run, s.r)), Strip: strip, Seconds: 1 + uint32(s.r%2),
	}
	for i, st := range strip {
		if st&Reported != 0 {
			s.sent(i, "vector", ClassMaskedUpdates, 1, 149)
			s.sent(i, "report", ClassKeysAndShares, 1, 1207)
		}
		if st&Voted != 0 {
			s.sent(i, "vote", ClassKeysAndShares, 1, 203)
		}
		if st&Released != 0 {
			s.sent(i, "shares", ClassKeysAndShares, 1, 911)
		}
		s.sent(i, "cosign", ClassControl, 1, 164)
	}
	rec.Traffic = s.takeTraffic()
	return rec
}

// commit certifies the set that strip shows and commits.
func (s *sample) commit(task Task, strip []BranchState, metrics []Value) {
	s.tb.Helper()
	rec := s.roundRecord(task, Committed, strip)
	rec.Set = make([]byte, (len(strip)+7)/8)
	for i, st := range strip {
		if st&InSet != 0 {
			rec.Set[i/8] |= 1 << (i % 8)
		}
	}
	rec.Online = id.SumDigest(rec.Set)
	rec.Certificate = fmt.Appendf(nil, "certificate of attempt %d", s.r)
	rec.Sum, rec.Metrics = digestOf("sum %s %d", s.run, s.r), metrics
	size := uint16(rec.setSize())
	s.add(SetCertified{size, rec.Online}, s.digest(rec.Certificate))
	after := s.model
	if task != Evaluate {
		after = id.ModelHash(digestOf("model %s %d", s.run, s.r))
	}
	s.add(RoundCommitted{task, size, rec.Sum, s.model, after}, s.record(rec))
	s.model = after
}

func (s *sample) abort(task Task, strip []BranchState, stage AbortStage, reason string) {
	s.tb.Helper()
	rec := s.roundRecord(task, Aborted, strip)
	rec.AbortCertificate = fmt.Appendf(nil, "abort certificate of attempt %d", s.r)
	s.add(RoundAborted{Task: task, Stage: stage, Reason: reason, Certificate: s.digest(rec.AbortCertificate)}, s.record(rec))
}

func (s *sample) finish(rounds uint32, outcome string) {
	s.tb.Helper()
	for i := range s.agents {
		s.sent(i, "bye", ClassControl, 1, 40)
	}
	s.add(RunFinished{s.model, rounds, outcome}, s.record(&FinishRecord{Run: s.run, Traffic: s.takeTraffic()}))
}

func (s *sample) checkpoint() []byte {
	s.tb.Helper()
	root, err := TreeRoot(s.stored, uint64(len(s.entries)))
	s.must(err)
	msg, err := SignCheckpoint(s.signer, uint64(len(s.entries)), root)
	s.must(err)
	return msg
}

// cosign keeps a checkpoint that the agents vouch for.
func (s *sample) cosign(agents ...int) {
	s.tb.Helper()
	msg := s.checkpoint()
	for _, i := range agents {
		line, err := Cosign(msg, s.agent(i), s.agents[i].Ed25519(), s.now/1000)
		s.must(err)
		msg, err = AddCosignature(msg, line)
		s.must(err)
	}
	s.cosigned = append(s.cosigned, msg)
}

func (s *sample) source() Source {
	return Source{
		LogKey: s.logKey, Entries: s.entries, Checkpoint: s.checkpoint(), Charters: s.charters, Rosters: s.rosters, Cosigned: s.cosigned,
		Record: func(d id.Digest) ([]byte, error) {
			if b, ok := s.records[d]; ok {
				return b, nil
			}
			return nil, fmt.Errorf("no record %s", d)
		},
	}
}

// archive makes evidence in the server's order.
func (s *sample) archive(opt Options) []byte {
	s.tb.Helper()
	d, err := Build(s.source(), opt)
	s.must(err)
	e := d.Entry(s.now + 1000)
	raw, err := e.AppendBinary(nil)
	s.must(err)
	x, err := Extend(s.stored, d.Size(), [][]byte{raw})
	s.must(err)
	msg, err := SignCheckpoint(s.signer, x.Size, x.Root)
	s.must(err)
	out, err := d.Assemble(raw, msg)
	s.must(err)
	return out
}

// metrics imitates a training curve.
func metrics(k, rounds int, best float64, members int) []Value {
	n := float64(120 * members)
	t := float64(k) / float64(rounds)
	accuracy := best - (best-0.52)*math.Exp(-4*t) + 0.006*math.Sin(3*float64(k))
	loss := 0.44 + 0.25*math.Exp(-3.5*t) + 0.004*math.Cos(2*float64(k))
	return []Value{{MetricClamped, 0}, {MetricCorrect, math.Round(accuracy * n)}, {MetricExamples, n}, {MetricLoss, math.Round(loss*n*4096) / 4096}}
}

var all = []BranchState{full, full, full, full}

// fullSample has two runs, a member lost before and one after its report, an aborted
// attempt, a server restart and exports.
func fullSample(tb testing.TB) *sample {
	s := newSample(tb)
	s.startRun("heart-logreg", "Predict coronary heart disease from routine measurements", "logistic-regression", 21, 15, planText("heart-logreg", "dense: 1"))
	s.openEpoch()
	s.openRound(Statistics, 0)
	s.commit(Statistics, all, []Value{{MetricExamples, 486}})
	for k := 1; k <= 15; k++ {
		round := uint64(k)
		s.openRound(Train, round)
		switch k {
		case 4: // killed before its report
			s.commit(Train, []BranchState{full, Opened | Dropped, full, full}, metrics(k, 15, 0.8, 3))
		case 7: // killed after its report
			s.commit(Train, []BranchState{full, full, Opened | Reported | InSet | Dropped, full}, metrics(k, 15, 0.8, 4))
		case 9: // the server is killed in the middle of the round
			s.add(ServerStarted{2}, id.Digest{})
			s.commit(Train, all, metrics(k, 15, 0.8, 4))
		case 11: // two members lost
			s.abort(Train, []BranchState{Opened | Reported | Closed, Opened | Dropped | Closed, Opened | Dropped, Opened | Reported | Closed}, StageCollection, "below-release-set")
			s.openRound(Train, round)
			s.commit(Train, all, metrics(k, 15, 0.8, 4))
		default:
			s.commit(Train, all, metrics(k, 15, 0.8, 4))
		}
		if k%5 == 0 {
			s.cosign(0, 1, 2, 3)
		}
	}
	s.openRound(Evaluate, 16)
	s.commit(Evaluate, all, []Value{{MetricCorrect, 203}, {MetricExamples, 254}, {MetricLoss, 113.5}})
	s.finish(15, "completed")
	s.add(ModelExported{Model: s.model, Recipient: Commit(seed(90), []byte("age1pq1owner"))}, id.Digest{})
	s.startRun("heart-mlp", "The same question with a small neural network", "mlp", 22, 15, planText("heart-mlp", "dense: 16\n    - relu\n    - dense: 1"))
	s.openEpoch()
	s.openRound(Statistics, 0)
	s.commit(Statistics, all, []Value{{MetricExamples, 486}})
	for k := 1; k <= 15; k++ {
		s.openRound(Train, uint64(k))
		s.commit(Train, all, metrics(k, 15, 0.815, 4))
	}
	s.openRound(Evaluate, 16)
	s.commit(Evaluate, all, []Value{{MetricCorrect, 206}, {MetricExamples, 254}, {MetricLoss, 109.25}})
	s.finish(15, "completed")
	s.add(ModelExported{Model: s.model, Recipient: Commit(seed(91), []byte("age1pq1owner"))}, id.Digest{})
	s.cosign(0, 1, 3)
	return s
}

func planText(name, layers string) string {
	return "tacit: plan/v1\nname: " + name + "\nmodel:\n  family: " + name[6:] + "\n  layers:\n    - " + layers + `
training:
  optimizer: sgd
  learning_rate: 0.01
  batch_size: 4
  local_batches: 100
federation:
  strategy: fedavg
  rounds: 15
  clip: 1
privacy: none
device: cpu
seed: 42
`
}

// smallSample is as small as a log with a committed and an aborted round can be.
func smallSample(tb testing.TB) *sample {
	s := newSample(tb)
	s.startRun("heart-logreg", "", "logistic-regression", 21, 1, planText("heart-logreg", "dense: 1"))
	s.openEpoch()
	s.openRound(Train, 1)
	s.abort(Train, []BranchState{Opened, Opened | Dropped, Opened | Dropped, Opened}, StageCollection, "below-release-set")
	s.openRound(Train, 1)
	s.commit(Train, all, metrics(1, 1, 0.8, 4))
	s.finish(1, "completed")
	s.cosign(0, 2)
	return s
}

func checkAll(o Options) Options {
	o.CheckCertificate = func(c Certificate) error {
		want := fmt.Sprintf("certificate of attempt %d", c.R)
		if c.Abort {
			want = "abort " + want
		}
		if string(c.Bytes) != want || len(c.Members) != 4 {
			return fmt.Errorf("the certificate does not verify")
		}
		return nil
	}
	o.CheckPlan = func(*RunRecord) error { return nil }
	return o
}
