package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/server/engine"
	"tacit/server/store"
	"tacit/wire"
)

// logged is an entry that is in the log.
type logged struct {
	index    uint64
	entry    []byte
	document []byte // the record it stands for, if it was written with one
}

// entry builds an audit entry of a run, or of the federation where run is zero.
func entry(run id.RunID, round, r uint64, digest id.Digest, p audit.Payload) audit.Entry {
	return audit.Entry{Run: run, Round: round, R: r, Digest: digest, Payload: p}
}

// commit is the one way into store and log: it numbers and dates the entries, adds
// the traffic counted since the last commit, and makes everything durable together.
// The caller holds s.commitMu.
func (s *Server) commit(b *store.Batch, entries ...audit.Entry) ([]logged, error) {
	size := s.head.Size
	now := time.Now().UnixMilli()
	out := make([]logged, 0, len(entries))
	for i, e := range entries {
		e.Sequence, e.Time = uint64(size)+uint64(i), now
		raw, err := e.AppendBinary(nil)
		if err != nil {
			return nil, fmt.Errorf("server: log entry %q: %w", e.Kind(), err)
		}
		b.Entries = append(b.Entries, raw)
		out = append(out, logged{index: e.Sequence, entry: raw})
	}
	b.ExpectSize = &size
	pending := s.traffic.take()
	b.Bytes = append(b.Bytes, pending...)
	head, err := s.store.Commit(context.Background(), s.fence, b)
	if err != nil {
		s.traffic.putBack(pending)
		return nil, s.refused(err)
	}
	s.head = head
	return out, nil
}

// refused stops the server over a commit that the disk or another process has
// refused; what is on disk is what a restart goes on from. A batch that contradicts
// what is stored concerns its author alone.
func (s *Server) refused(err error) error {
	var token *store.TokenError
	if !errors.Is(err, store.ErrConflict) && !errors.As(err, &token) {
		s.fail(err)
	}
	return err
}

// write commits outside the run's loop.
func (s *Server) write(b *store.Batch, entries ...audit.Entry) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	_, err := s.commit(b, entries...)
	return err
}

// prove makes the proof of one entry for a branch whose last checkpoint had the
// size seen, against the current checkpoint.
func (s *Server) prove(l logged, seen uint64) (wire.Proof, uint64, error) {
	s.commitMu.Lock()
	head := s.head
	s.commitMu.Unlock()
	size := uint64(head.Size)
	p := wire.Proof{Index: l.index, TreeSize: size, Checkpoint: head.Checkpoint}
	reader := s.store.HashReader(context.Background())
	if l.entry != nil {
		inc, err := audit.ProveInclusion(reader, size, l.index)
		if err != nil {
			return wire.Proof{}, 0, err
		}
		p.Inclusion = hashes(inc)
	}
	// A branch that has seen more than the log holds is told so by the checkpoint
	// itself: no proof can exist, none is claimed, and it keeps both as evidence.
	if seen <= size {
		p.OldSize = seen
	}
	if seen > 0 && seen < size {
		con, err := audit.ProveConsistency(reader, seen, size)
		if err != nil {
			return wire.Proof{}, 0, err
		}
		p.Consistency = hashes(con)
	}
	return p, size, nil
}

func hashes(p audit.Proof) [][32]byte {
	out := make([][32]byte, len(p))
	for i, h := range p {
		out[i] = h
	}
	return out
}

// startSetting remembers where in the log a run begins.
func startSetting(run id.RunID, index uint64) store.Setting {
	return store.Setting{Name: "started/" + run.String(), Value: binary.BigEndian.AppendUint64(nil, index)}
}

// endSetting remembers where in the log an attempt ends.
func endSetting(run id.RunID, r, index uint64) store.Setting {
	return store.Setting{Name: fmt.Sprintf("end/%s/%d", run, r), Value: binary.BigEndian.AppendUint64(nil, index)}
}

// approvalSetting remembers that an agent's approval of a plan is in the log.
func approvalSetting(hash id.PlanHash, agent id.AgentID) store.Setting {
	return store.Setting{Name: "approved/" + hash.String() + "/" + agent.String(), Value: []byte{1}}
}

// find looks an entry up that is not at hand: where runs begin and attempts end is
// remembered, and the opening of the current attempt lies near the end of the log.
func (s *Server) find(run id.RunID, name engine.EntryName) (logged, error) {
	s.commitMu.Lock()
	size := s.head.Size
	s.commitMu.Unlock()
	key := ""
	switch name.What {
	case "run":
		key = startSetting(run, 0).Name
	case "end":
		key = endSetting(run, name.R, 0).Name
	}
	if key != "" {
		v, err := s.store.Setting(context.Background(), key)
		if err == nil && len(v) != 8 {
			err = errors.New("it is no number")
		}
		if err != nil {
			return logged{}, fmt.Errorf("server: where the log has entry %q of run %s, attempt %d: %w", name.What, run, name.R, err)
		}
		size = min(size, int64(binary.BigEndian.Uint64(v))+1)
	}
	const page = 64
	for to := size; to > 0; to -= page {
		from := max(0, to-page)
		entries, err := s.store.Entries(context.Background(), from, to)
		if err != nil {
			return logged{}, err
		}
		for i := len(entries) - 1; i >= 0; i-- {
			e, err := audit.ParseEntry(entries[i])
			if err != nil {
				return logged{}, fmt.Errorf("server: log entry %d: %w", from+int64(i), err)
			}
			if e.Run == run && named(e) == name {
				return logged{index: e.Sequence, entry: entries[i]}, nil
			}
		}
	}
	return logged{}, fmt.Errorf("server: the log has no entry %q of attempt %d", name.What, name.R)
}

// named is the name under which the engine knows an entry.
func named(e audit.Entry) engine.EntryName {
	switch e.Payload.(type) {
	case audit.RunStarted:
		return engine.EntryName{What: "run"}
	case audit.RoundOpened:
		return engine.EntryName{What: "open", R: e.R}
	case audit.RoundCommitted, audit.RoundAborted:
		return engine.EntryName{What: "end", R: e.R}
	}
	return engine.EntryName{}
}
