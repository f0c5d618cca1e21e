package wire

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tacit/id"
	"tacit/wire/wsconn"
)

var _ FrameConn = (*wsconn.Conn)(nil)

// Every kind has one class, one direction and a limit, and no kind can carry rows
// or plaintext updates.
func TestKinds(t *testing.T) {
	types := map[reflect.Type]Kind{}
	names := map[string]bool{}
	if len(Kinds()) != len(examples()) {
		t.Fatalf("%d kinds, %d examples", len(Kinds()), len(examples()))
	}
	for _, k := range Kinds() {
		m := kinds[k].empty()
		if m.Kind() != k {
			t.Errorf("%v: its message says it is %v", k, m.Kind())
		}
		if old, dup := types[reflect.TypeOf(m)]; dup {
			t.Errorf("%v and %v share a message", k, old)
		}
		types[reflect.TypeOf(m)] = k
		if names[k.String()] || k.String() == "" || "*wire."+k.String() != reflect.TypeOf(m).String() {
			t.Errorf("%v: bad name", k)
		}
		names[k.String()] = true
		switch k.Class() {
		case ClassMaskedUpdates:
			if k != KindVector {
				t.Errorf("%v carries masked updates", k)
			}
		case ClassKeysAndShares, ClassControl:
		default:
			t.Errorf("%v: class %v", k, k.Class())
		}
		if d := k.Direction(); d != Up && d != Down && d != Both {
			t.Errorf("%v: direction %d", k, d)
		} else if d == Up && k >= 0x40 || d == Down && (k < 0x40 || k >= 0x80) || d == Both && k < 0x80 {
			t.Errorf("%v: number 0x%02x does not fit its direction", k, uint8(k))
		}
		if k.Limit() <= 0 || k.Limit() > maxBulk || kinds[k].phase == 0 {
			t.Errorf("%v: limit %d, phase %d", k, k.Limit(), kinds[k].phase)
		}
	}
	if unknown := Kind(0xff); unknown.Known() || unknown.Limit() != 0 || unknown.Direction() != 0 {
		t.Error("an unknown kind has properties")
	}
	if len(Classes()) != NumClasses || len(Bytes{}.Map()) != NumClasses {
		t.Error("a class is missing")
	}
}

// Each rule of a field holds at the sender too.
func TestSenderChecks(t *testing.T) {
	for _, m := range []Msg{
		&RunDone{State: "over"},
		&PlanReply{Code: ""},
		&Error{Code: CodeBusy, Message: "a\x00b"},
		&Vector{Words: make([]byte, 5)},
		&Join{Org: " x", Site: "y"},
	} {
		if _, err := Marshal(m); errorKind(err) != "format" {
			t.Errorf("%T: got %v, want a FormatError", m, err)
		}
	}
	if _, err := Marshal(&Ping{}); err != nil {
		t.Error(err)
	}
	if _, err := Marshal(&Cosign{Checkpoint: make([]byte, maxCheckpoint+1)}); err == nil {
		t.Error("a checkpoint over the limit left")
	}
	if _, err := Marshal(&PlanOffer{Plan: make([]byte, maxPlan)}); errorKind(err) != "limit" {
		t.Errorf("got %v, want a LimitError", err)
	}
}

// The largest message of each kind that 128 agents can need fits.
func TestVectorSize(t *testing.T) {
	longest := &Vector{Run: fill[id.RunID](1), R: 1<<64 - 1, Words: make([]byte, 400)}
	if b := mustMarshal(longest); len(b)-overhead > VectorSize(100) {
		t.Errorf("a vector of 100 words has %d bytes, VectorSize says %d", len(b)-overhead, VectorSize(100))
	}
}

func TestWords(t *testing.T) {
	x := []uint32{0, 1, 0x01020304, 1<<32 - 1}
	b := AppendWords([]byte{9}, x)[1:]
	if want := []byte{0, 0, 0, 0, 1, 0, 0, 0, 4, 3, 2, 1, 255, 255, 255, 255}; !bytes.Equal(b, want) {
		t.Errorf("got %x, want %x", b, want)
	}
	y := make([]uint32, 4)
	if err := ParseWords(y, b); err != nil || !reflect.DeepEqual(x, y) {
		t.Errorf("got %v, %v", y, err)
	}
	for _, n := range []int{0, 3, 5} {
		if ParseWords(make([]uint32, n), b) == nil {
			t.Errorf("16 bytes fill %d words", n)
		}
	}
}

func TestSignatures(t *testing.T) {
	key, other := id.NewPrivateKey(fill[[32]byte](1)), id.NewPrivateKey(fill[[32]byte](2))
	pub, otherPub := key.Public(), other.Public()
	here, there := fill[[32]byte](3), fill[[32]byte](4)

	newJoin := func() *Join {
		j := &Join{Token: fill[id.Token](5), Org: "a", Site: "b", NotAfter: 7, Software: "c"}
		j.Sign(key, here)
		return j
	}
	if got, err := newJoin().Verify(here); err != nil || !got.Equal(&pub) {
		t.Errorf("a good join: %v", err)
	}
	for name, change := range map[string]func(*Join){
		"token": func(j *Join) { j.Token[0]++ }, "org": func(j *Join) { j.Org = "ab" }, "site": func(j *Join) { j.Site = "" },
		"key": func(j *Join) { j.PublicKey = otherPub.AppendBinary(nil) }, "validity": func(j *Join) { j.NotAfter++ },
		"software": func(j *Join) { j.Software = "" }, "possession": func(j *Join) { j.Possession[100] ^= 1 },
		"zero key": func(j *Join) { clear(j.PublicKey) }, "no key": func(j *Join) { j.PublicKey = nil },
	} {
		j := newJoin()
		change(j)
		if got, err := j.Verify(here); err == nil || !got.IsZero() {
			t.Errorf("join with a changed %s verifies", name)
		}
	}
	if _, err := newJoin().Verify(there); err == nil {
		t.Error("a join was replayed into another channel")
	}

	auth := &Auth{TreeSize: 9, Software: "c"}
	auth.Sign(key, here)
	if err := auth.Verify(pub, here); err != nil {
		t.Errorf("a good auth: %v", err)
	}
	if auth.Verify(pub, there) == nil {
		t.Error("an auth was replayed into another channel")
	}
	if auth.Verify(otherPub, here) == nil {
		t.Error("an auth verifies with another's key")
	}
	stolen := &Auth{Agent: otherPub.AgentID()}
	stolen.Signature = key.Sign(id.LabelAuth, stolen.body(here))
	if stolen.Verify(pub, here) == nil {
		t.Error("an auth in another agent's name verifies")
	}
	auth.TreeSize++
	if auth.Verify(pub, here) == nil {
		t.Error("an auth with another tree size verifies")
	}

	ack := &ReportAck{Run: fill[id.RunID](1), R: 2, Report: here, Vector: there, TreeSize: 3}
	ack.Sign(other, pub.AgentID())
	if err := ack.Verify(otherPub, pub.AgentID()); err != nil {
		t.Errorf("a good receipt: %v", err)
	}
	if ack.Verify(otherPub, otherPub.AgentID()) == nil {
		t.Error("a receipt of one agent serves another")
	}
	for name, change := range map[string]func(*ReportAck){
		"run": func(a *ReportAck) { a.Run[0]++ }, "r": func(a *ReportAck) { a.R++ }, "report": func(a *ReportAck) { a.Report[0]++ },
		"vector": func(a *ReportAck) { a.Vector[0]++ }, "tree size": func(a *ReportAck) { a.TreeSize++ },
	} {
		bad := *ack
		change(&bad)
		if bad.Verify(otherPub, pub.AgentID()) == nil {
			t.Errorf("a receipt with a changed %s verifies", name)
		}
	}
}

// Tokens and keys do not print.
func TestSecretsDoNotPrint(t *testing.T) {
	seed := fill[[32]byte](0x61)
	k, err := NewChannelKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	j := &Join{Token: id.Token([]byte("abcdefghijklmnop"))}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %x", k, k, k, k, k), fmt.Sprintf("%v %+v %#v", j, *j, j)} {
		if strings.Contains(s, "abcd") || strings.Contains(s, "61626364") || strings.Contains(s, "97 98 99") || strings.Contains(s, "0x61, 0x62") {
			t.Errorf("a secret printed: %.200s", s)
		}
	}
	if k.Seed() != seed || k.Fingerprint() != id.SumDigest(k.Public()) || len(k.Public()) != ChannelKeySize {
		t.Error("the key does not give back what it is made of")
	}
}

func checkMessage(t *testing.T, data []byte) {
	kept := bytes.Clone(data)
	m, err := Parse(data)
	if err != nil {
		if m != nil {
			t.Fatalf("a message beside the error %v", err)
		}
		if errorKind(err) == fmt.Sprint(err) {
			t.Fatalf("an error without a type: %v", err)
		}
		return
	}
	again, err := Marshal(m)
	if err != nil || !bytes.Equal(again, kept) {
		t.Fatalf("%v: %x encodes to %x, %v", m.Kind(), kept, again, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) { checkMessage(t, data) })
}

// TestFuzzSeeds writes the committed seeds with -update, and fails without them:
// the fuzz targets run them in every go test.
func TestFuzzSeeds(t *testing.T) {
	dir := filepath.Join("testdata", "fuzz")
	if *update {
		seeds := map[string][]vector{"FuzzParse": nil, "FuzzHandshake": handshakeSeeds(t), "FuzzReceive": receiveSeeds()}
		for _, m := range examples() {
			seeds["FuzzParse"] = append(seeds["FuzzParse"], vector{name: m.Kind().String(), data: mustMarshal(m)})
		}
		for _, v := range rejects() {
			seeds["FuzzParse"] = append(seeds["FuzzParse"], vector{name: "bad " + v.name, data: v.data})
		}
		for target, vs := range seeds {
			os.MkdirAll(filepath.Join(dir, target), 0o755)
			for _, v := range vs {
				name := strings.ReplaceAll(strings.ToLower(v.name), " ", "-")
				body := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", v.data)
				if err := os.WriteFile(filepath.Join(dir, target, name), []byte(body), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for target, atLeast := range map[string]int{"FuzzParse": 2 * len(Kinds()), "FuzzHandshake": 6, "FuzzReceive": 6} {
		files, err := os.ReadDir(filepath.Join(dir, target))
		if errors.Is(err, os.ErrNotExist) || len(files) < atLeast {
			t.Errorf("%s has %d committed seeds, want at least %d", target, len(files), atLeast)
		}
	}
}
