package audit

import (
	"fmt"
	"slices"
	"strings"

	"tacit/id"
)

// notProved stands in every report: what no log can show.
var notProved = []string{
	"That a branch’s rows are what the branch says they are, and that its agent ran the program it says it ran.",
	"That an update was computed honestly. The server opens only sums, so a branch that sends nonsense is noticed in the metrics, not in the log.",
	"That a released sum or a model reveals nothing about a person. Masking hides one branch’s update from the server; it does not limit what a sum or a model gives away.",
	"That clocks were right. Times are the server’s; what counts is the order of the entries.",
	"That there is no second history, if the operator and every branch that cosigns collude. Compare the root with one that a branch kept.",
	"Bytes and messages are as the server counted and logged them; a branch can compare them with its own count.",
}

func (h *history) event(n int, what, detail string, a ...any) eventView {
	e := h.entries[n]
	return eventView{Entry: e.Sequence, Time: clock(e.Time), What: what, Detail: fmt.Sprintf(detail, a...)}
}

func (w *view) events(h *history) {
	lines := slices.Concat(h.changes, h.starts)
	slices.Sort(lines)
	for _, n := range lines {
		e := h.entries[n]
		switch v := e.Payload.(type) {
		case CharterAdopted:
			w.Changes = append(w.Changes, h.event(n, "charter adopted", "version %d, hash %s", v.Version, v.Charter.Short()))
		case ConfigurationChanged:
			before := v.Before.Short()
			if v.Before.IsZero() {
				before = "nothing"
			}
			w.Changes = append(w.Changes, h.event(n, "configuration changed", "%s: from %s to %s", v.Name, before, v.After.Short()))
		case SoftwareRecorded:
			w.Changes = append(w.Changes, h.event(n, "software recorded", "version %s, binary SHA-256 %s", v.Version, v.Binary.Short()))
		case ServerStarted:
			w.Changes = append(w.Changes, h.event(n, "server started", "fencing epoch %d", v.Fence))
		}
	}
	lines = slices.Concat(h.admits, h.answers)
	slices.Sort(lines)
	for _, n := range lines {
		e := h.entries[n]
		switch v := e.Payload.(type) {
		case TokenIssued:
			w.Admissions = append(w.Admissions, h.event(n, "token issued", "commitment %s", v.Commitment.Short()))
		case TokenRedeemed:
			w.Admissions = append(w.Admissions, h.event(n, "token redeemed", "commitment %s", v.Commitment.Short()))
		case IdentityEnrolled:
			w.Admissions = append(w.Admissions, h.event(n, "identity enrolled", "%s", h.who(v.Agent)))
		case RosterChanged:
			w.Admissions = append(w.Admissions, h.event(n, "roster changed", "version %d, %s", v.Version, plural(uint64(v.Members), "member")))
		case PlanApproved:
			w.Admissions = append(w.Admissions, h.event(n, "plan approved", "%s by %s", v.Plan.Short(), h.who(v.Agent)))
		case PlanRefused:
			w.Admissions = append(w.Admissions, h.event(n, "plan refused", "%s by %s: %s", v.Plan.Short(), h.who(v.Agent), v.Code))
		}
	}
	for _, x := range h.exports {
		recipient := x.payload.Recipient.String()
		if x.payload.Plaintext {
			recipient = ""
		}
		w.Exports = append(w.Exports, exportView{
			Entry: x.entry, Time: clock(h.entries[x.entry].Time), Model: x.payload.Model.String(),
			Plaintext: x.payload.Plaintext, Recipient: recipient,
		})
	}
	for _, n := range h.reports {
		w.Earlier = append(w.Earlier, h.event(n, "report made", "SHA-256 %s", h.entries[n].Digest.Short()))
	}
	latest := make(map[id.AgentID]int) // index into w.Witnesses
	for _, c := range h.vouched {
		for _, by := range c.by {
			i, ok := latest[by.agent]
			if !ok {
				i = len(w.Witnesses)
				latest[by.agent] = i
				w.Witnesses = append(w.Witnesses, witnessView{Agent: by.agent.String(), Site: h.who(by.agent)})
			}
			if c.head.Size >= w.Witnesses[i].Size {
				w.Witnesses[i].Size, w.Witnesses[i].Time = c.head.Size, clock(1000*min(by.at, 1<<40))
			}
		}
	}
	slices.SortFunc(w.Witnesses, func(a, b witnessView) int { return strings.Compare(a.Site+a.Agent, b.Site+b.Agent) })
}

func (w *view) totals(h *history) {
	t := totalsView{Branches: len(w.Parties), Runs: len(h.runs), Attempts: h.charges, ClockSetBack: h.jumps}
	if n := len(h.starts); n > 1 {
		t.Restarts = n - 1
	}
	for _, r := range w.Runs {
		for _, ep := range r.Epochs {
			if t.SmallestCohort == 0 || ep.Members < t.SmallestCohort {
				t.SmallestCohort = ep.Members
			}
		}
		for _, a := range r.Attempts {
			switch a.Outcome {
			case "committed":
				t.Committed++
				if a.Set < a.Members {
					t.WithoutMember++
				}
				if t.SmallestSet == 0 || a.Set < t.SmallestSet {
					t.SmallestSet = a.Set
				}
			case "aborted":
				t.Aborted++
			}
		}
	}
	for _, b := range w.Branches {
		t.Bytes += b.Bytes
		for i, c := range b.Classes {
			switch Classes()[i] {
			case ClassRows:
				t.Rows += c.Bytes
			case ClassPlaintextUpdates:
				t.Plaintext += c.Bytes
			case ClassMaskedUpdates:
				t.MaskedBytes += c.Bytes
			}
		}
	}
	w.Totals = t
}

func (w *view) notices(h *history) {
	add := func(title, text string, a ...any) {
		w.Notices = append(w.Notices, noticeView{title, fmt.Sprintf(text, a...)})
	}
	none := false
	for _, r := range w.Runs {
		none = none || r.Privacy == "none"
	}
	if none {
		add("Output privacy: none", "No noise was added to any sum. The masks keep each branch’s update from the server; they do not limit what the opened sums and the models reveal about rows.")
	}
	if n := w.Totals.SmallestCohort; n > 0 && n < smallCohort {
		add("Small cohort", "A cohort had %d members, below the usual minimum of %d; the charter allows it. The smallest opened sum was over %d branches, so that branches which pool their own updates learn more about the remaining ones than in a larger cohort.", n, smallCohort, w.Totals.SmallestSet)
	}
	if w.Totals.Rows > 0 || w.Totals.Plaintext > 0 {
		add("Rows or plaintext updates", "The log counts %d bytes of rows and %d bytes of plaintext updates. No message of the protocol carries them.", w.Totals.Rows, w.Totals.Plaintext)
	}
	for _, x := range w.Exports {
		if x.Plaintext {
			add("Plaintext model", "A model was exported without encryption (entry %d).", x.Entry)
		}
	}
	if w.Totals.ClockSetBack > 0 {
		add("Clock", "The server’s clock stood behind that of the entry before at %s.", plural(uint64(w.Totals.ClockSetBack), "entry"))
	}
}

func (w *view) verdict(h *history, checks Checks) {
	add := func(subject, state, text string, a ...any) {
		w.Verdict = append(w.Verdict, checkView{subject, state, fmt.Sprintf(text, a...)})
	}
	const verified = "verified"
	documents, certificates, closed := len(h.charters)+len(h.rosters), 0, 0
	for _, run := range h.runs {
		documents += 1 + len(run.epochs)
		if run.closing != nil {
			documents++
		}
		for _, a := range run.attempts {
			if a.record != nil {
				documents++
				if len(a.record.Certificate) > 0 {
					certificates++
				}
				if len(a.record.AbortCertificate) > 0 {
					closed++
				}
			}
		}
	}
	add("Log", verified, "The root was recomputed from all %s and is the one in the checkpoint that the log’s key signed.", plural(w.AsOf.Entries, "entry"))
	add("Events", verified, "Replayed from genesis: every entry is allowed where it stands; no attempt reuses a number or a context, none is opened more than %d times, and no sum was opened below the smallest release set.", maxAttempts)
	add("Documents", verified, "%s (charters, rosters, runs, epochs, rounds) match the digests in their entries; charters and rosters carry enough administrators’ signatures.", plural(uint64(documents), "document"))
	add("Model chain", verified, "In every run each committed round starts from the model that the round before left.")
	state := digestOnly
	if checks&CheckedCertificates != 0 {
		state = verified
	}
	if certificates+closed == 0 {
		state = "none"
	}
	text := "%s and %s: the members’ signatures were checked."
	if state != verified {
		text = "%s and %s: their digests match; signatures were not checked when this report was made."
	}
	add("Certificates", state, text, plural(uint64(certificates), "certified set"), plural(uint64(closed), "signed abort"))
	if len(h.runs) > 0 {
		state, text = digestOnly, "The canonical bytes have the hash that the log names; the printed text was not compared with them."
		if checks&CheckedPlans != 0 {
			state, text = verified, "The canonical bytes have the hash that the log names, and the printed text is what they say."
		}
		add("Plans", state, "%s", text)
	}
	if n := len(w.Witnesses); n > 0 {
		var size uint64
		for _, x := range w.Witnesses {
			size = max(size, x.Size)
		}
		add("Witnesses", verified, "%s cosigned; the newest cosigned checkpoint covers %d of %d entries.", plural(uint64(n), "branch"), size, w.AsOf.Entries)
	} else {
		add("Witnesses", "none", "No branch’s cosignature is among the files.")
	}
}

// plural returns "1 entry", "2 entries" and the like.
func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	switch {
	case strings.HasSuffix(noun, "y"):
		noun = strings.TrimSuffix(noun, "y") + "ies"
	case strings.HasSuffix(noun, "ch"):
		noun += "es"
	default:
		noun += "s"
	}
	return group(n) + " " + noun
}

// group writes n with thin groups of three digits.
func group(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
