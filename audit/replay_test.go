package audit

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tacit/id"
)

// TestGrammar logs what must not happen. The log is signed and consistent each time:
// an honest signature does not make a forbidden event allowed.
func TestGrammar(t *testing.T) {
	open := func(s *sample) { s.openRound(Train, 1) }
	strip := func(b ...BranchState) []BranchState { return b }
	gaveUp := strip(Opened|Closed, Opened|Closed, Opened|Closed, Opened)
	m := metrics(1, 1, 0.8, 4)
	for name, c := range map[string]struct {
		do     func(s *sample)
		reason string
	}{
		"genesis twice":       {func(s *sample) { s.log(mustParse(s.entries[0])) }, "genesis"},
		"token twice":         {func(s *sample) { s.add(TokenIssued{Commit(seed(40), []byte{0}), 1}, id.Digest{}) }, "issued before"},
		"token used twice":    {func(s *sample) { s.add(TokenRedeemed{Commit(seed(40), []byte{0})}, id.Digest{}) }, "used up"},
		"enrolled twice":      {func(s *sample) { s.add(IdentityEnrolled{s.agent(0), id.Digest{}}, id.Digest{}) }, "enrolled already"},
		"fence not rising":    {func(s *sample) { s.add(ServerStarted{1}, id.Digest{}) }, "fencing"},
		"configuration gap":   {func(s *sample) { s.add(ConfigurationChanged{"server", id.Digest{}, digestOf("x")}, id.Digest{}) }, "was not"},
		"run twice":           {func(s *sample) { s.startRun("heart-logreg", "", "mlp", 21, 1, "x") }, "started before"},
		"export of no model":  {func(s *sample) { s.add(ModelExported{id.ModelHash(seed(1)), id.Digest(seed(2)), false}, id.Digest{}) }, "no run made"},
		"epoch back":          {func(s *sample) { s.epoch = 0; s.openEpoch() }, "after epoch"},
		"epoch in an attempt": {func(s *sample) { open(s); s.openEpoch() }, "still open"},
		"round in a round":    {func(s *sample) { open(s); open(s) }, "still open"},
		"attempt again":       {func(s *sample) { open(s); s.abort(Train, gaveUp, StageVote, "no-quorum"); s.r--; open(s) }, "after attempt"},
		"round skipped":       {func(s *sample) { s.openRound(Train, 2) }, "cannot follow"},
		"evaluate first":      {func(s *sample) { s.openRound(Evaluate, 1) }, "cannot follow"},
		"another model":       {func(s *sample) { s.model = id.ModelHash(seed(1)); open(s) }, "the run is at"},
		"another plan":        {func(s *sample) { s.plan = id.PlanHash(seed(1)); open(s) }, "another plan"},
		"another root":        {func(s *sample) { s.root = id.EpochRoot(seed(1)); open(s) }, "newest"},
		"commit uncertified": {func(s *sample) {
			open(s)
			s.add(RoundCommitted{Train, 4, id.Digest(seed(1)), s.model, s.model}, s.record(&FinishRecord{Run: s.run}))
		}, "not certified"},
		"set too small": {func(s *sample) { open(s); s.commit(Train, strip(full, full, Opened, Opened), m) }, "below the smallest"},
		"set of nobody": {func(s *sample) { open(s); s.add(SetCertified{5, id.Digest(seed(1))}, id.Digest(seed(2))) }, "among 4"},
		"certified twice": {func(s *sample) {
			open(s)
			c := SetCertified{3, id.Digest(seed(1))}
			s.add(c, id.Digest(seed(2)))
			s.add(c, id.Digest(seed(2)))
		}, "already"},
		"abort when certified": {func(s *sample) {
			open(s)
			s.add(SetCertified{4, id.Digest(seed(1))}, id.Digest(seed(2)))
			s.abort(Train, gaveUp, StageShares, "slow")
		}, "was certified"},
		"finish in a round":  {func(s *sample) { open(s); s.finish(0, "stopped") }, "still open"},
		"finish early":       {func(s *sample) { s.finish(0, "completed") }, "completed after"},
		"finish miscounted":  {func(s *sample) { s.finish(1, "completed") }, "were committed"},
		"round after finish": {func(s *sample) { s.finish(0, "stopped"); open(s) }, "had finished"},
		"run never started":  {func(s *sample) { s.run = id.RunID(short(77)); open(s) }, "never started"},
		"evaluation that trains": {func(s *sample) {
			open(s)
			s.commit(Train, all, m)
			s.openRound(Evaluate, 2)
			before := s.model
			s.commit(Evaluate, all, m)
			s.entries, s.model = s.entries[:len(s.entries)-1], before
			s.stored = s.stored[:0]
			for _, e := range s.entries {
				x, _ := Extend(s.stored, mustParse(e).Sequence, [][]byte{e})
				s.stored = append(s.stored, x.Hashes...)
			}
			for d, raw := range s.records {
				if rec, err := ParseRoundRecord(raw); err == nil && rec.Task == Evaluate {
					s.add(RoundCommitted{Evaluate, 4, rec.Sum, before, id.ModelHash(seed(9))}, d)
				}
			}
		}, "does not change the model"},
		"four attempts": {func(s *sample) {
			for range 4 {
				open(s)
				s.abort(Train, gaveUp, StageVote, "no-quorum")
			}
		}, "at most 3"},
		"ctx again": {func(s *sample) {
			open(s)
			s.abort(Train, gaveUp, StageVote, "no-quorum")
			run := s.run
			s.add(RunFinished{s.model, 0, "stopped"}, s.record(&FinishRecord{Run: run}))
			s.startRun("heart-logreg", "", "mlp", 22, 1, "x")
			s.openEpoch()
			s.r, s.round = 1, 1
			s.add(RoundOpened{s.epoch, Train, s.plan, s.model, id.Ctx(digestOf("ctx %s %d", run, 1)), id.ConfigHash{}, s.charter.Hash(), s.root, 1, 0, 18}, id.Digest{})
		}, "ctx was used"},
		"one model in two runs": {func(s *sample) {
			open(s)
			s.commit(Train, all, m)
			s.finish(1, "completed")
			s.startRun("heart-logreg", "", "mlp", 22, 1, "x")
			s.openEpoch()
			open(s)
			s.commit(Train, []BranchState{full, full, full, Opened}, m)
		}, "was certified for this plan"},
		"one round in two runs": {func(s *sample) {
			open(s)
			s.commit(Train, all, m)
			s.finish(1, "completed")
			s.model = id.ModelHash(seed(5))
			s.run, s.r = id.RunID(short(22)), 0
			s.add(RunStarted{s.plan, s.model, 1}, s.record(&RunRecord{Run: s.run, Plan: s.plan, Name: "x", Family: "mlp", Privacy: "none",
				Canonical: []byte("canonical plan of heart-logreg"), Text: "x"}))
			s.openEpoch()
			open(s)
			s.commit(Train, []BranchState{full, full, full, Opened}, m)
		}, "was certified for this plan"},
		"unmask abort before a certificate": {func(s *sample) { open(s); s.abort(Train, gaveUp, StageUnmask, "x") }, "never certified"},
		"an outsider in the epoch": {func(s *sample) {
			s.agents[0] = id.NewPrivateKey(seed(70))
			p := s.agents[0].Public()
			s.sites[p.AgentID()] = [2]string{"x", "y"}
			slices.SortFunc(s.agents, func(a, b *id.PrivateKey) int {
				pa, pb := a.Public(), b.Public()
				return pa.AgentID().Compare(pb.AgentID())
			})
			s.openEpoch()
		}, "is not in roster"},
		"a cohort below the charter's": {func(s *sample) { s.agents = s.agents[:3]; s.openEpoch() }, "the charter asks for 4"},
		"another certificate": {func(s *sample) {
			open(s)
			s.add(SetCertified{4, id.SumDigest([]byte{15})}, id.Digest(seed(3)))
			rec := s.roundRecord(Train, Committed, all)
			rec.Set, rec.Online, rec.Certificate, rec.Sum = []byte{15}, id.SumDigest([]byte{15}), []byte("c"), id.Digest(seed(1))
			s.add(RoundCommitted{Train, 4, rec.Sum, s.model, id.ModelHash(seed(2))}, s.record(rec))
		}, "its certificate is not"},
		"another set": {func(s *sample) {
			open(s)
			s.add(SetCertified{4, id.SumDigest([]byte{15})}, s.digest([]byte("c")))
			rec := s.roundRecord(Train, Committed, []BranchState{full, full, full, Opened})
			rec.Set, rec.Online, rec.Certificate, rec.Sum = []byte{7}, id.SumDigest([]byte{15}), []byte("c"), id.Digest(seed(1))
			s.add(RoundCommitted{Train, 4, rec.Sum, s.model, id.ModelHash(seed(2))}, s.record(rec))
		}, "its set is not"},
		"a model from nowhere": {func(s *sample) {
			open(s)
			s.model = id.ModelHash(seed(1))
			s.commit(Train, all, m)
		}, "was opened"},
		"fractional count": {func(s *sample) { open(s); s.commit(Train, all, []Value{{MetricExamples, 1.5}}) }, "not a count"},
		"roster skipped": {func(s *sample) {
			next := *s.roster
			next.Version, next.Signatures = 6, nil
			s.must(next.Sign(s.charter, s.admin))
			s.rosters = append(s.rosters, next.AppendBinary(nil))
			s.add(RosterChanged{6, next.Hash(), 4}, s.digest(s.rosters[4]))
		}, "does not follow"},
		"roster by a stranger": {func(s *sample) {
			next := *s.roster
			next.Version, next.Previous, next.Signatures = 5, s.roster.Hash(), nil
			s.rosters = append(s.rosters, next.AppendBinary(nil))
			s.add(RosterChanged{5, next.Hash(), 4}, s.digest(s.rosters[4]))
		}, "signatures"},
		"charter taken over": {func(s *sample) {
			thief := id.NewPrivateKey(seed(66))
			next := *s.charter
			next.Version, next.Administrators, next.Signatures = 2, []id.PublicKey{thief.Public()}, nil
			s.must(next.Sign(thief))
			s.charters = append(s.charters, next.AppendBinary(nil))
			s.add(CharterAdopted{2, next.Hash()}, s.digest(s.charters[1]))
		}, "signatures by administrators"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSample(t)
			s.startRun("heart-logreg", "", "logistic-regression", 21, 1, "tacit: plan/v1\n")
			s.openEpoch()
			c.do(s)
			_, err := Build(s.source(), Options{})
			var r *Refuted
			if !errors.As(err, &r) {
				t.Fatalf("not refuted: %v", err)
			}
			if r.Entry < 0 || !strings.Contains(r.Error(), c.reason) {
				t.Errorf("got %v, want an entry and %q", r, c.reason)
			}
		})
	}
}

func mustParse(b []byte) Entry {
	e, err := ParseEntry(b)
	if err != nil {
		panic(err)
	}
	return e
}
