package dataset

// matrix is the rows of a table in memory.
type matrix struct {
	width, per int       // values and targets of a row
	u          []float64 // n × width
	labels     []int32   // n, or nil
	targets    []float32 // n × per, or nil
	n          int
}

func (m *matrix) len() int { return m.n }

func (m *matrix) get(x *example, i int) error {
	x.u = m.u[i*m.width:][:m.width]
	if m.labels != nil {
		x.labels = m.labels[i : i+1]
	}
	if m.targets != nil {
		x.targets = m.targets[i*m.per:][:m.per]
	}
	return nil
}

// add appends a row.
func (m *matrix) add(k *row, l *layout) {
	m.n++
	m.u = append(m.u, k.u...)
	if l.targets > 0 {
		m.targets = append(m.targets, k.target[:l.targets]...)
	} else {
		m.labels = append(m.labels, k.label)
	}
}
