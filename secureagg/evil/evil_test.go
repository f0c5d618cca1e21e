package evil

import (
	"slices"
	"testing"

	"tacit/secureagg"
)

// TestCatalogue: the entries are whole, and as many as were promised.
func TestCatalogue(t *testing.T) {
	names, count, single := make(map[string]bool), make(map[Party]int), make(map[Party]int)
	for _, a := range Catalogue() {
		if names[a.Name] || a.Name == "" {
			t.Errorf("the name %q is not unique", a.Name)
		}
		names[a.Name] = true
		if a.Does == "" || a.Wants == "" || a.Item == "" || a.run == nil {
			t.Errorf("%s: the entry is not whole", a.Name)
		}
		if (len(a.Guards) == 0) == (a.Shape == "") || (a.Proves == "") == (a.Silent == "") {
			t.Errorf("%s: either guards or a shape, either a proof or why there is none", a.Name)
		}
		count[a.By]++
		if len(a.Guards) == 1 {
			single[a.By]++
		}
	}
	t.Logf("%v attacks, of which one check alone stops %v", count, single)
	if single[Server] < 20 || single[Agent] < 10 {
		t.Errorf("one check alone stops %v", single)
	}
}

// TestDefences: with every check on, each attack is stopped by the typed error of its
// entry, what is kept proves what the entry says to anyone with roster and charter, and
// all that was ever sent proves nothing of an honest party.
func TestDefences(t *testing.T) {
	for _, a := range Catalogue() {
		t.Run(a.Name, func(t *testing.T) {
			o, err := a.Run()
			if err != nil {
				t.Fatal(err)
			}
			if o.Err == nil {
				t.Fatalf("succeeds: the adversary has %s", a.Wants)
			}
			if err := a.Stop.Check(o.Err, o.Evil); err != nil {
				t.Fatal(err)
			}
			guilty := func(f secureagg.Fault) bool {
				if f.Culprit.IsZero() {
					return a.By == Server
				}
				return slices.Contains(o.Evil, f.Culprit) || !f.Or.IsZero() && slices.Contains(o.Evil, f.Or)
			}
			faults, err := secureagg.Faults(o.Evidence, o.Roster, o.Charter)
			if err != nil {
				t.Fatal(err)
			}
			if a.Proves != "" && !slices.ContainsFunc(faults, func(f secureagg.Fault) bool {
				return f.Kind == a.Proves && guilty(f)
			}) {
				t.Errorf("%d messages prove %v, want %s", len(o.Evidence), faults, a.Proves)
			}
			if a.Proves == "" && len(faults) > 0 {
				t.Errorf("proves %v, and the entry says: %s", faults, a.Silent)
			}
			all, err := secureagg.Faults(o.Traffic, o.Roster, o.Charter)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				if !guilty(f) {
					t.Errorf("the traffic convicts the honest: %v", f)
				}
			}
		})
	}
}
