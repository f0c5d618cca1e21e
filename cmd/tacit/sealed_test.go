package main

import (
	"bytes"
	"context"
	bin "encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tacit/nn/safetensors"
	"tacit/server"
	heartdisease "tacit/testdata/heart-disease"
	"tacit/vault"
)

// addModel opens an export and watches for its parameters as any program would
// write them: float32 in either byte order, weights as [out][in], which torch keeps,
// and as [in][out], which the processes do.
func (c *canaries) addModel(t *testing.T, file string, ownerKey []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := vault.OpenExport(bytes.NewReader(b), ownerKey)
	if err != nil {
		t.Fatal(err)
	}
	tensors, _, err := safetensors.Parse(payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		orders := [][]float32{tensor.Data}
		if len(tensor.Shape) == 2 {
			orders = append(orders, transposed(tensor.Data, tensor.Shape[1]))
		}
		for _, data := range orders {
			var little, big []byte
			for _, x := range data {
				little = bin.LittleEndian.AppendUint32(little, math.Float32bits(x))
				big = bin.BigEndian.AppendUint32(big, math.Float32bits(x))
			}
			c.add("tensor "+tensor.Name+" of "+filepath.Base(file), little)
			c.add("tensor "+tensor.Name+" of "+filepath.Base(file), big)
		}
	}
}

// transposed turns rows of n values into columns.
func transposed(v []float32, n int) []float32 {
	out := make([]float32, 0, len(v))
	for j := range n {
		for i := j; i < len(v); i += n {
			out = append(out, v[i])
		}
	}
	return out
}

// TestKilledInMidRunAllIsSealed kills every process of a federation in the middle
// of a run and looks for its live secrets in every file: the agents' identities and
// chain keys, the server's keys, the models so far, and rows.
func TestKilledInMidRunAllIsSealed(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	home := &household{ctx: ctx, fail: cancel, exe: binary}
	cons := &console{out: io.Discard, err: io.Discard}
	cons.setup(globals{Output: "text", LogLevel: "warn"})
	s := &story{c: cons, ctx: ctx, dir: dir, seed: 42, home: home, seen: map[string]bool{}}
	defer home.stop()
	if err := s.found(); err != nil {
		t.Fatal(err)
	}
	for _, site := range heartdisease.Sites() {
		if err := s.admit(site); err != nil {
			t.Fatal(err)
		}
	}
	p := mustPlan("heart-logreg")
	p.Outputs.Owner = []string{s.owner.Recipient()}
	if err := p.Resolve(); err != nil {
		t.Fatal(err)
	}
	run, err := s.control.Submit(ctx, p.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	err = s.control.Watch(ctx, run, func(ev server.Event) error {
		if ev.Kind == "committed" && ev.Round >= 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	for _, c := range home.child {
		c.mu.Lock()
		c.stopping = true
		_ = c.cmd.Process.Kill()
		exited := c.exited
		c.mu.Unlock()
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			t.Fatal("a killed process lives on")
		}
	}

	c := newCanaries()
	c.addRows()
	chains := 0
	for _, site := range heartdisease.Sites() {
		state := filepath.Join(dir, "branches", site.Name, "state")
		v, err := vault.Open(state, vault.KeyFile(filepath.Join(state, "root.key")))
		if err != nil {
			t.Fatal(err)
		}
		seed, err := v.ReadSealed(filepath.Join(state, "identity.age"), "agent/identity")
		if err != nil {
			t.Fatal(err)
		}
		c.add("the identity of "+site.Name, seed)
		c.add("the identity of "+site.Name, []byte(hex.EncodeToString(seed)))
		j, err := v.Journal(filepath.Join(state, "journal"), "agent")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range j.Keys("") {
			secret := strings.HasSuffix(key, "epoch/chain") || strings.Contains(key, "model")
			if !secret {
				continue
			}
			value, _, err := j.Get(key)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(key, "epoch/chain") {
				chains++
			}
			c.add(key+" of "+site.Name, value)
		}
		j.Close()
		v.Close()
	}
	if chains != 4 {
		t.Errorf("found the chain keys of %d agents: the scan would see nothing", chains)
	}
	cfg := &atServer{Config: s.config}
	conf, err := cfg.load()
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(conf.Data, vault.KeyFile(conf.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	keys, err := v.ReadSealed(filepath.Join(conf.Data, "keys.age"), "server keys")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(keys), "\n")[1:3] {
		raw, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		c.add([]string{"the server's signing key", "the server's channel key"}[i], raw)
		c.add([]string{"the server's signing key", "the server's channel key"}[i], []byte(line))
	}
	c.scan(t, dir, 40)
}

// TestScanBites holds the scan itself to finding what it looks for.
func TestScanBites(t *testing.T) {
	dir := t.TempDir()
	rows := heartdisease.Rows("va")
	if err := os.WriteFile(filepath.Join(dir, "leak"), append([]byte("x"), rows[:200]...), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCanaries()
	c.addRows()
	b, _ := os.ReadFile(filepath.Join(dir, "leak"))
	found := false
	for i := 0; i+canaryBytes <= len(b); i++ {
		_, hit := c.by[[canaryBytes]byte(b[i:])]
		found = found || hit
	}
	if !found {
		t.Error("rows in a file were not seen")
	}
}
