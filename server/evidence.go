package server

import (
	"context"
	"errors"
	"fmt"
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
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	src, err := s.source(ctx)
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
	head, err := s.store.Commit(ctx, s.fence, &store.Batch{ExpectSize: &size, Entries: [][]byte{raw}})
	if err != nil {
		return nil, err
	}
	s.head = head
	return draft.Assemble(raw, head.Checkpoint)
}

// source gathers what the archive is made of, as of the current checkpoint.
func (s *Server) source(ctx context.Context) (audit.Source, error) {
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
	src.Cosigned, err = s.cosignedCheckpoints(ctx)
	return src, err
}

// cosignedCheckpoints are the checkpoints that branches have cosigned, with every
// cosignature known of each.
func (s *Server) cosignedCheckpoints(ctx context.Context) (out [][]byte, err error) {
	latest := map[id.AgentID]int64{}
	for size := s.head.Size; size > 0 && len(latest) < len(s.roster.Members); size-- {
		list, err := s.store.Cosignatures(ctx, size)
		if err != nil {
			return nil, err
		}
		var joined []byte
		for _, c := range list {
			if _, newer := latest[c.Agent]; newer {
				continue
			}
			latest[c.Agent] = size
			line := cosignature(c.Body, c.Agent)
			if line == nil {
				continue
			}
			if joined == nil {
				if joined, err = s.store.Checkpoint(ctx, size); err != nil {
					if errors.Is(err, store.ErrNotFound) {
						break // another checkpoint of that size was never kept
					}
					return nil, err
				}
			}
			if joined, err = audit.AddCosignature(joined, line); err != nil {
				return nil, err
			}
		}
		if joined != nil {
			out = append(out, joined)
		}
	}
	// Ascending by size, as the archive has them.
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
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
	if c.Abort {
		return nil
	}
	if id.Digest(facts.Digests) != c.Online {
		return errors.New("the certificate is of other reports")
	}
	in := map[id.AgentID]bool{}
	for _, a := range facts.Online {
		in[a] = true
	}
	for i := range c.Members {
		member := c.Set[i/8]&(1<<(i%8)) != 0
		if member != in[c.Members[i].AgentID()] {
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
