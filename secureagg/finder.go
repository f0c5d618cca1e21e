package secureagg

import (
	"fmt"
	"math"
)

// Security targets of the finder, as negative logarithms to base 2 (SECAGG 2.1).
const (
	privacyBits     = 40 // that a committee holds more corrupt members than it tolerates
	correctnessBits = 20 // that too few of a committee are online
)

// logChoose is ln C(n, k), −Inf where there is no such choice.
func logChoose(n, k int) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	a, _ := math.Lgamma(float64(n) + 1)
	b, _ := math.Lgamma(float64(k) + 1)
	c, _ := math.Lgamma(float64(n-k) + 1)
	return a - b - c
}

// logTail is log2 P[Hyp(n, marked, drawn) > most]: of drawn out of n members, of whom
// marked are marked, more than most are. It is −Inf where that cannot be.
func logTail(n, marked, drawn, most int) float64 {
	sum := math.Inf(-1)
	all := logChoose(n, drawn)
	for k := max(most+1, drawn-(n-marked), 0); k <= min(marked, drawn); k++ {
		p := logChoose(marked, k) + logChoose(n-marked, drawn-k) - all
		if hi, lo := max(sum, p), min(sum, p); !math.IsInf(hi, -1) {
			if sum = hi + math.Log1p(math.Exp(lo-hi)); p < sum-50 && k*n > marked*drawn {
				break // past the middle terms only fall, and these no longer count
			}
		}
	}
	return sum / math.Ln2
}

// share is ⌊γ·n⌋; the least excess over a whole number is a rounding error of γ.
func share(gamma float64, n int) int { return int(math.Floor(gamma*float64(n) + 1e-9)) }

func checkShares(n int, gamma, delta float64) error {
	if n < MinMembers || gamma < 0 || delta < 0 || gamma >= 1 || delta >= 1 || gamma != gamma || delta != delta {
		return fmt.Errorf("secureagg: %d agents of which %v corrupt and %v away, want at least %d and shares from 0 to below 1", n, gamma, delta, MinMembers)
	}
	return nil
}

// Committee is a sampled committee of L members: Q make a quorum, f may be corrupt or
// away.
type Committee struct{ L, Q, F int }

// FindCommittee returns the smallest committee, drawn at random from n agents, that is
// bad with probability 2^−41 at most if a share γ of them is corrupt and lacks a quorum
// with 2^−20 at most if a share δ is away (SECAGG 2.2).
func FindCommittee(n int, gamma, delta float64) (Committee, error) {
	if err := checkShares(n, gamma, delta); err != nil {
		return Committee{}, err
	}
	corrupt, away := share(gamma, n), share(delta, n)
	for l := 4; l <= n; l++ {
		f := (l - 1) / 3
		if logTail(n, corrupt, l, f) <= -(privacyBits+1) && logTail(n, away, l, f) <= -correctnessBits {
			return Committee{L: l, Q: l - f, F: f}, nil
		}
	}
	return Committee{}, fmt.Errorf("secureagg: no committee of %d agents survives %v corrupt and %v away", n, gamma, delta)
}

// Sparse is a k-regular mask graph of SecAgg+ in which t shares of k open a seed (Bell
// et al. 2020, doi:10.1145/3372297.3417885).
type Sparse struct{ K, T int }

// FindSparse returns the smallest even degree, and its threshold, for which the graph
// stays connected and every neighbourhood has neither t corrupt nor fewer than t online
// members. With a malicious server, that lies about who is away to each neighbour, the
// first threshold is that of semi-malicious SecAgg+. Tacit's own graph is complete
// within a cohort: a public sparse one lets a server isolate an agent by naming its
// neighbours as away (SECAGG, "Why a complete mask graph inside a cohort").
func FindSparse(n int, gamma, delta float64, malicious bool) (Sparse, error) {
	if err := checkShares(n, gamma, delta); err != nil {
		return Sparse{}, err
	}
	corrupt, away := share(gamma, n), share(delta, n)
	limit := -float64(privacyBits+1) * math.Ln2
	each := math.Log2(float64(n))
	corruptMost, awayMost := 0, 0 // of k neighbours; neither falls as k rises
	for k := 2; k < n; k += 2 {
		if logDisconnected(n, k, corrupt+away) >= limit {
			continue
		}
		for logTail(n, corrupt, k, corruptMost) > -(privacyBits+1)-each {
			corruptMost++
		}
		for awayMost < k && logTail(n, away, k, awayMost) > -correctnessBits-each {
			awayMost++
		}
		low := corruptMost
		if malicious {
			low = int(math.Ceil((float64(low) + float64(k) - 1.25) / 2))
		}
		if k-awayMost > low {
			return Sparse{K: k, T: max(low+1, 2)}, nil
		}
	}
	return Sparse{}, fmt.Errorf("secureagg: no sparse graph of %d agents survives %v corrupt and %v away", n, gamma, delta)
}

// logDisconnected bounds ln P[the graph without bad members falls apart] for even k.
func logDisconnected(n, k, bad int) float64 {
	if bad < k {
		return math.Inf(-1)
	}
	if k >= n-1 {
		return math.Inf(-1)
	}
	g := func(x int) float64 { v, _ := math.Lgamma(float64(x)); return v }
	return math.Log(float64(n)) + math.Log(float64(n-k-1)) - math.Ln2 + g(bad+1) + g(n-k+1) - g(n+1) - g(bad-k+1)
}

// LogBadCohort is log2 of the probability that a cohort of m, drawn at random from n
// agents of which corrupt are corrupt, holds more of them than the f = ⌊(m − 1)/3⌋ that
// it tolerates.
func LogBadCohort(n, m, corrupt int) float64 { return logTail(n, corrupt, m, (m-1)/3) }

// MostCorrupt is how many of n agents may be corrupt for none of their random cohorts,
// in any of so many epochs, to be bad with more than 2^−40 (SECAGG, Hardening 12). With
// one cohort nothing is random and it is what that tolerates.
func MostCorrupt(n, epochs int) int {
	count := Cohorts(n)
	m := n / count
	if count == 1 {
		return (m - 1) / 3
	}
	limit := badLimit(count, epochs)
	corrupt := (m - 1) / 3 // so few are never too many
	for corrupt < n && LogBadCohort(n, m, corrupt+1) <= limit {
		corrupt++
	}
	return corrupt
}

func badLimit(cohorts, epochs int) float64 {
	return -privacyBits - math.Log2(float64(cohorts)*float64(max(epochs, 1)))
}

// Isolation reports whether the cross edges survive if in every cohort a share x of the
// members is corrupt or away: k_x·(1 − x) > deg·x (SECAGG 2.6).
func Isolation(degree int, x float64) bool {
	return crossEdges*(1-x) > float64(degree)*x
}
