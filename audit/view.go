package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tacit/id"
)

// view is the report's content, and report.json its encoding. It is a function of
// history alone: every number in it was checked, or counted from what was checked.
type view struct {
	Schema     string         `json:"schema"`
	Renderer   uint32         `json:"renderer"`
	Federation federationView `json:"federation"`
	AsOf       asOfView       `json:"as_of"`
	Verdict    []checkView    `json:"verdict"`
	Totals     totalsView     `json:"totals"`
	Notices    []noticeView   `json:"notices"`
	Parties    []partyView    `json:"parties"`
	Runs       []*runView     `json:"runs"`
	Branches   []*branchView  `json:"what_left_each_branch"`
	Kinds      []*kindView    `json:"message_kinds"`
	Changes    []eventView    `json:"changes"`
	Admissions []eventView    `json:"admissions"`
	Exports    []exportView   `json:"models_exported"`
	Earlier    []eventView    `json:"earlier_reports"`
	Witnesses  []witnessView  `json:"witnesses"`
	NotProved  []string       `json:"not_proved"`
}

type federationView struct {
	Name           string   `json:"name"`
	ID             string   `json:"id"`
	CharterVersion uint32   `json:"charter_version"`
	Charter        string   `json:"charter"`
	Administrators []string `json:"administrators"`
	Threshold      int      `json:"threshold"`
	Server         string   `json:"server"`
	MinCohort      uint32   `json:"min_cohort"`
	MinRelease     uint32   `json:"min_release"`
	AllowSmall     bool     `json:"allow_small"`
	MaxOrgShare    uint32   `json:"max_org_share"`
	Families       []string `json:"model_families"`
	RosterVersion  uint64   `json:"roster_version"`
}

type asOfView struct {
	Entries uint64 `json:"entries"`
	Root    string `json:"root"`
	First   string `json:"first_time"`
	Last    string `json:"last_time"`
	Origin  string `json:"origin"`
	LogKey  string `json:"log_key"`
	Command string `json:"verify"`
}

type checkView struct {
	Subject string `json:"subject"`
	State   string `json:"state"` // "verified", "digest only" or "none"
	Text    string `json:"text"`
}

type totalsView struct {
	Branches       int    `json:"branches"`
	Runs           int    `json:"runs"`
	Attempts       int    `json:"attempts"`
	Committed      int    `json:"committed"`
	Aborted        int    `json:"aborted"`
	WithoutMember  int    `json:"committed_without_a_member"`
	Restarts       int    `json:"server_restarts"`
	MaskedBytes    uint64 `json:"masked_update_bytes"`
	Bytes          uint64 `json:"bytes"`
	Rows           uint64 `json:"rows_bytes"`
	Plaintext      uint64 `json:"plaintext_update_bytes"`
	ClockSetBack   int    `json:"clock_set_back"`
	SmallestSet    int    `json:"smallest_set"`
	SmallestCohort int    `json:"smallest_cohort"`
}

type noticeView struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

type partyView struct {
	Org         string `json:"org"`
	Site        string `json:"site"`
	Agent       string `json:"agent"`
	Fingerprint string `json:"fingerprint"`
	Since       uint64 `json:"since_roster"`
	Until       string `json:"valid_until"`
}

type runView struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Purpose   string        `json:"purpose"`
	Family    string        `json:"family"`
	Privacy   string        `json:"output_privacy"`
	Plan      string        `json:"plan"`
	PlanText  string        `json:"plan_text"`
	Values    []valueView   `json:"values"`
	Initial   string        `json:"initial_model"`
	Model     string        `json:"model"`
	Rounds    uint32        `json:"rounds_planned"`
	Trained   uint64        `json:"rounds_committed"`
	State     string        `json:"state"`
	Started   string        `json:"started"`
	Ended     string        `json:"ended"`
	Entries   [2]uint64     `json:"entries"`
	Epochs    []epochView   `json:"epochs"`
	Attempts  []attemptView `json:"attempts"`
	Sites     []string      `json:"sites"`
	Accuracy  *float64      `json:"final_accuracy"`
	Loss      *float64      `json:"final_loss"`
	Approvals []string      `json:"approved_by"`
	Refusals  []string      `json:"refused_by"`
}

type valueView struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

type epochView struct {
	Epoch      uint64 `json:"epoch"`
	Entry      uint64 `json:"entry"`
	Members    int    `json:"members"`
	Quorum     uint16 `json:"quorum"`
	Threshold  uint16 `json:"threshold"`
	MinRelease uint16 `json:"min_release"`
	Live       uint16 `json:"may_be_absent"`
	Private    uint16 `json:"may_be_corrupt"`
	Roster     uint64 `json:"roster_version"`
	Small      bool   `json:"small"`
}

type attemptView struct {
	R        uint64       `json:"r"`
	Round    uint64       `json:"round"`
	Task     string       `json:"task"`
	Epoch    uint64       `json:"epoch"`
	Outcome  string       `json:"outcome"` // "committed", "aborted" or "open"
	Reason   string       `json:"reason,omitempty"`
	Stage    string       `json:"stage,omitempty"`
	Culprit  string       `json:"culprit,omitempty"`
	Closed   bool         `json:"abort_certificate,omitempty"`
	Set      int          `json:"set"`
	Members  int          `json:"members"`
	Branches []stateView  `json:"branches"`
	Examples *float64     `json:"examples"`
	Loss     *float64     `json:"loss"`
	Accuracy *float64     `json:"accuracy"`
	Metrics  []valueView  `json:"metric_sums"`
	Seconds  uint32       `json:"seconds"`
	Time     string       `json:"opened"`
	Before   string       `json:"model_before"`
	After    string       `json:"model_after"`
	Sum      string       `json:"sum"`
	Entries  [2]uint64    `json:"entries"`
	counts   [5]int       // opened, reported, in the set, voted, released
	steps    []branchStep // as in Branches
}

type stateView struct {
	Site   string   `json:"site"`
	States []string `json:"states"`
}

type branchStep struct {
	Site  string
	State BranchState
}

type branchView struct {
	Agent    string      `json:"agent"`
	Org      string      `json:"org"`
	Site     string      `json:"site"`
	Classes  []countView `json:"classes"`
	Messages uint64      `json:"messages"`
	Bytes    uint64      `json:"bytes"`
}

type countView struct {
	Class    string `json:"class"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

type kindView struct {
	Kind     string `json:"kind"`
	Class    string `json:"class"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	class    Class
}

type eventView struct {
	Entry  uint64 `json:"entry"`
	Time   string `json:"time"`
	What   string `json:"what"`
	Detail string `json:"detail"`
}

type exportView struct {
	Entry     uint64 `json:"entry"`
	Time      string `json:"time"`
	Model     string `json:"model"`
	Plaintext bool   `json:"plaintext"`
	Recipient string `json:"recipient_commitment"`
}

type witnessView struct {
	Agent string `json:"agent"`
	Site  string `json:"site"`
	Size  uint64 `json:"entries"`
	Time  string `json:"time"`
}

// smallCohort is the size below which report and console call a cohort small (SEAMS).
const smallCohort = 5

func clock(unixMilli int64) string {
	return time.UnixMilli(unixMilli).UTC().Format("2006-01-02 15:04:05")
}

func day(unixSeconds int64) string { return time.Unix(unixSeconds, 0).UTC().Format("2006-01-02") }

func newView(h *history, asOf Head, logKey string, checks Checks) *view {
	w := &view{
		Schema: "tacit-report/1", Renderer: Renderer,
		Notices: []noticeView{}, Parties: []partyView{}, Runs: []*runView{}, Branches: []*branchView{}, Kinds: []*kindView{},
		Changes: []eventView{}, Admissions: []eventView{}, Exports: []exportView{}, Earlier: []eventView{}, Witnesses: []witnessView{},
	}
	w.federation(h)
	origin, _, _ := strings.Cut(logKey, "+")
	w.AsOf = asOfView{
		Entries: asOf.Size, Root: fmt.Sprintf("%x", asOf.Root[:]), Origin: origin, LogKey: logKey,
		First: clock(h.entries[0].Time), Last: clock(h.entries[len(h.entries)-1].Time),
		Command: "tacit audit verify " + archiveName + " --log-key " + shellQuote(logKey),
	}
	for _, run := range h.runs {
		w.Runs = append(w.Runs, h.runView(run))
	}
	w.traffic(h)
	w.events(h)
	w.totals(h)
	w.notices(h)
	w.verdict(h, checks)
	w.NotProved = notProved
	return w
}

// shellQuote quotes for a POSIX shell what could mean something to it.
func shellQuote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/+=._-:", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (w *view) federation(h *history) {
	c := h.charter().charter
	f := federationView{
		Name: c.Name, ID: c.Federation.String(), CharterVersion: c.Version, Charter: c.Hash().String(),
		Threshold: c.Threshold, Server: c.Server.Fingerprint(), MinCohort: c.MinCohort, MinRelease: c.MinRelease,
		AllowSmall: c.AllowSmall, MaxOrgShare: c.MaxOrgShare, Families: append([]string{}, c.ModelFamilies...),
	}
	for i := range c.Administrators {
		f.Administrators = append(f.Administrators, c.Administrators[i].Fingerprint())
	}
	if n := len(h.rosters); n > 0 {
		last := h.rosters[n-1]
		f.RosterVersion = last.roster.Version
		for i := range last.roster.Members {
			m := &last.roster.Members[i]
			a := m.Agent()
			p := partyView{Org: m.Org, Site: m.Site, Agent: a.String(), Fingerprint: m.Key.Fingerprint(), Until: day(m.NotAfter)}
			for _, r := range h.rosters {
				if _, ok := r.index[a]; ok {
					p.Since = r.roster.Version
					break
				}
			}
			w.Parties = append(w.Parties, p)
		}
		slices.SortFunc(w.Parties, func(a, b partyView) int {
			if c := strings.Compare(a.Org, b.Org); c != 0 {
				return c
			}
			return strings.Compare(a.Site, b.Site)
		})
	}
	w.Federation = f
}

func (h *history) runView(run *runHistory) *runView {
	rec := run.record
	r := &runView{
		ID: rec.Run.String(), Name: rec.Name, Purpose: rec.Purpose, Family: rec.Family, Privacy: rec.Privacy,
		Plan: rec.Plan.String(), PlanText: rec.Text, Values: values(rec.Values), Initial: run.payload.Model.String(),
		Model: run.model.String(), Rounds: run.payload.Rounds, Trained: run.trained, State: "in progress",
		Started: clock(h.entries[run.start].Time), Entries: [2]uint64{run.start, run.start},
		Epochs: []epochView{}, Attempts: []attemptView{}, Sites: []string{}, Approvals: []string{}, Refusals: []string{},
	}
	if run.finished != nil {
		r.State, r.Ended, r.Entries[1] = run.finished.Outcome, clock(h.entries[run.finish].Time), run.finish
	} else {
		r.Entries[1] = uint64(len(h.entries) - 1)
	}
	for _, ep := range run.epochs {
		rec := ep.record
		r.Epochs = append(r.Epochs, epochView{
			Epoch: rec.Epoch, Entry: ep.entry, Members: len(rec.Members), Quorum: rec.Quorum, Threshold: rec.Threshold,
			MinRelease: rec.MinRelease, Live: rec.Live, Private: rec.Private, Roster: rec.RosterVersion,
			Small: len(rec.Members) < smallCohort,
		})
		for _, m := range rec.Members {
			if !slices.Contains(r.Sites, m.Site) {
				r.Sites = append(r.Sites, m.Site)
			}
		}
	}
	slices.Sort(r.Sites)
	for _, a := range run.attempts {
		v := h.attemptView(a)
		r.Attempts = append(r.Attempts, v)
		if v.Outcome == Committed.String() && v.Task != Statistics.String() {
			r.Accuracy, r.Loss = v.Accuracy, v.Loss
		}
	}
	for _, n := range h.answers {
		switch v := h.entries[n].Payload.(type) {
		case PlanApproved:
			if v.Plan == rec.Plan {
				r.Approvals = append(r.Approvals, h.who(v.Agent))
			}
		case PlanRefused:
			if v.Plan == rec.Plan {
				r.Refusals = append(r.Refusals, h.who(v.Agent)+" ("+v.Code+")")
			}
		}
	}
	return r
}

func (h *history) who(a id.AgentID) string {
	if a.IsZero() {
		return "coordinator"
	}
	if _, site := h.site(a); site != "" {
		return site
	}
	return a.String()
}

func values(in []Value) []valueView {
	out := make([]valueView, 0, len(in))
	for _, v := range in {
		out = append(out, valueView(v))
	}
	return out
}

var stateNames = []struct {
	bit  BranchState
	name string
}{
	{Opened, "opened"}, {Reported, "reported"}, {InSet, "in the set"}, {Voted, "voted"},
	{Released, "released"}, {Dropped, "connection lost"}, {Closed, "signed the abort"},
}

// stateWords spells out every combination of states once.
var stateWords = func() (words [allStates + 1][]string) {
	for s := range words {
		words[s] = []string{}
		for _, n := range stateNames {
			if BranchState(s)&n.bit != 0 {
				words[s] = append(words[s], n.name)
			}
		}
	}
	return words
}()

func (h *history) attemptView(a *attemptHistory) attemptView {
	v := attemptView{
		R: a.r, Round: a.round, Task: a.opened.Task.String(), Epoch: a.opened.Epoch, Outcome: "open",
		Members: len(a.epoch.record.Members), Time: clock(h.entries[a.start].Time), Before: a.opened.Model.String(),
		Branches: []stateView{}, Metrics: []valueView{}, Entries: [2]uint64{a.start, a.start},
	}
	if a.certEntry != 0 {
		v.Set, v.Entries[1] = int(a.certified.Size), a.certEntry
	}
	rec := a.record
	if rec == nil {
		return v
	}
	v.Outcome, v.Seconds, v.Entries[1], v.Metrics = rec.Outcome.String(), rec.Seconds, a.end, values(rec.Metrics)
	for i, s := range rec.Strip {
		site := a.epoch.record.Members[i].Site
		sv := stateView{Site: site, States: stateWords[s]}
		for j := range v.counts {
			if s&stateNames[j].bit != 0 {
				v.counts[j]++
			}
		}
		v.Branches = append(v.Branches, sv)
		v.steps = append(v.steps, branchStep{site, s})
	}
	slices.SortStableFunc(v.steps, func(a, b branchStep) int { return strings.Compare(a.Site, b.Site) })
	slices.SortStableFunc(v.Branches, func(a, b stateView) int { return strings.Compare(a.Site, b.Site) })
	if a.aborted != nil {
		v.Reason, v.Stage, v.Closed = a.aborted.Reason, a.aborted.Stage.String(), !a.aborted.Certificate.IsZero()
		if !a.aborted.Culprit.IsZero() {
			v.Culprit = h.who(a.aborted.Culprit)
		}
	}
	if a.committed != nil {
		v.After, v.Sum = a.committed.After.String(), a.committed.Sum.String()
		if n, ok := lookup(rec.Metrics, MetricExamples); ok {
			v.Examples = &n
			v.Loss = perExample(rec.Metrics, MetricLoss, n)
			v.Accuracy = perExample(rec.Metrics, MetricCorrect, n)
		}
	}
	return v
}

func perExample(m []Value, name string, examples float64) *float64 {
	sum, ok := lookup(m, name)
	if !ok || examples <= 0 {
		return nil
	}
	q := sum / examples
	return &q
}

// traffic sorts what every record says left each branch.
func (w *view) traffic(h *history) {
	branches := make(map[id.AgentID]*branchView)
	kindsOf := make(map[string]*kindView)
	for _, t := range h.sent {
		b := branches[t.Agent]
		if b == nil {
			b = &branchView{Agent: t.Agent.String()}
			b.Org, b.Site = h.site(t.Agent)
			if b.Site == "" {
				b.Site = "not a member"
			}
			for _, c := range Classes() {
				b.Classes = append(b.Classes, countView{Class: c.String()})
			}
			branches[t.Agent] = b
			w.Branches = append(w.Branches, b)
		}
		c := &b.Classes[t.Class-ClassRows]
		c.Messages, c.Bytes = c.Messages+t.Messages, c.Bytes+t.Bytes
		b.Messages, b.Bytes = b.Messages+t.Messages, b.Bytes+t.Bytes
		key := t.Class.String() + "/" + t.Kind
		k := kindsOf[key]
		if k == nil {
			k = &kindView{Kind: t.Kind, Class: t.Class.String(), class: t.Class}
			kindsOf[key] = k
			w.Kinds = append(w.Kinds, k)
		}
		k.Messages, k.Bytes = k.Messages+t.Messages, k.Bytes+t.Bytes
	}
	slices.SortFunc(w.Branches, func(a, b *branchView) int {
		if c := strings.Compare(a.Site, b.Site); c != 0 {
			return c
		}
		return strings.Compare(a.Agent, b.Agent)
	})
	slices.SortFunc(w.Kinds, func(a, b *kindView) int {
		if a.class != b.class {
			return int(a.class) - int(b.class)
		}
		return strings.Compare(a.Kind, b.Kind)
	})
}
