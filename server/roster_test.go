package server

import (
	"errors"
	"testing"

	"tacit/id"
	"tacit/wire"
)

// TestOnlyAdministratorsMakeMembers: what Adopt refuses.
func TestOnlyAdministratorsMakeMembers(t *testing.T) {
	f := newFederation(t, false)
	s := f.current()
	key := seededKey(1)
	x := knock(t, s)
	x.join(f.invite("north"), key)
	x.receive()
	var denied *DeniedError
	if _, _, _, err := s.Propose(t.Context(), "south", ""); !errors.As(err, &denied) {
		t.Errorf("nobody asked: %v", err)
	}
	// A second key asks for the same site: each is proposed by its own fingerprint.
	other := seededKey(9)
	y := knock(t, s)
	y.join(f.invite("north"), other)
	y.receive()
	for _, k := range []*id.PrivateKey{key, other} {
		_, _, entry, err := s.Propose(t.Context(), "north", fingerprint(k))
		if m, parse := id.ParseMember(entry); err != nil || parse != nil || m.Agent() != agentOf(k) {
			t.Errorf("%+v, %v, %v", m, err, parse)
		}
	}
	if _, _, _, err := s.Propose(t.Context(), "north", fingerprint(seededKey(8))); !errors.As(err, &denied) {
		t.Errorf("a fingerprint that nobody has: %v", err)
	}
	_, inForce, entry, err := s.Propose(t.Context(), "north", fingerprint(key))
	if err != nil || len(inForce) != 0 {
		t.Fatalf("a roster of %d bytes before the first; %v", len(inForce), err)
	}
	member, err := id.ParseMember(entry)
	if err != nil || member.Site != "north" || member.Agent() != agentOf(key) {
		t.Fatalf("%+v, %v", member, err)
	}
	roster := func() *id.Roster {
		r, err := (&id.Roster{Federation: s.charter.Federation}).With(*member)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	adopt := func(what string, r *id.Roster) {
		t.Helper()
		if err := s.Adopt(t.Context(), r.AppendBinary(nil)); !errors.As(err, &denied) {
			t.Errorf("%s: %v, want *DeniedError", what, err)
		}
	}
	if err := s.Adopt(t.Context(), []byte("roster")); err == nil {
		t.Error("rubbish was adopted")
	}
	adopt("unsigned", roster())
	strange := *s.charter
	stranger := seededKey(9)
	strange.Administrators = []id.PublicKey{stranger.Public()}
	r := roster()
	if err := r.Sign(&strange, stranger); err == nil {
		adopt("signed by a stranger", r)
	}
	r = roster()
	if err := r.Sign(s.charter, f.admin.Key); err != nil {
		t.Fatal(err)
	}
	r.Members[0].Site = "south" // after the signature
	adopt("changed after it was signed", r)
	if len(s.members()) != 0 {
		t.Fatal("a member came of it")
	}

	good := roster()
	if err := good.Sign(s.charter, f.admin.Key); err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt(t.Context(), good.AppendBinary(nil)); err != nil {
		t.Fatal(err)
	}
	adopt("the same version again", good)
	if st := x.receive().(*wire.JoinStatus); st.State != wire.JoinApproved {
		t.Errorf("%+v", st)
	}
	sites, err := s.Sites(t.Context())
	if err != nil || len(sites) != 1 || sites[0].State != "member" {
		t.Errorf("%+v, %v", sites, err)
	}
}

// TestRosterIsFixedDuringARun, and a change afterwards is told to every member.
func TestRosterIsFixedDuringARun(t *testing.T) {
	f := newFederation(t, false)
	f.join()
	f.branches[3].stop() // the run waits for it
	run := f.submit(testPlan(t, 1))
	f.watch(run, kind("plan-accepted"))
	x := knock(t, f.current())
	x.join(f.invite("south"), seededKey(1))
	x.receive()
	pub := seededKey(1).Public()
	err := f.admin.Approve(t.Context(), f.current(), "south", pub.Fingerprint())
	var denied *DeniedError
	if !errors.As(err, &denied) || denied.Hint() == "" {
		t.Errorf("during a run: %v", err)
	}
	f.branches[3].start()
	f.finish(run)
	if err := f.admin.Approve(t.Context(), f.current(), "south", pub.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	f.connected(4) // again, with the new roster in their Welcome
	member := knock(t, f.current())
	member.auth(seededKey(1))
	w, ok := member.receive().(*wire.Welcome)
	if !ok {
		t.Fatal("no welcome")
	}
	r, err := id.ParseRoster(w.Roster)
	if err != nil || len(r.Members) != 5 {
		t.Errorf("%d members, %v", len(r.Members), err)
	}
}

// TestRevocation: a roster without a member ends its session and its welcome.
func TestRevocation(t *testing.T) {
	f := newFederation(t, false)
	f.enrolKey("north", seededKey(1))
	f.enrolKey("south", seededKey(2))
	s := f.current()
	x := knock(t, s)
	x.auth(seededKey(1))
	x.receive()
	f.connected(1)
	next := &id.Roster{Federation: s.charter.Federation, Version: s.roster.Version + 1, Previous: s.roster.Hash()}
	pub := seededKey(2).Public()
	for _, m := range s.members() {
		if m.Agent() == pub.AgentID() {
			next.Members = append(next.Members, m)
		}
	}
	if err := next.Sign(s.charter, f.admin.Key); err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt(t.Context(), next.AppendBinary(nil)); err != nil {
		t.Fatal(err)
	}
	x.refused(wire.CodeBusy) // the roster has changed: come again
	<-x.done
	x = knock(t, s)
	x.auth(seededKey(1))
	x.refused(wire.CodeUnknownAgent)
}

func fingerprint(k *id.PrivateKey) string {
	p := k.Public()
	return p.Fingerprint()
}
