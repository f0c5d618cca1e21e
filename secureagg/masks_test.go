package secureagg

import (
	"errors"
	"slices"
	"testing"
)

// TestPreparedMasks: masks made ahead, in slices of any size, give the vector that
// masks made in Report give, bit by bit; those of another attempt are refused.
func TestPreparedMasks(t *testing.T) {
	for _, n := range []struct{ n, limit int }{{5, 0}, {10, 5}} {
		var vectors [][]uint32
		for _, words := range []int{0, 1, 5, testDim, 1000} {
			w := split(t, n.n, n.limit)
			in := w.inputs(1)
			w.begin(in)
			for i := range w.agents {
				if err := w.open(i, in); err != nil {
					t.Fatal(err)
				}
			}
			m := w.agents[1].m
			if words > 0 {
				k, err := m.Masks()
				if err != nil {
					t.Fatal(err)
				}
				for k.Step(words) && words > 1 {
				}
				if err := m.Prepared(k); err != nil {
					t.Fatal(err)
				}
			}
			for i := range w.agents {
				if err := w.report(i, in); err != nil {
					t.Fatal(err)
				}
			}
			vectors = append(vectors, w.vectors[w.agents[1].id])
			if _, err := m.Masks(); !errors.Is(err, ErrMayNotReport) {
				t.Fatal("masks of an attempt that was reported in:", err)
			}
			w.pump()
			if err := w.collect(); err != nil {
				t.Fatal(err)
			}
			w.pump()
			w.check()
		}
		for _, v := range vectors[1:] {
			if !slices.Equal(v, vectors[0]) {
				t.Fatal("prepared masks are other masks")
			}
		}
	}
	w := split(t, 5, 0)
	in := w.inputs(1)
	w.begin(in)
	if err := w.open(0, in); err != nil {
		t.Fatal(err)
	}
	m := w.agents[0].m
	old, err := m.Masks()
	if err != nil {
		t.Fatal(err)
	}
	in = w.inputs(2)
	w.begin(in)
	if err := w.open(0, in); err != nil {
		t.Fatal(err)
	}
	if m.Prepared(old) == nil || old.sum != nil {
		t.Fatal("masks of attempt 1 serve in attempt 2, or were kept")
	}
}
