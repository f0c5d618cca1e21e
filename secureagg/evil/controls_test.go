//go:build evil

package evil

import (
	"slices"
	"testing"

	"tacit/secureagg/internal/guard"
)

// without runs an attack with some guards switched off.
func without(t *testing.T, a *Attack, names []string) *Outcome {
	t.Helper()
	for _, n := range names {
		g, ok := guard.Switches[n]
		if !ok {
			t.Fatalf("no guard %s", n)
		}
		*g = false
		defer func() { *g = true }()
	}
	o, err := a.Run()
	if err != nil {
		t.Fatalf("without %v: %v", names, err)
	}
	return o
}

// TestControls: an attack succeeds once all checks in its way are switched off, and fails
// while any one of them is left.
func TestControls(t *testing.T) {
	for _, a := range Catalogue() {
		if len(a.Guards) == 0 {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			if o := without(t, a, a.Guards); o.Err != nil {
				t.Fatalf("without %v: %v", a.Guards, o.Err)
			}
			for pick := range 1<<len(a.Guards) - 1 {
				var some []string
				for i, g := range a.Guards {
					if pick>>i&1 == 1 {
						some = append(some, g)
					}
				}
				if o := without(t, a, some); o.Err == nil {
					t.Errorf("succeeds without %v alone", some)
				}
			}
		})
	}
}

// TestEveryGuardIsInTheCatalogue: with TestControls, each guard is needed by an attack.
func TestEveryGuardIsInTheCatalogue(t *testing.T) {
	for name := range guard.Switches {
		if !slices.ContainsFunc(Catalogue(), func(a *Attack) bool { return slices.Contains(a.Guards, name) }) {
			t.Errorf("no attack meets %s", name)
		}
	}
}
