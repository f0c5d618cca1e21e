package audit

import (
	"errors"
	"fmt"
	"slices"

	"tacit/id"
)

// maxAttempts is how often one model is trained under one plan (SEAMS: a model hash
// gets three attempts).
const maxAttempts = 3

// replay runs the grammar of events over parsed entries: every entry must be allowed
// where it stands, and the document behind it must be the one whose digest it
// carries.
type replay struct {
	h     *history
	files files
	used  map[string]bool

	tokens   map[id.Digest]bool // true once redeemed
	ctxs     map[id.Ctx]bool
	tries    map[tryKey]int
	summed   map[any]uint64 // tryKey or roundKey → the entry that certified a set for it
	models   map[id.ModelHash]bool
	runs     map[id.RunID]*runHistory
	configs  map[string]id.Digest
	enrolled map[id.AgentID]bool
	epoch    uint64
	fence    uint64
}

type tryKey struct {
	plan  id.PlanHash
	task  Task
	model id.ModelHash
}

type roundKey struct {
	plan  id.PlanHash
	task  Task
	round uint64
}

func newReplay(f files, entries int) *replay {
	return &replay{
		h:     &history{entries: make([]Entry, 0, entries), members: make(map[id.AgentID][]id.PublicKey), sent: make(map[sentKey]*Traffic)},
		files: f, used: make(map[string]bool),
		tokens: make(map[id.Digest]bool), ctxs: make(map[id.Ctx]bool), tries: make(map[tryKey]int), summed: make(map[any]uint64),
		models: make(map[id.ModelHash]bool), runs: make(map[id.RunID]*runHistory),
		configs: make(map[string]id.Digest), enrolled: make(map[id.AgentID]bool),
	}
}

// step takes the next entry. Its error is about this entry, or is a *Refuted that
// names a file.
func (p *replay) step(e Entry) error {
	h := p.h
	if e.Sequence != uint64(len(h.entries)) {
		return fmt.Errorf("it carries the sequence number %d", e.Sequence)
	}
	if (e.Sequence == 0) != (e.Kind() == KindGenesis) {
		return errors.New("genesis is entry 0 and no other")
	}
	if n := len(h.entries); n > 0 && e.Time < h.entries[n-1].Time {
		h.jumps++
	}
	h.entries = append(h.entries, e)
	n := len(h.entries) - 1
	switch v := e.Payload.(type) {
	case Genesis:
		return p.genesis(e, v)
	case CharterAdopted:
		h.changes = append(h.changes, n)
		return p.charter(e, v.Version, v.Charter)
	case RosterChanged:
		h.admits = append(h.admits, n)
		return p.roster(e, v)
	case TokenIssued:
		h.admits = append(h.admits, n)
		if _, ok := p.tokens[v.Commitment]; ok || v.Commitment.IsZero() {
			return errors.New("this token was issued before")
		}
		p.tokens[v.Commitment] = false
	case TokenRedeemed:
		h.admits = append(h.admits, n)
		if used, ok := p.tokens[v.Commitment]; !ok || used {
			return errors.New("this token was never issued, or is used up")
		}
		p.tokens[v.Commitment] = true
	case IdentityEnrolled:
		h.admits = append(h.admits, n)
		if v.Agent.IsZero() || p.enrolled[v.Agent] {
			return fmt.Errorf("agent %s is enrolled already", v.Agent)
		}
		p.enrolled[v.Agent] = true
	case PlanApproved, PlanRefused:
		h.answers = append(h.answers, n)
	case RunStarted:
		return p.startRun(e, v)
	case EpochOpened:
		return p.openEpoch(e, v)
	case RoundOpened:
		return p.openRound(e, v)
	case SetCertified:
		return p.certify(e, v)
	case RoundCommitted:
		return p.commit(e, v)
	case RoundAborted:
		return p.abort(e, v)
	case RunFinished:
		return p.finishRun(e, v)
	case ModelExported:
		if !p.models[v.Model] {
			return fmt.Errorf("no run made the model %s", v.Model.Short())
		}
		h.exports = append(h.exports, exported{e.Sequence, v})
	case ConfigurationChanged:
		h.changes = append(h.changes, n)
		if p.configs[v.Name] != v.Before {
			return fmt.Errorf("configuration %q was not %s before", v.Name, v.Before.Short())
		}
		p.configs[v.Name] = v.After
	case SoftwareRecorded:
		h.changes = append(h.changes, n)
	case ServerStarted:
		h.starts = append(h.starts, n)
		if v.Fence <= p.fence {
			return fmt.Errorf("fencing epoch %d after %d", v.Fence, p.fence)
		}
		p.fence = v.Fence
	case ReportMade:
		h.reports = append(h.reports, n)
	}
	return nil
}

// document returns the archive's file, whose digest must be the one that e carries.
func (p *replay) document(e Entry, name string) ([]byte, error) {
	b, ok := p.files[name]
	if !ok {
		return nil, &Refuted{Entry: int64(e.Sequence), File: name, Reason: "the file is missing"}
	}
	p.used[name] = true
	if id.SumDigest(b) != e.Digest {
		return nil, &Refuted{Entry: int64(e.Sequence), File: name, Reason: "its digest is not the one that the entry carries"}
	}
	return b, nil
}

func (p *replay) genesis(e Entry, v Genesis) error {
	p.h.genesis = v
	if err := p.charter(e, 0, v.Charter); err != nil {
		return err
	}
	switch c := p.h.charter().charter; {
	case c.Federation != v.Federation:
		return errors.New("the charter is of another federation")
	case c.Name != v.Name:
		return fmt.Errorf("the charter names the federation %q", c.Name)
	case c.LogKey != v.LogKey:
		return errors.New("the charter names another log key")
	}
	return nil
}

// charter puts a charter in force. Version 0 stands for the first one, whatever it is.
func (p *replay) charter(e Entry, version uint32, hash id.CharterHash) error {
	name := fileOfDigest(p.files, "charters/", e.Digest)
	if version != 0 {
		name = charterFile(version)
	}
	raw, err := p.document(e, name)
	if err != nil {
		return err
	}
	c, err := id.ParseCharter(raw)
	if err == nil {
		err = c.Verify()
	}
	if err != nil {
		return refuteFile(name, "%v", err)
	}
	if name != charterFile(c.Version) || c.Hash() != hash {
		return refuteFile(name, "it is charter version %d with the hash %s", c.Version, c.Hash().Short())
	}
	if n := len(p.h.charters); n > 0 {
		last := p.h.charters[n-1].charter
		if c.Federation != last.Federation || c.Version <= last.Version || c.LogKey != last.LogKey {
			return refuteFile(name, "it does not follow charter version %d", last.Version)
		}
		if signed := signersFrom(c, last); signed < last.Threshold {
			return refuteFile(name, "%d of the %d signatures by administrators of charter version %d", signed, last.Threshold, last.Version)
		}
	}
	p.h.charters = append(p.h.charters, &charterVersion{e.Sequence, c, raw})
	return nil
}

// signersFrom counts the administrators of old that signed c, whose signatures were
// verified: whoever governs next is for those to say who govern now.
func signersFrom(c, old *id.Charter) int {
	n := 0
	for _, s := range c.Signatures {
		if slices.ContainsFunc(old.Administrators, func(k id.PublicKey) bool { return k.Equal(&c.Administrators[s.Administrator]) }) {
			n++
		}
	}
	return n
}

func fileOfDigest(f files, folder string, d id.Digest) string {
	for _, n := range f.names() {
		if len(n) > len(folder) && n[:len(folder)] == folder && id.SumDigest(f[n]) == d {
			return n
		}
	}
	return folder + d.String()
}

func (p *replay) roster(e Entry, v RosterChanged) error {
	name := rosterFile(v.Version)
	raw, err := p.document(e, name)
	if err != nil {
		return err
	}
	r, err := id.ParseRoster(raw)
	if err == nil {
		err = r.Verify(p.h.charter().charter)
	}
	if err != nil {
		return refuteFile(name, "%v", err)
	}
	var previous id.RosterHash
	if n := len(p.h.rosters); n > 0 {
		previous = p.h.rosters[n-1].hash
	}
	if r.Version != v.Version || r.Version != uint64(len(p.h.rosters)+1) || r.Previous != previous {
		return refuteFile(name, "roster version %d does not follow version %d", r.Version, len(p.h.rosters))
	}
	hash := r.Hash()
	if hash != v.Roster || int(v.Members) != len(r.Members) {
		return errors.New("the roster has another hash, or another number of members")
	}
	rv := &rosterVersion{e.Sequence, r, hash, raw, make(map[id.AgentID]int, len(r.Members))}
	for i := range r.Members {
		a := r.Members[i].Agent()
		rv.index[a] = i
		if !slices.ContainsFunc(p.h.members[a], func(k id.PublicKey) bool { return k.Equal(&r.Members[i].Key) }) {
			p.h.members[a] = append(p.h.members[a], r.Members[i].Key)
		}
	}
	p.h.rosters = append(p.h.rosters, rv)
	return nil
}

// planHash is the hash of a resolved plan's canonical bytes, as package plan has it.
func planHash(canonical []byte) id.PlanHash {
	return id.PlanHash(id.Sum[struct{}]("tacit-plan/v1", canonical))
}

func (p *replay) startRun(e Entry, v RunStarted) error {
	if p.runs[e.Run] != nil {
		return errors.New("this run was started before")
	}
	name := recordFile(e)
	raw, err := p.document(e, name)
	if err != nil {
		return err
	}
	rec, err := ParseRunRecord(raw)
	if err != nil {
		return refuteFile(name, "%v", err)
	}
	switch {
	case rec.Run != e.Run:
		return refuteFile(name, "it is of another run")
	case rec.Plan != v.Plan || planHash(rec.Canonical) != v.Plan:
		return refuteFile(name, "its plan has another hash than the entry says")
	case v.Rounds == 0 || v.Model.IsZero():
		return errors.New("a run without rounds or without a model")
	}
	if rounds, ok := lookup(rec.Values, "rounds"); ok && rounds != float64(v.Rounds) {
		return refuteFile(name, "it has %v rounds and the entry %d", rounds, v.Rounds)
	}
	r := &runHistory{start: e.Sequence, payload: v, record: rec, model: v.Model}
	p.h.runs = append(p.h.runs, r)
	p.runs[e.Run] = r
	p.models[v.Model] = true
	return nil
}

// active returns the run of e, which must have started and not finished.
func (p *replay) active(e Entry) (*runHistory, error) {
	r := p.runs[e.Run]
	switch {
	case r == nil:
		return nil, fmt.Errorf("run %s was never started", e.Run.Short())
	case r.finished != nil:
		return nil, fmt.Errorf("run %s had finished", e.Run.Short())
	}
	return r, nil
}

func (p *replay) openEpoch(e Entry, v EpochOpened) error {
	run, err := p.active(e)
	if err != nil {
		return err
	}
	if a := run.open(); a != nil {
		return fmt.Errorf("attempt %d is still open", a.r)
	}
	if v.Epoch <= p.epoch {
		return fmt.Errorf("epoch %d after epoch %d", v.Epoch, p.epoch)
	}
	p.epoch = v.Epoch
	name := recordFile(e)
	raw, err := p.document(e, name)
	if err != nil {
		return err
	}
	rec, err := ParseEpochRecord(raw)
	if err != nil {
		return refuteFile(name, "%v", err)
	}
	c := p.h.charter()
	ep := &epochHistory{entry: e.Sequence, payload: v, record: rec, charter: c}
	if rec.Run != e.Run || rec.Epoch != v.Epoch || rec.Root != v.Root || len(rec.Members) != int(v.Members) ||
		rec.Quorum != v.Quorum || rec.Threshold != v.Threshold || rec.MinRelease != v.MinRelease {
		return refuteFile(name, "it disagrees with the entry")
	}
	if rec.Charter != c.charter.Hash() {
		return refuteFile(name, "it names a charter that is not in force")
	}
	for _, r := range p.h.rosters {
		if r.roster.Version == rec.RosterVersion && r.hash == rec.Roster {
			ep.roster = r
		}
	}
	if ep.roster == nil {
		return refuteFile(name, "it names a roster that is not in the log")
	}
	if err := ep.check(); err != nil {
		return refuteFile(name, "%v", err)
	}
	rec.Traffic = p.h.count(rec.Traffic)
	run.epochs = append(run.epochs, ep)
	return nil
}

// cohortsOf is the number of cohorts that so many members fall into, of 128 at most
// and of one size but for one member: what an epoch's record says of quorum, threshold
// and smallest set is of the smallest.
func cohortsOf(members int) int { return max(1, (members+127)/128) }

// check holds an epoch's cohort against the roster and the charter's floors.
func (ep *epochHistory) check() error {
	rec, c := ep.record, ep.charter.charter
	n := len(rec.Members)
	least := n / cohortsOf(n)
	orgs := make(map[string]int)
	for _, m := range rec.Members {
		i, ok := ep.roster.index[m.Agent]
		if !ok {
			return fmt.Errorf("agent %s is not in roster %d", m.Agent, rec.RosterVersion)
		}
		e := &ep.roster.roster.Members[i]
		if e.Org != m.Org || e.Site != m.Site || e.Key.Fingerprint() != m.Fingerprint {
			return fmt.Errorf("agent %s stands differently in roster %d", m.Agent, rec.RosterVersion)
		}
		orgs[m.Org]++
	}
	switch {
	case n < int(c.MinCohort):
		return fmt.Errorf("a cohort of %d; the charter asks for %d", n, c.MinCohort)
	case int(rec.MinRelease) < int(c.MinRelease):
		return fmt.Errorf("a release set of %d; the charter asks for %d", rec.MinRelease, c.MinRelease)
	case rec.MinRelease < 3 || rec.MinRelease < rec.Quorum || int(rec.MinRelease) > least:
		return fmt.Errorf("a release set of %d with a quorum of %d among %d", rec.MinRelease, rec.Quorum, least)
	case 2*int(rec.Quorum) <= least || int(rec.Quorum) > least:
		// Two sets cannot both have a quorum's votes only if quorums overlap.
		return fmt.Errorf("a quorum of %d among %d", rec.Quorum, least)
	case rec.Threshold < 2 || rec.Threshold > rec.Quorum:
		return fmt.Errorf("a share threshold of %d with a quorum of %d", rec.Threshold, rec.Quorum)
	case int(rec.MinRelease)-int(rec.Private) < 2:
		return fmt.Errorf("a release set of %d with %d assumed corrupt", rec.MinRelease, rec.Private)
	}
	for org, k := range orgs {
		if 100*k > n*int(c.MaxOrgShare) {
			return fmt.Errorf("%d of %d members are of %q; the charter allows %d %%", k, n, org, c.MaxOrgShare)
		}
	}
	return nil
}
