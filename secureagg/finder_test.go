package secureagg

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

// TestCommitteesAsPublished: SECAGG 2.2, the first table.
func TestCommitteesAsPublished(t *testing.T) {
	ns := []int{20, 50, 64, 100, 200, 500, 1000, 10000}
	for _, row := range []struct {
		gamma, delta float64
		want         string
	}{
		{.05, .05, "4/3/1 7/5/2 10/7/3 16/11/5 31/21/10 49/33/16 55/37/18 64/43/21"},
		{.10, .05, "7/5/2 16/11/5 19/13/6 31/21/10 61/41/20 91/61/30 106/71/35 124/83/41"},
		{.10, .10, "7/5/2 16/11/5 19/13/6 31/21/10 61/41/20 91/61/30 106/71/35 124/83/41"},
		{.10, .20, "13/9/4 31/21/10 37/25/12 61/41/20 100/67/33 151/101/50 184/123/61 226/151/75"},
		{.20, .10, "13/9/4 31/21/10 37/25/12 61/41/20 121/81/40 235/157/78 325/217/108"},
	} {
		got := ""
		for i := range ns {
			if i == 7 && row.gamma == .20 {
				continue
			}
			c, err := FindCommittee(ns[i], row.gamma, row.delta)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				got += " "
			}
			got += fmt.Sprintf("%d/%d/%d", c.L, c.Q, c.F)
		}
		if got != row.want {
			t.Errorf("%v, %v:\n%s\nwant\n%s", row.gamma, row.delta, got, row.want)
		}
	}
}

// TestSparseAsPublished: SECAGG 2.2, the second table, semi-honest and semi-malicious.
func TestSparseAsPublished(t *testing.T) {
	ns := []int{50, 100, 500, 1000, 10000, 100000}
	for _, row := range []struct {
		gamma, delta float64
		want         []string
	}{
		{.10, .05, []string{"8,6 / 10,8", "16,11 / 22,17", "32,21 / 56,42", "38,24 / 66,49", "42,27 / 80,59", "46,29 / 88,65"}},
		{.10, .10, []string{"12,6 / 16,11", "22,11 / 32,22", "42,24 / 82,57", "48,27 / 96,67", "54,31 / 122,85", "58,33 / 134,93"}},
		{.20, .10, []string{"16,11 / 22,17", "32,21 / 42,32", "60,39 / 116,86", "68,44 / 140,104", "80,51 / 184,136", "88,55 / 204,150"}},
		{.33, .10, []string{"22,17 / 28,23", "42,32 / 54,44", "90,64 / 168,132", "102,72 / 218,171", "126,88 / 310,242", "138,96 / 348,271"}},
		{.10, .30, []string{"22,6 / 36,21", "34,11 / 72,42", "76,31 / 276,164", "88,36 / 414,247", "108,44 / 778,465"}},
	} {
		for i, want := range row.want {
			a, err := FindSparse(ns[i], row.gamma, row.delta, false)
			if err != nil {
				t.Fatal(err)
			}
			b, err := FindSparse(ns[i], row.gamma, row.delta, true)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%d,%d / %d,%d", a.K, a.T, b.K, b.T); got != want {
				t.Errorf("n = %d, %v, %v: %s, want %s", ns[i], row.gamma, row.delta, got, want)
			}
		}
	}
}

// TestBadCohorts: SECAGG 2.2, cohorts of 64 and 128 out of 10^5.
func TestBadCohorts(t *testing.T) {
	for _, v := range []struct {
		m     int
		gamma float64
		want  float64
	}{{64, .05, -42}, {64, .10, -23}, {128, .05, -78}, {128, .10, -41}, {128, .15, -23}} {
		if got := LogBadCohort(100000, v.m, share(v.gamma, 100000)); math.Abs(got-v.want) > 1 {
			t.Errorf("m = %d, %v: 2^%.1f, want 2^%v", v.m, v.gamma, got, v.want)
		}
	}
	if !Isolation(16, .3) || Isolation(16, .34) {
		t.Error("cross edges: 8·0.7 > 16·0.3, and 8·0.66 < 16·0.34")
	}
}

// TestTailExact holds the tails to sums of exact fractions.
func TestTailExact(t *testing.T) {
	for _, v := range [][4]int{{20, 5, 7, 2}, {50, 10, 16, 5}, {100, 10, 31, 10}, {128, 30, 64, 25}, {300, 30, 43, 14}} {
		n, marked, drawn, most := v[0], v[1], v[2], v[3]
		sum := new(big.Int)
		for k := most + 1; k <= min(marked, drawn); k++ {
			term := new(big.Int).Binomial(int64(marked), int64(k))
			sum.Add(sum, term.Mul(term, new(big.Int).Binomial(int64(n-marked), int64(drawn-k))))
		}
		exact, _ := new(big.Float).SetRat(new(big.Rat).SetFrac(sum, new(big.Int).Binomial(int64(n), int64(drawn)))).Float64()
		if got := logTail(n, marked, drawn, most); math.Abs(got-math.Log2(exact)) > 1e-8 && exact > 0 || exact == 0 && !math.IsInf(got, -1) {
			t.Errorf("%v: 2^%v, want 2^%v", v, got, math.Log2(exact))
		}
	}
}

// TestMostCorrupt: what random cohorts survive, and a charter that assumes more is
// refused.
func TestMostCorrupt(t *testing.T) {
	for _, n := range []int{5, 128, 129, 200, 500, 1000, 2176} {
		most := MostCorrupt(n, 365*4)
		t.Logf("n = %d: %d corrupt (%.1f %%)", n, most, 100*float64(most)/float64(n))
		if most < (n/Cohorts(n)-1)/3 || most > n/3 {
			t.Errorf("n = %d: %d", n, most)
		}
	}
	f := newFederation(t, 200)
	f.charter.AssumedCorrupt = uint32(MostCorrupt(200, 365*int(f.charter.EpochsPerDay)))
	if err := CheckMembership(f.charter, f.roster); err != nil {
		t.Fatal(err)
	}
	f.charter.AssumedCorrupt++
	if CheckMembership(f.charter, f.roster) == nil {
		t.Fatal("one corrupt agent more than the cohorts survive")
	}
}
