package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestFramesArriveInOrder(t *testing.T) {
	a, b := Pair()
	sent := []byte{0}
	go func() {
		for i := range 1000 {
			sent[0] = byte(i) // the connection keeps its own copy
			if err := a.WriteFrame(sent); err != nil {
				t.Error(err)
			}
		}
		a.Close()
	}()
	for i := range 1000 {
		if f, err := b.ReadFrame(); err != nil || !bytes.Equal(f, []byte{byte(i)}) {
			t.Fatalf("frame %d: %x, %v", i, f, err)
		}
	}
	if _, err := b.ReadFrame(); err != io.EOF {
		t.Errorf("got %v, want io.EOF", err)
	}
	if err := b.WriteFrame(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write to one who closed: %v, want io.ErrClosedPipe", err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pair()
		written := 0
		done := make(chan error)
		go func() {
			for {
				if err := a.WriteFrame([]byte("frame")); err != nil {
					done <- err
					return
				}
				written++
			}
		}()
		synctest.Wait()
		if written != queueFrames {
			t.Errorf("%d frames left unread, want %d", written, queueFrames)
		}
		b.ReadFrame()
		synctest.Wait()
		if written != queueFrames+1 {
			t.Errorf("%d frames after one was read", written)
		}
		a.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	})
}

func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end                        func(a, b *Conn)
		readA, readB, writeA, last error
	}{
		"close":       {func(a, b *Conn) { a.Close() }, net.ErrClosed, io.EOF, net.ErrClosed, nil},
		"close twice": {func(a, b *Conn) { a.Close(); a.Close() }, net.ErrClosed, io.EOF, net.ErrClosed, nil},
		"peer closes": {func(a, b *Conn) { b.Close() }, io.EOF, net.ErrClosed, io.ErrClosedPipe, net.ErrClosed},
		"reset":       {func(a, b *Conn) { a.Reset(); b.Reset() }, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"too large":   {func(a, b *Conn) { a.WriteFrame(make([]byte, maxFrame+1)) }, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
		"deadlines": {func(a, b *Conn) {
			for _, c := range []*Conn{a, b} {
				c.SetReadDeadline(time.Unix(1, 0))
				c.SetWriteDeadline(time.Unix(1, 0))
			}
		}, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	} {
		for _, blocked := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := Pair()
					var readA, readB, writeA, last error
					var wg sync.WaitGroup
					read := func() {
						wg.Go(func() { _, readA = a.ReadFrame() })
						if blocked {
							wg.Go(func() { _, readB = b.ReadFrame() })
						}
					}
					if blocked {
						read()
						synctest.Wait()
					} else if err := a.WriteFrame([]byte("last")); err != nil {
						t.Fatal(err)
					}
					tt.end(a, b)
					if !blocked {
						_, last = b.ReadFrame()
						_, readB = b.ReadFrame()
						read()
					}
					wg.Wait()
					writeA = a.WriteFrame(nil)
					for what, e := range map[string][2]error{"read here": {readA, tt.readA}, "read there": {readB, tt.readB}, "write": {writeA, tt.writeA}} {
						if !errors.Is(e[0], e[1]) {
							t.Errorf("%s (blocked %v): got %v, want %v", what, blocked, e[0], e[1])
						}
					}
					if !blocked && !errors.Is(last, tt.last) {
						t.Errorf("the frame sent before: got %v, want %v", last, tt.last)
					}
				})
			})
		}
	}
}

func TestDeadlinesMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pair()
		begin := time.Now()
		done := make(chan error, 1)
		go func() { _, err := a.ReadFrame(); done <- err }()
		a.SetReadDeadline(begin.Add(time.Hour))
		synctest.Wait()
		a.SetReadDeadline(begin.Add(time.Minute)) // while it waits
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		a.SetReadDeadline(time.Time{}) // and it lives on
		b.WriteFrame([]byte("x"))
		if f, err := a.ReadFrame(); err != nil || string(f) != "x" {
			t.Errorf("got %q, %v", f, err)
		}
		a.SetWriteDeadline(time.Now().Add(time.Second))
		var err error
		for err == nil {
			err = a.WriteFrame(nil)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a full queue: %v, want os.ErrDeadlineExceeded", err)
		}
	})
}

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		n := New()
		if _, err := n.Dial(ctx, "server"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		l, err := n.Listen("server")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("server"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("the name is taken: %v", err)
		}
		names := map[string]bool{}
		for range 50 {
			c, err := n.Dial(ctx, "server")
			if err != nil {
				t.Fatal(err)
			}
			s, err := l.Accept(ctx)
			if err != nil {
				t.Fatal(err)
			}
			c.WriteFrame([]byte("hello"))
			if f, err := s.ReadFrame(); err != nil || string(f) != "hello" || c.RemoteAddr() != "server" {
				t.Fatalf("got %q, %v", f, err)
			}
			names[s.RemoteAddr()] = true
		}
		if len(names) != 50 {
			t.Errorf("50 agents have %d names", len(names))
		}
		waits, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := l.Accept(waits); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's end", err)
		}
		unaccepted, err := n.Dial(ctx, "server")
		if err != nil {
			t.Fatal(err)
		}
		accepting := make(chan error, 1)
		l.Close()
		l.Close()
		go func() { _, err := l.Accept(ctx); accepting <- err }()
		if err := <-accepting; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
		if _, err := unaccepted.ReadFrame(); err != io.EOF {
			t.Errorf("a connection that nobody accepted: %v, want io.EOF", err)
		}
		if _, err := n.Listen("server"); err != nil {
			t.Errorf("the name is free again: %v", err)
		}
	})
}
