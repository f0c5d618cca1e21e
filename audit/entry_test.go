package audit

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tacit/id"
)

var update = flag.Bool("update", false, "rewrite testdata/audit from what the code does")

// folder holds the golden vectors, shared with other implementations.
const folder = "../testdata/audit"

// samples has one entry of every kind.
func samples(tb testing.TB) map[Kind]Entry {
	_, logKey := fixedLogKey(tb, LogOrigin(id.FederationID(short(7))), 3)
	d := func(n byte) id.Digest { return id.Digest(seed(n)) }
	agent, run := id.AgentID(short(9)), id.RunID(short(8))
	payloads := []Payload{
		Genesis{id.FederationID(short(7)), "Heart disease consortium", id.CharterHash(d(1)), logKey},
		CharterAdopted{2, id.CharterHash(d(1))},
		RosterChanged{3, id.RosterHash(d(2)), 4},
		TokenIssued{d(3), 1772460000},
		TokenRedeemed{d(3)},
		IdentityEnrolled{agent, d(4)},
		PlanApproved{id.PlanHash(d(5)), agent},
		PlanRefused{id.PlanHash(d(5)), agent, "model-family"},
		RunStarted{id.PlanHash(d(5)), id.ModelHash(d(6)), 15},
		EpochOpened{4, id.EpochRoot(d(7)), 4, 3, 3, 3},
		RoundOpened{4, Train, id.PlanHash(d(5)), id.ModelHash(d(6)), id.Ctx(d(8)), id.ConfigHash(d(9)), id.CharterHash(d(1)), id.EpochRoot(d(7)), 1, 0, 18},
		SetCertified{3, d(10)},
		RoundCommitted{Train, 3, d(11), id.ModelHash(d(6)), id.ModelHash(d(12))},
		RoundAborted{Train, StageVote, "no-quorum", agent, d(13)},
		RunFinished{id.ModelHash(d(12)), 15, "completed"},
		ModelExported{id.ModelHash(d(12)), d(14), false},
		ConfigurationChanged{"server", d(15), d(16)},
		SoftwareRecorded{"tacit 0.1.0", d(17)},
		ServerStarted{5},
		ReportMade{1, CheckedCertificates, d(18)},
	}
	out := make(map[Kind]Entry)
	for i, p := range payloads {
		e := Entry{Sequence: uint64(i), Time: 1772460000000 + int64(i), Payload: p}
		rule := kinds[p.Kind()]
		if rule.digest {
			e.Digest = d(200)
		}
		if rule.scope != ofFederation {
			e.Run = run
		}
		if rule.scope == ofAttempt {
			e.Round, e.R = 7, 9
		}
		out[p.Kind()] = e
	}
	return out
}

func TestEntryOfEveryKind(t *testing.T) {
	all := samples(t)
	if len(all) != len(kinds) {
		t.Fatalf("%d samples for %d kinds", len(all), len(kinds))
	}
	for k, e := range all {
		raw, err := e.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		raw = raw[len("before"):]
		got, err := ParseEntry(raw)
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		if got != e {
			t.Errorf("%s: got %+v, want %+v", k, got, e)
		}
		for n := range raw {
			if _, err := ParseEntry(raw[:n]); err == nil {
				t.Errorf("%s: accepted when cut to %d bytes", k, n)
			}
		}
		if _, err := ParseEntry(append(raw, 0)); err == nil {
			t.Errorf("%s: accepted with a byte too many", k)
		}
	}
}

func TestEntryRules(t *testing.T) {
	all := samples(t)
	change := func(k Kind, f func(*Entry)) Entry { e := all[k]; f(&e); return e }
	for name, e := range map[string]Entry{
		"no payload":               {},
		"run on a token":           change(KindTokenIssued, func(e *Entry) { e.Run = id.RunID(short(1)) }),
		"no run on a round":        change(KindRoundOpened, func(e *Entry) { e.Run = id.RunID{} }),
		"attempt 0":                change(KindRoundOpened, func(e *Entry) { e.R = 0 }),
		"a round on a run":         change(KindRunStarted, func(e *Entry) { e.Round = 1 }),
		"digest missing":           change(KindRosterChanged, func(e *Entry) { e.Digest = id.Digest{} }),
		"digest of nothing":        change(KindServerStarted, func(e *Entry) { e.Digest = id.Digest(seed(1)) }),
		"time before 1970":         change(KindServerStarted, func(e *Entry) { e.Time = -1 }),
		"unknown task":             change(KindRoundOpened, func(e *Entry) { p := e.Payload.(RoundOpened); p.Task = 9; e.Payload = p }),
		"unknown stage":            change(KindRoundAborted, func(e *Entry) { p := e.Payload.(RoundAborted); p.Stage = 0; e.Payload = p }),
		"reason in capitals":       change(KindRoundAborted, func(e *Entry) { p := e.Payload.(RoundAborted); p.Reason = "No"; e.Payload = p }),
		"name with a newline":      change(KindSoftwareRecorded, func(e *Entry) { e.Payload = SoftwareRecorded{"a\nb", id.Digest{}} }),
		"sealed to nobody":         change(KindModelExported, func(e *Entry) { e.Payload = ModelExported{} }),
		"unknown checks":           change(KindReportMade, func(e *Entry) { e.Payload = ReportMade{1, 128, id.Digest{}} }),
		"log key that is none":     change(KindGenesis, func(e *Entry) { p := e.Payload.(Genesis); p.LogKey = "x"; e.Payload = p }),
		"name longer than its cap": change(KindGenesis, func(e *Entry) { p := e.Payload.(Genesis); p.Name = strings.Repeat("a", 101); e.Payload = p }),
	} {
		if _, err := e.AppendBinary(nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, e := range samples(f) {
		raw, _ := e.AppendBinary(nil)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			if e != (Entry{}) {
				t.Fatal("a value beside an error")
			}
			return
		}
		again, err := e.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x parses but encodes to %x (%v)", b, again, err)
		}
	})
}

// TestVectors holds the code against testdata/audit: what must be read, byte for
// byte, and what must be refused. The reject vectors are the accept vectors with one
// thing changed, as their names say.
func TestVectors(t *testing.T) {
	path := filepath.Join(folder, "entries.txt")
	if *update {
		writeVectors(t, path)
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
		e, err := ParseEntry(raw)
		switch f[0] {
		case "accept":
			accepted++
			if err != nil {
				t.Errorf("%s: %v", f[1], err)
			} else if e.Kind().String() != f[1] {
				t.Errorf("%s: read as %s", f[1], e.Kind())
			} else if want, _ := samples(t)[e.Kind()].AppendBinary(nil); !bytes.Equal(want, raw) {
				t.Errorf("%s: the bytes changed", f[1])
			}
		case "reject":
			rejected++
			if err == nil {
				t.Errorf("%s: accepted", f[1])
			}
		}
	}
	if accepted < len(kinds) || rejected < accepted {
		t.Fatalf("%d vectors to accept and %d to reject", accepted, rejected)
	}
}

func writeVectors(t *testing.T, path string) {
	var b strings.Builder
	b.WriteString("# entries of the log: accept|reject, name, hex; written by go test ./audit -run TestVectors -update\n")
	all := samples(t)
	for k := KindGenesis; k <= KindReportMade; k++ {
		raw, err := all[k].AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "accept\t%s\t%x\n", k, raw)
		bad := func(what string, f func([]byte) []byte) {
			fmt.Fprintf(&b, "reject\t%s: %s\t%x\n", k, what, f(bytes.Clone(raw)))
		}
		bad("format 2", func(r []byte) []byte { r[0] = 2; return r })
		bad("unknown kind", func(r []byte) []byte { r[1] = 0xee; return r })
		bad("time before 1970", func(r []byte) []byte { r[10] = 0x80; return r })
		bad("one byte short", func(r []byte) []byte { return r[:len(r)-1] })
		bad("one byte long", func(r []byte) []byte { return append(r, 0) })
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
