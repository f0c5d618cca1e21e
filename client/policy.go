package client

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tacit/id"
	"tacit/plan"
	"tacit/wire"
)

// Policy is the branch's own will. It is never sent; a plan that it does not allow
// is refused with a code. The zero Policy refuses every plan.
type Policy struct {
	// Allow lists what may run here: hashes of plans (64 hexadecimal digits) and
	// model families ("logreg").
	Allow []string
	// MinBranches is the smallest epoch that this branch takes part in; 0 leaves it
	// to the charter.
	MinBranches int
	// MaxRounds is the longest run, in training rounds; 0 means no limit.
	MaxRounds int
	// Hours is when this machine may train, local time: "22:00-06:00"; empty means
	// always.
	Hours string
}

// Validate reports every problem of the policy.
func (p *Policy) Validate() error {
	var bad []string
	for _, a := range p.Allow {
		if _, isHash := planHash(a); !isHash && id.CheckName(a) != nil {
			bad = append(bad, fmt.Sprintf("allow: %q is neither a plan's hash nor a model family", a))
		}
	}
	if p.MinBranches < 0 || p.MinBranches > plan.MaxBranches {
		bad = append(bad, fmt.Sprintf("min_branches: %d, want 0 to %d", p.MinBranches, plan.MaxBranches))
	}
	if p.MaxRounds < 0 {
		bad = append(bad, fmt.Sprintf("max_rounds: %d is negative", p.MaxRounds))
	}
	if _, _, err := parseHours(p.Hours); err != nil {
		bad = append(bad, "hours: "+err.Error())
	}
	if bad != nil {
		return fmt.Errorf("policy: %s", strings.Join(bad, "; "))
	}
	return nil
}

func planHash(s string) (h id.PlanHash, ok bool) {
	err := h.UnmarshalText([]byte(s))
	return h, err == nil
}

// judge returns why the policy refuses the plan at the given local time, or "".
// branches is the size of the epoch, or 0 at the offer, before there is one; the plan's
// own bounds on it are held here too, because its scales and promises rest on them.
func (p *Policy) judge(pl *plan.Plan, hash id.PlanHash, branches int, now time.Time) wire.Refusal {
	families := false
	allowed := false
	for _, a := range p.Allow {
		if h, isHash := planHash(a); isHash {
			allowed = allowed || h == hash
		} else {
			families = true
			allowed = allowed || a == pl.Model.Family
		}
	}
	// At the offer the plan's promise counts, in a round the epoch itself.
	fewest := pl.Federation.MinBranches
	if branches > 0 {
		fewest = branches
	}
	switch {
	case !allowed && families:
		return wire.RefusalModelFamily
	case !allowed:
		return wire.RefusalPlanNotAllowed
	case fewest < p.MinBranches,
		branches > 0 && (branches < pl.Federation.MinBranches || branches > pl.Federation.MaxBranches):
		return wire.RefusalMinCohort
	case p.MaxRounds > 0 && pl.Federation.Rounds > p.MaxRounds:
		return wire.RefusalMaxRounds
	case !within(p.Hours, now):
		return wire.RefusalHours
	}
	return ""
}

// allowsEverything is for the console: a policy that names no plan refuses all.
func (p *Policy) refusesAll() bool { return len(p.Allow) == 0 }

// parseHours reads "HH:MM-HH:MM" into minutes of the day; from may lie after to.
func parseHours(s string) (from, to int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	a, b, ok := strings.Cut(s, "-")
	start, err1 := time.Parse("15:04", strings.TrimSpace(a))
	end, err2 := time.Parse("15:04", strings.TrimSpace(b))
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("%q is no span of the day such as \"22:00-06:00\"", s)
	}
	from, to = start.Hour()*60+start.Minute(), end.Hour()*60+end.Minute()
	if from == to {
		return 0, 0, fmt.Errorf("%q begins where it ends; leave hours out for the whole day", s)
	}
	return from, to, nil
}

// within reports whether now lies in the span; one that cannot be read holds no
// moment.
func within(hours string, now time.Time) bool {
	if hours == "" {
		return true
	}
	from, to, err := parseHours(hours)
	if err != nil {
		return false
	}
	m := now.Hour()*60 + now.Minute()
	if from < to {
		return from <= m && m < to
	}
	return m >= from || m < to
}

// describe is what `agent status` and the log say about the policy.
func (p *Policy) describe() string {
	if p.refusesAll() {
		return "refuses every plan"
	}
	names := slices.Clone(p.Allow)
	for i, n := range names {
		if h, ok := planHash(n); ok {
			names[i] = "plan " + h.Short()
		}
	}
	return "allows " + strings.Join(names, ", ")
}
