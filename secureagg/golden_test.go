package secureagg

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tacit/id"
)

var update = flag.Bool("update", false, "write testdata/secureagg/vectors.json and the fuzz seeds anew")

const vectorsFile = "../testdata/secureagg/vectors.json"

// vectors is the corpus: one message of every kind, edits of them that must be
// refused, and values of the derivations.
type vectors struct {
	Messages []struct {
		Kind string `json:"kind"`
		Hex  string `json:"hex"`
	} `json:"messages"`
	Rejects []reject          `json:"rejects"`
	Values  map[string]string `json:"values"`
}

// reject is an edit of an accepted message: bytes at At replaced by Hex, after
// cutting Cut bytes from the end, before appending Append.
type reject struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	At     int    `json:"at,omitempty"`
	Hex    string `json:"hex,omitempty"`
	Cut    int    `json:"cut,omitempty"`
	Append string `json:"append,omitempty"`
}

func (r *reject) apply(t testing.TB, msg []byte) []byte {
	t.Helper()
	edit, err1 := hex.DecodeString(r.Hex)
	tail, err2 := hex.DecodeString(r.Append)
	if err1 != nil || err2 != nil || r.At+len(edit) > len(msg) || r.Cut > len(msg) {
		t.Fatalf("reject %q does not fit", r.Name)
	}
	b := bytes.Clone(msg)
	copy(b[r.At:], edit)
	b = append(b[:len(b)-r.Cut], tail...)
	if bytes.Equal(b, msg) {
		t.Fatalf("reject %q changes nothing", r.Name)
	}
	return b
}

// everyKind runs small worlds until a message of every kind was seen.
func everyKind(t *testing.T) map[MessageKind][]byte {
	seen := make(map[MessageKind][]byte)
	note := func(msgs ...[]byte) {
		for _, m := range msgs {
			k, ok := Kind(m)
			if !ok {
				t.Fatal("a message without a kind")
			}
			if seen[k] == nil || k == KindVote {
				seen[k] = m
			}
		}
	}
	w := newWorld(t, 4)
	w.tamper = func(_ int, m []byte) []byte { note(m); return m }
	w.setup()
	for _, s := range w.log {
		note(s.msg)
	}
	in := w.inputs(1)
	w.begin(in)
	note(w.round.Start())
	for i := range 4 {
		if w.open(i, in) != nil || i < 3 && w.report(i, in) != nil {
			t.Fatal("no attempt")
		}
	}
	note(w.agents[0].m.rd.report)
	w.pump()
	if err := w.collect(); err != nil {
		t.Fatal(err)
	}
	w.pump()
	note(w.agents[0].m.rd.shares)
	next := w.inputs(2)
	w.begin(next)
	if err := w.open(0, next); err != nil {
		t.Fatal(err)
	}
	ask, _ := w.round.AskClose()
	w.post(ask)
	w.pump()
	note(w.agents[0].m.rd.close, w.aborts[0])
	w.restart(0)
	out, _ := w.agents[0].m.Reenter()
	note(out.Send...)
	w.reenter(0)
	out, _ = w.agents[0].m.askRekey(1, rekeyKeysLost)
	note(out.Send...)

	evil := reported(t, 4, map[int]func(*report){2: func(r *report) { r.Blobs[0][3] ^= 1 }})
	out, err := evil.agents[0].m.Handle(evil.sets()[0].Msg)
	if err != nil {
		t.Fatal(err)
	}
	note(out.Send...) // a vote with a complaint
	return seen
}

// rejects lists edits for one kind; sizes follow from the kinds' layouts.
func rejectsOf(k MessageKind, msg []byte) []reject {
	name := k.String()
	out := []reject{
		{Name: "truncated", Kind: name, Cut: 1},
		{Name: "trailing byte", Kind: name, Append: "00"},
		{Name: "unknown version", Kind: name, At: 1, Hex: "02"},
		{Name: "another cohort", Kind: name, At: 37, Hex: "01"},
		{Name: "header only", Kind: name, Cut: len(msg) - headerSize},
	}
	if k >= KindRoundStart && k <= KindAbortCert {
		out = append(out, reject{Name: "no attempt", Kind: name, At: 26, Hex: "0000000000000000"},
			reject{Name: "no context", Kind: name, At: 38, Hex: strings.Repeat("00", 32)})
	} else {
		out = append(out, reject{Name: "an attempt", Kind: name, At: 33, Hex: "01"},
			reject{Name: "epoch zero", Kind: name, At: 18, Hex: "0000000000000000"})
	}
	switch k {
	case KindProposal:
		out = append(out, reject{Name: "two cohorts", Kind: name, At: headerSize + 75, Hex: "02"},
			reject{Name: "agents out of order", Kind: name, At: headerSize + 77, Hex: strings.Repeat("ff", 16)})
	case KindEpochKey:
		out = append(out, reject{Name: "a coin", Kind: name, At: headerSize + 16 + 64, Hex: "01"})
	case KindReady:
		out = append(out, reject{Name: "a coin list", Kind: name, At: headerSize + 2 + 96, Hex: "01"})
	case KindReadySet, KindAbortCert:
		at := headerSize + 1
		if k == KindReadySet {
			at += 32
		}
		out = append(out, reject{Name: "members out of order", Kind: name, At: at + 1, Hex: "03"},
			reject{Name: "more signatures than members", Kind: name, At: at, Hex: "05"})
	case KindRoundStart:
		out = append(out, reject{Name: "two cohorts", Kind: name, At: headerSize + 32 + 9 + 128 + 3, Hex: "02"},
			reject{Name: "another model than ctx", Kind: name, At: headerSize + 32 + 9 + 40, Hex: "ff"})
	case KindReport, KindCtList, KindCtDelivery, KindConfirm, KindConfirmSet, KindClose, KindVote:
		out = append(out, reject{Name: "member beyond the cohort", Kind: name, At: headerSize + 1, Hex: "04"},
			reject{Name: "cohort of two", Kind: name, At: headerSize, Hex: "02"},
			reject{Name: "cohort of 129", Kind: name, At: headerSize, Hex: "81"})
	case KindOnlineSet:
		out = append(out, reject{Name: "set beyond the cohort", Kind: name, At: headerSize + 2, Hex: "17"},
			reject{Name: "set of another size", Kind: name, At: headerSize + 2, Hex: "0f"})
	case KindCertificate:
		out = append(out, reject{Name: "set beyond the cohort", Kind: name, At: headerSize + 1, Hex: "17"},
			reject{Name: "votes out of order", Kind: name, At: headerSize + 2 + 32 + 1, Hex: "03"})
	case KindShares:
		at := headerSize + 2 + 1 + 32 + 1
		out = append(out, reject{Name: "a dealer outside the set", Kind: name, At: at - 1, Hex: "0f"},
			reject{Name: "a share that is p", Kind: name, At: at, Hex: "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed"},
			reject{Name: "a share above 2^255", Kind: name, At: at, Hex: "80"})
	case KindFloor:
		out = append(out, reject{Name: "unknown role", Kind: name, At: headerSize + 64 + 8, Hex: "09"})
	case KindRekey:
		out = append(out, reject{Name: "unknown cause", Kind: name, At: headerSize + 16, Hex: "00"})
	case KindCloseRequest:
		out = append(out, reject{Name: "RoundStart of another attempt", Kind: name, At: headerSize + 33, Hex: "09"})
	}
	return out
}

// derivations computes the named values.
func derivations() map[string]string {
	v := make(map[string]string)
	put := func(name string, b []byte) { v[name] = hex.EncodeToString(b) }
	in := RoundInputs{Run: id.RunID{1}, Plan: id.PlanHash{2}, R: 3, Round: 4, Task: 1, Model: id.ModelHash{5},
		Config: id.ConfigHash{6}, Charter: id.CharterHash{7}, Cohorts: 1, Dim: 8}
	ctx := in.Ctx(9, id.EpochRoot{10})
	put("ctx", ctx[:])
	var z element
	reduceElement(&z, bytes.Repeat([]byte{0xab}, 32))
	var b [32]byte
	putElement(b[:], &z)
	put("reduce ab^32", b[:])
	y := make([]uint32, 9)
	seedMask(&z, ctx, false).apply(y, 0)
	put("mask of ab^32, words 0 to 8", vectorBytes(y))
	clear(y)
	seedMask(&z, ctx, true).apply(y, 5)
	put("minus mask of ab^32, words 5 to 13", vectorBytes(y))
	s := newSplitter(5, 4)
	shares := make([]element, 5)
	if err := s.split(shares, &z, bytes.NewReader(bytes.Repeat([]byte{0x11, 0x22, 0x33}, 32))); err != nil {
		panic(err)
	}
	for u := range shares {
		putElement(b[:], &shares[u])
		put(fmt.Sprintf("share %d of 5, threshold 4", u+1), b[:])
	}
	h := header{Run: id.RunID{1}, Epoch: 9}
	key := pairKey(&h, &digest{10}, []byte{1}, []byte{2}, &secret{3}, &secret{4}, []byte("ek lo"), []byte("ek hi"), []byte("ct lo"), []byte("ct hi"))
	put("CK^0", key[:])
	tag := confirmTag(&key, []byte{2}, []byte{1})
	put("confirm 2 to 1", tag[:])
	c := chain{keys: []secret{key}}
	c.advance(3)
	put("CK^3", c.keys[0][:])
	seed := pairSeed(&key, &ctx)
	putElement(b[:], &seed)
	put("pair seed", b[:])
	bk := blobKey(&key, 1, 2, &ctx, &digest{11})
	put("blob key 1 to 2", bk[:])
	leaves := shareLeaves(2, b[:], bytes.Repeat([]byte{1}, 5*32))
	root := merkleRoot(leaves)
	put("share tree of member 2", root[:])
	com := pairCommitment(&ctx, []byte{1}, []byte{2}, b[:])
	put("pair commitment 1, 2", com[:])
	com = selfCommitment(&ctx, b[:])
	put("self commitment", com[:])
	set := bitmap{0x16}
	com = setHash(&set, 5)
	put("H(O) of members 1, 2, 4 of 5", com[:])
	return v
}

func TestVectors(t *testing.T) {
	msgs := everyKind(t)
	if *update {
		writeVectors(t, msgs)
	}
	raw, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatalf("the corpus is missing: %v", err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Messages) != int(KindRekey) || len(v.Rejects) < len(v.Messages)+len(v.Values) || len(v.Values) < 15 {
		t.Fatalf("the corpus is thin: %d messages, %d rejects, %d values", len(v.Messages), len(v.Rejects), len(v.Values))
	}
	got := derivations()
	for name, want := range v.Values {
		if got[name] != want {
			t.Errorf("%s: got %s, want %s", name, got[name], want)
		}
	}
	base := make(map[string][]byte)
	for i, m := range v.Messages {
		b, err := hex.DecodeString(m.Hex)
		if err != nil || m.Kind != MessageKind(i+1).String() {
			t.Fatalf("message %d: %v", i, err)
		}
		p, err := parseMessage(b)
		if err != nil {
			t.Errorf("%s is refused: %v", m.Kind, err)
		} else if !bytes.Equal(p.encode(), b) {
			t.Errorf("%s does not encode to what it was", m.Kind)
		}
		// The protocol is deterministic under the tests' randomness: the same story
		// gives the same bytes.
		if !bytes.Equal(msgs[MessageKind(i+1)], b) {
			t.Errorf("%s has other bytes than the golden one", m.Kind)
		}
		base[m.Kind] = b
	}
	for _, r := range v.Rejects {
		if p, err := parseMessage(r.apply(t, base[r.Kind])); err == nil || p != nil {
			t.Errorf("%s: %s is accepted", r.Kind, r.Name)
		}
	}
}

func writeVectors(t *testing.T, msgs map[MessageKind][]byte) {
	var v vectors
	for k := MessageKind(1); k < kindEnd; k++ {
		v.Messages = append(v.Messages, struct {
			Kind string `json:"kind"`
			Hex  string `json:"hex"`
		}{k.String(), hex.EncodeToString(msgs[k])})
		v.Rejects = append(v.Rejects, rejectsOf(k, msgs[k])...)
		seed := fmt.Appendf(nil, "go test fuzz v1\n[]byte(%q)\n", msgs[k])
		for _, target := range []string{"FuzzMessage", "FuzzHandle"} {
			dir := filepath.Join("testdata", "fuzz", target)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if target == "FuzzHandle" && len(msgs[k]) > 8192 {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, k.String()), seed, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	v.Values = derivations()
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzMessage: whatever parses has one encoding.
func FuzzMessage(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			if m != nil {
				t.Fatal("a result beside an error")
			}
			return
		}
		if !bytes.Equal(m.encode(), b) {
			t.Fatal("another encoding of the same message")
		}
	})
}

// FuzzHandle: no bytes make a member or the server panic, vote or release.
func FuzzHandle(f *testing.F) {
	w := direct(f, 4)
	in := w.inputs(1)
	w.begin(in)
	for i := range 4 {
		if w.open(i, in) != nil || w.report(i, in) != nil {
			f.Fatal("no attempt")
		}
	}
	w.pump()
	if _, _, err := w.round.CloseCollection(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := cloneMember(w.agents[0].m)
		out, err := m.Handle(b)
		for _, s := range out.Send {
			if k, _ := Kind(s); k == KindShares {
				t.Fatal("released")
			}
		}
		if err == nil && len(out.Send)+len(out.Journal) > 0 {
			if k, _ := Kind(b); k != KindReentry && k != KindCloseRequest && k != KindOnlineSet && k != KindAbortCert && k != KindProposal && len(kindsOf(out)) > 0 && kindsOf(out)[0] != KindRekey {
				t.Fatalf("answered a %s", k)
			}
		}
		r := cloneRound(w.round)
		a := w.agents[1].id
		r.AcceptReport(a, b, digest{})
		r.Vote(a, b)
		r.Shares(a, b)
		r.CloseSigned(a, b)
		w.epoch.Relay(a, b)
		w.epoch.RekeyWanted(a, b)
		VerifyCertificate(b, nil, nil)
	})
}
