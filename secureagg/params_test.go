package secureagg

import "testing"

func TestCohortParams(t *testing.T) {
	// SECAGG, Hardening 8; the rows for 100 and 128 follow from f = ⌊(n−1)/3⌋.
	for _, c := range []struct{ n, u, q, live, priv int }{
		{3, 3, 3, 0, 1}, {4, 3, 3, 1, 1}, {5, 4, 4, 1, 2}, {6, 5, 5, 1, 3}, {8, 7, 6, 2, 3}, {100, 80, 67, 33, 33}, {128, 103, 86, 42, 43},
	} {
		got, err := CohortParams(c.n, 3, 0, true)
		want := Params{N: c.n, Quorum: c.q, Threshold: c.q, MinRelease: c.u, Live: c.live, Private: c.priv}
		if err != nil || got != want {
			t.Errorf("n = %d: got %+v, %v, want %+v", c.n, got, err, want)
		}
		// Two conflicting certificates need more double votes than there are colluders.
		if 2*got.Quorum-got.N <= got.Private && c.n != 3 {
			t.Errorf("n = %d: %d double votes make two certificates", c.n, 2*got.Quorum-got.N)
		}
	}
	for n := 3; n <= MaxMembers; n++ {
		p, err := CohortParams(n, 3, 0, true)
		if err != nil || p.MinRelease-p.Private < 2 || p.MinRelease < p.Quorum || p.Threshold <= p.Private {
			t.Errorf("n = %d: %+v, %v", n, p, err)
		}
	}
	if p, err := CohortParams(10, 5, 3, false); err != nil || p.MinRelease != p.Quorum {
		t.Errorf("a small U_min is raised to the quorum: %+v, %v", p, err)
	}
	if p, err := CohortParams(10, 5, 10, false); err != nil || p.MinRelease != 10 {
		t.Errorf("a large U_min holds: %+v, %v", p, err)
	}
	for _, c := range []struct {
		n, nMin, uMin int
		small         bool
	}{
		{4, 0, 0, true}, {4, 4, 0, false}, {3, 4, 0, true}, {2, 2, 0, true}, {2, 0, 0, true}, {129, 5, 0, false},
		{5, 5, 6, false}, {5, 5, -1, false}, {0, 3, 0, true}, {-1, 3, 0, true},
	} {
		if p, err := CohortParams(c.n, c.nMin, c.uMin, c.small); err == nil || p != (Params{}) {
			t.Errorf("%+v is accepted: %+v", c, p)
		}
	}
}
