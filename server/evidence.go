package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/store"
)

// Evidence makes the archive that an outsider verifies offline: everything in the
// log so far, the report that the verifier's own verdict heads, the entry that says
// so, and a checkpoint over both. Nothing else enters the log meanwhile.
func (s *Server) Evidence(ctx context.Context) ([]byte, error) {
	members := s.members() // before the lock: a roster's adoption commits under its own
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	src, err := s.source(ctx, members)
	if err != nil {
		return nil, err
	}
	draft, err := audit.Build(src, VerifyOptions(s.charter.LogKey))
	if err != nil {
		return nil, fmt.Errorf("server: the log does not verify: %w", err)
	}
	made := draft.Entry(time.Now().UnixMilli())
	raw, err := made.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	size := s.head.Size
	head, err := s.store.Commit(context.Background(), s.fence, &store.Batch{ExpectSize: &size, Entries: [][]byte{raw}})
	if err != nil {
		return nil, s.refused(err)
	}
	s.head = head
	return draft.Assemble(raw, head.Checkpoint)
}

// source gathers what the archive is made of, as of the current checkpoint.
func (s *Server) source(ctx context.Context, members []id.Member) (audit.Source, error) {
	src := audit.Source{
		LogKey: s.charter.LogKey, Checkpoint: s.head.Checkpoint,
		Record: func(d id.Digest) ([]byte, error) { return s.store.Record(ctx, d) },
	}
	var err error
	if src.Entries, err = s.store.Entries(ctx, 0, s.head.Size); err != nil {
		return src, err
	}
	for i, raw := range src.Entries {
		e, err := audit.ParseEntry(raw)
		if err != nil {
			return src, fmt.Errorf("server: log entry %d: %w", i, err)
		}
		switch p := e.Payload.(type) {
		case audit.Genesis:
			body, err := s.store.Charter(ctx, p.Charter)
			if err != nil {
				return src, err
			}
			src.Charters = append(src.Charters, body)
		case audit.RosterChanged:
			body, err := s.store.Roster(ctx, p.Version)
			if err != nil {
				return src, err
			}
			src.Rosters = append(src.Rosters, body)
		}
	}
	src.Cosigned, err = s.cosignedCheckpoints(ctx, members)
	return src, err
}

// cosignedSetting remembers the newest checkpoint that a branch has cosigned.
func cosignedSetting(agent id.AgentID, size int64) store.Setting {
	return store.Setting{Name: "cosigned/" + agent.String(), Value: binary.BigEndian.AppendUint64(nil, uint64(size))}
}

// loadCosigned learns what the members have cosigned in earlier processes.
func (s *Server) loadCosigned(ctx context.Context) error {
	for i := range s.roster.Members {
		if err := s.loadCosignedBy(ctx, s.roster.Members[i].Agent()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) loadCosignedBy(ctx context.Context, agent id.AgentID) error {
	v, err := s.store.Setting(ctx, cosignedSetting(agent, 0).Name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil && len(v) != 8 {
		err = errors.New("it is no number")
	}
	if err != nil {
		return fmt.Errorf("server: newest cosignature of %s: %w", agent, err)
	}
	s.cosigned[agent] = int64(binary.BigEndian.Uint64(v))
	return nil
}

// keepCosigned keeps a checkpoint that a branch has cosigned, if it is its newest.
func (s *Server) keepCosigned(agent id.AgentID, size int64, signed []byte) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if size <= s.cosigned[agent] {
		return nil
	}
	_, err := s.commit(&store.Batch{
		Cosignatures: []store.Cosignature{{Agent: agent, Size: size, Body: signed}},
		Settings:     []store.Setting{cosignedSetting(agent, size)},
	})
	if err == nil {
		s.cosigned[agent] = size
	}
	return err
}

// cosignedCheckpoints are the checkpoints that the members have cosigned last,
// ascending by size, each with the cosignatures that are the members' newest.
func (s *Server) cosignedCheckpoints(ctx context.Context, members []id.Member) (out [][]byte, err error) {
	sizes := map[int64]bool{}
	for i := range members {
		if size := s.cosigned[members[i].Agent()]; size > 0 {
			sizes[size] = true
		}
	}
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		joined, err := s.store.Checkpoint(ctx, size)
		if errors.Is(err, store.ErrNotFound) {
			continue // another checkpoint of that size was never kept
		}
		if err != nil {
			return nil, err
		}
		list, err := s.store.Cosignatures(ctx, size)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			line := cosignature(c.Body, c.Agent)
			if line == nil || s.cosigned[c.Agent] != size {
				continue
			}
			if joined, err = audit.AddCosignature(joined, line); err != nil {
				return nil, err
			}
		}
		out = append(out, joined)
	}
	return out, nil
}

// cosignature is the agent's line in a cosigned checkpoint, or nil.
func cosignature(signed []byte, agent id.AgentID) []byte {
	prefix := "\u2014 " + audit.CosignerName(agent) + " "
	for line := range strings.Lines(string(signed)) {
		if strings.HasPrefix(line, prefix) {
			return []byte(line)
		}
	}
	return nil
}

// VerifyOptions are the checks that the verifier borrows from other rooms:
// certificates are the protocol's, plans are the plan's.
func VerifyOptions(logKey string) audit.Options {
	return audit.Options{LogKey: logKey, CheckCertificate: checkCertificate, CheckPlan: checkPlan}
}

// checkCertificate verifies a certificate or abort certificate against what the log
// says of its attempt.
func checkCertificate(c audit.Certificate) error {
	verify := secureagg.VerifyCertificate
	if c.Abort {
		verify = secureagg.VerifyAbort
	}
	facts, err := verify(c.Bytes, c.Roster, c.Charter)
	if err != nil {
		return err
	}
	if facts.Run != c.Run || facts.Epoch != c.Epoch || facts.R != c.R || facts.Ctx != c.Ctx {
		return errors.New("the certificate is of another attempt")
	}
	in := secureagg.RoundInputs{
		Run: c.Run, Plan: c.Plan, R: c.R, Round: c.Round, Task: uint8(c.Task), Model: c.Model, Config: c.Config, Charter: c.CharterHash,
		Cohorts: c.Cohorts, Cohort: c.Cohort, Dim: int(c.Dim),
	}
	if in.Ctx(c.Epoch, c.Root) != c.Ctx {
		return errors.New("the attempt's ctx, which the members signed, is not that of its plan, task, model and epoch")
	}
	if !id.Digest(facts.Root).IsZero() && facts.Root != c.Root {
		return errors.New("the certificate is of other cohorts than the epoch's")
	}
	p := facts.Params
	if p.N != len(c.Members) || p.Quorum != c.Quorum || p.Threshold != c.Threshold || p.MinRelease != c.MinRelease || p.Live != c.Live || p.Private != c.Private {
		return errors.New("the epoch's numbers are not those of its roster and charter")
	}
	if c.Abort {
		return nil
	}
	if id.Digest(facts.Digests) != c.Online {
		return errors.New("the certificate is of other reports")
	}
	online := map[id.AgentID]bool{}
	for _, a := range facts.Online {
		online[a] = true
	}
	for i := range c.Members {
		member := c.Set[i/8]&(1<<(i%8)) != 0
		if member != online[c.Members[i].AgentID()] {
			return errors.New("the certificate is of another set")
		}
	}
	return nil
}

// checkPlan verifies that a plan's text is the canonical plan's.
func checkPlan(run *audit.RunRecord) error {
	p, err := plan.ParseCanonical(run.Canonical)
	if err != nil {
		return err
	}
	if p.YAML() != run.Text {
		return errors.New("the plan's text is not that of its canonical bytes")
	}
	return nil
}
