package dataset

import (
	"errors"
	"fmt"
	"iter"

	"tacit/plan"
)

// Examples are standardised examples, ready for training.
type Examples struct {
	table *Table
	std   *plan.Standardisation // nil: as they are
}

// Len returns the number of examples.
func (e *Examples) Len() int { return e.table.n }

// Width returns the number of values per example.
func (e *Examples) Width() int { return e.table.width }

// Batch is some examples: X is n × width, row-major, with either Labels of length
// n × [plan.Schema.LabelsPerExample] or Targets of length
// n × [plan.Schema.TargetsPerExample]. It is valid until the next one is taken.
type Batch struct {
	X       []float32
	Labels  []int32
	Targets []float32
	n       int
}

// Len returns the number of examples in the batch.
func (b Batch) Len() int { return b.n }

// put appends an example.
func (e *Examples) put(b *Batch, x *example) {
	from, width := len(b.X), e.table.width
	if cap(b.X) < from+width {
		grown := make([]float32, from, max(2*cap(b.X), from+width))
		copy(grown, b.X)
		b.X = grown
	}
	b.X = b.X[:from+width]
	e.std.Apply(b.X[from:], x.u)
	b.Labels = append(b.Labels, x.labels...)
	b.Targets = append(b.Targets, x.targets...)
	b.n++
}

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
	x     example
	buf   Batch
}

// Stream returns the batches from local step `step` on, counted from 0 over the
// whole run: round r of S steps begins at (r−1)·S. It costs one permutation of
// the table's rows. Of a table that is [Table.Streamed] it costs reading the pass
// up to there, and nothing where the table's last stream of this seed stopped just
// there.
func (e *Examples) Stream(seed uint64, size int, step uint64) (*Stream, error) {
	if size < 1 {
		return nil, fmt.Errorf("dataset: batches of %d examples", size)
	}
	per := (uint64(e.table.n) + uint64(size) - 1) / uint64(size)
	return &Stream{e: e, seed: seed, size: size, per: per, step: step}, nil
}

// Next returns the next batch, or [ErrNoExamples].
func (s *Stream) Next() (Batch, error) {
	t := s.e.table
	if t.n == 0 {
		return Batch{}, ErrNoExamples
	}
	pass := s.step/s.per + 1
	from := int(s.step%s.per) * s.size
	to := min(from+s.size, t.n)
	s.buf = Batch{X: s.buf.X[:0], Labels: s.buf.Labels[:0], Targets: s.buf.Targets[:0]}
	var err error
	if t.sequence != nil {
		err = t.sequence.take(s, pass, from, to)
	} else {
		err = s.gather(pass, from, to)
	}
	if err != nil {
		return Batch{}, err
	}
	s.step++
	return s.buf.trimmed(&t.layout), nil
}

// gather takes the examples of places from … to of the pass's order.
func (s *Stream) gather(pass uint64, from, to int) error {
	t := s.e.table
	if pass != s.pass {
		if t.fresh != nil {
			if err := t.fresh(); err != nil {
				return err
			}
		}
		if s.order == nil {
			s.order = make([]int32, t.n)
		}
		newRandom(s.seed, batchOrder, pass).permute(s.order)
		s.pass = pass
	}
	for _, i := range s.order[from:to] {
		if err := t.indexed.get(&s.x, int(i)); err != nil {
			return err
		}
		s.e.put(&s.buf, &s.x)
	}
	return nil
}

// trimmed has nil for what these examples do not have.
func (b Batch) trimmed(l *layout) Batch {
	if l.labels == 0 {
		b.Labels = nil
	}
	if l.targets == 0 {
		b.Targets = nil
	}
	return b
}

// Pass goes over all examples once, in file order.
func (e *Examples) Pass(size int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if size < 1 {
			yield(Batch{}, fmt.Errorf("dataset: batches of %d examples", size))
			return
		}
		next, end, err := e.table.inOrder()
		if err != nil {
			yield(Batch{}, err)
			return
		}
		defer end()
		var x example
		var b Batch
		for from := 0; from < e.table.n; from += size {
			b = Batch{X: b.X[:0], Labels: b.Labels[:0], Targets: b.Targets[:0]}
			for range min(size, e.table.n-from) {
				if err := next(&x); err != nil {
					yield(Batch{}, err)
					return
				}
				e.put(&b, &x)
			}
			if !yield(b.trimmed(&e.table.layout), nil) {
				return
			}
		}
	}
}

// inOrder returns a function that gives the table's examples one by one, at least
// as many as it has, and one to call at the end.
func (t *Table) inOrder() (next func(*example) error, end func(), err error) {
	if t.n == 0 {
		return nil, func() {}, nil
	}
	if t.sequence != nil {
		return t.sequence.inOrder()
	}
	if t.fresh != nil {
		if err := t.fresh(); err != nil {
			return nil, nil, err
		}
	}
	i := 0
	return func(x *example) error {
		err := t.indexed.get(x, i)
		i++
		return err
	}, func() {}, nil
}
