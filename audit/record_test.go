package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tacit/id"
)

// sampleRecords has one record of each type and the functions that read them.
func sampleRecords() map[string]appender {
	run := id.RunID(short(8))
	a, b := id.AgentID(short(1)), id.AgentID(short(2))
	traffic := Tidy([]Traffic{
		{b, "vector", ClassMaskedUpdates, 1, 149}, {a, "vector", ClassMaskedUpdates, 1, 149}, {a, "ready", ClassKeysAndShares, 1, 3530},
		{a, "vector", ClassMaskedUpdates, 2, 298}, {b, "ready", ClassKeysAndShares, 0, 0},
	})
	return map[string]appender{
		"run": &RunRecord{
			Run: run, Plan: planHash([]byte("plan")), Name: "heart-logreg", Purpose: "Predict heart disease\nfrom measurements", Family: "logistic-regression",
			Privacy: "none", Canonical: []byte("plan"), Text: "tacit: plan/v1\n", Values: []Value{{"clip", 1}, {"rounds", 15}},
		},
		"epoch": &EpochRecord{
			Run: run, Epoch: 4, Root: id.EpochRoot(seed(1)), Charter: id.CharterHash(seed(2)), Roster: id.RosterHash(seed(3)), RosterVersion: 4,
			Quorum: 3, Threshold: 3, MinRelease: 3, Live: 1, Private: 1,
			Members: []EpochMember{{a, "Cleveland Clinic", "Cleveland", "c2bb-34c6"}, {b, "Long Beach", "Long Beach", "464a-1557"}}, Traffic: traffic,
		},
		"round": &RoundRecord{
			Run: run, R: 9, Round: 7, Epoch: 4, Task: Train, Outcome: Committed, Ctx: id.Ctx(seed(4)), Set: []byte{0b101},
			Strip: []BranchState{full, Opened | Dropped, full}, Seconds: 3, Metrics: []Value{{MetricCorrect, 203}, {MetricExamples, 254}, {MetricLoss, 113.5}},
			Sum: id.Digest(seed(5)), Online: id.Digest(seed(6)), Certificate: []byte("certificate"), Traffic: traffic,
		},
		"aborted": &RoundRecord{
			Run: run, R: 10, Round: 7, Epoch: 4, Task: Train, Outcome: Aborted, Ctx: id.Ctx(seed(4)),
			Strip: []BranchState{Opened | Reported | Closed, Opened | Dropped, 0}, AbortCertificate: []byte("abort"),
		},
		"finish": &FinishRecord{Run: run, Traffic: traffic},
	}
}

// parseAny reads a record of any type.
func parseAny(b []byte) (appender, error) {
	if r, err := ParseRunRecord(b); err == nil {
		return r, nil
	}
	if r, err := ParseEpochRecord(b); err == nil {
		return r, nil
	}
	if r, err := ParseRoundRecord(b); err == nil {
		return r, nil
	}
	if r, err := ParseFinishRecord(b); err == nil {
		return r, nil
	}
	return nil, fmt.Errorf("no record")
}

func TestRecords(t *testing.T) {
	for name, r := range sampleRecords() {
		raw, err := r.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := parseAny(raw)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, want %+v (%v)", name, got, r, err)
		}
		for n := range raw {
			if _, err := parseAny(raw[:n]); err == nil {
				t.Errorf("%s: accepted when cut to %d bytes", name, n)
			}
		}
		if _, err := parseAny(append(raw, 0)); err == nil {
			t.Errorf("%s: accepted with a byte too many", name)
		}
	}
}

func TestRecordRules(t *testing.T) {
	round := func(f func(*RoundRecord)) appender { r := *sampleRecords()["round"].(*RoundRecord); f(&r); return &r }
	epoch := func(f func(*EpochRecord)) appender { r := *sampleRecords()["epoch"].(*EpochRecord); f(&r); return &r }
	run := func(f func(*RunRecord)) appender { r := *sampleRecords()["run"].(*RunRecord); f(&r); return &r }
	agent := id.AgentID(short(1))
	for name, r := range map[string]appender{
		"a set with nobody's report":                round(func(r *RoundRecord) { r.Strip = []BranchState{InSet, Opened, full} }),
		"a set beyond the members":                  round(func(r *RoundRecord) { r.Set = []byte{0b1101} }),
		"a set of two bytes":                        round(func(r *RoundRecord) { r.Set = []byte{0b101, 0} }),
		"set and strip":                             round(func(r *RoundRecord) { r.Set = []byte{0b111} }),
		"reported, in the set, not so in the strip": round(func(r *RoundRecord) { r.Set, r.Strip = []byte{0b111}, []BranchState{full, Opened | Reported, full} }),
		"unknown state":                             round(func(r *RoundRecord) { r.Strip = []BranchState{full, 128, full} }),
		"unknown outcome":                           round(func(r *RoundRecord) { r.Outcome = 0 }),
		"NaN":                                       round(func(r *RoundRecord) { r.Metrics = []Value{{"loss", math.NaN()}} }),
		"infinite":                                  round(func(r *RoundRecord) { r.Metrics = []Value{{"loss", math.Inf(1)}} }),
		"metrics out of order":                      round(func(r *RoundRecord) { r.Metrics = []Value{{"loss", 1}, {"correct", 1}} }),
		"a metric twice":                            round(func(r *RoundRecord) { r.Metrics = []Value{{"loss", 1}, {"loss", 1}} }),
		"traffic out of order": round(func(r *RoundRecord) {
			r.Traffic = []Traffic{{agent, "b", ClassControl, 1, 1}, {agent, "a", ClassControl, 1, 1}}
		}),
		"traffic of nothing": round(func(r *RoundRecord) { r.Traffic = []Traffic{{agent, "b", ClassControl, 0, 0}} }),
		"a kind in two classes": round(func(r *RoundRecord) {
			r.Traffic = []Traffic{{agent, "b", ClassControl, 1, 1}, {id.AgentID(short(2)), "b", ClassMaskedUpdates, 1, 1}}
		}),
		"an unknown class":      round(func(r *RoundRecord) { r.Traffic = []Traffic{{agent, "b", 9, 1, 1}} }),
		"members out of order":  epoch(func(r *EpochRecord) { r.Members = []EpochMember{r.Members[1], r.Members[0]} }),
		"a member twice":        epoch(func(r *EpochRecord) { r.Members = []EpochMember{r.Members[0], r.Members[0]} }),
		"a nameless site":       epoch(func(r *EpochRecord) { r.Members = []EpochMember{{agent, "org", "", "f"}} }),
		"text with an escape":   run(func(r *RunRecord) { r.Text = "\x1b[2J" }),
		"text that is no UTF-8": run(func(r *RunRecord) { r.Text = "\xff" }),
	} {
		if _, err := r.AppendBinary(nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, r := range sampleRecords() {
		raw, err := r.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseAny(b)
		if err != nil {
			return
		}
		again, err := r.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x parses but encodes to %x (%v)", b, again, err)
		}
	})
}

// FuzzParseState covers what agents read back from disk and from each other.
func FuzzParseState(f *testing.F) {
	s := newSample(f)
	w, err := NewWitness(s.logKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(w.AppendBinary(nil))
	s.must(w.Advance(s.checkpoint(), nil))
	f.Add(w.AppendBinary(nil))
	v := &Violation{Kind: Fork, Old: s.checkpoint(), New: s.checkpoint(), Proof: Proof{{1}}}
	raw, err := v.AppendBinary(nil)
	s.must(err)
	f.Add(raw)
	f.Add(Proof{{1}, {2}}.AppendBinary(nil))
	f.Add(s.checkpoint())
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := ParseWitness(b); err == nil && !bytes.Equal(w.AppendBinary(nil), b) {
			t.Fatalf("witness %x has two encodings", b)
		}
		if v, err := ParseViolation(b); err == nil {
			if again, err := v.AppendBinary(nil); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("violation %x has two encodings (%v)", b, err)
			}
			_ = v.Check(s.logKey)
		}
		if p, err := ParseProof(b); err == nil && !bytes.Equal(p.AppendBinary(nil), b) {
			t.Fatalf("proof %x has two encodings", b)
		}
		if h, err := OpenCheckpoint(b, s.logKey); err == nil && h.Size != uint64(len(s.entries)) {
			t.Fatal("a checkpoint that was never signed")
		}
	})
}

func TestRecordVectors(t *testing.T) {
	path := filepath.Join(folder, "records.txt")
	if *update {
		var b strings.Builder
		b.WriteString("# records: accept|reject, name, hex; written by go test ./audit -run TestRecordVectors -update\n")
		for _, name := range []string{"run", "epoch", "round", "aborted", "finish"} {
			raw, err := sampleRecords()[name].AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "accept\t%s\t%x\n", name, raw)
			bad := func(what string, f func([]byte) []byte) {
				fmt.Fprintf(&b, "reject\t%s: %s\t%x\n", name, what, f(bytes.Clone(raw)))
			}
			bad("another magic", func(r []byte) []byte { r[0] ^= 1; return r })
			bad("format 2", func(r []byte) []byte { r[12] = 2; return r })
			bad("unknown type", func(r []byte) []byte { r[13] = 9; return r })
			bad("one byte short", func(r []byte) []byte { return r[:len(r)-1] })
			bad("one byte long", func(r []byte) []byte { return append(r, 0) })
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	accepted, rejected := 0, 0
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), "\t", 3)
		if len(f) != 3 {
			continue
		}
		raw, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatalf("%s: %v", f[1], err)
		}
		_, err = parseAny(raw)
		if f[0] == "accept" {
			accepted++
			want, _ := sampleRecords()[f[1]].AppendBinary(nil)
			if err != nil || !bytes.Equal(want, raw) {
				t.Errorf("%s: refused, or its bytes changed (%v)", f[1], err)
			}
		} else {
			rejected++
			if err == nil {
				t.Errorf("%s: accepted", f[1])
			}
		}
	}
	if accepted < 5 || rejected < accepted {
		t.Fatalf("%d vectors to accept and %d to reject", accepted, rejected)
	}
}
