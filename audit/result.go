package audit

import (
	"fmt"

	"tacit/id"
)

// Result is what a verification found. Every field but those about the caller's own
// options is a function of the archive.
type Result struct {
	Federation   string   `json:"federation"`
	Size         uint64   `json:"entries"`
	Root         string   `json:"root"`
	Origin       string   `json:"origin"`
	LogKey       string   `json:"log_key_used"`
	LogKeyState  string   `json:"log_key"`      // "pinned" or "unpinned"
	Certificates string   `json:"certificates"` // "checked" or "digest only"
	PlanText     string   `json:"plan_text"`    // "checked" or "digest only"
	Report       string   `json:"report"`       // "recomputed" or "digest only"
	Runs         int      `json:"runs"`
	Rounds       int      `json:"rounds"` // committed
	Aborts       int      `json:"aborts"`
	Starts       int      `json:"server_starts"`
	Members      int      `json:"members"`
	Witnesses    int      `json:"witnesses"` // agents with a cosignature on some checkpoint
	Cosignatures int      `json:"cosignatures"`
	CosignedSize uint64   `json:"cosigned_entries"` // the largest size that an agent vouched for
	Since        *uint64  `json:"since,omitempty"`  // size of the old checkpoint that the log extends
	Warnings     []string `json:"warnings"`
}

func (v *verification) result(head Head, report string) *Result {
	h := v.replay.h
	r := &Result{
		Federation: h.genesis.Name, Size: head.Size, Root: fmt.Sprintf("%x", head.Root[:]), Origin: v.log.Name(),
		LogKey: v.logKey, LogKeyState: "pinned", Certificates: checked, PlanText: checked, Report: report,
		Runs: len(h.runs), Starts: len(h.starts), Warnings: []string{},
	}
	if n := len(h.rosters); n > 0 {
		r.Members = len(h.rosters[n-1].roster.Members)
	}
	for _, run := range h.runs {
		for _, a := range run.attempts {
			if a.committed != nil {
				r.Rounds++
			}
			if a.aborted != nil {
				r.Aborts++
			}
		}
	}
	agents := make(map[id.AgentID]bool)
	for _, c := range h.vouched {
		r.CosignedSize = max(r.CosignedSize, c.head.Size)
		r.Cosignatures += len(c.by)
		for _, by := range c.by {
			agents[by.agent] = true
		}
	}
	r.Witnesses = len(agents)
	if v.old != nil {
		size := v.old.Size
		r.Since = &size
	}
	if v.pinned == nil {
		r.LogKeyState = "unpinned"
		r.Warnings = append(r.Warnings, "no --log-key: only self-consistency was checked; whoever made this archive could have made all of it")
	}
	if v.opt.CheckCertificate == nil {
		r.Certificates = digestOnly
		r.Warnings = append(r.Warnings, "certificates: only their digests were checked, not the members' signatures")
	}
	if v.opt.CheckPlan == nil {
		r.PlanText = digestOnly
	}
	if report == digestOnly {
		r.Warnings = append(r.Warnings, "report: made by another version of the renderer; only its digest was checked")
	}
	if r.Witnesses == 0 {
		r.Warnings = append(r.Warnings, "no agent's cosignature is in the archive")
	}
	return r
}
