package dataset

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
)

// sequence is examples that come only one after the other, because they are more
// than memory holds. Every pass reads the source again.
//
// Training draws from a shuffle buffer: the first so many examples fill it; then
// one is drawn at random, and the next of the source takes its place. So an
// example comes at most as much earlier as the buffer is large: a source that is
// sorted by its target should be shuffled once where it is stored.
type sequence struct {
	layout
	file   string
	n      int
	print  uint64                 // of a whole pass
	buffer int                    // examples
	open   func() (cursor, error) // begins a pass over these examples
	halve  func(share float64, seed uint64) (most, rest func() (cursor, error))

	mu   sync.Mutex
	pass *shuffle // the pass that streams are in; guarded by mu
}

// every goes over what next fills in until io.EOF, always in the same place. An error
// ends it.
func every[T any](next func(*T) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		v := new(T)
		for {
			err := next(v)
			if err == io.EOF || !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// newSequence measures what open gives and returns it as a table. buffer is in
// bytes.
func newSequence(l layout, file string, buffer int64, open func() (cursor, error)) (*Table, error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	defer c.close()
	sums := newTally(&l)
	for x, err := range every(c.next) {
		if err != nil {
			return nil, err
		}
		sums.add(x)
		sums.mix(x)
	}
	return sequenceOf(l, file, buffer, sums, open), nil
}

func sequenceOf(l layout, file string, buffer int64, sums *tally, open func() (cursor, error)) *Table {
	q := &sequence{layout: l, file: file, n: sums.n, print: sums.print, open: open}
	q.buffer = int(min(max(buffer/l.bytes(), 1), int64(max(sums.n, 1))))
	return &Table{layout: l, n: sums.n, sequence: q, stats: sums, file: file}
}

func (q *sequence) bytes() int64 { return int64(q.buffer) * q.layout.bytes() }

// split divides the table by reading it once more for each part.
func (q *sequence) split(t *Table, share float64, seed uint64) (most, rest *Table, err error) {
	if q.halve == nil {
		return nil, nil, fmt.Errorf("dataset: %s: a part of a split does not split again", q.file)
	}
	a, b := q.halve(share, seed)
	if most, err = newSequence(t.layout, q.file, q.bytes(), a); err != nil {
		return nil, nil, err
	}
	rest, err = newSequence(t.layout, q.file, q.bytes(), b)
	return most, rest, err
}

// unlike is the error of a pass that gave something else than the first.
func (q *sequence) unlike() error {
	return fail(q.file, "the rows are not those of the pass before, or not in that order", "keep a copy that stays as it is; a query needs ORDER BY over columns that are unique together")
}

// inOrder begins a pass in the source's order. Its end is checked.
func (q *sequence) inOrder() (func(*example) error, func(), error) {
	c, err := q.open()
	if err != nil {
		return nil, nil, err
	}
	k := &checked{q: q, c: c, sums: newTally(&layout{})}
	return k.next, func() { c.close() }, nil
}

// checked is a pass whose contents are compared with the first.
type checked struct {
	q    *sequence
	c    cursor
	sums *tally
	read int
}

func (k *checked) next(x *example) error {
	err := k.c.next(x)
	if err == io.EOF {
		return k.q.unlike()
	}
	if err != nil {
		return err
	}
	k.sums.mix(x)
	if k.read++; k.read < k.q.n {
		return nil
	}
	// Looking whether there is more may overwrite what x shares with the cursor.
	x.u, x.labels, x.targets = slices.Clone(x.u), slices.Clone(x.labels), slices.Clone(x.targets)
	var more example
	switch err := k.c.next(&more); {
	case err == nil, k.sums.print != k.q.print:
		return k.q.unlike()
	case err != io.EOF:
		return err
	}
	return nil
}

// take gives a stream the examples of places from … to of a pass.
func (q *sequence) take(s *Stream, pass uint64, from, to int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pass
	if p == nil || p.seed != s.seed || p.number != pass || p.given != from {
		old := q.pass
		q.pass = nil
		old.close()
		var err error
		if p, err = newShuffle(q, s.seed, pass, old); err != nil {
			return err
		}
		for p.given < from {
			if _, err := p.draw(); err != nil {
				p.close()
				return err
			}
		}
		q.pass = p
	}
	for p.given < to {
		x, err := p.draw()
		if err != nil {
			q.pass = nil
			p.close()
			return err
		}
		s.e.put(&s.buf, x)
	}
	if p.given == q.n {
		p.close() // the buffer is used again
	}
	return nil
}

// end closes the pass that is open.
func (q *sequence) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pass.close()
	q.pass = nil
}

// shuffle is one pass through a buffer.
type shuffle struct {
	seed, number uint64
	in           *checked // nil once it is closed
	random       *random
	read, given  int
	filled       int
	u            []float64 // buffer × width
	labels       []int32
	targets      []float32
	x, out       example
}

// newShuffle begins a pass. It may use the memory of an old one.
func newShuffle(q *sequence, seed, number uint64, old *shuffle) (*shuffle, error) {
	c, err := q.open()
	if err != nil {
		return nil, err
	}
	s := old
	if s == nil {
		s = &shuffle{u: make([]float64, q.buffer*q.width), labels: make([]int32, q.buffer*q.labels), targets: make([]float32, q.buffer*q.targets)}
		s.out = example{u: make([]float64, q.width), labels: make([]int32, q.labels), targets: make([]float32, q.targets)}
	}
	s.seed, s.number, s.read, s.given, s.filled = seed, number, 0, 0, 0
	s.in = &checked{q: q, c: c, sums: newTally(&layout{})}
	s.random = newRandom(seed, bufferOrder, number)
	return s, nil
}

func (s *shuffle) close() {
	if s != nil && s.in != nil {
		s.in.c.close()
		s.in = nil
	}
}

// fill reads the next example into a place of the buffer, if there is one.
func (s *shuffle) fill(place int) (bool, error) {
	q := s.in.q
	if s.read == q.n {
		return false, nil
	}
	if err := s.in.next(&s.x); err != nil {
		return false, err
	}
	s.read++
	copy(s.u[place*q.width:][:q.width], s.x.u)
	copy(s.labels[place*q.labels:][:q.labels], s.x.labels)
	copy(s.targets[place*q.targets:][:q.targets], s.x.targets)
	return true, nil
}

// draw returns the next example. It is valid until the next call.
func (s *shuffle) draw() (*example, error) {
	q := s.in.q
	for s.filled < q.buffer {
		more, err := s.fill(s.filled)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		s.filled++
	}
	j := int(s.random.below(uint64(s.filled)))
	copy(s.out.u, s.u[j*q.width:][:q.width])
	copy(s.out.labels, s.labels[j*q.labels:][:q.labels])
	copy(s.out.targets, s.targets[j*q.targets:][:q.targets])
	s.given++
	more, err := s.fill(j)
	if err != nil {
		return nil, err
	}
	if !more {
		s.filled--
		last := s.filled
		copy(s.u[j*q.width:][:q.width], s.u[last*q.width:][:q.width])
		copy(s.labels[j*q.labels:][:q.labels], s.labels[last*q.labels:][:q.labels])
		copy(s.targets[j*q.targets:][:q.targets], s.targets[last*q.targets:][:q.targets])
	}
	return &s.out, nil
}
