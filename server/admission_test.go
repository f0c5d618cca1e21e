package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tacit/id"
	"tacit/internal/memnet"
	"tacit/wire"
)

// TestTokenAdmitsOneKeyOnce tells the story of a joining string.
func TestTokenAdmitsOneKeyOnce(t *testing.T) {
	f := newFederation(t, false)
	j := f.invite("north")
	key, other := seededKey(1), seededKey(2)
	pub, otherPub := key.Public(), other.Public()

	// A token that nobody made.
	x := knock(t, f.current())
	wrong := *j
	wrong.Token[0] ^= 1
	x.join(&wrong, key)
	if e := x.refused(wire.CodeTokenUnknown); e.Hint == "" {
		t.Error("no hint")
	}
	// The right token for another site.
	x = knock(t, f.current())
	wrong = *j
	wrong.Site = "south"
	x.join(&wrong, key)
	x.refused(wire.CodeTokenUnknown)

	// The right one; and again, from the same key: where it stands.
	for range 2 {
		x = knock(t, f.current())
		x.join(j, key)
		st := x.receive().(*wire.JoinStatus)
		if st.State != wire.JoinPending || st.Agent != pub.AgentID() || st.Fingerprint != pub.Fingerprint() {
			t.Fatalf("%+v", st)
		}
	}
	// Another key with the same string.
	y := knock(t, f.current())
	y.join(j, other)
	y.refused(wire.CodeTokenUsed)

	// Before it is approved the key is nobody's.
	y = knock(t, f.current())
	y.auth(key)
	y.refused(wire.CodeUnknownAgent)

	if err := f.admin.Approve(t.Context(), f.current(), "north", otherPub.Fingerprint()); err == nil {
		t.Error("approved under another fingerprint")
	}
	if err := f.admin.Approve(t.Context(), f.current(), "north", pub.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	if st := x.receive().(*wire.JoinStatus); st.State != wire.JoinApproved {
		t.Fatalf("%+v", st)
	}
	x.auth(key) // on the same channel, as the message allows
	w := x.receive().(*wire.Welcome)
	if w.LogKey != f.current().LogKey() || w.Federation != f.current().charter.Federation {
		t.Errorf("welcome: %+v", w)
	}
	// A member that asks to join is told that it has.
	y = knock(t, f.current())
	y.join(j, key)
	if st := y.receive().(*wire.JoinStatus); st.State != wire.JoinApproved {
		t.Errorf("%+v", st)
	}
	var denied *DeniedError
	if _, err := f.current().Invite(t.Context(), "org", "north", time.Hour); !errors.As(err, &denied) {
		t.Errorf("a second invitation for a member's site: %v", err)
	}
}

func TestWrongTriesBurnAToken(t *testing.T) {
	f := newFederation(t, false)
	j := f.invite("north")
	for i := range 5 {
		x := knock(t, f.current())
		wrong := *j
		wrong.Token[3] ^= byte(i + 1)
		x.join(&wrong, seededKey(1))
		x.refused(wire.CodeTokenUnknown)
	}
	x := knock(t, f.current())
	x.join(j, seededKey(1))
	if e := x.refused(wire.CodeTokenUnknown); !strings.Contains(e.Message, "burnt") {
		t.Errorf("%s", e.Message)
	}
	// A burnt token costs no further writes.
	size := f.tries(t)
	x = knock(t, f.current())
	wrong := *j
	wrong.Token[9] ^= 9
	x.join(&wrong, seededKey(1))
	x.refused(wire.CodeTokenUnknown)
	if f.tries(t) != size {
		t.Error("a burnt token still counts tries")
	}
}

func (f *federation) tries(t *testing.T) (n int) {
	tokens, err := f.current().store.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tokens {
		n += x.Tries
	}
	return n
}

func TestInvitationsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, err := NewMemory(smallRules, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		text, err := s.Invite(t.Context(), "org", "north", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		j, err := id.ParseJoinString(text)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		x := knock(t, s)
		x.join(j, seededKey(1))
		x.refused(wire.CodeTokenExpired)
		for _, ttl := range []time.Duration{0, -time.Hour, 31 * 24 * time.Hour} {
			if _, err := s.Invite(t.Context(), "org", "north", ttl); err == nil {
				t.Errorf("an invitation for %s", ttl)
			}
		}
		for _, name := range []string{"", "a\nb", strings.Repeat("x", 200)} {
			if _, err := s.Invite(t.Context(), "org", name, time.Hour); err == nil {
				t.Errorf("a site called %q", name)
			}
			if _, err := s.Invite(t.Context(), name, "site", time.Hour); err == nil {
				t.Errorf("an organisation called %q", name)
			}
		}
	})
}

func TestBadProofs(t *testing.T) {
	f := newFederation(t, false)
	f.enrolKey("north", seededKey(1))
	t.Run("possession", func(t *testing.T) {
		x := knock(t, f.current())
		j := f.invite("south")
		m := &wire.Join{Token: j.Token, Org: j.Org, Site: j.Site, Software: "test"}
		m.Sign(seededKey(2), [32]byte{1}) // another channel's binding: a replay
		x.send(m)
		x.refused(wire.CodeBadSignature)
		// The token has not been spent on it.
		y := knock(t, f.current())
		y.join(j, seededKey(2))
		if st := y.receive().(*wire.JoinStatus); st.State != wire.JoinPending {
			t.Errorf("%+v", st)
		}
	})
	t.Run("membership", func(t *testing.T) {
		x := knock(t, f.current())
		m := &wire.Auth{Software: "test"}
		m.Sign(seededKey(1), [32]byte{1})
		x.send(m)
		x.refused(wire.CodeBadSignature)
	})
	t.Run("another member's name", func(t *testing.T) {
		before := f.totals(t)
		x := knock(t, f.current())
		m := &wire.Auth{Software: "test"}
		m.Sign(seededKey(7), x.ch.Binding())
		pub := seededKey(1).Public()
		m.Agent = pub.AgentID()
		x.send(m)
		x.refused(wire.CodeBadSignature)
		if after := f.totals(t); after != before {
			t.Errorf("a liar's bytes are on the member's account: %d, before %d", after, before)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		rows := len(f.current().traffic.total)
		x := knock(t, f.current())
		x.auth(seededKey(9))
		x.refused(wire.CodeUnknownAgent)
		if len(f.current().traffic.total) != rows {
			t.Error("a stranger has an account")
		}
	})
}

func (f *federation) totals(t *testing.T) (n uint64) {
	rows, err := f.current().Traffic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		n += r.Total
	}
	return n
}

// TestMembershipHasAnEnd: an expired member is refused, and one whose membership ends
// while it is connected is let go.
func TestMembershipHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, admin, err := NewMemory(smallRules, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- s.Serve(ctx) }()
		key := seededKey(1)
		roster := &id.Roster{Federation: s.charter.Federation}
		roster, err = roster.With(id.Member{Org: "org", Site: "north", Key: key.Public(),
			NotBefore: time.Now().Add(-time.Hour).Unix(), NotAfter: time.Now().Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		if err := roster.Sign(s.charter, admin.Key); err != nil {
			t.Fatal(err)
		}
		if err := s.Adopt(t.Context(), roster.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
		x := knock(t, s)
		x.auth(key)
		if _, ok := x.receive().(*wire.Welcome); !ok {
			t.Fatal("no welcome")
		}
		begin := time.Now()
		x.refused(wire.CodeRevoked)
		if d := time.Since(begin); d > time.Hour+time.Second {
			t.Errorf("let go after %s", d)
		}
		time.Sleep(time.Hour)
		x = knock(t, s)
		x.auth(key)
		x.refused(wire.CodeRevoked)
		cancel()
		<-served
	})
}

// TestStrangersHaveLittleTime: who proves nothing is let go after a quarter of a
// minute, however far it came; a candidate with a token may wait, but once.
func TestStrangersHaveLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, err := NewMemory(smallRules, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		begin := time.Now()
		silent, far := memnet.Pair()
		done := make(chan error, 1)
		go func() { done <- s.ServeConn(t.Context(), far) }()
		handshaken := knock(t, s)
		if err := <-done; err == nil {
			t.Error("a silent connection ended well")
		}
		<-handshaken.done
		if d := time.Since(begin); d > strangerPatience {
			t.Errorf("strangers stayed %s", d)
		}
		silent.Close()

		text, err := s.Invite(t.Context(), "org", "north", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		j, err := id.ParseJoinString(text)
		if err != nil {
			t.Fatal(err)
		}
		candidate := knock(t, s)
		candidate.join(j, seededKey(1))
		candidate.receive()
		time.Sleep(time.Minute)
		select {
		case err := <-candidate.done:
			t.Errorf("a candidate was let go: %v", err)
		default:
		}
		// It comes again: the older connection is let go, the newer may wait.
		again := knock(t, s)
		again.join(j, seededKey(1))
		again.receive()
		candidate.refused(wire.CodeBusy)
		<-candidate.done
		// One that goes is noticed at once.
		begin = time.Now()
		again.ch.Close()
		<-again.done
		if d := time.Since(begin); d > time.Second {
			t.Errorf("a candidate that went was kept %s", d)
		}
		// And none waits for ever.
		last := knock(t, s)
		last.join(j, seededKey(1))
		last.receive()
		begin = time.Now()
		<-last.done
		if d := time.Since(begin); d > joinPatience {
			t.Errorf("a candidate waited %s", d)
		}
	})
}

// A candidate that talks instead of waiting, and a stranger that talks out of turn.
func TestOutOfTurn(t *testing.T) {
	f := newFederation(t, false)
	x := knock(t, f.current())
	x.join(f.invite("north"), seededKey(1))
	x.receive()
	x.auth(seededKey(1))
	x.refused(wire.CodeProtocol)
	y := knock(t, f.current())
	y.send(&wire.Error{Code: wire.CodeInternal, Message: "me first"})
	y.refused(wire.CodeProtocol)
}

// TestNewestConnectionSpeaks: a second process with one identity takes the place of
// the first, which is told why.
func TestNewestConnectionSpeaks(t *testing.T) {
	f := newFederation(t, false)
	f.enrolKey("north", seededKey(1))
	first, second := knock(t, f.current()), knock(t, f.current())
	first.auth(seededKey(1))
	first.receive()
	f.connected(1)
	second.auth(seededKey(1))
	second.receive()
	first.refused(wire.CodeSuperseded)
	<-first.done
	f.connected(1)
	second.send(&wire.Ping{Nonce: 7})
	if p, ok := second.receive().(*wire.Pong); !ok || p.Nonce != 7 {
		t.Error("the newer connection does not live")
	}
}
