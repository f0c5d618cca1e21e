package dataset

import (
	"errors"
	"fmt"
	"iter"
)

// Examples are standardised rows, ready for training.
type Examples struct {
	width, n int
	x        []float32 // n × width
	labels   []int32   // n, or nil
	targets  []float32 // n, or nil
}

// Len returns the number of examples.
func (e *Examples) Len() int { return e.n }

// Width returns the number of features per example.
func (e *Examples) Width() int { return e.width }

// Batch is some examples: X is n × width, row-major, with either Labels or
// Targets of length n. It is valid until the next one is taken.
type Batch struct {
	X       []float32
	Labels  []int32
	Targets []float32
}

// Len returns the number of examples in the batch.
func (b Batch) Len() int { return max(len(b.Labels), len(b.Targets)) }

// ErrNoExamples is returned by a stream over nothing.
var ErrNoExamples = errors.New("dataset: no examples to train on")

// Stream is an endless sequence of batches. A pass goes over all examples once in
// an order of its own; its last batch is smaller where the size does not divide
// their number. A Stream belongs to one goroutine.
type Stream struct {
	e     *Examples
	seed  uint64
	size  int
	per   uint64 // batches in a pass
	step  uint64 // of the next batch
	pass  uint64 // that order belongs to, counted from 1; 0 before the first
	order []int32
	buf   Batch
}

// Stream returns the batches from local step `step` on, counted from 0 over the
// whole run: round r of S steps begins at (r−1)·S.
func (e *Examples) Stream(seed uint64, size int, step uint64) (*Stream, error) {
	if size < 1 {
		return nil, fmt.Errorf("dataset: batches of %d examples", size)
	}
	per := (uint64(e.n) + uint64(size) - 1) / uint64(size)
	return &Stream{e: e, seed: seed, size: size, per: per, step: step}, nil
}

// Next returns the next batch, or [ErrNoExamples].
func (s *Stream) Next() (Batch, error) {
	if s.e.n == 0 {
		return Batch{}, ErrNoExamples
	}
	if pass := s.step/s.per + 1; pass != s.pass {
		if s.order == nil {
			s.order = make([]int32, s.e.n)
		}
		newRandom(s.seed, batchOrder, pass).permute(s.order)
		s.pass = pass
	}
	from := int(s.step%s.per) * s.size
	to := min(from+s.size, s.e.n)
	s.step++
	b := Batch{X: s.buf.X[:0], Labels: s.buf.Labels[:0], Targets: s.buf.Targets[:0]}
	for _, row := range s.order[from:to] {
		r := int(row)
		b.X = append(b.X, s.e.x[r*s.e.width:][:s.e.width]...)
		if s.e.labels != nil {
			b.Labels = append(b.Labels, s.e.labels[r])
		}
		if s.e.targets != nil {
			b.Targets = append(b.Targets, s.e.targets[r])
		}
	}
	s.buf = b
	if s.e.labels == nil {
		b.Labels = nil
	}
	if s.e.targets == nil {
		b.Targets = nil
	}
	return b, nil
}

// Pass goes over all examples once, in file order.
func (e *Examples) Pass(size int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if size < 1 {
			yield(Batch{}, fmt.Errorf("dataset: batches of %d examples", size))
			return
		}
		for from := 0; from < e.n; from += size {
			to := min(from+size, e.n)
			b := Batch{X: e.x[from*e.width : to*e.width]}
			if e.labels != nil {
				b.Labels = e.labels[from:to]
			}
			if e.targets != nil {
				b.Targets = e.targets[from:to]
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}
