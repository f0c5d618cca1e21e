package server

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"tacit/id"
	"tacit/internal/memnet"
	"tacit/server/blob"
	"tacit/server/engine"
	"tacit/wire"
)

// loneMember makes a memory server whose loop does not run, with one member connected.
func loneMember(t *testing.T, key *id.PrivateKey) (*Server, *stranger) {
	t.Helper()
	s, admin, err := NewMemory(smallRules, Options{})
	if err != nil {
		t.Fatal(err)
	}
	roster, err := (&id.Roster{Federation: s.charter.Federation}).With(id.Member{Org: "org", Site: "north", Key: key.Public(), NotBefore: 1, NotAfter: 1 << 40})
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
	return s, x
}

// TestFloodFillsItsOwnConnection: a member that sends faster than the loop takes is
// not read any further; the server's memory holds a few of its messages.
func TestFloodFillsItsOwnConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, x := loneMember(t, seededKey(1))
		run := &activeRun{id: id.RunID{1}, roster: s.roster, plan: testPlan(t, 1)}
		s.setActive(run)
		sent := 0
		go func() {
			for sent < 1000 && x.ch.Send(&wire.StageUp{Run: run.id, Stage: make([]byte, 1000)}) == nil {
				sent++
			}
		}()
		synctest.Wait()
		s.queueMu.Lock()
		queued := len(s.queue)
		s.queueMu.Unlock()
		if queued > maxInFlight+1 || sent > 100 {
			t.Errorf("%d events of one branch wait; it sent %d messages", queued, sent)
		}
		// The loop takes them, and the branch may go on.
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		s.setActive(nil)
		go func() { served <- s.Serve(ctx) }()
		synctest.Wait()
		if sent < 1000 {
			t.Errorf("%d messages went through a loop that takes them", sent)
		}
		x.ch.Close()
		<-x.done
		cancel()
		<-served
		s.Close()
	})
}

// A flood does not keep a server from stopping.
func TestFloodAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, x := loneMember(t, seededKey(1))
		run := &activeRun{id: id.RunID{1}, roster: s.roster, plan: testPlan(t, 1)}
		s.setActive(run)
		go func() {
			for x.ch.Send(&wire.StageUp{Run: run.id, Stage: make([]byte, 1000)}) == nil {
			}
		}()
		synctest.Wait()
		begin := time.Now()
		s.Close()
		<-x.done
		if d := time.Since(begin); d > drainPatience {
			t.Errorf("closing took %s", d)
		}
	})
}

// TestSlowReader: a member that does not read is let go when too much waits for it;
// a message of any size may wait alone.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, x := loneMember(t, seededKey(1))
		synctest.Wait()
		ss := s.sessions[agentOf(seededKey(1))]
		big := make([]byte, maxQueuedBytes/2)
		ss.send(outgoing{msg: &wire.Committed{Sum: big[:1<<20]}}) // the writer hangs in this one
		synctest.Wait()
		ss.send(outgoing{msg: &wire.Committed{Sum: make([]byte, maxQueuedBytes+1)}})
		synctest.Wait()
		select {
		case err := <-x.done:
			t.Fatalf("let go over one large message: %v", err)
		default:
		}
		begin := time.Now()
		ss.send(outgoing{msg: &wire.Committed{Sum: big}})
		<-x.done
		if d := time.Since(begin); d != 0 {
			t.Errorf("let go after %s", d)
		}
		ss.mu.Lock()
		kept := len(ss.queue)
		ss.mu.Unlock()
		if kept != 0 {
			t.Errorf("%d messages are kept for a branch that was let go", kept)
		}
		x.ch.Close()
		s.Close()
	})
}

// TestHostilePeersHurtNobody lets strangers and a member send what they like while a
// run is under way.
func TestHostilePeersHurtNobody(t *testing.T) {
	f := newFederation(t, false)
	f.join()
	s := f.current()
	f.branches[3].stop()
	first := f.submit(testPlan(t, 1)) // waits for the fourth
	f.watch(first, kind("plan-accepted"))
	seed := rand.New(rand.NewPCG(1, 2))
	junk := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(seed.Uint32())
		}
		return b
	}
	// Before the handshake.
	for i := range 30 {
		near, far := memnet.Pair()
		done := make(chan error, 1)
		go func() { done <- s.ServeConn(context.Background(), far) }()
		greeting, err := near.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		frame := junk(i * 97)
		if i%3 == 0 {
			frame = greeting // back at the sender
		}
		if i%5 != 4 {
			near.WriteFrame(frame)
		} else {
			near.Close()
		}
		if err := <-done; err == nil {
			t.Error("a junk handshake ended well")
		}
	}
	// After it: frames that do not authenticate, and messages out of place or size.
	near, far := memnet.Pair()
	done := make(chan error, 1)
	go func() { done <- s.ServeConn(context.Background(), far) }()
	if _, err := wire.Dial(t.Context(), near, s.charter.Channel); err != nil {
		t.Fatal(err)
	}
	near.WriteFrame(junk(500))
	if err := <-done; err == nil {
		t.Error("a junk frame ended well")
	}
	f.branches[3].start()
	f.finish(first)

	// A member with bad manners.
	f.enrolKey("south", seededKey(1))
	member := func() *stranger {
		x := knock(t, s)
		x.auth(seededKey(1))
		x.receive()
		return x
	}
	for _, tt := range map[string]struct {
		msg  wire.Msg
		code wire.ErrorCode
	}{
		"a vector without a plan":  {&wire.Vector{Words: junk(64)}, wire.CodeLimit},
		"an oversized stage":       {&wire.StageUp{Stage: junk(300 << 10)}, wire.CodeLimit},
		"a second welcome request": {func() wire.Msg { m := &wire.Auth{Software: "x"}; m.Sign(seededKey(1), [32]byte{}); return m }(), wire.CodeProtocol},
	} {
		x := member()
		if err := x.ch.Send(tt.msg); err != nil {
			x.ch.Close() // its own channel forbids it, or the server was faster
			<-x.done
			continue
		}
		x.refused(tt.code)
		<-x.done
	}
	f.connected(4)
	run := f.submit(testPlan(t, 2))
	f.watch(run, kind("plan-accepted"))
	x := member()
	for range 200 {
		x.send(&wire.StageUp{Run: run, Stage: junk(40)})
		x.send(&wire.AgentState{Run: run, Epoch: seed.Uint64(), Round: seed.Uint64(), Out: seed.Uint32()&1 == 0})
		x.send(&wire.Cosign{Checkpoint: junk(100)})
	}
	x.send(&wire.Report{Run: run, R: 1, Report: junk(100)})
	x.send(&wire.Ping{Nonce: 5})
	for {
		if p, ok := x.receive().(*wire.Pong); ok && p.Nonce == 5 {
			break
		}
	}
	x.send(&wire.PlanReply{Run: run, Accept: false, Code: wire.RefusalHours}) // frees the others
	f.watch(run, kind(stateStopped))
	f.connected(5)
	if st, err := s.Status(t.Context()); err != nil || st.Members != 5 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestOneInputPerAgent: what an agent sends after its first input of an attempt does
// not take that input's place in the spool.
func TestOneInputPerAgent(t *testing.T) {
	s, x := loneMember(t, seededKey(1))
	x.ch.Close()
	defer s.Close()
	agent := agentOf(seededKey(1))
	key, err := blob.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	run := &activeRun{id: id.RunID{1}, roster: s.roster, plan: testPlan(t, 1), spoolR: 3, spool: key}
	s.setActive(run)
	first := []byte{1, 0, 0, 0, 2, 0, 0, 0}
	info, ok, err := s.spoolVector(run.id, 3, agent, first)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := s.spoolVector(run.id, 3, agent, bytes.Repeat([]byte{9}, 8)); ok || err != nil {
		t.Errorf("a second input was taken: %v", err)
	}
	if again, ok, err := s.spoolVector(run.id, 3, agent, first); !ok || err != nil || again != info {
		t.Errorf("the same input again: %+v, %v, %v; first %+v", again, ok, err, info)
	}
	acc := make([]uint32, 2)
	if err := s.sumSpool(run, acc, []string{info.Name}); err != nil || acc[0] != 1 || acc[1] != 2 {
		t.Errorf("%v, %v", acc, err)
	}
	if err := s.sumSpool(run, make([]uint32, 1), []string{info.Name}); err == nil {
		t.Error("an input that is too long was summed")
	}
	if err := s.sumSpool(run, make([]uint32, 3), []string{info.Name}); err == nil {
		t.Error("an input that is too short was summed")
	}
	for _, tt := range []struct {
		run   id.RunID
		r     uint64
		agent id.AgentID
	}{{id.RunID{2}, 3, agent}, {run.id, 4, agent}, {run.id, 2, agent}, {run.id, 3, id.AgentID{9}}} {
		if _, ok, err := s.spoolVector(tt.run, tt.r, tt.agent, first); ok || err != nil {
			t.Errorf("%+v was taken: %v", tt, err)
		}
	}
}

// TestShutdownTellsWhy: members and candidates hear that the server stops.
func TestShutdownTellsWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, x := loneMember(t, seededKey(1))
		text, err := s.Invite(t.Context(), "org", "south", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		j, err := id.ParseJoinString(text)
		if err != nil {
			t.Fatal(err)
		}
		y := knock(t, s)
		y.join(j, seededKey(2))
		y.receive()
		told := make(chan struct{}, 2)
		for _, z := range []*stranger{x, y} {
			go func() {
				z.refused(wire.CodeShuttingDown)
				z.ch.Close()
				told <- struct{}{}
			}()
		}
		begin := time.Now()
		s.Close()
		<-told
		<-told
		if d := time.Since(begin); d != 0 {
			t.Errorf("waited %s for branches that read at once", d)
		}
		// Too late.
		_, far := memnet.Pair()
		if err := s.ServeConn(t.Context(), far); err == nil {
			t.Error("a connection after the end")
		}
	})
}

// TestOlderConnectionIsNotHeard: what arrives late over an agent's older connection,
// its end included, says nothing of the newer one.
func TestOlderConnectionIsNotHeard(t *testing.T) {
	s, x := loneMember(t, seededKey(1))
	x.ch.Close()
	<-x.done
	defer s.Close()
	agent := agentOf(seededKey(1))
	older, newer := &session{s: s, agent: agent}, &session{s: s, agent: agent}
	for _, e := range []event{
		{from: older, ev: engine.Connected{Agent: agent}},
		{from: newer, ev: engine.Connected{Agent: agent}},
		{from: older, ev: engine.Gone{Agent: agent}},
	} {
		if err := s.dispatch(e); err != nil {
			t.Fatal(err)
		}
	}
	if s.present[agent] != newer {
		t.Error("the older connection's end took the newer one away")
	}
	if err := s.dispatch(event{from: newer, ev: engine.Gone{Agent: agent}}); err != nil {
		t.Fatal(err)
	}
	if s.present[agent] != nil {
		t.Error("a connection that is gone is still present")
	}
}
