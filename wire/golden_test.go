package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"tacit/id"
)

// The vectors in testdata/wire are the format. Regenerate them with
//
//	go test ./wire -run 'Golden' -update
//
// and look at every changed line: an old agent reads the old bytes.
var update = flag.Bool("update", false, "rewrite the golden vectors and the fuzz seeds")

const goldenDir = "../testdata/wire"

type vector struct {
	name, want string // want: of a reject, the kind of error
	data       []byte
}

func fill[T ~[16]byte | ~[32]byte](first byte) (out T) {
	v := reflect.ValueOf(&out).Elem()
	for i := range v.Len() {
		v.Index(i).SetUint(uint64(first + byte(i)))
	}
	return out
}

func pattern(n int, first byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i*7)
	}
	return b
}

// examples has one message of every kind, with every field set.
func examples() []Msg {
	key := id.NewPrivateKey(fill[[32]byte](1))
	server := id.NewPrivateKey(fill[[32]byte](2))
	pub, spub := key.Public(), server.Public()
	run := fill[id.RunID](0x10)
	binding := fill[[32]byte](0x20)
	proof := Proof{
		Index: 6, TreeSize: 7, Inclusion: [][32]byte{fill[[32]byte](1), fill[[32]byte](2)},
		OldSize: 3, Consistency: [][32]byte{fill[[32]byte](3)}, Checkpoint: []byte("tacit.example/log\n7\nroot\n\n— sig\n"),
	}
	join := &Join{Token: fill[id.Token](9), Org: "Kantonsspital", Site: "Zürich", NotAfter: 1800000000, Software: "tacit 1.0"}
	join.Sign(key, binding)
	auth := &Auth{TreeSize: 7, Software: "tacit 1.0"}
	auth.Sign(key, binding)
	ack := &ReportAck{Run: run, R: 4, Report: fill[[32]byte](5), Vector: fill[[32]byte](6), TreeSize: 9}
	ack.Sign(server, pub.AgentID())
	return []Msg{
		join, auth,
		&PlanReply{Run: run, Plan: fill[id.PlanHash](7), Code: RefusalMinCohort, Detail: "the plan asks for 3 branches"},
		&Cosign{Checkpoint: []byte("note")},
		&StageUp{Run: run, Stage: pattern(40, 1)},
		&Report{Run: run, R: 4, Report: pattern(50, 2)},
		&Vector{Run: run, R: 4, Words: AppendWords(nil, []uint32{1, 0x80000000, 0xffffffff})},
		&AgentState{Run: run, Epoch: 5, Round: 3, Out: true},
		&JoinStatus{State: JoinPending, Agent: pub.AgentID(), Fingerprint: pub.Fingerprint(), Reason: "waits for an administrator"},
		&Welcome{Software: "tacit 1.0", Federation: fill[id.FederationID](3), Charter: pattern(20, 3), Roster: pattern(30, 4),
			ServerKey: spub.AppendBinary(nil), LogKey: "tacit.example/log+1234abcd+AQID", Proof: proof},
		&PlanOffer{Run: run, Plan: pattern(60, 5), Charter: fill[id.CharterHash](4), Entry: pattern(10, 6), Proof: proof},
		&RoundOpen{Run: run, R: 4, Round: 3, Task: 1, Model: fill[id.ModelHash](8), Start: pattern(30, 7), Entry: pattern(10, 8), Proof: proof},
		&StageDown{Run: run, Stage: pattern(40, 10)},
		ack,
		&Committed{Run: run, R: 4, Round: 3, Task: 1, Set: []byte{0x0f}, Record: pattern(20, 11), Certificate: pattern(30, 12),
			Entry: pattern(10, 13), Proof: proof, Next: fill[id.ModelHash](0x40), Done: true, Sum: AppendWords(nil, []uint32{7, 9})},
		&RoundAborted{Run: run, R: 4, Round: 3, Reason: "below the minimum release set", Entry: pattern(10, 14), Proof: proof},
		&RunDone{Run: run, State: RunStoppedState, Reason: "three attempts failed", Model: fill[id.ModelHash](8)},
		&Error{Code: CodeTokenUsed, Message: "the token was used before", Hint: "ask for a new joining string"},
		&Ping{Nonce: 1 << 40}, &Pong{Nonce: 23},
	}
}

// mutate changes the CBOR map of m and returns the whole message.
func mutate(m Msg, change func(map[string]any)) []byte {
	raw, err := Marshal(m)
	if err != nil {
		panic(err)
	}
	head, bulk := raw[overhead:], []byte(nil)
	if _, ok := m.(bulky); ok {
		n := int(head[2])<<8 | int(head[3])
		head, bulk = head[4:4+n], head[4+n:]
	}
	fields := map[string]any{}
	if err := cbor.Unmarshal(head, &fields); err != nil {
		panic(err)
	}
	change(fields)
	if head, err = encMode.Marshal(fields); err != nil {
		panic(err)
	}
	return frame(m, head, bulk)
}

// frame wraps a map, as it is, into a message of m's kind.
func frame(m Msg, head, bulk []byte) []byte {
	if _, ok := m.(bulky); ok {
		head = append([]byte{0, 0, byte(len(head) >> 8), byte(len(head))}, head...)
	}
	return append(append(appendPrefix(nil, m.Kind(), len(head)+len(bulk)), head...), bulk...)
}

func set(key string, v any) func(map[string]any) { return func(f map[string]any) { f[key] = v } }

func rejects() []vector {
	ping := &Ping{Nonce: 5}
	ask := &AgentState{}
	vec := &Vector{Words: make([]byte, 8)}
	byKind := map[Kind]Msg{}
	for _, m := range examples() {
		byKind[m.Kind()] = m
	}
	raw := func(m Msg, hexBody string) []byte {
		b, err := hex.DecodeString(hexBody)
		if err != nil {
			panic(err)
		}
		return frame(m, b, nil)
	}
	good, _ := Marshal(ping)
	badProof := func(field string, v any) []byte {
		return mutate(byKind[KindRoundAborted], func(f map[string]any) {
			f["proof"].(map[any]any)[field] = v
		})
	}
	manyHashes := make([][]byte, maxHashes+1)
	for i := range manyHashes {
		manyHashes[i] = make([]byte, 32)
	}
	return []vector{
		{"empty", "frame", nil},
		{"four bytes", "frame", []byte{byte(KindPing), 0, 0, 0}},
		{"unknown kind", "use", append([]byte{0x7f}, good[1:]...)},
		{"shorter than announced", "frame", good[:len(good)-1]},
		{"trailing byte", "frame", append(bytes.Clone(good), 0)},
		{"trailing item in the body", "format", raw(ping, "a1656e6f6e636505f6")},
		{"over the kind's limit", "limit", append(appendPrefix(nil, KindPing, 65), make([]byte, 65)...)},
		{"no body", "format", raw(ping, "")},
		{"not a map", "format", raw(ping, "05")},
		{"duplicate key", "format", raw(ping, "a2656e6f6e636505656e6f6e636505")},
		{"unknown key", "format", mutate(ping, set("x", 1))},
		{"missing key", "format", mutate(ask, func(f map[string]any) { delete(f, "run") })},
		{"unsorted keys", "format", frame(ask, bytes.Join([][]byte{
			{0xa2, 0x65}, []byte("model"), {0x58, 32}, make([]byte, 32), {0x63}, []byte("run"), {0x50}, make([]byte, 16)}, nil), nil)},
		{"key in another case", "format", raw(ping, "a1654e6f6e636505")},
		{"key as a byte string", "format", raw(ping, "a1456e6f6e636505")},
		{"indefinite map", "format", raw(ping, "bf656e6f6e636505ff")},
		{"long integer", "format", raw(ping, "a1656e6f6e63651805")},
		{"negative integer", "format", raw(ping, "a1656e6f6e636524")},
		{"float for an integer", "format", raw(ping, "a1656e6f6e6365f94500")},
		{"bignum", "format", raw(ping, "a1656e6f6e6365c24105")},
		{"tagged integer", "format", raw(ping, "a1656e6f6e6365c105")},
		{"null", "format", raw(ping, "a1656e6f6e6365f6")},
		{"short hash", "format", mutate(ask, set("model", make([]byte, 31)))},
		{"long hash", "format", mutate(ask, set("model", make([]byte, 33)))},
		{"text for bytes", "format", mutate(ask, set("run", "0123456789abcdef"))},
		{"array for bytes", "format", mutate(byKind[KindCosign], set("checkpoint", []int{1, 2}))},
		{"not UTF-8", "format", bytes.Replace(mustMarshal(byKind[KindRunDone]), []byte("three"), []byte("th\xffee"), 1)},
		{"line feed in a reason", "format", mutate(byKind[KindRunDone], set("reason", "a\nb"))},
		{"escape in a message", "format", mutate(byKind[KindError], set("message", "\x1b[31m"))},
		{"reason too long", "format", mutate(byKind[KindRunDone], set("reason", strings.Repeat("x", maxText+1)))},
		{"unknown code", "format", mutate(byKind[KindError], set("code", "whim"))},
		{"unknown state", "format", mutate(byKind[KindJoinStatus], set("state", "maybe"))},
		{"acceptance with a code", "format", mutate(byKind[KindPlanReply], set("accept", true))},
		{"refusal without a code", "format", mutate(byKind[KindPlanReply], set("code", ""))},
		{"refusal of unknown code", "format", mutate(byKind[KindPlanReply], set("code", "epsilon 0.3 left"))},
		{"empty organisation", "format", mutate(byKind[KindJoin], set("org", ""))},
		{"key of wrong size", "format", mutate(byKind[KindJoin], set("public_key", make([]byte, 1983)))},
		{"possession of wrong size", "format", mutate(byKind[KindJoin], set("possession", make([]byte, 64)))},
		{"signature of wrong size", "format", mutate(byKind[KindAuth], set("signature", make([]byte, 65)))},
		{"receipt of wrong size", "format", mutate(byKind[KindReportAck], set("receipt", []byte{}))},
		{"server key of wrong size", "format", mutate(byKind[KindWelcome], set("server_key", []byte{}))},
		{"hash of wrong size in a proof", "format", badProof("inclusion", [][]byte{make([]byte, 20)})},
		{"too many hashes", "format", badProof("inclusion", manyHashes)},
		{"index beyond the tree", "format", badProof("index", 7)},
		{"old tree beyond the tree", "format", badProof("old_size", 8)},
		{"vector ends within a word", "format", frame(vec, mustMarshal(vec)[overhead+4:len(mustMarshal(vec))-8], make([]byte, 7))},
		{"no length of the map", "format", append(appendPrefix(nil, KindVector, 3), 0, 0, 0)},
		{"map longer than the body", "format", append(appendPrefix(nil, KindVector, 5), 0, 0, 0, 2, 0xa0)},
		{"map of 4 GiB", "format", append(appendPrefix(nil, KindVector, 5), 0xff, 0xff, 0xff, 0xff, 0xa0)},
		{"bulk within the map", "format", mutate(vec, set("words", make([]byte, 8)))},
		{"task beyond a byte", "format", mutate(byKind[KindRoundOpen], set("task", 256))},
	}
}

func mustMarshal(m Msg) []byte {
	b, err := Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func errorKind(err error) string {
	var use *UseError
	var limit *LimitError
	var format *FormatError
	switch {
	case errors.As(err, &use):
		return "use"
	case errors.As(err, &limit):
		return "limit"
	case errors.As(err, &format):
		return "format"
	case errors.Is(err, ErrFrame):
		return "frame"
	}
	return fmt.Sprint(err)
}

// writeVectors and readVectors keep one vector a line: name, want, hexadecimal.
func writeVectors(t *testing.T, file, comment string, vs []vector) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", comment)
	for _, v := range vs {
		fmt.Fprintf(&b, "%s | %s | %x\n", v.name, v.want, v.data)
	}
	if err := os.MkdirAll(goldenDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(goldenDir, file), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readVectors(t *testing.T, file string, atLeast int) []vector {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(goldenDir, file))
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), " | ")
		if len(f) != 3 {
			t.Fatalf("%s: line %.40q", file, line)
		}
		data, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatalf("%s: %s: %v", file, f[0], err)
		}
		vs = append(vs, vector{f[0], f[1], data})
	}
	if len(vs) < atLeast {
		t.Fatalf("%s has %d vectors, want at least %d", file, len(vs), atLeast)
	}
	return vs
}

func TestGoldenAccepts(t *testing.T) {
	byName := map[string]Msg{}
	var made []vector
	for _, m := range examples() {
		byName[m.Kind().String()] = m
		made = append(made, vector{m.Kind().String(), m.Kind().Class().String(), mustMarshal(m)})
	}
	if *update {
		writeVectors(t, "accept.txt", "name | class | message: kind, length, body (package wire)", made)
	}
	seen := map[Kind]bool{}
	for _, v := range readVectors(t, "accept.txt", len(Kinds())) {
		m, err := Parse(bytes.Clone(v.data))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		seen[m.Kind()] = true
		if m.Kind().Class().String() != v.want {
			t.Errorf("%s: class %v, want %s", v.name, m.Kind().Class(), v.want)
		}
		if again := mustMarshal(m); !bytes.Equal(again, v.data) {
			t.Errorf("%s: encodes to\n%x, want\n%x", v.name, again, v.data)
		}
		if want := byName[v.name]; !reflect.DeepEqual(m, want) {
			t.Errorf("%s: parsed\n%+v, want\n%+v", v.name, m, want)
		}
	}
	for _, k := range Kinds() {
		if !seen[k] {
			t.Errorf("no vector for %v", k)
		}
	}
}

func TestGoldenRejects(t *testing.T) {
	if *update {
		writeVectors(t, "reject.txt", "name | error | bytes that are no message", rejects())
	}
	vs := readVectors(t, "reject.txt", len(Kinds()))
	if want := rejects(); len(vs) != len(want) {
		t.Errorf("%d vectors, the generator makes %d", len(vs), len(want))
	}
	for _, v := range vs {
		m, err := Parse(bytes.Clone(v.data))
		if m != nil || err == nil || errorKind(err) != v.want {
			t.Errorf("%s: got %v, %v; want the error kind %s", v.name, m, err, v.want)
		}
	}
}
