package dataset

import (
	"fmt"

	"tacit/plan"
)

// Table is typed rows before standardisation: u in [0, 1] per feature, row-major.
// It is not changed after it was read and is safe for concurrent use.
type Table struct {
	target  string // the plan's target type
	width   int
	u       []float64 // n × width
	labels  []int32   // n; binary and class targets
	targets []float32 // n; number targets
	n       int
}

// Len returns the number of rows.
func (t *Table) Len() int { return t.n }

// Width returns the number of features per row.
func (t *Table) Width() int { return t.width }

// Statistics are sums over rows, per feature, of u = (x−min)/(max−min).
type Statistics struct{ N, Sum, SumSq []float64 }

// Statistics returns the table's sums. Rows are added in file order.
func (t *Table) Statistics() Statistics {
	s := Statistics{N: make([]float64, t.width), Sum: make([]float64, t.width), SumSq: make([]float64, t.width)}
	for r := range t.n {
		for i, u := range t.u[r*t.width:][:t.width] {
			s.N[i]++
			s.Sum[i] += u
			s.SumSq[i] += float64(u * u) // the conversion forbids a fused multiply-add
		}
	}
	return s
}

// Standardisation returns the table's own mean and standard deviation per
// feature, for plans that standardise site by site. It needs at least one row.
func (t *Table) Standardisation() (*plan.Standardisation, error) {
	if t.n == 0 {
		return nil, fmt.Errorf("dataset: no rows to standardise by")
	}
	s := t.Statistics()
	// Sums of squares in float64 lose about n·2^−52; a constant feature must not
	// come out with that as its deviation.
	return plan.NewStandardisation(s.N, s.Sum, s.SumSq, float64(t.n)*1e-13)
}

// Concat returns the rows of all tables, one after the other, as a baseline on
// pooled data needs them. The tables must come from one plan.
func Concat(tables ...*Table) (*Table, error) {
	if len(tables) == 0 {
		return nil, fmt.Errorf("dataset: no tables to join")
	}
	out := &Table{target: tables[0].target, width: tables[0].width}
	for _, t := range tables {
		if t.width != out.width || t.target != out.target {
			return nil, fmt.Errorf("dataset: tables of %d features (%s) and %d features (%s) do not join", out.width, out.target, t.width, t.target)
		}
		out.n += t.n
		out.u = append(out.u, t.u...)
		out.labels = append(out.labels, t.labels...)
		out.targets = append(out.targets, t.targets...)
	}
	return out, nil
}

// Examples standardises the rows; nil leaves u as it is. The result is not
// changed later and is safe for concurrent use.
func (t *Table) Examples(s *plan.Standardisation) (*Examples, error) {
	if s != nil {
		if err := s.Validate(t.width); err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
	}
	e := &Examples{width: t.width, n: t.n, labels: t.labels, targets: t.targets, x: make([]float32, len(t.u))}
	for r := range t.n {
		s.Apply(e.x[r*t.width:][:t.width], t.u[r*t.width:][:t.width])
	}
	return e, nil
}
