package secureagg

import (
	"bytes"
	"slices"
	"testing"

	"tacit/id"
)

// stopAt runs the setup until the first message of kind k for agent 0 and returns it.
func stopAt(w *world, k MessageKind) (msg []byte) {
	w.t.Helper()
	w.tamper = func(to int, m []byte) []byte {
		if got, _ := Kind(m); to == 0 && got == k {
			if msg == nil {
				msg = m
			}
			return nil
		}
		return m
	}
	w.propose(1, 1)
	w.pump()
	w.tamper = nil
	if msg == nil {
		w.t.Fatalf("no %s: %v", k, w.errors())
	}
	return msg
}

func TestEvilProposal(t *testing.T) {
	w := newWorld(t, 5)
	good := stopAt(w, KindProposal)
	m := w.agents[0].m
	resign := func(change func(*proposal)) []byte {
		p, _ := parseProposal(bytes.Clone(good))
		change(p)
		p.Sig = w.f.server.SignHybrid(id.LabelProposal, p.body())
		return p.encode()
	}
	for _, c := range []struct {
		name   string
		change func(*proposal)
		why    Reason
	}{
		{"charter", func(p *proposal) { p.Charter[0] ^= 1 }, ReasonCharter},
		{"roster", func(p *proposal) { p.Roster[0] ^= 1 }, ReasonRoster},
		{"a stranger", func(p *proposal) { p.Agents[4] = id.AgentID{255, 255, 255} }, ReasonRoster},
	} {
		_, err := m.Handle(resign(c.change))
		w.wantAbort(err, StageProposal, c.why, -1)
	}
	if m.Epoch() != 0 {
		t.Fatal("a refused proposal left a trace")
	}
	if _, err := m.Handle(good); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Handle(good); err != nil {
		t.Fatal("the same proposal again: ", err)
	}

	// Epoch numbers never come back, not even after a restart.
	w = newWorld(t, 3).setup()
	old := w.epoch.proposal
	w.propose(2, 1)
	w.pump()
	out, err := w.agents[0].m.Handle(old)
	if err != nil || !slices.Equal(kindsOf(out), []MessageKind{KindRekey}) || w.agents[0].m.Epoch() != 2 {
		t.Fatalf("an old epoch again: %v %v", err, kindsOf(out))
	}
}

func TestEvilRoster(t *testing.T) {
	w := newWorld(t, 5)
	good := stopAt(w, KindRoster)
	m := w.agents[0].m
	forge := func(change func(*rosterMsg)) []byte {
		r, _ := parseRoster(bytes.Clone(good))
		change(r)
		r.Root = epochRoot(r.Keys)
		r.Sig = w.f.server.SignHybrid(id.LabelRosterE, r.body())
		return r.encode()
	}
	for _, c := range []struct {
		name    string
		msg     []byte
		why     Reason
		culprit int
	}{
		{"key substituted", forge(func(r *rosterMsg) { r.Keys[2][headerSize+200] ^= 1 }), ReasonSignature, -1},
		{"a client twice", forge(func(r *rosterMsg) { r.Keys[2] = r.Keys[1] }), ReasonMismatch, -1},
		{"one epoch key for two", forge(func(r *rosterMsg) {
			a, _ := parseEpochKey(r.Keys[1])
			b, _ := parseEpochKey(r.Keys[2])
			b.Key = a.Key
			b.Sig = w.agents[2].cfg.Key.SignHybrid(id.LabelEpochKey, b.body())
			r.Keys[2] = b.encode()
		}), ReasonMismatch, 2},
		{"a member left out", forge(func(r *rosterMsg) { r.Keys = r.Keys[:4] }), ReasonRoster, -1},
		{"another root", func() []byte {
			r, _ := parseRoster(bytes.Clone(good))
			r.Root[0] ^= 1
			r.Sig = w.f.server.SignHybrid(id.LabelRosterE, r.body())
			return r.encode()
		}(), ReasonMismatch, -1},
		{"an answer to another proposal", forge(func(r *rosterMsg) {
			k, _ := parseEpochKey(r.Keys[2])
			k.Proposal[0] ^= 1
			k.Sig = w.agents[2].cfg.Key.SignHybrid(id.LabelEpochKey, k.body())
			r.Keys[2] = k.encode()
		}), ReasonMismatch, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			out, err := m.Handle(c.msg)
			w.wantAbort(err, StageRoster, c.why, c.culprit)
			if len(out.Send) > 0 {
				t.Fatal("answered")
			}
		})
	}
	if _, err := m.Handle(good); err != nil {
		t.Fatal(err)
	}
}

func TestEvilCiphertextsTagsAndReadys(t *testing.T) {
	w := newWorld(t, 5)
	good := stopAt(w, KindCtDelivery)
	m := w.agents[0].m
	for name, change := range map[string]func(*ctDelivery){
		"path":      func(d *ctDelivery) { d.From[1].Path[0][0] ^= 1 },
		"signature": func(d *ctDelivery) { d.From[1].Sig[70] ^= 1 },
		"routed":    func(d *ctDelivery) { d.From[1].Ct = d.From[2].Ct },
	} {
		d, _ := parseCtDelivery(bytes.Clone(good))
		change(d)
		_, err := m.Handle(d.encode())
		if !isAbort(err, StageCtList, ReasonSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, err := m.Handle(good); err != nil || !slices.Equal(kindsOf(out), []MessageKind{KindConfirm}) || len(out.Journal) == 0 {
		t.Fatalf("CK^0 must be journaled with Confirm: %v", err)
	}

	w = newWorld(t, 5)
	tags := stopAt(w, KindConfirmSet)
	bad := bytes.Clone(tags)
	bad[len(bad)-tagSize*2] ^= 1
	out, err := w.agents[0].m.Handle(bad)
	w.wantAbort(err, StageConfirm, ReasonUnconfirmed, 3)
	if !slices.Equal(kindsOf(out), []MessageKind{KindRekey}) {
		t.Fatal("does not ask for a new epoch")
	}
	if why, err := w.epoch.RekeyWanted(w.agents[0].id, out.Send[0]); err != nil || why != "unconfirmed key" {
		t.Fatal(err)
	}
	if _, err := w.epoch.RekeyWanted(w.agents[1].id, out.Send[0]); err == nil {
		t.Fatal("another agent's Rekey")
	}

	w = newWorld(t, 5)
	set := stopAt(w, KindReadySet)
	m = w.agents[0].m
	for _, c := range []struct {
		name   string
		change func(*readySet)
		why    Reason
	}{
		{"another list", func(r *readySet) { r.Members[1].ListRoot[0] ^= 1 }, ReasonSignature},
		{"another root", func(r *readySet) { r.Root[0] ^= 1 }, ReasonMismatch},
	} {
		r, _ := parseReadySet(bytes.Clone(set))
		c.change(r)
		if _, err := m.Handle(r.encode()); !isAbort(err, StageReady, c.why) || m.Live() {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	in := w.inputs(1)
	w.begin(in)
	if err := w.open(0, in); err != ErrStale {
		t.Fatalf("opens an attempt before the Ready quorum: %v", err)
	}
	if _, err := m.Handle(set); err != nil || !m.Live() {
		t.Fatal(err)
	}
}

// TestServerRefuses: what an agent can send wrong during the setup.
func TestServerRefuses(t *testing.T) {
	w := newWorld(t, 4)
	w.propose(1, 1)
	w.pump()
	from := func(k MessageKind, i int) []byte {
		for _, s := range w.log {
			if got, _ := Kind(s.msg); got == k && s.from == w.agents[i].id {
				return s.msg
			}
		}
		t.Fatal("no ", k)
		return nil
	}
	for _, k := range []MessageKind{KindEpochKey, KindCtList, KindConfirm, KindReady} {
		e, _, err := NewEpoch(EpochConfig{Key: w.f.server, Charter: w.f.charter, Roster: w.f.roster, Run: w.run, Epoch: 1, Start: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range w.log {
			got, _ := Kind(s.msg)
			if got >= k {
				break
			}
			if _, err := e.Handle(s.from, s.msg); err != nil {
				t.Fatal(err)
			}
		}
		msg := from(k, 0)
		for name, bad := range map[string][]byte{
			"short": msg[:len(msg)-1], "long": append(bytes.Clone(msg), 0), "empty": nil,
			"damaged at the end": func() []byte { b := bytes.Clone(msg); b[len(b)-1] ^= 1; return b }(),
			"damaged body":       func() []byte { b := bytes.Clone(msg); b[headerSize+20] ^= 1; return b }(),
		} {
			if _, err := e.Handle(w.agents[0].id, bad); err == nil && !(k == KindConfirm && name == "damaged at the end") {
				t.Errorf("%s %s is accepted", name, k)
			}
		}
		if k == KindConfirm {
			continue // its last bytes are tags, which only the partner can check
		}
		if _, err := e.Handle(w.agents[1].id, msg); err == nil {
			t.Errorf("another agent's %s is accepted", k)
		}
		if _, err := e.Handle(id.AgentID{9}, msg); err == nil {
			t.Errorf("a stranger's %s is accepted", k)
		}
		for range 2 {
			if _, err := e.Handle(w.agents[0].id, msg); err != nil {
				t.Errorf("%s, sent twice: %v", k, err)
			}
		}
	}
	if _, err := w.epoch.Handle(w.agents[0].id, from(KindEpochKey, 0)); err != nil {
		t.Error("a late repeat: ", err)
	}
}

func TestCharterCaps(t *testing.T) {
	f := newFederation(t, 4)
	for name, change := range map[string]func(*id.Charter){
		"minimum cohort":  func(c *id.Charter) { c.MinCohort = 5 },
		"minimum release": func(c *id.Charter) { c.MinRelease = 5 },
		"small":           func(c *id.Charter) { c.AllowSmall = false },
		"organisation":    func(c *id.Charter) { c.MaxOrgShare = 20 },
		"assumed corrupt": func(c *id.Charter) { c.AssumedCorrupt = 2 },
		"federation":      func(c *id.Charter) { c.Federation[0] ^= 1 },
	} {
		c := *f.charter
		change(&c)
		cfg := MemberConfig{Key: f.keys[0], Charter: &c, Roster: f.roster, Rand: seeded(t, "x", 0)}
		if _, err := NewMember(cfg); err == nil {
			t.Errorf("%s: an agent accepts the cohort", name)
		}
		if _, _, err := NewEpoch(EpochConfig{Key: f.server, Charter: &c, Roster: f.roster, Epoch: 1, Start: 1}); err == nil {
			t.Errorf("%s: a server opens the cohort", name)
		}
	}
	if _, err := NewMember(MemberConfig{Key: testKey('z', 0), Charter: f.charter, Roster: f.roster, Rand: seeded(t, "x", 0)}); err == nil {
		t.Error("a stranger is a member")
	}
	if _, err := NewMember(MemberConfig{Key: f.keys[0], Charter: f.charter, Roster: f.roster}); err == nil {
		t.Error("a member without randomness")
	}
	if _, _, err := NewEpoch(EpochConfig{Key: f.admin, Charter: f.charter, Roster: f.roster, Epoch: 1, Start: 1}); err == nil {
		t.Error("a server with another key than the charter's")
	}
}
