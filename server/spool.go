package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/server/blob"
	"tacit/server/engine"
	"tacit/server/store"
	"tacit/wire"
)

// openSpool makes the key under which an attempt's masked inputs are sealed, and
// puts it, sealed, into the attempt's row.
func (s *Server) openSpool(run *activeRun, r uint64, b *store.Batch) error {
	key, err := blob.NewKey()
	if err != nil {
		return err
	}
	sealed, err := s.keeper.Seal(purposeSpool, key.Bytes())
	if err != nil {
		return err
	}
	for i := range b.Attempts {
		b.Attempts[i].SpoolKey = sealed
	}
	run.spoolMu.Lock()
	defer run.spoolMu.Unlock()
	run.spoolR, run.spool = r, key
	run.spooled.Clear()
	return nil
}

// reopenSpool opens the key of the attempt that a restart goes on with.
func (s *Server) reopenSpool(run *activeRun, a store.Attempt) error {
	if len(a.SpoolKey) == 0 {
		return nil // the attempt is over and its inputs are shredded
	}
	raw, err := s.keeper.Open(purposeSpool, a.SpoolKey)
	if err != nil {
		return fmt.Errorf("server: spool key of attempt %d: %w", a.R, err)
	}
	key, err := blob.KeyFrom(raw)
	if err != nil {
		return err
	}
	run.spoolR, run.spool = a.R, key
	return nil
}

// spoolVector seals a masked input into the spool of its attempt; ok is false when
// the attempt takes none. An agent has one input in an attempt: its name in the spool
// holds its digest, so that nothing sent later takes the place of what a report has
// signed. The key cannot be wiped while it is in use.
func (s *Server) spoolVector(runID id.RunID, r uint64, agent id.AgentID, words []byte) (info blob.Info, ok bool, err error) {
	run := s.active()
	if run == nil || run.id != runID || run.roster.Lookup(agent) == nil {
		return blob.Info{}, false, nil
	}
	run.spoolMu.RLock()
	defer run.spoolMu.RUnlock()
	if run.spoolR != r || run.spool == nil {
		return blob.Info{}, false, nil
	}
	digest := id.SumDigest(words)
	if first, taken := run.spooled.LoadOrStore(agent, digest); taken && first != digest {
		return blob.Info{}, false, nil
	}
	info, err = s.blobs.PutSealed(spoolName(runID, r, agent, digest), run.spool, bytes.NewReader(words))
	return info, true, err
}

func spoolName(run id.RunID, r uint64, agent id.AgentID, digest id.Digest) string {
	return fmt.Sprintf("spool/%s/%d/%s-%x", run, r, agent, digest[:16])
}

// sumSpool adds the vectors of the named blobs to acc.
func (s *Server) sumSpool(run *activeRun, acc []uint32, names []string) error {
	buf := make([]byte, 64<<10)
	for _, name := range names {
		if err := s.addBlob(run.spool, acc, name, buf); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s *Server) addBlob(key *blob.Key, acc []uint32, name string, buf []byte) error {
	r, err := s.blobs.OpenSealed(name, key)
	if err != nil {
		return err
	}
	defer r.Close()
	words := make([]uint32, len(buf)/4)
	for at := 0; at < len(acc); {
		n := min(len(words), len(acc)-at)
		if _, err := io.ReadFull(r, buf[:4*n]); err != nil {
			return err
		}
		for i := range n {
			words[i] = binary.LittleEndian.Uint32(buf[4*i:])
		}
		secureagg.AddVector(acc[at:at+n], words[:n])
		at += n
	}
	if n, err := r.Read(buf[:1]); n != 0 || !errors.Is(err, io.EOF) {
		return errors.New("longer than the attempt's vectors")
	}
	return nil
}

// shredSpool destroys the masked inputs of an attempt that is over.
func (s *Server) shredSpool(run *activeRun, r uint64) error {
	run.spoolMu.Lock()
	if run.spoolR == r {
		if run.spool != nil {
			run.spool.Wipe()
		}
		run.spoolR, run.spool = 0, nil
	}
	run.spoolMu.Unlock()
	if err := s.write(&store.Batch{ShredSpool: []store.Key{{Run: run.id, R: r}}}); err != nil {
		return err
	}
	return s.blobs.Shred(fmt.Sprintf("spool/%s/%d", run.id, r))
}

// shredEnded destroys the inputs of attempts that ended just before an earlier process
// did.
func (s *Server) shredEnded(run *activeRun, attempts []store.Attempt) error {
	for _, a := range attempts {
		if len(a.SpoolKey) == 0 || !engine.Ended(a) {
			continue
		}
		if err := s.shredSpool(run, a.R); err != nil {
			return err
		}
	}
	return nil
}

// shredOver destroys what an earlier process left of runs that are over.
func (s *Server) shredOver(ctx context.Context) error {
	runs, err := s.store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.State != stateDone && r.State != stateStopped {
			continue
		}
		for _, prefix := range []string{sumsOf(r.ID), "spool/" + r.ID.String()} {
			if err := s.blobs.Shred(prefix); err != nil {
				return err
			}
		}
	}
	return nil
}

// vectorLimit is the size of the largest vector that the active run takes.
func (s *Server) vectorLimit() int {
	run := s.active()
	if run == nil {
		return wire.KindVector.Limit()
	}
	dim := max(run.plan.Dim(plan.Statistics), run.plan.Dim(plan.Train), run.plan.Dim(plan.Evaluate))
	return wire.VectorSize(dim)
}

// rosterSetting remembers which roster a run began with.
func rosterSetting(run id.RunID, version uint64) store.Setting {
	return store.Setting{Name: "roster/" + run.String(), Value: binary.BigEndian.AppendUint64(nil, version)}
}

func (s *Server) runRoster(run id.RunID) (*id.Roster, error) {
	ctx := context.Background()
	v, err := s.store.Setting(ctx, rosterSetting(run, 0).Name)
	if err != nil || len(v) != 8 {
		return nil, fmt.Errorf("server: the roster of run %s: %w", run, err)
	}
	body, err := s.store.Roster(ctx, binary.BigEndian.Uint64(v))
	if err != nil {
		return nil, fmt.Errorf("server: the roster of run %s: %w", run, err)
	}
	return id.ParseRoster(body)
}
