package dataset

import (
	"fmt"
	"slices"

	"tacit/plan"
)

// Table is a set of typed examples before standardisation: rows, images or
// windows. It does not change and is safe for concurrent use. Where its examples
// are in memory, or in files that give any of them at once, indexed is set; else
// sequence is.
type Table struct {
	layout
	n        int
	indexed  indexed
	sequence *sequence
	stats    *tally       // of examples that are not in memory
	file     string       // for errors
	fresh    func() error // reports a source that changed; may be nil
}

// Len returns the number of examples.
func (t *Table) Len() int { return t.n }

// Width returns the number of values per example, which [plan.Schema.Shape] lays
// out.
func (t *Table) Width() int { return t.width }

// Streamed reports whether the examples are read again in every pass, through a
// shuffle buffer, because they are more than Source.Memory allows.
func (t *Table) Streamed() bool { return t.sequence != nil }

// Statistics returns the table's sums. Examples are added in file order.
func (t *Table) Statistics() Statistics {
	s := &t.sums().stats
	return Statistics{N: slices.Clone(s.N), Sum: slices.Clone(s.Sum), SumSq: slices.Clone(s.SumSq)}
}

func (t *Table) sums() *tally {
	if t.stats != nil {
		return t.stats
	}
	sums := newTally(&t.layout)
	var x example
	for i := range t.n {
		t.indexed.get(&x, i) // in memory: it has no error
		sums.add(&x)
	}
	return sums
}

// Standardisation returns the table's own mean and standard deviation per feature
// of [plan.Schema.StatNames], for plans that standardise site by site. It needs at
// least one example.
func (t *Table) Standardisation() (*plan.Standardisation, error) {
	if t.n == 0 {
		return nil, fmt.Errorf("dataset: no rows to standardise by")
	}
	sums := t.sums()
	s := &sums.stats
	// Sums of squares in float64 lose about n·2^−52; a feature that hardly varies
	// must not come out with that as its deviation. They may lose n times as much of
	// a feature that does not vary at all.
	out, err := plan.NewStandardisation(s.N, s.Sum, s.SumSq, float64(t.n)*1e-13)
	if err != nil {
		return nil, err
	}
	for i := range out.Std {
		if sums.low[i] == sums.high[i] {
			out.Std[i] = 0
		}
	}
	return out, nil
}

// Examples standardises the examples as they are taken; nil leaves u as it is. The
// result is not changed later and is safe for concurrent use.
func (t *Table) Examples(s *plan.Standardisation) (*Examples, error) {
	if s != nil {
		if err := s.Validate(t.stat); err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		if t.stat == 0 {
			s = nil
		}
	}
	return &Examples{table: t, std: s}, nil
}

// Split divides the table in two, of which the second holds that share of the
// examples, as for a validation set: drawn by the seed, or the last of a text or a
// series, where no window reaches from one part into the other. Both keep the
// order. Splitting examples that are not in memory reads them once.
func (t *Table) Split(share float64, seed uint64) (most, rest *Table, err error) {
	if !(share >= 0 && share < 1) {
		return nil, nil, fmt.Errorf("dataset: a share of %v, want 0 to below 1", share)
	}
	if t.sequence != nil {
		return t.sequence.split(t, share, seed)
	}
	if w, ok := t.indexed.(windowed); ok {
		a, b := w.cut(share)
		return t.with(a), t.with(b), nil
	}
	in, out := choose(t.n, share, newRandom(seed, validation, 0))
	if most, err = t.pick(in); err != nil {
		return nil, nil, err
	}
	rest, err = t.pick(out)
	return most, rest, err
}

// choose draws the share of n that is out; both lists ascend.
func choose(n int, share float64, r *random) (in, out []int32) {
	order := make([]int32, n)
	r.permute(order)
	k := int(float64(n) * share)
	out, in = order[:k:k], order[k:]
	slices.Sort(in)
	slices.Sort(out)
	return in, out
}

// with is t over other examples in memory.
func (t *Table) with(in indexed) *Table {
	return &Table{layout: t.layout, n: in.len(), indexed: in, file: t.file, fresh: t.fresh}
}

// pick is t's examples of these numbers.
func (t *Table) pick(numbers []int32) (*Table, error) {
	out := t.with(&picked{of: t.indexed, numbers: numbers})
	if t.stats == nil {
		return out, nil
	}
	return out, out.measure()
}

// measure sums up examples that are not in memory.
func (t *Table) measure() error {
	sums := newTally(&t.layout)
	var x example
	for i := range t.n {
		if err := t.indexed.get(&x, i); err != nil {
			return err
		}
		sums.add(&x)
	}
	t.stats = sums
	return nil
}

// Concat returns the examples of all tables, one after the other, as a baseline on
// pooled data needs them. The tables must come from one plan and hold examples
// that can be had in any order.
func Concat(tables ...*Table) (*Table, error) {
	if len(tables) == 0 {
		return nil, fmt.Errorf("dataset: no tables to join")
	}
	first := tables[0]
	all := &joined{}
	out := &Table{layout: first.layout, indexed: all, file: first.file}
	for _, t := range tables {
		if !t.same(&first.layout) {
			return nil, fmt.Errorf("dataset: tables of %d features (%s) and %d features (%s) do not join", first.width, first.target, t.width, t.target)
		}
		if t.indexed == nil {
			return nil, fmt.Errorf("dataset: %s is larger than memory and does not join others", t.file)
		}
		all.parts, all.ends = append(all.parts, t.indexed), append(all.ends, out.n+t.n)
		out.n += t.n
		if t.stats != nil && out.stats == nil {
			out.stats = new(tally)
		}
		if check := t.fresh; check != nil {
			before := out.fresh
			out.fresh = func() error {
				if before != nil {
					if err := before(); err != nil {
						return err
					}
				}
				return check()
			}
		}
	}
	if out.stats != nil {
		return out, out.measure()
	}
	return out, nil
}

// picked is some examples of others.
type picked struct {
	of      indexed
	numbers []int32
}

func (p *picked) len() int                    { return len(p.numbers) }
func (p *picked) get(x *example, i int) error { return p.of.get(x, int(p.numbers[i])) }

// joined is the examples of several tables.
type joined struct {
	parts []indexed
	ends  []int // per part: how many examples it and those before it have
}

func (j *joined) len() int { return j.ends[len(j.ends)-1] }

func (j *joined) get(x *example, i int) error {
	k, _ := slices.BinarySearch(j.ends, i+1)
	if k > 0 {
		i -= j.ends[k-1]
	}
	return j.parts[k].get(x, i)
}
