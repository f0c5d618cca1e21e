package dataset

import (
	"math"
	"math/bits"

	"tacit/plan"
)

// layout is what the examples of one plan have in common.
type layout struct {
	target  string // the plan's target type
	shape   []int  // of one example
	width   int    // values of one example: the product of shape
	stat    int    // features of statistics: the last axis of shape; 0: none
	labels  int    // of one example; 0: it has targets
	targets int    // of one example; 0: it has labels
}

func layoutOf(p *plan.Plan) layout {
	d := &p.Data
	l := layout{target: d.Target.Type, shape: d.Shape(), width: d.Width(), stat: d.StatWidth(), targets: d.TargetsPerExample()}
	if d.Labelled() {
		l.labels = d.LabelsPerExample()
	}
	return l
}

func (l *layout) same(m *layout) bool {
	return l.target == m.target && l.width == m.width && l.stat == m.stat && l.labels == m.labels && l.targets == m.targets
}

// bytes is what one example costs as numbers in memory.
func (l *layout) bytes() int64 { return int64(8*l.width + 4*l.labels + 4*l.targets) }

// example is one example before standardisation. Its slices may be shared and are
// only read by whoever did not make them.
type example struct {
	u       []float64 // inputs in [0, 1], or ids
	labels  []int32
	targets []float32
	row     int // 1-based number in the source; 0 where it has none
	own     []float64
	ids     []int32
}

// scratch returns n values of the example's own.
func (x *example) scratch(n int) []float64 {
	if cap(x.own) < n {
		x.own = make([]float64, n)
	}
	return x.own[:n]
}

func (x *example) labelScratch(n int) []int32 {
	if cap(x.ids) < n {
		x.ids = make([]int32, n)
	}
	return x.ids[:n]
}

// indexed is examples that can be had in any order. It is safe for concurrent use.
type indexed interface {
	len() int
	get(x *example, i int) error
}

// cursor is one pass over examples in the source's order.
type cursor interface {
	next(x *example) error // io.EOF after the last
	close() error
}

// Statistics are sums over examples, per feature of the last axis (the features of
// a table or a series, the channels of images), of u = (x−min)/(max−min): each
// example adds the mean over its positions (rows, pixels) of u, and of u².
type Statistics struct{ N, Sum, SumSq []float64 }

// tally sums up examples in the order in which they are added.
type tally struct {
	n     int
	stats Statistics
	low   []float64 // per feature: its least and its greatest u
	high  []float64
	print uint64 // fingerprint of all values so far, in this order
}

func newTally(l *layout) *tally {
	t := &tally{stats: Statistics{N: make([]float64, l.stat), Sum: make([]float64, l.stat), SumSq: make([]float64, l.stat)}}
	t.low, t.high = make([]float64, l.stat), make([]float64, l.stat)
	for i := range t.low {
		t.low[i], t.high[i] = math.Inf(1), math.Inf(-1)
	}
	return t
}

func (t *tally) add(x *example) {
	t.n++
	s := &t.stats
	width := len(s.N)
	if width == 0 {
		return
	}
	positions := float64(len(x.u) / width)
	if len(x.u) == width {
		for i, u := range x.u {
			s.N[i]++
			s.Sum[i] += u
			s.SumSq[i] += float64(u * u) // the conversion forbids a fused multiply-add
			t.low[i], t.high[i] = min(t.low[i], u), max(t.high[i], u)
		}
		return
	}
	for f := range width {
		sum, squares, low, high := 0.0, 0.0, t.low[f], t.high[f]
		for i := f; i < len(x.u); i += width {
			u := x.u[i]
			sum += u
			squares += float64(u * u)
			low, high = min(low, u), max(high, u)
		}
		t.low[f], t.high[f] = low, high
		s.N[f]++
		s.Sum[f] += float64(sum / positions)
		s.SumSq[f] += float64(squares / positions)
	}
}

// mix adds an example to the fingerprint, by which a later pass over the same
// source is known to be the same. It guards against mistakes, not against people.
func (t *tally) mix(x *example) {
	h := t.print
	for _, u := range x.u {
		h = bits.RotateLeft64(h^math.Float64bits(u), 29) * 0x9e3779b97f4a7c15
	}
	for _, l := range x.labels {
		h = bits.RotateLeft64(h^uint64(uint32(l)), 29) * 0x9e3779b97f4a7c15
	}
	for _, y := range x.targets {
		h = bits.RotateLeft64(h^uint64(math.Float32bits(y)), 29) * 0x9e3779b97f4a7c15
	}
	t.print = h
}
