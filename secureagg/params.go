package secureagg

import "fmt"

// Bounds of a cohort.
const (
	MinMembers = 3
	MaxMembers = 128
)

// Params are the numbers that every member of a cohort derives alike from the
// cohort's size and the charter (SECAGG, Hardening 8).
type Params struct {
	N          int // members, all of them in the committee
	Quorum     int // Q: votes that make a certificate, and Readys that open an epoch
	Threshold  int // T = Q: shares that open a secret
	MinRelease int // U_min: smallest online set that may be released
	Live       int // f_live: members that may stop without ending the attempt
	Private    int // f_priv: members that may collude with the server
}

// CohortParams returns the parameters of a cohort of n members. nMin is the
// charter's smallest cohort and uMin its smallest release set; zero means the
// default: 5, and n − ⌊n/5⌋ (3 at n = 4). A uMin below what quorum and privacy need
// is raised to it. Cohorts below 5 need allowSmall.
func CohortParams(n, nMin, uMin int, allowSmall bool) (Params, error) {
	if nMin == 0 {
		nMin = 5
	}
	switch {
	case nMin < MinMembers:
		return Params{}, fmt.Errorf("secureagg: minimum cohort %d is below %d", nMin, MinMembers)
	case nMin < 5 && !allowSmall:
		return Params{}, fmt.Errorf("secureagg: minimum cohort %d is below 5 and the charter does not allow small cohorts", nMin)
	case n < nMin:
		return Params{}, fmt.Errorf("secureagg: %d members, the charter asks for %d", n, nMin)
	case n > MaxMembers:
		return Params{}, fmt.Errorf("secureagg: %d members, one cohort holds %d", n, MaxMembers)
	case uMin < 0 || uMin > n:
		return Params{}, fmt.Errorf("secureagg: minimum release set %d of %d members", uMin, n)
	}
	f := (n - 1) / 3
	p := Params{N: n, Quorum: n - f, Threshold: n - f, Live: f}
	p.Private = min(2*p.Quorum-n-1, p.Threshold-1)
	if n == 3 {
		p.Private = 1
	}
	if uMin == 0 {
		uMin = n - n/5
		if n == 4 {
			uMin = 3
		}
	}
	p.MinRelease = max(uMin, f+2, p.Quorum, 3)
	if p.MinRelease-p.Private < 2 {
		return Params{}, fmt.Errorf("secureagg: a release set of %d with %d colluding members leaves fewer than two honest ones", p.MinRelease, p.Private)
	}
	return p, nil
}

// floors is the number of other members whose Floor readmits a restarted member:
// min(Q, L−1) (SECAGG, Hardening 6).
func (p Params) floors() int { return min(p.Quorum, p.N-1) }
