package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tacit/id"
	"tacit/vault"
	"tacit/wire"
)

// A server that cannot be reached is tried again at once, then ever more slowly, and
// never more than 15 s apart; the agent ends when it is told to.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Time
		m := NewMemory()
		st, err := openState("", nil, nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := st.makeIdentity(); err != nil {
			t.Fatal(err)
		}
		ref := ServerRef{URL: "wss://h/", Channel: id.Digest{1}, Charter: id.CharterHash{1}}
		pub := st.key.Public()
		if err := st.setMembership(&membership{Server: ref, Org: "o", Site: "s", Agent: pub.AgentID(), Approved: true}); err != nil {
			t.Fatal(err)
		}
		a, err := Open(&Config{Site: "s"}, Options{Memory: m, Dial: func(context.Context) (wire.FrameConn, error) {
			tries = append(tries, time.Now())
			return nil, errors.New("refused")
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if len(tries) < 15 || len(tries) > 60 {
			t.Fatalf("%d tries in five minutes", len(tries))
		}
		if d := tries[1].Sub(tries[0]); d != 0 {
			t.Errorf("the first retry came after %v", d)
		}
		for i := 2; i < len(tries); i++ {
			span := min(firstWait<<min(i-2, 10), lastWait)
			if d := tries[i].Sub(tries[i-1]); d < span/2 || d > span {
				t.Errorf("retry %d came after %v, want %v to %v", i, d, span/2, span)
			}
		}
	})
}

// A plan that only the hour forbids is accepted when its hour comes.
func TestHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCoordinator(t)
		b := newBranch(t, c, 0, false)
		b.join()
		for i := range 3 {
			k := id.NewPrivateKey([id.SeedSize]byte{byte(i)})
			c.approve("org", string(rune('x'+i)), k.Public())
		}
		now := time.Now().Local()
		b.cfg.Policy.Hours = now.Add(2*time.Hour).Format("15:04") + "-" + now.Add(3*time.Hour).Format("15:04")
		b.start()
		synctest.Wait() // a plan is offered to whoever is there, and again to whoever comes
		c.begin()
		synctest.Wait()
		if s := b.agent.Status(); s.Refused == nil || s.Refused.Code != string(wire.RefusalHours) {
			t.Fatalf("status %+v", s)
		}
		time.Sleep(2*time.Hour + 2*time.Minute)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.replies); n != 2 || c.replies[0].Accept || !c.replies[1].Accept {
			t.Errorf("replies %+v", c.replies)
		}
	})
}

// A run may only enter epochs above those of every other run, also after a restart.
func TestEpochsRiseAcrossRuns(t *testing.T) {
	a := &Agent{st: &state{journal: NewMemory()}}
	if n, err := a.minEpoch(id.RunID{1}); err != nil || n != 1 {
		t.Errorf("first epoch %d, %v", n, err)
	}
	key := func(run id.RunID) string { return keyEpochs + run.String() }
	err := a.st.Apply(vault.Record{Key: key(id.RunID{1}), Value: []byte{0, 0, 0, 0, 0, 0, 0, 7}},
		vault.Record{Key: key(id.RunID{2}), Value: []byte{0, 0, 0, 0, 0, 0, 0, 4}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.minEpoch(id.RunID{1}); err != nil || n != 8 {
		t.Errorf("a run whose records are gone: %d, %v, want 8", n, err)
	}
	if err := a.st.Apply(vault.Record{Key: protocolKey(id.RunID{1}, keySeenEpochs), Value: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	for run, want := range map[id.RunID]uint64{{1}: 5, {2}: 8, {3}: 8} {
		if n, err := a.minEpoch(run); err != nil || n != want {
			t.Errorf("run %s: %d, %v, want %d", run.Short(), n, err, want)
		}
	}
}
