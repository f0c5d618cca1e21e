package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tacit/id"
)

func TestJoin(t *testing.T) {
	c := newCoordinator(t)
	b := newBranch(t, c, 0, true)
	ctx := context.Background()
	opt := JoinOptions{Config: b.cfg, JoinString: c.joinString(b.site), Dial: c.dial}
	for name, change := range map[string]func(*JoinOptions){
		"damaged string": func(o *JoinOptions) { o.JoinString = o.JoinString[:len(o.JoinString)-2] },
		"another site":   func(o *JoinOptions) { o.JoinString = c.joinString("elsewhere") },
		"wrong token": func(o *JoinOptions) {
			js, _ := id.ParseJoinString(o.JoinString)
			js.Token[0]++
			o.JoinString = js.Encode()
		},
		"wrong server key": func(o *JoinOptions) {
			js, _ := id.ParseJoinString(o.JoinString)
			js.Channel[0]++
			o.JoinString = js.Encode()
		},
	} {
		o := opt
		o.Wait = true
		change(&o)
		var stop *StopError
		if _, err := Join(ctx, o); !errors.As(err, &stop) || stop.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(b.cfg, b.opt); err == nil || !strings.Contains(err.Error(), "not joined") {
		t.Errorf("open before joining: %v", err)
	}
	// Waiting ends with the approval; meanwhile the connection may be lost.
	opt.Wait = true
	opt.OnPending = func(fingerprint string) {
		go func() {
			st, err := os.ReadFile(filepath.Join(b.cfg.State, identityName))
			if err != nil || len(st) == 0 {
				t.Errorf("the identity is not kept before the application: %v", err)
			}
			c.approve("org "+b.site, b.site, mustKey(t, b, fingerprint))
		}()
	}
	j, err := Join(ctx, opt)
	if err != nil || j.Pending || j.Site != b.site {
		t.Fatalf("join: %+v, %v", j, err)
	}
	again, err := Join(ctx, opt)
	if err != nil || again.Agent != j.Agent {
		t.Errorf("joining again: %+v, %v", again, err)
	}
	other := *b.cfg
	other.Site = "elsewhere"
	if _, err := Open(&other, b.opt); err == nil || !strings.Contains(err.Error(), `joined as site "site0"`) {
		t.Errorf("another site's name: %v", err)
	}
}

// mustKey waits for the coordinator's view of a candidate: the key itself travels in
// the Join, which the test reads from the sealed identity.
func mustKey(t *testing.T, b *branch, fingerprint string) id.PublicKey {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(b.cfg.State)); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(copied, rootKeyName), 0o600); err != nil { // CopyFS widens it
		t.Error(err)
	}
	st, err := openState(copied, nil, nil, nil)
	if err != nil {
		t.Error(err)
		return id.PublicKey{}
	}
	defer st.close()
	pub := st.key.Public()
	if pub.Fingerprint() != fingerprint {
		t.Errorf("fingerprint %s, want %s", fingerprint, pub.Fingerprint())
	}
	return pub
}
