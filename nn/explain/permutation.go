package explain

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"

	"tacit/nn/metric"
)

// Limits of a Permutation.
const (
	MaxRepeats = 1000
	MaxSums    = 1 << 24 // coordinates of all its Sets
)

// Predictor gives predictions dst (n, outputs) for x (n, inputs), n of any size, as
// nn's Program does.
type Predictor interface {
	Predict(dst, x []float32) error
}

// Rows are examples and what metric's Observe takes with their predictions.
type Rows struct {
	Inputs  int
	X       []float32 // (n, Inputs)
	Labels  []int32
	Targets []float32
}

// Permutation says how to measure what a model loses when features are shuffled.
type Permutation struct {
	Target  metric.Target // what is predicted; small histograms (Bins) for many groups
	Outputs int           // values of one example's prediction: classes times positions of a sequence
	Groups  []Group       // shuffled together, each group by itself; nil: every feature alone
	Repeats int           // shuffles of each group, default 5
	Seed    uint64

	// Progress, if not nil, is called after each pass over the rows, of which there
	// are 1 + len(Groups)·Repeats. Its error stops Run and is returned.
	Progress func(done, total int) error
}

// Permuted holds the metric sums of a model on rows and on the same rows with
// each group shuffled. Sums of several branches add: each shuffled its own rows.
type Permuted struct {
	Groups []Group
	Base   *metric.Set
	Sets   [][]*metric.Set // [group][repeat]
}

// Run predicts the rows as they are, then with each group shuffled, Repeats times.
// A shuffle moves all features of the group from row to row together, so that a
// one-hot column stays one; which shuffle it is depends on the seed, the group's
// features, the repeat and the number of rows alone. The rows stay as they are.
func (c Permutation) Run(p Predictor, rows Rows) (*Permuted, error) {
	if c.Repeats == 0 {
		c.Repeats = 5
	}
	if c.Groups == nil {
		c.Groups = Each(rows.Inputs, nil)
	}
	switch {
	case rows.Inputs < 1 || len(rows.X)%rows.Inputs != 0:
		return nil, fmt.Errorf("explain: rows have shape [%d], want [n,%d]", len(rows.X), rows.Inputs)
	case c.Outputs < 1:
		return nil, fmt.Errorf("explain: outputs is %d, want at least 1", c.Outputs)
	case c.Repeats < 1 || c.Repeats > MaxRepeats:
		return nil, fmt.Errorf("explain: repeats is %d, want 1 to %d", c.Repeats, MaxRepeats)
	}
	if err := check(c.Groups, rows.Inputs); err != nil {
		return nil, err
	}
	base, err := metric.New(c.Target)
	if err != nil {
		return nil, err
	}
	if n := float64(base.Len()) * float64(1+len(c.Groups)*c.Repeats); n > MaxSums {
		return nil, fmt.Errorf("explain: %d groups and %d repeats of a set of %d sums exceed %d: take fewer bins, groups or repeats", len(c.Groups), c.Repeats, base.Len(), MaxSums)
	}

	n := len(rows.X) / rows.Inputs
	pred, total, done := make([]float32, n*c.Outputs), 1+len(c.Groups)*c.Repeats, 0
	pass := func(set *metric.Set, x []float32) error {
		if err := p.Predict(pred, x); err != nil {
			return err
		}
		if err := set.Observe(pred, rows.Labels, rows.Targets); err != nil {
			return err
		}
		done++
		if c.Progress == nil {
			return nil
		}
		return c.Progress(done, total)
	}
	if err := pass(base, rows.X); err != nil {
		return nil, err
	}
	out := &Permuted{Groups: c.Groups, Base: base, Sets: make([][]*metric.Set, len(c.Groups))}
	x, order := append([]float32(nil), rows.X...), make([]int, n)
	for g, group := range c.Groups {
		for repeat := range c.Repeats {
			shuffle(order, c.Seed, repeat, group.Features)
			move(x, rows.X, rows.Inputs, group.Features, order)
			set, err := metric.New(c.Target)
			if err != nil {
				return nil, err
			}
			if err := pass(set, x); err != nil {
				return nil, err
			}
			out.Sets[g] = append(out.Sets[g], set)
		}
		for _, f := range group.Features { // as they were
			for i := f; i < len(x); i += rows.Inputs {
				x[i] = rows.X[i]
			}
		}
	}
	return out, nil
}

// move gives row i of x the features of row order[i] of from.
func move(x, from []float32, inputs int, features, order []int) {
	for i, j := range order {
		for _, f := range features {
			x[i*inputs+f] = from[j*inputs+f]
		}
	}
}

// shuffle fills order with a permutation of its indices, all equally likely: Fisher
// and Yates with draws of ChaCha8 (https://c2sp.org/chacha8rand), keyed by SHA-256.
func shuffle(order []int, seed uint64, repeat int, features []int) {
	key := binary.BigEndian.AppendUint64([]byte("tacit nn explain permutation\x00"), seed)
	key = binary.BigEndian.AppendUint64(key, uint64(repeat))
	for _, f := range features {
		key = binary.BigEndian.AppendUint64(key, uint64(f))
	}
	src := rand.NewChaCha8(sha256.Sum256(key))
	for i := range order {
		order[i] = i
	}
	for i := len(order) - 1; i > 0; i-- {
		j := below(src, uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
}

// below returns 0 … n−1, each equally likely (Lemire 2019,
// https://doi.org/10.1145/3230636).
func below(src *rand.ChaCha8, n uint64) int {
	for {
		hi, lo := bits.Mul64(src.Uint64(), n)
		if lo >= -n%n { // else some results would be drawn once too often
			return int(hi)
		}
	}
}

// Add adds o's sums to p's. Other groups, repeats or targets are an error and p stays.
func (p *Permuted) Add(o *Permuted) error {
	if !same(p.Groups, o.Groups) || len(p.Sets) != len(o.Sets) {
		return fmt.Errorf("explain: add: sums of %d groups to sums of %d others", len(o.Groups), len(p.Groups))
	}
	for g := range p.Sets {
		if len(p.Sets[g]) != len(o.Sets[g]) {
			return fmt.Errorf("explain: add: %d repeats to %d", len(o.Sets[g]), len(p.Sets[g]))
		}
	}
	sum, err := added(p.Base, o.Base)
	if err != nil {
		return err
	}
	sets := make([][]*metric.Set, len(p.Sets))
	for g := range sets {
		for r := range p.Sets[g] {
			s, err := added(p.Sets[g][r], o.Sets[g][r])
			if err != nil {
				return err
			}
			sets[g] = append(sets[g], s)
		}
	}
	p.Base, p.Sets = sum, sets
	return nil
}

func added(a, b *metric.Set) (*metric.Set, error) {
	s, err := metric.New(a.Target())
	if err != nil {
		return nil, err
	}
	if err := s.Add(a); err != nil {
		return nil, err
	}
	return s, s.Add(b)
}

// Importance is what shuffling a group costs.
type Importance struct {
	Group Group
	Drops []float64 // per repeat: by how much the metric is worse, negative where it is better
	Mean  float64   // of Drops
	SD    float64   // their standard deviation (of all of them, as scikit-learn's)
}

// Importance returns the drop of the metric of that name for each group: base less
// shuffled, or shuffled less base where lower is better. It is NaN where the
// metric is.
func (p *Permuted) Importance(name string) ([]Importance, error) {
	base, ok := p.Base.Value(name)
	if !ok {
		return nil, fmt.Errorf("explain: a %s target has no metric %q", p.Base.Target().Kind, name)
	}
	out := make([]Importance, len(p.Groups))
	for g, group := range p.Groups {
		one := Importance{Group: group}
		for _, set := range p.Sets[g] {
			v, _ := set.Value(name)
			drop := base.Value - v.Value
			if base.LowerIsBetter {
				drop = v.Value - base.Value
			}
			one.Drops = append(one.Drops, drop)
			one.Mean += drop
		}
		n := float64(len(one.Drops))
		one.Mean /= n
		var square float64
		for _, d := range one.Drops {
			d -= one.Mean
			square += float64(d * d)
		}
		one.SD = math.Sqrt(square / n)
		out[g] = one
	}
	return out, nil
}
