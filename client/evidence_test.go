package client

import (
	"bytes"
	"reflect"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/strategy"
)

func sampleEvidence() *Evidence {
	p := &Proved{Entry: []byte("entry"), Index: 3, Inclusion: audit.Proof{tlog.Hash{1}, tlog.Hash{2}}, Checkpoint: []byte("note")}
	return &Evidence{Run: id.RunID{1}, R: 2, Round: 1, Task: 2, Opened: p, Closed: p, Certificate: []byte("certificate"),
		Receipt: &Receipt{Report: [32]byte{1}, Vector: [32]byte{2}, TreeSize: 9, Signature: make([]byte, id.SignatureSize)}}
}

func TestEvidence(t *testing.T) {
	for _, want := range []*Evidence{sampleEvidence(), {Run: id.RunID{1}, R: 7}} {
		b, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseEvidence(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
		for i := range b {
			if _, err := ParseEvidence(b[:i]); err == nil {
				t.Errorf("%d of %d bytes pass", i, len(b))
			}
		}
		if _, err := ParseEvidence(append(bytes.Clone(b), 0)); err == nil {
			t.Error("a byte too many passes")
		}
	}
	if _, err := ParseEvidence(make([]byte, maxEvidence+1)); err == nil {
		t.Error("no limit")
	}
}

func FuzzEvidence(f *testing.F) {
	b, err := sampleEvidence().AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	empty, _ := (&Evidence{Run: id.RunID{1}, R: 7}).AppendBinary(nil)
	f.Add(empty)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEvidence(b)
		if err != nil {
			if e != nil {
				t.Error("a result with an error")
			}
			return
		}
		again, err := e.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x reads and writes %x, %v", b, again, err)
		}
	})
}

// A model in the journal reads back as it was, and nothing else does.
func FuzzHeld(f *testing.F) {
	p, err := plan.Parse([]byte(testPlan), "toy.yaml")
	if err != nil {
		f.Fatal(err)
	}
	rec, state, err := strategy.Initial(p)
	if err != nil {
		f.Fatal(err)
	}
	whole := &held{rec: rec, state: state, next: 3, r: 4}
	f.Add(whole.bytes())
	if got, err := parseHeld(whole.bytes()); err != nil || got.hash != rec.Hash() || got.next != 3 || got.r != 4 {
		f.Errorf("%+v, %v", got, err)
	}
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01\x03\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeld(b)
		if err == nil && !bytes.Equal(h.bytes(), b) {
			t.Errorf("%x reads and writes %x", b, h.bytes())
		}
	})
}
