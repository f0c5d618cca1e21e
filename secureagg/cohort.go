package secureagg

import (
	"fmt"

	"tacit/id"
)

// cohort is what the signed charter and the signed roster fix for an epoch. Members
// stand in the roster's order, ascending by agent id; a member's index + 1 is its
// Shamir x.
type cohort struct {
	ids       []id.AgentID
	keys      []id.PublicKey
	params    Params
	charter   id.CharterHash
	roster    id.RosterHash
	maxRounds uint64 // attempts in one epoch
	server    id.PublicKey
}

// newCohort derives the cohort and checks the charter's caps. The whole roster
// takes part: nobody may leave an enrolled member out.
func newCohort(c *id.Charter, r *id.Roster) (*cohort, error) {
	if c.Federation != r.Federation {
		return nil, fmt.Errorf("secureagg: charter and roster are of different federations")
	}
	if len(r.Members) > MaxMembers {
		return nil, fmt.Errorf("secureagg: %d members, one cohort holds %d", len(r.Members), MaxMembers)
	}
	p, err := CohortParams(len(r.Members), int(c.MinCohort), int(c.MinRelease), c.AllowSmall)
	if err != nil {
		return nil, err
	}
	if int64(c.AssumedCorrupt) > int64(p.Private) {
		return nil, fmt.Errorf("secureagg: the charter assumes %d corrupt members; a cohort of %d hides inputs from the server and %d", c.AssumedCorrupt, p.N, p.Private)
	}
	co := &cohort{
		params: p, charter: c.Hash(), roster: r.Hash(), maxRounds: uint64(c.RoundsPerEpoch), server: c.Server,
	}
	orgs := make(map[string]int)
	for i := range r.Members {
		m := &r.Members[i]
		a := m.Agent()
		if i > 0 && a.Compare(co.ids[i-1]) <= 0 {
			return nil, fmt.Errorf("secureagg: the roster is not ascending at member %d", i)
		}
		co.ids = append(co.ids, a)
		co.keys = append(co.keys, m.Key)
		orgs[m.Org]++
		if orgs[m.Org]*100 > int(c.MaxOrgShare)*p.N {
			return nil, fmt.Errorf("secureagg: organisation %q holds more than %d %% of the cohort", m.Org, c.MaxOrgShare)
		}
	}
	return co, nil
}

// index returns the index of agent a, or −1.
func (c *cohort) index(a id.AgentID) int {
	for i := range c.ids {
		if c.ids[i] == a {
			return i
		}
	}
	return -1
}
