package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
)

func TestExtendInAnyBatches(t *testing.T) {
	s := smallSample(t)
	for batch := 1; batch < 6; batch++ {
		var stored hashStore
		for at := 0; at < len(s.entries); at += batch {
			x, err := Extend(stored, uint64(at), s.entries[at:min(at+batch, len(s.entries))])
			if err != nil {
				t.Fatal(err)
			}
			if x.First != int64(len(stored)) || x.First != tlog.StoredHashCount(int64(at)) {
				t.Fatalf("hashes begin at %d, want %d", x.First, len(stored))
			}
			stored = append(stored, x.Hashes...)
		}
		root, _ := TreeRoot(stored, uint64(len(s.entries)))
		want, _ := TreeRoot(s.stored, uint64(len(s.entries)))
		if root != want {
			t.Errorf("batches of %d give another root", batch)
		}
	}
	if _, err := Extend(s.stored, uint64(len(s.entries)), s.entries[:1]); err == nil {
		t.Error("an entry with another sequence number was accepted")
	}
	if _, err := Extend(s.stored, uint64(len(s.entries)), [][]byte{{1, 2, 3}}); err == nil {
		t.Error("bytes that are no entry were accepted")
	}
}

func TestProofs(t *testing.T) {
	s := smallSample(t)
	n := uint64(len(s.entries))
	head, err := OpenCheckpoint(s.checkpoint(), s.logKey)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p, err := ProveInclusion(s.stored, n, i)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseProof(p.AppendBinary(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckInclusion(q, head, i, s.entries[i]); err != nil {
			t.Error(err)
		}
		if CheckInclusion(q, head, i, s.entries[(i+1)%n]) == nil || CheckInclusion(q, head, (i+1)%n, s.entries[i]) == nil {
			t.Errorf("entry %d is proved to be another", i)
		}
		root, _ := TreeRoot(s.stored, i)
		old := Head{Size: i, Root: root}
		c, err := ProveConsistency(s.stored, i, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckConsistency(c, old, head); err != nil {
			t.Error(err)
		}
		if i > 0 {
			old.Root[0] ^= 1
			if CheckConsistency(c, old, head) == nil {
				t.Errorf("a log of %d with another root is extended", i)
			}
		}
	}
	if _, err := ProveInclusion(s.stored, n, n); err == nil {
		t.Error("an entry beyond the last was proved")
	}
}

func TestCheckpoint(t *testing.T) {
	s := smallSample(t)
	msg := s.checkpoint()
	head, err := OpenCheckpoint(msg, s.logKey)
	if err != nil || head.Size != uint64(len(s.entries)) {
		t.Fatalf("size %d, %v", head.Size, err)
	}
	for i := range msg {
		for bit := range 8 {
			bad := bytes.Clone(msg)
			bad[i] ^= 1 << bit
			if _, err := OpenCheckpoint(bad, s.logKey); err == nil {
				t.Errorf("accepted with bit %d of byte %d flipped", bit, i)
			}
		}
	}
	text, lines, _ := splitNote(msg)
	twice := string(msg) + string(lines)
	stranger, _ := fixedLogKey(t, "stranger", 97)
	foreign, err := note.Sign(&note.Note{Text: string(text)}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	_, foreignLine, _ := splitNote(foreign)
	for name, bad := range map[string]string{
		"its own line twice":          twice,
		"a line twice":                string(msg) + string(foreignLine) + string(foreignLine),
		"a stranger's line before it": string(text) + "\n" + string(foreignLine) + string(lines),
	} {
		if _, err := OpenCheckpoint([]byte(bad), s.logKey); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	_, other := fixedLogKey(t, s.signer.Name(), 99)
	if _, err := OpenCheckpoint(msg, other); err == nil {
		t.Error("accepted under another key")
	}
	for _, body := range []string{
		"", "x\n", s.signer.Name() + "\n01\nAAAA\n", s.signer.Name() + "\n1\nAAAA\n", s.signer.Name() + "\n-1\n" + strings.Repeat("A", 43) + "=\n",
		s.signer.Name() + "\n1\n" + strings.Repeat("A", 43) + "=\nmore\n", s.signer.Name() + "\n1\n" + strings.Repeat("A", 42) + "B=\n",
	} {
		if _, err := parseBody(body, s.signer.Name()); err == nil {
			t.Errorf("body %q was accepted", body)
		}
	}
	skey, vkey, err := GenerateLogKey(rand.Reader, "tacit/x")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLog(skey)
	if err != nil {
		t.Fatal(err)
	}
	_, root, err := l.Append(hashStore{}, 0, s.entries[:1])
	if err != nil {
		t.Fatal(err)
	}
	msg, err = l.SignCheckpoint(1, root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(msg, vkey); err != nil {
		t.Error(err)
	}
	if _, err := NewLog(vkey); err == nil || strings.Contains(err.Error(), vkey) {
		t.Errorf("a verifier key as signer key: %v", err)
	}
}

func TestCosignature(t *testing.T) {
	s := smallSample(t)
	msg := s.checkpoint()
	key, agent := s.agents[0].Ed25519(), s.agent(0)
	line, err := Cosign(msg, agent, key, 1772460000)
	if err != nil {
		t.Fatal(err)
	}
	pub := s.agents[0].Public()
	at, err := CheckCosignature(msg, line, agent, pub.Ed25519())
	if err != nil || at != 1772460000 {
		t.Fatalf("time %d, %v", at, err)
	}
	// The same by hand, from the text of https://c2sp.org/tlog-cosignature.
	fields := strings.Fields(string(line))
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	keyID := sha256.Sum256(append([]byte(fields[1]+"\n\x04"), pub.Ed25519()...))
	text, _, _ := strings.Cut(string(msg), "\n\n")
	if fields[0] != "—" || !bytes.Equal(raw[:4], keyID[:4]) || binary.BigEndian.Uint64(raw[4:]) != 1772460000 ||
		!ed25519.Verify(pub.Ed25519(), []byte("cosignature/v1\ntime 1772460000\n"+text+"\n"), raw[12:]) {
		t.Error("the line is not what the specification says")
	}
	for i := range line {
		for bit := range 8 {
			bad := bytes.Clone(line)
			bad[i] ^= 1 << bit
			if _, err := CheckCosignature(msg, bad, agent, pub.Ed25519()); err == nil {
				t.Errorf("accepted with bit %d of byte %d flipped", bit, i)
			}
		}
	}
	other := s.agents[1].Public()
	if _, err := CheckCosignature(msg, line, agent, other.Ed25519()); err == nil {
		t.Error("accepted under another agent's key")
	}
	both, err := AddCosignature(msg, line)
	if err != nil {
		t.Fatal(err)
	}
	again, err := AddCosignature(both, line)
	if err != nil || !bytes.Equal(again, both) {
		t.Error("the same line twice changes the note")
	}
	if _, err := OpenCheckpoint(both, s.logKey); err != nil {
		t.Error(err)
	}
}

func TestWitness(t *testing.T) {
	s := newSample(t)
	w, err := NewWitness(s.logKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.CheckEntry(s.entries[0], 0, nil); err == nil {
		t.Error("an entry was checked against nothing")
	}
	first := s.checkpoint()
	if err := w.Advance(first, nil); err != nil {
		t.Fatal(err)
	}
	n := uint64(len(s.entries))
	s.add(ServerStarted{2}, id.Digest{})
	second := s.checkpoint()
	proof, err := ProveConsistency(s.stored, n, n+1)
	if err != nil {
		t.Fatal(err)
	}
	want := func(kind ViolationKind, err error) {
		t.Helper()
		var v *Violation
		if !errors.As(err, &v) || v.Kind != kind {
			t.Fatalf("got %v, want a %s", err, kind)
		}
		raw, err := v.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		read, err := ParseViolation(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := read.Check(s.logKey); err != nil {
			t.Errorf("others cannot check it: %v", err)
		}
		read.New = read.Old
		if read.Check(s.logKey) == nil {
			t.Error("a violation of one note with itself")
		}
	}
	want(Inconsistent, w.Advance(second, nil))
	if h, _ := w.Head(); h.Size != n {
		t.Fatal("a violation moved the witness")
	}
	if err := w.Advance(second, proof); err != nil {
		t.Fatal(err)
	}
	if err := w.Advance(second, nil); err != nil {
		t.Errorf("the same checkpoint again: %v", err)
	}
	want(Rollback, w.Advance(first, nil))

	fork := newSample(t)
	fork.add(ServerStarted{3}, id.Digest{})
	want(Fork, w.Advance(fork.checkpoint(), nil))

	in, err := ProveInclusion(s.stored, n+1, 3)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := w.CheckEntry(s.entries[3], 3, in); err != nil || e.Kind() != KindConfigurationChanged {
		t.Errorf("%v, %v", e.Kind(), err)
	}
	if _, err := w.CheckEntry(s.entries[4], 3, in); err == nil {
		t.Error("another entry passed")
	}
	restored, err := ParseWitness(w.AppendBinary(nil))
	if err != nil {
		t.Fatal(err)
	}
	want(Fork, restored.Advance(fork.checkpoint(), nil))
	_, stranger := fixedLogKey(t, s.signer.Name(), 98)
	other, _ := NewWitness(stranger)
	if other.Advance(first, nil) == nil {
		t.Error("a checkpoint of another key was accepted")
	}
}
