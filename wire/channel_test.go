package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"tacit/id"
	"tacit/internal/memnet"
)

var _ FrameConn = (*memnet.Conn)(nil)

// testKey is one channel key for all tests; its making is slow under -race.
var testKey = sync.OnceValue(func() *ChannelKey {
	k, err := NewChannelKey([32]byte{1, 2, 3})
	if err != nil {
		panic(err)
	}
	return k
})

// connect opens a channel over a and b.
func connect(t testing.TB, a, b FrameConn) (client, server *Channel) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		var err error
		server, err = Accept(t.Context(), b, testKey())
		done <- err
	}()
	client, err := Dial(t.Context(), a, testKey().Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, server
}

// admit passes the Welcome.
func admit(t testing.TB, client, server *Channel) {
	t.Helper()
	if err := server.Send(testWelcome()); err != nil {
		t.Fatal(err)
	}
	if m, err := client.Receive(); err != nil || m.Kind() != KindWelcome {
		t.Fatalf("got %v, %v; want the welcome", m, err)
	}
}

func testWelcome() *Welcome {
	return &Welcome{Software: "test", ServerKey: make([]byte, id.PublicKeySize)}
}

func open(t testing.TB) (client, server *Channel) {
	t.Helper()
	a, b := memnet.Pair()
	client, server = connect(t, a, b)
	admit(t, client, server)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestChannelEndsAgree(t *testing.T) {
	client, server := open(t)
	if client.Binding() != server.Binding() || client.Binding() == [32]byte{} {
		t.Errorf("bindings %x and %x", client.Binding(), server.Binding())
	}
	if client.Version() != 1 || server.Version() != 1 {
		t.Errorf("versions %d and %d, want 1", client.Version(), server.Version())
	}
	other, _ := open(t)
	if other.Binding() == client.Binding() {
		t.Error("two channels share a binding")
	}
}

// Sizes around every boundary of a frame arrive as they were sent, in order, and
// both ends count the same bytes.
func TestMessagesArriveIntact(t *testing.T) {
	client, server := open(t)
	head := 4 + 33 - 8 // an empty Vector's map: see TestVectorSize for the longest
	sizes := []int{0, 4, maxPayload - overhead - head - 1, maxPayload - overhead - head, maxPayload - overhead - head + 1,
		maxPayload, 2*maxPayload - overhead - head, MaxFrame, 3 << 20}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		sizes = append(sizes, rng.IntN(3*maxPayload))
	}
	var want []Msg
	for i, n := range sizes {
		b := make([]byte, n)
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		switch rng.IntN(3) {
		case 0:
			want = append(want, &Vector{R: uint64(i), Words: b[:n&^3]})
		case 1:
			want = append(want, &Report{R: uint64(i), Report: b})
		default:
			want = append(want, &StageUp{Stage: b})
		}
	}
	go func() {
		for _, m := range want {
			if err := client.Send(m); err != nil {
				t.Error(err)
			}
		}
	}()
	for i, w := range want {
		m, err := server.Receive()
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		a, err1 := Marshal(w)
		b, err2 := Marshal(m)
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Fatalf("message %d (%v, %d bytes) arrived changed: %v, %v", i, w.Kind(), sizes[i], err1, err2)
		}
	}
	if client.Sent() != server.Received() || client.Received() != server.Sent() {
		t.Errorf("client sent %v, server received %v", client.Sent().Map(), server.Received().Map())
	}
	if got := client.Sent(); got.Of(ClassRows) != 0 || got.Of(ClassPlaintextUpdates) != 0 || got.Of(ClassMaskedUpdates) == 0 {
		t.Errorf("sent %v", got.Map())
	}
}

func TestConcurrentSenders(t *testing.T) {
	client, server := open(t)
	const senders, each = 4, 30
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if err := client.Send(&Report{R: uint64(s*each + i), Report: bytes.Repeat([]byte{byte(s)}, 5000*i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	next := [senders]int{}
	for range senders * each {
		m, err := server.Receive()
		if err != nil {
			t.Fatal(err)
		}
		r := m.(*Report)
		s, i := int(r.R)/each, int(r.R)%each
		if i != next[s] || len(r.Report) != 5000*i || bytes.ContainsFunc(r.Report, func(b rune) bool { return b != rune(s) }) {
			t.Fatalf("sender %d: message %d of %d bytes, want message %d", s, i, len(r.Report), next[s])
		}
		next[s]++
	}
	wg.Wait()
}

// tap passes frames on and lets a test change them.
type tap struct {
	FrameConn
	write func(p []byte) [][]byte // what goes out instead of p
}

func (f *tap) WriteFrame(p []byte) error {
	for _, q := range f.write(bytes.Clone(p)) {
		if err := f.FrameConn.WriteFrame(q); err != nil {
			return err
		}
	}
	return nil
}

// tapped returns an open channel whose client's frames pass through *change once it
// is set.
func tapped(t testing.TB) (client, server *Channel, change *func([]byte) [][]byte) {
	change = new(func([]byte) [][]byte)
	a, b := memnet.Pair()
	client, server = connect(t, &tap{a, func(p []byte) [][]byte {
		if *change == nil {
			return [][]byte{p}
		}
		return (*change)(p)
	}}, b)
	admit(t, client, server)
	return client, server, change
}

// Every byte of a frame is protected: header, ciphertext and tag.
func TestEveryTamperedByteIsNoticed(t *testing.T) {
	probe := &AgentState{}
	raw, err := Marshal(probe)
	if err != nil {
		t.Fatal(err)
	}
	size := frameHeader + len(raw) + tagSize
	for i := range size {
		h := newHalfDuplex(&[32]byte{7})
		frame := append(make([]byte, frameHeader, MaxFrame), raw...)
		frame, err := h.seal(frame, flagFirst|flagLast)
		if err != nil || len(frame) != size {
			t.Fatalf("seal: %d bytes, %v", len(frame), err)
		}
		for bit := range 8 {
			bad := bytes.Clone(frame)
			bad[i] ^= 1 << bit
			r := newHalfDuplex(&[32]byte{7})
			if p, _, err := r.open(bad); !errors.Is(err, ErrTampered) && !errors.Is(err, ErrFrame) || p != nil {
				t.Fatalf("byte %d bit %d: opened %x with %v", i, bit, p, err)
			}
		}
		for _, bad := range [][]byte{frame[:i], append(bytes.Clone(frame), make([]byte, i+1)...)} {
			r := newHalfDuplex(&[32]byte{7})
			if _, _, err := r.open(bad); !errors.Is(err, ErrTampered) && !errors.Is(err, ErrFrame) {
				t.Fatalf("%d of %d bytes: %v", len(bad), size, err)
			}
		}
	}
}

func TestHostileFrames(t *testing.T) {
	var held []byte
	tests := []struct {
		name   string
		change func(p []byte) [][]byte
	}{
		{"tampered", func(p []byte) [][]byte { p[len(p)/2] ^= 1; return [][]byte{p} }},
		{"replayed", func(p []byte) [][]byte { return [][]byte{p, p} }},
		{"reordered", func(p []byte) [][]byte {
			if held == nil {
				held = p
				return nil
			}
			return [][]byte{p, held}
		}},
		{"lost", func(p []byte) [][]byte {
			if held == nil {
				held = p
				return nil
			}
			return [][]byte{p}
		}},
		{"truncated", func(p []byte) [][]byte { return [][]byte{p[:len(p)-1]} }},
		{"trailing", func(p []byte) [][]byte { return [][]byte{append(p, 0)} }},
		{"empty", func(p []byte) [][]byte { return [][]byte{{}} }},
		{"injected", func(p []byte) [][]byte { return [][]byte{make([]byte, 100), p} }},
		{"handshake again", func(p []byte) [][]byte { return [][]byte{appendPreamble(nil, typeHello, versions)} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			held = nil
			client, server, change := tapped(t)
			defer client.Close()
			*change = tt.change
			for i := range 2 {
				if err := client.Send(&Report{R: uint64(i), Report: []byte("report")}); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			for n := 0; err == nil; n++ {
				if n > 1 {
					t.Fatal("more messages than were sent")
				}
				_, err = server.Receive()
			}
			if !errors.Is(err, ErrTampered) && !errors.Is(err, ErrFrame) {
				t.Errorf("got %v, want ErrTampered or ErrFrame", err)
			}
			if _, again := server.Receive(); again != err {
				t.Errorf("second Receive: %v, want the same error", again)
			}
			if err := server.Send(&Pong{}); err == nil {
				t.Error("the channel lives on")
			}
		})
	}
}

// A peer with the keys that cuts a message wrongly gets no further than one that
// has none.
func TestBadlyCutMessages(t *testing.T) {
	full := func(k Kind, n int) []byte { // the first payload of a message
		return append(appendPrefix(nil, k, n), make([]byte, min(n, maxPayload-overhead))...)
	}
	tests := []struct {
		name   string
		frames [][]byte
		flags  []byte
		want   error
	}{
		{"no first flag", [][]byte{full(KindPing, 9)}, []byte{flagLast}, ErrFrame},
		{"unknown flag", [][]byte{full(KindPing, 9)}, []byte{flagFirst | flagLast | 4}, ErrFrame},
		{"first flag twice", [][]byte{full(KindReport, 200000), full(KindReport, 200000)}, []byte{flagFirst, flagFirst}, ErrFrame},
		{"last too early", [][]byte{full(KindReport, 200000)}, []byte{flagFirst | flagLast}, ErrFrame},
		{"last missing", [][]byte{full(KindPing, 9)}, []byte{flagFirst}, ErrFrame},
		{"short middle", [][]byte{full(KindReport, 200000), make([]byte, 10)}, []byte{flagFirst, 0}, ErrFrame},
		{"more than announced", [][]byte{append(full(KindPing, 9), 0)}, []byte{flagFirst | flagLast}, ErrFrame},
		{"no prefix", [][]byte{{byte(KindPing), 0, 0, 0}}, []byte{flagFirst | flagLast}, ErrFrame},
		{"empty frame", [][]byte{{}}, []byte{flagFirst | flagLast}, ErrFrame},
		{"over the limit", [][]byte{full(KindReport, maxStage+1)}, []byte{flagFirst}, &LimitError{}},
		{"over 2^31", [][]byte{full(KindVector, 1<<32-1)}, []byte{flagFirst}, &LimitError{}},
		{"unknown kind", [][]byte{full(0x3f, 9)}, []byte{flagFirst | flagLast}, &UseError{}},
		{"wrong direction", [][]byte{full(KindCommitted, 9)}, []byte{flagFirst | flagLast}, &UseError{}},
		{"join after welcome", [][]byte{full(KindJoin, 9)}, []byte{flagFirst | flagLast}, &UseError{}},
		{"bad body", [][]byte{full(KindPing, 9)}, []byte{flagFirst | flagLast}, &FormatError{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, server := open(t)
			for i, payload := range tt.frames {
				frame, err := client.out.seal(append(make([]byte, frameHeader, MaxFrame), payload...), tt.flags[i])
				if err != nil {
					t.Fatal(err)
				}
				if err := client.fc.WriteFrame(frame); err != nil {
					t.Fatal(err)
				}
			}
			m, err := server.Receive()
			if m != nil || err == nil {
				t.Fatalf("got %v, %v", m, err)
			}
			if tt.want == ErrFrame {
				if !errors.Is(err, ErrFrame) {
					t.Errorf("got %v, want ErrFrame", err)
				}
				return
			}
			if fmt.Sprintf("%T", err) != fmt.Sprintf("%T", tt.want) {
				t.Errorf("got %T (%v), want %T", err, err, tt.want)
			}
			// An authentic peer is told.
			if m, err := client.Receive(); err != nil || m.Kind() != KindError {
				t.Errorf("the peer got %v, %v; want an Error", m, err)
			}
		})
	}
}

func TestPhasesAndDirections(t *testing.T) {
	a, b := memnet.Pair()
	client, server := connect(t, a, b)
	defer client.Close()
	defer server.Close()
	refuse := func(c *Channel, m Msg) {
		t.Helper()
		if _, ok := errors.AsType[*UseError](c.Send(m)); !ok {
			t.Errorf("%v left where it must not", m.Kind())
		}
	}
	refuse(client, &AgentState{})
	refuse(client, testWelcome())
	refuse(server, &Committed{})
	refuse(server, &AgentState{})
	admit(t, client, server)
	refuse(server, testWelcome())
	refuse(server, &AgentState{})
	refuse(client, &Committed{})
	refuse(client, &Auth{Signature: make([]byte, id.SignatureSize)})
	// Nothing of that reached the wire.
	if err := client.Send(&AgentState{}); err != nil {
		t.Fatal(err)
	}
	if m, err := server.Receive(); err != nil || m.Kind() != KindAgentState {
		t.Errorf("got %v, %v", m, err)
	}
}

// Before admission a stranger can make the server hold one small message.
func TestStrangersAreBounded(t *testing.T) {
	for _, k := range Kinds() {
		if k.Direction()&Up != 0 && kinds[k].phase&early != 0 && k.Limit() > maxEarly {
			t.Errorf("%v: a stranger may send %d bytes", k, k.Limit())
		}
	}
	a, b := memnet.Pair()
	client, server := connect(t, a, b)
	defer client.Close()
	client.welcomed.Store(true) // a client that does not keep the rule
	if err := client.Send(&Report{Report: make([]byte, 30<<20)[:100]}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Receive(); err == nil {
		t.Error("a stranger's report was received")
	} else if _, ok := errors.AsType[*UseError](err); !ok {
		t.Errorf("got %v, want a UseError", err)
	}
}

func TestSetLimit(t *testing.T) {
	client, server := open(t)
	server.SetLimit(KindVector, VectorSize(10))
	server.SetLimit(KindReport, 1<<40) // raises nothing
	if got := server.limit(KindReport); got != maxStage {
		t.Errorf("limit %d, want the kind's own", got)
	}
	full := &Vector{R: 1 << 63, Words: make([]byte, 40)}
	if err := client.Send(full); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Receive(); err != nil {
		t.Fatalf("a vector of the right size: %v", err)
	}
	go client.Send(&Vector{Words: make([]byte, 1<<20)})
	_, err := server.Receive()
	if le, ok := errors.AsType[*LimitError](err); !ok || le.Limit != VectorSize(10) || le.Kind != KindVector {
		t.Errorf("got %v, want the lowered limit", err)
	}
}

// A peer learns which rule it broke also while the other side is sending to it; one
// that does not read is not waited for.
func TestToldWhileSending(t *testing.T) {
	for _, reads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			client, server := open(t)
			server.SetLimit(KindVector, VectorSize(1))
			sum := &Committed{Sum: make([]byte, 40*MaxFrame)} // more than the queue takes
			sent := make(chan error, 1)
			go func() { sent <- server.Send(sum) }()
			synctest.Wait()
			ended := make(chan error, 1)
			go func() { _, err := server.Receive(); ended <- err }()
			if err := client.Send(&Vector{Words: make([]byte, 64)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the server has seen it
			if reads {
				if m, err := client.Receive(); err != nil || m.Kind() != KindCommitted {
					t.Fatalf("got %v, %v; want the sum", m, err)
				}
				if m, err := client.Receive(); err != nil || m.Kind() != KindError || m.(*Error).Code != CodeLimit {
					t.Errorf("got %v, %v; want the code %q", m, err, CodeLimit)
				}
			}
			if err := <-sent; (err == nil) != reads {
				t.Errorf("the sum under way ended with %v", err)
			}
			if _, ok := errors.AsType[*LimitError](<-ended); !ok {
				t.Error("the receiver saw no LimitError")
			}
		})
	}
}

// What a receiver allocates is bounded by what has arrived, not by what is announced.
func TestAllocationFollowsArrival(t *testing.T) {
	for _, size := range []int{1, 100, maxPayload, 10 * maxPayload, 1000 * maxPayload} {
		var b []byte
		arrived, allocated, last := 0, 0, 0
		for arrived < min(size, 40*maxPayload) {
			n := min(maxPayload, size-arrived)
			b = appendBounded(b, make([]byte, n), size)
			arrived += n
			if cap(b) != last {
				allocated, last = allocated+cap(b), cap(b)
			}
			if cap(b) > 2*arrived || cap(b) > size || allocated > 4*arrived {
				t.Fatalf("size %d: after %d bytes %d are held, %d were allocated", size, arrived, cap(b), allocated)
			}
		}
	}
}

func TestClose(t *testing.T) {
	t.Run("between messages", func(t *testing.T) {
		client, server := open(t)
		if err := client.Send(&AgentState{}); err != nil {
			t.Fatal(err)
		}
		client.Close()
		if _, err := server.Receive(); err != nil {
			t.Errorf("what was sent before the close: %v", err)
		}
		if _, err := server.Receive(); err != io.EOF {
			t.Errorf("got %v, want io.EOF", err)
		}
		if _, err := client.Receive(); !errors.Is(err, ErrClosed) {
			t.Errorf("closed here: got %v, want ErrClosed", err)
		}
		if err := client.Send(&AgentState{}); !errors.Is(err, ErrClosed) {
			t.Errorf("closed here: got %v, want ErrClosed", err)
		}
	})
	t.Run("within a message", func(t *testing.T) {
		client, server, change := tapped(t)
		frames := 0
		*change = func(p []byte) [][]byte {
			if frames++; frames == 3 {
				client.fc.Close()
			}
			return [][]byte{p}
		}
		client.Send(&Report{Report: make([]byte, 1<<20)})
		if _, err := server.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want io.ErrUnexpectedEOF", err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		a, b := memnet.Pair()
		client, server := connect(t, a, b)
		a.Reset()
		if _, err := server.Receive(); err == nil || err == io.EOF {
			t.Errorf("got %v, want a loss", err)
		}
		if _, err := client.Receive(); err == nil || err == io.EOF {
			t.Errorf("got %v, want a loss", err)
		}
	})
	t.Run("unblocks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := memnet.Pair()
			client, server := connect(t, a, b)
			admit(t, client, server)
			errs := make(chan error, 2)
			go func() { _, err := client.Receive(); errs <- err }()
			go func() { errs <- client.Send(&Report{Report: make([]byte, 30<<20)}) }() // the server does not read
			synctest.Wait()
			client.Close()
			for range 2 {
				if err := <-errs; !errors.Is(err, ErrClosed) {
					t.Errorf("got %v, want ErrClosed", err)
				}
			}
			server.Close()
		}) // the bubble fails if a goroutine is left
	})
}

func TestCloseWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pair()
		client, server := connect(t, a, b)
		admit(t, client, server)
		received, uploading := make(chan error, 1), make(chan struct{}, 1000)
		go func() {
			for {
				_, err := server.Receive()
				uploading <- struct{}{}
				if err != nil {
					received <- err
					return
				}
			}
		}()
		uploaded := make(chan error, 1)
		go func() { // is uploading when the error comes
			var err error
			for err == nil {
				err = client.Send(&Report{Report: make([]byte, 5<<20)})
			}
			uploaded <- err
		}()
		<-uploading
		if err := server.CloseWith(&Error{Code: CodeRevoked, Message: "gone", Hint: "ask"}); err != nil {
			t.Error(err)
		}
		m, err := client.Receive()
		if e, ok := m.(*Error); !ok || err != nil || e.Code != CodeRevoked {
			t.Errorf("got %v, %v", m, err)
		}
		client.Close()
		if err := <-received; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		<-uploaded
		if err := server.Send(&Pong{}); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// A peer that never reads its goodbye is cut after the grace.
func TestCloseWithIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pair()
		client, server := connect(t, a, b)
		admit(t, client, server)
		stuck := make(chan error, 1)
		go func() { stuck <- server.Send(&Committed{Sum: make([]byte, 40<<20)}) }()
		synctest.Wait()
		server.CloseWith(&Error{Code: CodeBusy})
		if err := <-stuck; err == nil {
			t.Error("a model left through a full queue")
		}
		client.Close()
	})
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := memnet.Pair()
		_, err := Accept(context.Background(), b, testKey())
		if !errors.Is(err, ErrHandshake) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a handshake that timed out", err)
		}
		a, _ := memnet.Pair()
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		if _, err := Dial(ctx, a, testKey().Fingerprint()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want a handshake that was cancelled", err)
		}
	})
}

func BenchmarkSend4MB(b *testing.B) {
	client, server := open(b)
	m := &Vector{Words: make([]byte, 4<<20)}
	b.SetBytes(4 << 20)
	b.ReportAllocs()
	go func() {
		for range b.N {
			client.Send(m)
		}
	}()
	for range b.N {
		if _, err := server.Receive(); err != nil {
			b.Fatal(err)
		}
	}
}
