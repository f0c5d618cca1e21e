package store

import (
	"bytes"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
)

// A change applies one batch to rows. Both stores run it inside a transaction:
// the first error undoes everything.
type change struct {
	rows
	log Log
	err error // the first; every step after it does nothing
}

// apply checks the fence and applies the batch.
func apply(r rows, log Log, f Fence, b *Batch) (Head, error) {
	c := &change{rows: r, log: log}
	c.checkFence(f)
	head := c.appendEntries(b)
	each(c, b.Settings, c.setting)
	each(c, b.Charters, c.charter)
	each(c, b.Rosters, c.roster)
	each(c, b.Runs, c.run)
	each(c, b.Epochs, c.epoch)
	each(c, b.Attempts, c.attempt)
	each(c, b.Messages, c.message)
	each(c, b.Reports, c.report)
	each(c, b.Models, c.model)
	each(c, b.ForgetModels, c.forgetModel)
	each(c, b.ShredSpool, c.shredSpool)
	each(c, b.Records, c.record)
	each(c, b.Tokens, c.token)
	each(c, b.Redeem, c.redeem)
	each(c, b.WrongTries, c.wrongTry)
	each(c, b.Candidates, func(v Candidate) error { return c.store(tCandidates, v) })
	each(c, b.DropCandidates, func(a id.AgentID) error { return c.remove(tCandidates, a[:]) })
	each(c, b.Receipts, c.receipt)
	each(c, b.Cosignatures, c.cosignature)
	each(c, b.Bytes, c.addBytes)
	if c.err != nil {
		return Head{}, c.err
	}
	return head, nil
}

func each[T any](c *change, list []T, step func(T) error) {
	for _, v := range list {
		if c.err != nil {
			return
		}
		c.err = step(v)
	}
}

func conflict(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrConflict)...)
}

// store puts a value that knows its row.
func (c *change) store(t *table, v interface{ row() (row, error) }) error {
	r, err := v.row()
	if err != nil {
		return err
	}
	return c.put(t, r)
}

// once puts a row unless one with its key is there: the same is fine, another
// a conflict.
func (c *change) once(t *table, v interface{ row() (row, error) }, what string) error {
	r, err := v.row()
	if err != nil {
		return err
	}
	old, err := c.get(t, r[:len(t.keys)]...)
	switch {
	case err != nil:
		return err
	case old == nil:
		return c.put(t, r)
	case !bytes.Equal(t.sum(old), t.sum(r)):
		return conflict("%s with other content is there", what)
	}
	return nil
}

// takeNumber returns the next number of a counter, from 1.
func (c *change) takeNumber(name string) (uint64, error) {
	n, err := counter(c.rows, name)
	if err != nil {
		return 0, err
	}
	return n + 1, c.put(tCounters, row{name, int64(n + 1)})
}

func counter(r rows, name string) (n uint64, err error) {
	in, err := r.get(tCounters, name)
	if in == nil || err != nil {
		return 0, err
	}
	d := tCounters.read(in)
	d.text(&name)
	d.uint(&n)
	return n, d.err
}

// acquire raises the fencing epoch.
func acquire(r rows, holder string) (Fence, error) {
	f, err := currentFence(r)
	if err != nil {
		return 0, err
	}
	return f + 1, r.put(tLease, row{int64(1), int64(f + 1), holder})
}

func currentFence(r rows) (Fence, error) {
	in, err := r.get(tLease, int64(1))
	if in == nil || err != nil {
		return 0, err
	}
	var one, f uint64
	d := tLease.read(in)
	d.uint(&one)
	d.uint(&f)
	return Fence(f), d.err
}

func (c *change) checkFence(f Fence) {
	now, err := currentFence(c.rows)
	switch {
	case err != nil:
		c.err = err
	case f == 0 || f != now:
		c.err = ErrFenced
	}
}

// appendEntries writes entries, stored hashes and the new checkpoint.
func (c *change) appendEntries(b *Batch) (head Head) {
	if c.err != nil {
		return Head{}
	}
	head, c.err = headOf(c.rows)
	if c.err == nil && b.ExpectSize != nil && *b.ExpectSize != head.Size {
		c.err = conflict("the log has %d entries, not %d", head.Size, *b.ExpectSize)
	}
	if c.err != nil || len(b.Entries) == 0 {
		return head
	}
	head, c.err = c.extend(head.Size, b.Entries)
	return head
}

func (c *change) extend(size int64, entries [][]byte) (head Head, err error) {
	if c.log == nil {
		return head, fmt.Errorf("store: entries without a log")
	}
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) { return readHashes(c.rows, at) })
	hashes, root, err := c.log.Append(reader, size, entries)
	if err != nil {
		return head, fmt.Errorf("append to the log: %w", err)
	}
	first, end := tlog.StoredHashCount(size), tlog.StoredHashCount(size+int64(len(entries)))
	if int64(len(hashes)) != end-first {
		return head, fmt.Errorf("append to the log: %d stored hashes for %d entries after %d, want %d", len(hashes), len(entries), size, end-first)
	}
	for i, e := range entries {
		if len(e) == 0 {
			return head, fmt.Errorf("append to the log: entry %d is empty", size+int64(i))
		}
		if err := c.put(tEntries, row{size + int64(i), e}); err != nil {
			return head, err
		}
	}
	for i, h := range hashes {
		if err := c.put(tHashes, row{first + int64(i), h[:]}); err != nil {
			return head, err
		}
	}
	head = Head{Size: size + int64(len(entries)), Root: root}
	if head.Checkpoint, err = c.log.SignCheckpoint(head.Size, root); err != nil {
		return head, fmt.Errorf("sign checkpoint: %w", err)
	}
	pointSigned.Hit()
	return head, c.put(tCheckpoints, row{head.Size, root[:], head.Checkpoint})
}

func (c *change) setting(s Setting) error {
	r, err := build(s.Name, s.Value)
	if err != nil {
		return err
	}
	return c.put(tSettings, r)
}

func (c *change) run(v Run) error {
	in, err := c.get(tRuns, v.ID[:])
	if err != nil {
		return err
	}
	if in != nil {
		old, err := readRun(in)
		switch {
		case err != nil:
			return err
		case old.PlanHash != v.PlanHash || !bytes.Equal(old.Plan, v.Plan) || fromTime(old.Created) != fromTime(v.Created):
			return conflict("run %s has another plan or birth", v.ID.Short())
		case v.Epoch < old.Epoch || v.Round < old.Round || v.R < old.R:
			return conflict("run %s: epoch, round or attempt falls from %d, %d, %d to %d, %d, %d",
				v.ID.Short(), old.Epoch, old.Round, old.R, v.Epoch, v.Round, v.R)
		}
	}
	return c.store(tRuns, v)
}

func (c *change) epoch(v Epoch) error {
	key, err := build(v.Run[:], v.Number)
	if err != nil {
		return err
	}
	in, err := c.get(tEpochs, key...)
	if err != nil {
		return err
	}
	if in == nil {
		last, err := counter(c.rows, lastEpoch)
		if err != nil {
			return err
		}
		if v.Number <= last {
			return conflict("epoch %d after epoch %d", v.Number, last)
		}
		if err := c.put(tCounters, row{lastEpoch, int64(v.Number)}); err != nil {
			return err
		}
		return c.store(tEpochs, v)
	}
	old, err := readEpoch(in)
	if err != nil {
		return err
	}
	if !bytes.Equal(old.E0, v.E0) {
		return conflict("epoch %d was opened by another message", v.Number)
	}
	if err := writeOnce(&v.Root, old.Root, "root of epoch", v.Number); err != nil {
		return err
	}
	return c.store(tEpochs, v)
}

// lastEpoch is the counter of the federation's epochs.
const lastEpoch = "epoch"

// writeOnce keeps old where v is empty, and refuses v where old differs.
func writeOnce(v *[]byte, old []byte, what string, n uint64) error {
	switch {
	case len(*v) == 0:
		*v = old
	case len(old) != 0 && !bytes.Equal(*v, old):
		return conflict("another %s %d is there", what, n)
	}
	return nil
}

func (c *change) attempt(v Attempt) error {
	key, err := v.Key.key()
	if err != nil {
		return err
	}
	in, err := c.get(tAttempts, key...)
	if err != nil {
		return err
	}
	shredded := false
	if in == nil {
		last, err := c.last(tAttempts, v.Run[:])
		if err != nil {
			return err
		}
		if last != nil {
			latest, _, err := readAttempt(last)
			if err != nil {
				return err
			}
			if v.R < latest.R {
				return conflict("attempt %d after attempt %d", v.R, latest.R)
			}
		}
	} else {
		var old Attempt
		if old, shredded, err = readAttempt(in); err != nil {
			return err
		}
		if old.Epoch != v.Epoch || old.Task != v.Task || old.Round != v.Round || old.Model != v.Model || !bytes.Equal(old.Start, v.Start) {
			return conflict("attempt %d was opened with other inputs", v.R)
		}
		if shredded && len(v.SpoolKey) != 0 {
			return conflict("the spool key of attempt %d was shredded", v.R)
		}
		for _, f := range []struct {
			v    *[]byte
			old  []byte
			what string
		}{
			{&v.OnlineSet, old.OnlineSet, "online set of attempt"},
			{&v.Certificate, old.Certificate, "certificate of attempt"},
			{&v.AbortCertificate, old.AbortCertificate, "abort certificate of attempt"},
			{&v.SpoolKey, old.SpoolKey, "spool key of attempt"},
		} {
			if err := writeOnce(f.v, f.old, f.what, v.R); err != nil {
				return err
			}
		}
	}
	if len(v.Certificate) != 0 && len(v.AbortCertificate) != 0 {
		return conflict("attempt %d is both certified and aborted", v.R)
	}
	r, err := v.row(shredded)
	if err != nil {
		return err
	}
	return c.put(tAttempts, r)
}

func (c *change) message(m Message) (err error) {
	if m.Seq, err = c.takeNumber("message"); err != nil {
		return err
	}
	return c.store(tMessages, m)
}

func (c *change) report(v Report) error {
	key, err := v.Key.key()
	if err != nil {
		return err
	}
	in, err := c.get(tReports, append(key, v.Agent[:])...)
	if err != nil {
		return err
	}
	if in != nil {
		old, _, err := readReport(in)
		if err == nil && (!bytes.Equal(old.Body, v.Body) || old.Vector != v.Vector) {
			err = conflict("agent %s sent another report in attempt %d", v.Agent.Short(), v.R)
		}
		return err
	}
	seq, err := c.takeNumber("report")
	if err != nil {
		return err
	}
	r, err := v.row(seq)
	if err != nil {
		return err
	}
	return c.put(tReports, r)
}

func (c *change) model(m Model) error {
	r, err := m.row(false)
	if err != nil {
		return err
	}
	old, err := c.get(tModels, r[:len(tModels.keys)]...)
	switch {
	case err != nil:
		return err
	case old == nil:
		return c.put(tModels, r)
	case !bytes.Equal(tModels.sum(old), tModels.sum(r)):
		return conflict("round %d has another model", m.Round)
	}
	return nil
}

func (c *change) forgetModel(ref ModelRef) error {
	key, err := build(ref.Run[:], ref.Round)
	if err != nil {
		return err
	}
	in, err := c.get(tModels, key...)
	if err != nil {
		return err
	}
	if in == nil {
		return fmt.Errorf("model of round %d: %w", ref.Round, ErrNotFound)
	}
	m, err := readModel(in)
	if err != nil {
		return err
	}
	m.Wrapped = nil
	r, err := m.row(true)
	if err != nil {
		return err
	}
	return c.put(tModels, r)
}

func (c *change) shredSpool(k Key) error {
	key, err := k.key()
	if err != nil {
		return err
	}
	in, err := c.get(tAttempts, key...)
	if err != nil {
		return err
	}
	if in == nil {
		return fmt.Errorf("attempt %d: %w", k.R, ErrNotFound)
	}
	a, _, err := readAttempt(in)
	if err != nil {
		return err
	}
	a.SpoolKey = nil
	r, err := a.row(true)
	if err != nil {
		return err
	}
	return c.put(tAttempts, r)
}

func (c *change) record(v Record) error {
	return c.once(tRecords, v, fmt.Sprintf("record %x", v.Digest[:6]))
}

func (c *change) receipt(v Receipt) error {
	return c.once(tReceipts, v, fmt.Sprintf("receipt of agent %s for attempt %d", v.Agent.Short(), v.R))
}

func (c *change) cosignature(v Cosignature) error {
	return c.once(tCosignatures, v, fmt.Sprintf("cosignature of agent %s at size %d", v.Agent.Short(), v.Size))
}

func (c *change) addBytes(v ByteCount) error {
	in, err := c.get(tBytes, v.Agent[:], v.Class, v.Kind)
	if err != nil {
		return err
	}
	if in != nil {
		old, err := readByteCount(in)
		if err != nil {
			return err
		}
		v.Bytes += old.Bytes
		v.Messages += old.Messages
	}
	return c.store(tBytes, v)
}

// shreds reports whether the batch erases secrets, after which a store also
// cleans what it keeps beside its rows.
func (b *Batch) shreds() bool { return len(b.ForgetModels)+len(b.ShredSpool) > 0 }
