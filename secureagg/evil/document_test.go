package evil

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/ATTACKS.md anew")

const preamble = `# Attacks

What a lying coordinator, with as many corrupt branches as a cohort tolerates, and lying branches alone can try against
secure aggregation, and what comes of it. The adversary and the assumptions are those of [THREATS.md](THREATS.md).
This page is written by ` + "`secureagg/evil`" + ` from the attacks that its tests run; nothing stands here that is not run.

Each attack is played against the real state machines. With all checks on it fails closed: an honest party stops it with
the typed error in the fourth column. The checks in its way are named in the third: in a test build they are switched off,
and then the adversary gets what it wants; with any one of them left on it does not.

Numbers are those of the design's sections, H those of its hardening; Flower is the peer that the design measures itself by.

What the messages prove, they prove to whoever holds the signed charter and roster (` + "`secureagg.Faults`" + `), without trusting
who kept them. An abort carries them. Where nothing is proved, the attack failed all the same.

    go test ./secureagg/evil                # every attack fails
    go test -tags evil ./secureagg/evil     # and succeeds without the checks

`

// document is docs/ATTACKS.md.
func document() string {
	var b strings.Builder
	b.WriteString(preamble)
	for _, part := range []struct {
		title   string
		attacks []*Attack
	}{
		{"An epoch's setup", setupAttacks},
		{"The opening of an attempt", openingAttacks},
		{"Sets, certificates and shares", setAttacks},
		{"Giving an attempt up", closeAttacks},
		{"Restarts and restored disks", restartAttacks},
		{"Corrupt branches in an attempt", agentAttacks},
		{"What no single check stops", shapes},
	} {
		fmt.Fprintf(&b, "## %s\n\n| attack | what it wants | in its way | how it ends | proved to anyone |\n|---|---|---|---|---|\n", part.title)
		for _, a := range part.attacks {
			way := a.Shape
			if way == "" {
				way = "`" + strings.Join(a.Guards, "`, `") + "`"
			}
			end := a.Stop.String()
			if a.Stop.Err == nil && a.Stop.Names != NoAgent {
				end += "; names " + string(a.Stop.Names)
			}
			proof := "**" + string(a.Proves) + "**"
			if a.Proves == "" {
				proof = "nothing: " + a.Silent
			}
			fmt.Fprintf(&b, "| **%s** (%s; %s). The %s %s | %s | %s | %s | %s |\n",
				upper(a.Name), a.By, a.Item, party(a.By), a.Does, a.Wants, way, end, proof)
		}
		b.WriteString("\n")
	}
	b.WriteString(`Beside these, a plan that asks for a robust strategy (median, trimmed mean, Krum) under masking is refused when it is
read, and never becomes the mean in silence (package ` + "`plan`" + `). A Floor that a corrupt branch signs, and that lies high, costs a
restarted branch the epoch: nothing here prevents that.
`)
	return b.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func party(p Party) string {
	if p == Server {
		return "server"
	}
	return "branch"
}

// TestDocument: docs/ATTACKS.md says what the catalogue does.
func TestDocument(t *testing.T) {
	const path = "../../docs/ATTACKS.md"
	want := document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/ATTACKS.md is not what the catalogue says: go test ./secureagg/evil -run Document -update")
	}
}
