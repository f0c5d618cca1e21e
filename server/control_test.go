package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/vault"
)

// TestControlSocket asks a running server everything, once in its process and once
// over its socket.
func TestControlSocket(t *testing.T) {
	f := newFederation(t, true)
	var remote Control
	f.until(func() bool {
		var err error
		remote, err = DialControl(f.config().Data)
		return err == nil
	}, "no server answers on the control socket")
	s := f.current()
	ctx := t.Context()

	info, err := os.Stat(filepath.Join(f.config().Data, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	// Everything that changes something goes over the socket: the federation of the
	// other tests is made in process.
	for i, site := range []string{"a", "b", "c", "d"} {
		text, err := remote.Invite(ctx, "org", site, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		j, err := id.ParseJoinString(text)
		if err != nil {
			t.Fatal(err)
		}
		key := seededKey(byte(i + 1))
		x := knock(t, s)
		x.join(j, key)
		x.receive()
		pub := key.Public()
		if err := f.admin.Approve(ctx, remote, site, pub.Fingerprint()); err != nil {
			t.Fatal(err)
		}
	}
	run, err := remote.Submit(ctx, testPlan(t, 1).Canonical())
	if err != nil {
		t.Fatal(err)
	}
	f.watch(run, kind("queued"))

	// The run begins meanwhile, so both may have to be asked again.
	same := func(what string, f func(Control) (any, error)) {
		t.Helper()
		var a, b []byte
		for range 100 {
			here, err1 := f(s)
			there, err2 := f(remote)
			if err1 != nil || err2 != nil {
				t.Errorf("%s: %v, %v", what, err1, err2)
				return
			}
			a, _ = json.Marshal(here)
			b, _ = json.Marshal(there)
			if bytes.Equal(a, b) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%s: here %s, over the socket %s", what, a, b)
	}
	same("status", func(c Control) (any, error) { v, err := c.Status(ctx); return v, err })
	same("sites", func(c Control) (any, error) { v, err := c.Sites(ctx); return v, err })
	same("runs", func(c Control) (any, error) { v, err := c.Runs(ctx); return v, err })
	same("traffic", func(c Control) (any, error) { v, err := c.Traffic(ctx); return v, err })
	stop := errors.New("enough")
	same("watch", func(c Control) (any, error) {
		var got []Event
		err := c.Watch(ctx, run, func(ev Event) error {
			got = append(got, ev)
			return stop
		})
		if !errors.Is(err, stop) {
			return nil, err
		}
		return got, nil
	})
	archive, err := remote.Evidence(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(archive, VerifyOptions(s.LogKey())); err != nil {
		t.Error(err)
	}

	// Errors keep their types and words.
	alike := func(what string, f func(Control) error) {
		t.Helper()
		here, there := f(s), f(remote)
		if here == nil || there == nil || here.Error() != there.Error() || reflect.TypeOf(here) != reflect.TypeOf(there) {
			t.Errorf("%s: here %T %v, over the socket %T %v", what, here, here, there, there)
		}
		type hinter interface{ Hint() string }
		a, ok1 := here.(hinter)
		b, ok2 := there.(hinter)
		if ok1 != ok2 || ok1 && a.Hint() != b.Hint() {
			t.Errorf("%s: the hint is lost", what)
		}
	}
	alike("denied", func(c Control) error { _, err := c.Invite(ctx, "org", "a", time.Hour); return err })
	for begun := false; !begun; time.Sleep(time.Millisecond) { // its state stands in the words
		runs, err := s.Runs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		begun = runs[0].State != stateQueued
	}
	alike("denied with a hint", func(c Control) error { _, err := c.Submit(ctx, testPlan(t, 1).Canonical()); return err })
	alike("too few", func(c Control) error {
		p := testPlan(t, 2)
		p.Federation.MinBranches = 9
		if err := p.Resolve(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Submit(ctx, p.Canonical())
		return err
	})
	alike("not found", func(c Control) error { return c.Watch(ctx, id.RunID{1}, func(Event) error { return nil }) })
	alike("not found", func(c Control) error { _, err := c.Export(ctx, id.RunID{1}, nil); return err })
	alike("no site", func(c Control) error { _, _, _, err := c.Propose(ctx, "nobody", "f"); return err })
	if err := remote.Adopt(ctx, []byte("x")); err == nil {
		t.Error("rubbish adopted")
	}

	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := remote.Status(short); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}

	// A watcher hears of the server's end, and later callers that none is running.
	watching := make(chan error, 1)
	first := make(chan struct{}, 100)
	go func() {
		watching <- remote.Watch(ctx, run, func(Event) error { first <- struct{}{}; return nil })
	}()
	<-first
	f.stop()
	var idle *NotRunningError
	if err := <-watching; err == nil {
		t.Error("the watcher of a run that is not over was told that it is")
	}
	if _, err := remote.Status(ctx); !errors.As(err, &idle) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := DialControl(f.config().Data); !errors.As(err, &idle) || !strings.Contains(err.Error(), f.config().Data) {
		t.Errorf("after the end: %v", err)
	}
}

// TestExportOverTheSocket: bytes come whole.
func TestExportOverTheSocket(t *testing.T) {
	f := newFederation(t, true)
	f.join()
	run := f.submit(testPlan(t, 1))
	f.finish(run)
	remote, err := DialControl(f.config().Data)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := vault.GenerateOwner()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := remote.Export(t.Context(), run, []string{owner.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vault.OpenExport(strings.NewReader(string(sealed)), owner.IdentityFile()); err != nil {
		t.Error(err)
	}
	var last Event
	if err := remote.Watch(t.Context(), run, func(ev Event) error { last = ev; return nil }); err != nil || last.Kind != stateDone {
		t.Errorf("the watch of a finished run ended with %v after %q", err, last.Kind)
	}
}

func TestControlOfADeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := socketPath(dir)
	if err != nil || len(path) > 100 {
		t.Fatalf("%q, %v", path, err)
	}
	other, err := socketPath(dir + "/x")
	if err != nil || other == path {
		t.Error("two directories share a socket")
	}
	l, err := listenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DialControl(dir); err != nil {
		t.Error(err)
	}
	l.Close()
	// A dead process's socket is in nobody's way.
	if l, err := net.Listen("unix", path); err == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	var idle *NotRunningError
	if _, err := DialControl(dir); !errors.As(err, &idle) {
		t.Errorf("a socket that nobody listens on: %v", err)
	}
	if l, err = listenControl(dir); err != nil {
		t.Fatal(err)
	}
	l.Close()
}
