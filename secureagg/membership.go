package secureagg

import (
	"fmt"

	"tacit/id"
)

// MaxCohorts bounds the cohorts of a federation: up to it every cohort shares masks
// with every other, and the votes of all are checked one by one (SECAGG 2.6).
const MaxCohorts = 17

// membership is what the signed charter and the signed roster fix: the members, in
// the roster's order, ascending by agent id, and into how many cohorts they fall.
// The whole roster takes part: nobody may leave an enrolled member out.
type membership struct {
	ids       []id.AgentID
	keys      []id.PublicKey
	sizes     []Params // by cohort
	charter   id.CharterHash
	roster    id.RosterHash
	maxRounds uint64 // attempts in one epoch
	server    id.PublicKey
}

// newMembership checks the charter's caps. limit is the largest cohort: MaxMembers,
// less in tests.
func newMembership(c *id.Charter, r *id.Roster, limit int) (*membership, error) {
	if c.Federation != r.Federation {
		return nil, fmt.Errorf("secureagg: charter and roster are of different federations")
	}
	if limit == 0 {
		limit = MaxMembers
	}
	f := &membership{charter: c.Hash(), roster: r.Hash(), maxRounds: uint64(c.RoundsPerEpoch), server: c.Server}
	n := len(r.Members)
	count := (n + limit - 1) / limit
	if count > MaxCohorts {
		return nil, fmt.Errorf("secureagg: %d members, %d cohorts hold %d", n, MaxCohorts, MaxCohorts*limit)
	}
	for k := range max(count, 1) {
		p, err := CohortParams(sizeOf(n, count, k), int(c.MinCohort), int(c.MinRelease), c.AllowSmall)
		if err != nil {
			return nil, err
		}
		f.sizes = append(f.sizes, p)
	}
	if err := f.survives(int(c.AssumedCorrupt), n, c.EpochsPerDay); err != nil {
		return nil, err
	}
	orgs := make(map[string]int)
	for i := range r.Members {
		m := &r.Members[i]
		a := m.Agent()
		if i > 0 && a.Compare(f.ids[i-1]) <= 0 {
			return nil, fmt.Errorf("secureagg: the roster is not ascending at member %d", i)
		}
		f.ids = append(f.ids, a)
		f.keys = append(f.keys, m.Key)
		orgs[m.Org]++
		if orgs[m.Org]*100 > int(c.MaxOrgShare)*n {
			return nil, fmt.Errorf("secureagg: organisation %q holds more than %d %% of the cohort", m.Org, c.MaxOrgShare)
		}
	}
	return f, nil
}

// sizeOf is the size of cohort k of count: they differ by one at most, the larger
// ones first.
func sizeOf(n, count, k int) int {
	if count <= 1 {
		return n
	}
	size := n / count
	if k < n%count {
		size++
	}
	return size
}

// survives reports an error if the corrupt members that the charter assumes could
// hold more of a cohort than it hides inputs from.
func (f *membership) survives(corrupt, n int, perDay uint32) error {
	if len(f.sizes) == 1 {
		if p := f.sizes[0]; corrupt > p.Private {
			return fmt.Errorf("secureagg: the charter assumes %d corrupt members; a cohort of %d hides inputs from the server and %d", corrupt, p.N, p.Private)
		}
		return nil
	}
	// A year of epochs; the smallest cohort tolerates the least.
	m, epochs := f.sizes[len(f.sizes)-1].N, 365*int(perDay)
	if corrupt > (m-1)/3 && LogBadCohort(n, m, corrupt) > badLimit(len(f.sizes), epochs) {
		return fmt.Errorf("secureagg: the charter assumes %d corrupt members; %d random cohorts of %d members survive %d", corrupt, len(f.sizes), n, MostCorrupt(n, epochs))
	}
	return nil
}

// Cohorts is the number of cohorts that so many members fall into.
func Cohorts(members int) int { return max(1, (members+MaxMembers-1)/MaxMembers) }

// several reports whether there is more than one cohort. Then cohorts are numbered
// from 1 in headers; the only one is 0.
func (f *membership) several() bool { return len(f.sizes) > 1 }

// params are the numbers that hold for every cohort: the smallest one's, with N of
// the whole federation.
func (f *membership) params() Params {
	p := f.sizes[len(f.sizes)-1]
	p.N = len(f.ids)
	return p
}

// index returns the index of agent a, or −1.
func (f *membership) index(a id.AgentID) int {
	for i := range f.ids {
		if f.ids[i] == a {
			return i
		}
	}
	return -1
}

// enough reports whether count cohorts are more than two thirds of all. Two sets of
// so many share a cohort (SECAGG 2.6).
func (f *membership) enough(count int) bool { return 3*count > 2*len(f.sizes) }

// CheckMembership reports why the members of a roster can be no federation under a
// charter.
func CheckMembership(c *id.Charter, r *id.Roster) error {
	_, err := newMembership(c, r, MaxMembers)
	return err
}
