package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
)

// reads is the reading half of a store, above whatever gives it a view of rows.
type reads struct {
	view func(ctx context.Context, fn func(rows) error) error
}

// list reads the rows of t whose key begins with prefix.
func list[T any](ctx context.Context, s reads, t *table, decode func(row) (T, error), prefix ...any) (out []T, err error) {
	err = s.view(ctx, func(r rows) error {
		in, err := r.scan(t, prefix...)
		if err != nil {
			return err
		}
		out = make([]T, len(in))
		for i := range in {
			if out[i], err = decode(in[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return out, nil
}

// load reads the row of t under key.
func load[T any](ctx context.Context, s reads, t *table, decode func(row) (T, error), key ...any) (out T, err error) {
	err = s.view(ctx, func(r rows) error {
		in, err := r.get(t, key...)
		if err != nil {
			return err
		}
		if in == nil {
			return fmt.Errorf("%s: %w", t.name, ErrNotFound)
		}
		out, err = decode(in)
		return err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return out, nil
}

func headOf(r rows) (Head, error) {
	in, err := r.last(tCheckpoints)
	if in == nil || err != nil {
		return Head{}, err
	}
	return readHead(in)
}

func readHashes(r rows, at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		in, err := r.get(tHashes, n)
		if err != nil {
			return nil, err
		}
		if in == nil {
			return nil, fmt.Errorf("stored hash %d: %w", n, ErrNotFound)
		}
		var idx int64
		d := tHashes.read(in)
		d.int64(&idx)
		d.array(out[i][:])
		if d.err != nil {
			return nil, d.err
		}
	}
	return out, nil
}

func (s reads) Head(ctx context.Context) (h Head, err error) {
	err = s.view(ctx, func(r rows) error {
		h, err = headOf(r)
		return err
	})
	return h, err
}

func (s reads) Entries(ctx context.Context, from, to int64) (out [][]byte, err error) {
	if from < 0 || to < from {
		return nil, fmt.Errorf("entries %d to %d: %w", from, to, ErrNotFound)
	}
	err = s.view(ctx, func(r rows) error {
		in, err := r.span(tEntries, from, to)
		if err != nil {
			return err
		}
		if int64(len(in)) != to-from {
			return fmt.Errorf("entries %d to %d: %w", from, to, ErrNotFound)
		}
		for _, e := range in {
			var idx int64
			var body []byte
			d := tEntries.read(e)
			d.int64(&idx)
			d.bytes(&body)
			if d.err != nil {
				return d.err
			}
			out = append(out, body)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s reads) HashReader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		err = s.view(ctx, func(r rows) error {
			out, err = readHashes(r, at)
			return err
		})
		return out, err
	})
}

func (s reads) Checkpoint(ctx context.Context, size int64) ([]byte, error) {
	h, err := load(ctx, s, tCheckpoints, readHead, size)
	return h.Checkpoint, err
}

func (s reads) LoadRun(ctx context.Context, run id.RunID) (Run, error) {
	return load(ctx, s, tRuns, readRun, run[:])
}

func (s reads) Runs(ctx context.Context) ([]Run, error) {
	out, err := list(ctx, s, tRuns, readRun)
	slices.SortStableFunc(out, func(a, b Run) int { // stable: equal times stay by ID
		return a.Created.Compare(b.Created)
	})
	return out, err
}

func (s reads) Epochs(ctx context.Context, run id.RunID) ([]Epoch, error) {
	return list(ctx, s, tEpochs, readEpoch, run[:])
}

func (s reads) LastEpoch(ctx context.Context) (n uint64, err error) {
	err = s.view(ctx, func(r rows) error {
		n, err = counter(r, lastEpoch)
		return err
	})
	return n, err
}

func decodeAttempt(in row) (Attempt, error) {
	a, _, err := readAttempt(in)
	return a, err
}

func (s reads) LoadAttempt(ctx context.Context, k Key) (Attempt, error) {
	key, err := k.key()
	if err != nil {
		return Attempt{}, err
	}
	return load(ctx, s, tAttempts, decodeAttempt, key...)
}

func (s reads) Attempts(ctx context.Context, run id.RunID) ([]Attempt, error) {
	return list(ctx, s, tAttempts, decodeAttempt, run[:])
}

func (s reads) Messages(ctx context.Context, run id.RunID, epoch, r uint64) ([]Message, error) {
	key, err := build(run[:], epoch, r)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, tMessages, readMessage, key...)
}

func (s reads) Reports(ctx context.Context, k Key) ([]Report, error) {
	key, err := k.key()
	if err != nil {
		return nil, err
	}
	type arrival struct {
		Report
		seq uint64
	}
	in, err := list(ctx, s, tReports, func(in row) (a arrival, err error) {
		a.Report, a.seq, err = readReport(in)
		return a, err
	}, key...)
	slices.SortFunc(in, func(a, b arrival) int { return cmp.Compare(a.seq, b.seq) })
	var out []Report
	for _, a := range in {
		out = append(out, a.Report)
	}
	return out, err
}

func (s reads) LoadModel(ctx context.Context, run id.RunID, round uint64) (Model, error) {
	key, err := build(run[:], round)
	if err != nil {
		return Model{}, err
	}
	return load(ctx, s, tModels, readModel, key...)
}

func (s reads) Models(ctx context.Context, run id.RunID) ([]Model, error) {
	return list(ctx, s, tModels, readModel, run[:])
}

func (s reads) Record(ctx context.Context, digest [32]byte) ([]byte, error) {
	r, err := load(ctx, s, tRecords, readRecord, digest[:])
	return r.Body, err
}

func (s reads) Records(ctx context.Context) ([]Record, error) {
	return list(ctx, s, tRecords, readRecord)
}

func (s reads) LoadToken(ctx context.Context, tokenID string) (Token, error) {
	return load(ctx, s, tTokens, readToken, tokenID)
}

func (s reads) Tokens(ctx context.Context) ([]Token, error) {
	return list(ctx, s, tTokens, readToken)
}

func (s reads) Candidates(ctx context.Context) ([]Candidate, error) {
	return list(ctx, s, tCandidates, readCandidate)
}

func (s reads) Roster(ctx context.Context, version uint64) ([]byte, error) {
	key, err := build(version)
	if err != nil {
		return nil, err
	}
	r, err := load(ctx, s, tRosters, readRoster, key...)
	return r.Body, err
}

func (s reads) LatestRoster(ctx context.Context) (uint64, []byte, error) {
	r, err := newest(ctx, s, tRosters, readRoster)
	return r.Version, r.Body, err
}

func (s reads) Charter(ctx context.Context, hash [32]byte) (body []byte, err error) {
	err = s.view(ctx, func(r rows) error {
		c, err := findCharter(r, hash)
		if err != nil {
			return err
		}
		if c == nil {
			return fmt.Errorf("charter %x: %w", hash[:6], ErrNotFound)
		}
		body = c.Body
		return nil
	})
	return body, err
}

func (s reads) LatestCharter(ctx context.Context) ([32]byte, []byte, error) {
	c, err := newest(ctx, s, tCharters, readCharter)
	return c.Hash, c.Body, err
}

// newest reads the row of t with the largest key.
func newest[T any](ctx context.Context, s reads, t *table, decode func(row) (T, error)) (out T, err error) {
	err = s.view(ctx, func(r rows) error {
		in, err := r.last(t)
		if err != nil {
			return err
		}
		if in == nil {
			return fmt.Errorf("%s: %w", t.name, ErrNotFound)
		}
		out, err = decode(in)
		return err
	})
	return out, err
}

func (s reads) Receipts(ctx context.Context, k Key) ([]Receipt, error) {
	key, err := k.key()
	if err != nil {
		return nil, err
	}
	return list(ctx, s, tReceipts, readReceipt, key...)
}

func (s reads) Cosignatures(ctx context.Context, size int64) ([]Cosignature, error) {
	return list(ctx, s, tCosignatures, readCosignature, size)
}

func (s reads) BytesOut(ctx context.Context) ([]ByteCount, error) {
	return list(ctx, s, tBytes, readByteCount)
}

func (s reads) Setting(ctx context.Context, name string) (value []byte, err error) {
	return load(ctx, s, tSettings, func(in row) (v []byte, err error) {
		d := tSettings.read(in)
		d.text(&name)
		d.bytes(&v)
		return v, d.err
	}, name)
}
