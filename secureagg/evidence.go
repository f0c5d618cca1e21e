package secureagg

import (
	"bytes"
	"errors"
	"fmt"

	"tacit/id"
)

// FaultKind says what signed messages prove of their signer.
type FaultKind string

// The faults. Those of the server have no culprit among the agents.
const (
	FaultTwoProposals   FaultKind = "two proposals"     // the server, of one epoch
	FaultForeignRoster  FaultKind = "foreign roster"    // the server proposed an epoch for others than the roster lists
	FaultTwoRosters     FaultKind = "two rosters"       // the server, of one epoch
	FaultForgedRoster   FaultKind = "forged roster"     // the server signed a root over an EpochKey that is not its member's
	FaultTwoStarts      FaultKind = "two starts"        // the server, of one attempt
	FaultOverdrawn      FaultKind = "overdrawn"         // the server opened more attempts than the charter allows
	FaultAskedAgain     FaultKind = "asked again"       // the server opened a model or round that was certified before
	FaultTwoEpochKeys   FaultKind = "two epoch keys"    // an agent, of one epoch
	FaultTwoReports     FaultKind = "two reports"       // an agent, in one attempt
	FaultTwoVotes       FaultKind = "two votes"         // an agent, for two sets of one attempt
	FaultCloseReleased  FaultKind = "close and release" // an agent gave an attempt up and released its shares
	FaultWrongShare     FaultKind = "wrong share"       // an agent released another share than it was dealt
	FaultBadBlob        FaultKind = "bad blob"          // an agent dealt what does not open to its commitment
	FaultFalseComplaint FaultKind = "false complaint"   // an agent complained of a blob that opens
	FaultUnproven       FaultKind = "complaint"         // dealer or accuser named another key than the blob's
	FaultSeed           FaultKind = "commitment"        // an agent shared another seed than it committed to
	FaultPair           FaultKind = "pair commitment"   // one of two agents committed to another seed than the pair's
)

// Fault is what messages prove.
type Fault struct {
	Kind     FaultKind
	Epoch, R uint64
	Culprit  id.AgentID // zero: the server
	Or       id.AgentID // where one of two cheated and it cannot be told which, the other
}

func (f Fault) String() string {
	who := "the server"
	if !f.Culprit.IsZero() {
		who = "agent " + f.Culprit.Short()
	}
	if !f.Or.IsZero() {
		who += " or agent " + f.Or.Short()
	}
	return fmt.Sprintf("%s: %s, epoch %d, attempt %d", who, f.Kind, f.Epoch, f.R)
}

// Faults lists what stage messages, as they travelled, prove of the server and of the
// roster's agents, to anyone who holds the signed charter and roster. It trusts nobody:
// a message whose signature fails proves nothing, and no set of messages proves a fault
// of somebody who keeps to the protocol. With several cohorts an abort certificate or a
// manifest must be among them for faults within a cohort.
//
// Enough are, of an agent's wrong share: its OnlineSet and Shares; of a complaint: the
// accuser's OnlineSet and Vote; of a seed: the dealer's Report and a threshold of
// Shares; of what was said twice: the two. Of a seed shared across cohorts the RoundStart
// is needed, too.
func Faults(messages [][]byte, roster, charter []byte) ([]Fault, error) {
	fed, err := offlineMembership(roster, charter)
	if err != nil {
		return nil, err
	}
	return faults(fed, messages)
}

func faults(fed *membership, messages [][]byte) ([]Fault, error) {
	j := &judgement{f: fed, said: make(map[saying][]byte), first: make(map[header]uint64), have: make(map[Fault]bool)}
	for _, raw := range messages {
		v, err := fed.parse(raw)
		if err != nil {
			return nil, err
		}
		j.all = append(j.all, v)
		switch v := v.(type) {
		case *abortCert:
			j.draw(v.Drawn)
		case *manifest:
			j.draw(&v.Drawn)
		case *manifestCert:
			j.draw(&v.Drawn)
		}
	}
	if !fed.several() {
		j.l = fed.arrange(nil)
	}
	for _, v := range j.all {
		j.hear(v)
	}
	for _, v := range j.all {
		j.weigh(v)
	}
	return j.faults, nil
}

// judgement collects what messages say before it compares them.
type judgement struct {
	f       *membership
	l       *layout
	root    digest // of the layout: several cohorts
	all     []message
	said    map[saying][]byte
	reports []*report
	shares  []*shares
	starts  []*roundStart
	first   map[header]uint64 // attempt of an epoch, by its Proposal
	faults  []Fault
	have    map[Fault]bool
}

// saying is what a signer may say once: the value is what was said first.
type saying struct {
	kind     FaultKind
	culprit  id.AgentID
	epoch, r uint64
	run      id.RunID
}

func (j *judgement) draw(d *drawn) {
	if d != nil && j.f.several() {
		j.l, j.root = d.arrange(j.f), digest(d.root())
	}
}

func (j *judgement) fault(kind FaultKind, h *header, culprit, or id.AgentID) {
	f := Fault{Kind: kind, Epoch: h.Epoch, R: h.R, Culprit: culprit, Or: or}
	if !j.have[f] {
		j.have[f] = true
		j.faults = append(j.faults, f)
	}
}

// once notes what culprit said, and a fault if it said something else before.
func (j *judgement) once(kind FaultKind, h *header, culprit id.AgentID, what []byte) {
	s := saying{kind, culprit, h.Epoch, h.R, h.Run}
	if first, ok := j.said[s]; !ok {
		j.said[s] = what
	} else if !bytes.Equal(first, what) {
		j.fault(kind, h, culprit, id.AgentID{})
	}
}

// cohort returns the cohort of a header of n members, nil if it is not known.
func (j *judgement) cohort(h *header, n int) *cohort {
	if j.l == nil || j.f.several() != (h.Cohort != 0) || int(h.Cohort) > len(j.l.cohorts) {
		return nil
	}
	c := j.l.cohorts[max(h.Cohort, 1)-1]
	if c.params.N != n {
		return nil
	}
	return c
}

func (j *judgement) serverSaid(l id.Label, body, sig []byte) bool {
	if len(sig) == id.HybridSignatureSize {
		return j.f.server.VerifyHybrid(l, body, sig) == nil
	}
	return j.f.server.Verify(l, body, sig) == nil
}

// heard verifies a report's digests, of which an agent signs one in an attempt.
func (j *judgement) heard(c *cohort, h *header, member int, d *reportDigest) bool {
	body := d.body(h, member)
	if c.keys[member].Verify(id.LabelReport, body, d.Sig) != nil {
		return false
	}
	j.once(FaultTwoReports, &header{Run: h.Run, Epoch: h.Epoch, R: h.R}, c.ids[member], body)
	return true
}

// hear takes what one message says by itself.
func (j *judgement) hear(v message) {
	nobody := id.AgentID{}
	switch v := v.(type) {
	case *proposal:
		if !j.serverSaid(id.LabelProposal, v.body(), v.Sig) {
			return
		}
		j.once(FaultTwoProposals, &v.header, nobody, v.body())
		if v.Charter != j.f.charter || v.Roster != j.f.roster {
			return // of another time
		}
		j.first[v.header] = v.Start
		same := len(v.Agents) == len(j.f.ids)
		for i := range v.Agents {
			same = same && v.Agents[i] == j.f.ids[i]
		}
		if !same {
			j.fault(FaultForeignRoster, &v.header, nobody, nobody)
		}
	case *epochKey:
		if i := j.f.index(v.Agent); i >= 0 && j.f.keys[i].VerifyHybrid(id.LabelEpochKey, v.body(), v.Sig) == nil {
			j.once(FaultTwoEpochKeys, &v.header, v.Agent, v.body())
		}
	case *rosterMsg:
		if v.Cohort != 0 || !j.serverSaid(id.LabelRosterE, v.body(), v.Sig) {
			return
		}
		j.once(FaultTwoRosters, &v.header, nobody, v.body())
		if epochRoot(v.Keys) == v.Root && !j.own(v) {
			j.fault(FaultForgedRoster, &v.header, nobody, nobody)
		}
	case *roundStart:
		if j.serverSaid(id.LabelRoundStart, v.body(), v.Sig) {
			j.once(FaultTwoStarts, &v.header, nobody, v.body())
			j.starts = append(j.starts, v)
		}
	case *report:
		if c := j.cohort(&v.header, v.N); c != nil && v.Slots == c.slots(v.Member) && j.heard(c, &v.header, v.Member, v.digest()) {
			j.reports = append(j.reports, v)
		}
	case *onlineSet:
		if c := j.cohort(&v.header, v.N); c != nil {
			for k, i := range v.Online.members() {
				j.heard(c, &v.header, i, &v.Dealt[k].Digest)
			}
		}
	case *vote:
		if c := j.cohort(&v.header, v.N); c != nil {
			j.voted(c, &v.header, v.Member, &v.Set, &v.Digests, v.Sig)
		}
	case *certificate:
		if c := j.cohort(&v.header, v.N); c != nil {
			set := setHash(&v.Online, v.N)
			for i := range v.Votes {
				j.voted(c, &v.header, v.Votes[i].Member, &set, &v.Digests, v.Votes[i].Sig)
			}
		}
	case *shares:
		if c := j.cohort(&v.header, v.N); c != nil && c.keys[v.Member].Verify(id.LabelRelease, v.body(), v.Sig) == nil {
			j.shares = append(j.shares, v)
			j.once(FaultCloseReleased, &v.header, c.ids[v.Member], []byte("released"))
		}
	case *closeMsg:
		if c := j.cohort(&v.header, v.N); c != nil {
			j.closed(c, &v.header, v.Member, v.Sig)
		}
	case *abortCert:
		for k, sigs := range v.Closes {
			if j.l == nil || k >= len(j.l.cohorts) || v.Ns[k] != j.l.cohorts[k].params.N {
				return
			}
			h := j.l.cohorts[k].attempt(v.header)
			for i := range sigs {
				j.closed(j.l.cohorts[k], &h, sigs[i].Member, sigs[i].Sig)
			}
		}
	}
}

// own reports whether every EpochKey of a Roster is signed by the member at its place.
func (j *judgement) own(v *rosterMsg) bool {
	if len(v.Keys) != len(j.f.ids) {
		return false
	}
	for i, raw := range v.Keys {
		k, ok := parseEpochKey(raw)
		if !ok || k.header != v.header || k.Agent != j.f.ids[i] || j.f.keys[i].VerifyHybrid(id.LabelEpochKey, k.body(), k.Sig) != nil {
			return false
		}
	}
	return true
}

func (j *judgement) voted(c *cohort, h *header, member int, set, digests *digest, sig []byte) {
	body := voteBody(h, member, set, digests)
	if c.keys[member].Verify(id.LabelVote, body, sig) == nil {
		j.once(FaultTwoVotes, &header{Run: h.Run, Epoch: h.Epoch, R: h.R}, c.ids[member], body)
	}
}

func (j *judgement) closed(c *cohort, h *header, member int, sig []byte) {
	if c.keys[member].Verify(id.LabelClose, closeBody(h, member), sig) == nil {
		j.once(FaultCloseReleased, h, c.ids[member], []byte("closed"))
	}
}

// weigh holds one message against the others.
func (j *judgement) weigh(v message) {
	switch v := v.(type) {
	case *roundStart:
		j.weighStart(v)
	case *onlineSet:
		if c := j.cohort(&v.header, v.N); c != nil && j.signed(c, v) {
			j.weighShares(c, v)
			j.weighComplaints(c, v)
		}
	case *report:
		if c := j.cohort(&v.header, v.N); c != nil {
			j.weighReport(c, v)
		}
	case *certificate:
		if c := j.cohort(&v.header, v.N); c != nil && v.verify(c) == nil {
			j.weighAskedAgain(&v.header)
		}
	case *manifestCert:
		if j.l != nil && v.verify(j.f, j.l) == nil {
			j.weighAskedAgain(&v.header)
		}
	}
}

func (j *judgement) weighStart(v *roundStart) {
	first, ok := j.first[header{Run: v.Run, Epoch: v.Epoch}]
	if ok && v.R >= first && v.R-first >= j.f.maxRounds && j.serverSaid(id.LabelRoundStart, v.body(), v.Sig) {
		j.fault(FaultOverdrawn, &v.header, id.AgentID{}, id.AgentID{})
	}
}

// weighAskedAgain looks for a later attempt on what a certified one used up.
func (j *judgement) weighAskedAgain(certified *header) {
	for _, first := range j.starts {
		if first.header != *certified {
			continue
		}
		used := first.Inputs.consumes()
		for _, later := range j.starts {
			if again := later.Inputs.consumes(); later.Run == first.Run && later.R > first.R && (again[0] == used[0] || again[1] == used[1]) {
				j.fault(FaultAskedAgain, &later.header, id.AgentID{}, id.AgentID{})
			}
		}
	}
}

// signed reports whether every report of a set is signed and every leaf and blob in it
// is what its dealer signed for this member.
func (j *judgement) signed(c *cohort, v *onlineSet) bool {
	for k, i := range v.Online.members() {
		d := &v.Dealt[k]
		root, _ := rootFromProof(v.N, only(v.To), func(int) digest { return d.Leaf.hash(v.To, d.Blob) }, d.Path)
		if d.Slots != c.slots(i) || root != d.Digest.Root || c.keys[i].Verify(id.LabelReport, d.Digest.body(&v.header, i), d.Digest.Sig) != nil {
			return false
		}
	}
	return true
}

// weighShares checks what the member of a set released of it.
func (j *judgement) weighShares(c *cohort, v *onlineSet) {
	digests := v.digests()
	for _, s := range j.shares {
		if s.header != v.header || s.N != v.N || s.Member != v.To || s.Online != v.Online || s.Digests != digests {
			continue
		}
		leaf := make(map[int]*reportLeaf)
		for k, i := range v.Online.members() {
			leaf[i] = &v.Dealt[k].Leaf
		}
		for k, i := range s.Dealers.members() {
			if !s.Released[k].dealt(s.Member, &leaf[i].Shares) {
				j.fault(FaultWrongShare, &v.header, c.ids[s.Member], id.AgentID{})
			}
		}
	}
}

// weighComplaints checks the complaints of a set's member against its blobs.
func (j *judgement) weighComplaints(c *cohort, v *onlineSet) {
	accuser := c.ids[v.To]
	for _, m := range j.all {
		w, ok := m.(*vote)
		if !ok || w.header != v.header || w.N != v.N || w.Member != v.To {
			continue
		}
		for i := range w.Complaints {
			x := &w.Complaints[i]
			for k, dealer := range v.Online.members() {
				d := &v.Dealt[k]
				if x.Dealer != dealer || c.keys[v.To].Verify(id.LabelComplaint,
					complaintBody(&v.header, v.To, dealer, &d.Digest.Root, &x.Key), x.Sig) != nil {
					continue
				}
				switch {
				case hashParts("blobkey", x.Key[:]) != d.Leaf.KeyHash:
					j.fault(FaultUnproven, &v.header, c.ids[dealer], accuser)
				case openBlob(&v.header, dealer, v.To, d.Slots, &x.Key, &d.Leaf, d.Blob) == nil:
					j.fault(FaultBadBlob, &v.header, c.ids[dealer], id.AgentID{})
				default:
					j.fault(FaultFalseComplaint, &v.header, accuser, id.AgentID{})
				}
			}
		}
	}
}

// weighReport opens what a threshold released of a report, and compares its pair
// commitments with those of the others.
func (j *judgement) weighReport(c *cohort, v *report) {
	for _, other := range j.reports {
		if other.header != v.header || other.Member == v.Member || v.Member > other.Member {
			continue
		}
		if v.Coms[other.Member] != other.Coms[v.Member] {
			j.fault(FaultPair, &v.header, c.ids[v.Member], c.ids[other.Member])
		}
	}
	opened := make(map[int]map[int]element) // by slot, by responder
	for _, s := range j.shares {
		if s.header != v.header || s.N != v.N {
			continue
		}
		for k, i := range s.Dealers.members() {
			d := &s.Released[k]
			if i != v.Member || d.Slots != v.Slots || !d.dealt(s.Member, &v.Leaves[s.Member].Shares) {
				continue
			}
			for x, slot := range d.Want.members() {
				if opened[slot] == nil {
					opened[slot] = make(map[int]element)
				}
				var e element
				parseElement(&e, d.Shares[x])
				opened[slot][s.Member] = e
			}
		}
	}
	for slot, got := range opened {
		if z, err := interpolate(got, c.params.Threshold); err == nil && !j.committed(c, v, slot, z) {
			j.fault(FaultSeed, &v.header, c.ids[v.Member], id.AgentID{})
		}
	}
}

var errFewShares = errors.New("secureagg: below the threshold")

// interpolate opens a secret from any threshold of its shares, by member.
func interpolate(got map[int]element, threshold int) (z element, err error) {
	var who []int
	var values []element
	for u := range maxSlots {
		if e, ok := got[u]; ok && len(who) < threshold {
			who, values = append(who, u), append(values, e)
		}
	}
	if len(who) < threshold {
		return z, errFewShares
	}
	w, err := lagrangeAtZero(who)
	if err != nil {
		return z, err
	}
	return combine(w, values), nil
}

// committed reports whether a seed is what the report commits to at a slot. Pairs across
// cohorts are bound to the ctx of all cohorts, which a RoundStart names.
func (j *judgement) committed(c *cohort, v *report, slot int, z element) bool {
	at := attemptKeys{all: v.Ctx, own: v.Ctx}
	if slot >= c.params.N {
		known := false
		for _, s := range j.starts {
			// Its ctx binds the root, and so that these are the dealer's partners.
			if s.Root == j.root && c.attempt(s.header) == v.header {
				at.all, known = s.Ctx, true
			}
		}
		if !known {
			return true // cannot be told
		}
	}
	var buf [elementSize]byte
	putElement(buf[:], &z)
	return c.commitment(&at, v.Member, slot, buf[:]) == v.Coms[slot]
}
