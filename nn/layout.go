package nn

import "strconv"

// ParamKind says what a Layout entry holds.
type ParamKind uint8

const (
	Weight ParamKind = iota + 1
	Bias
	Buffer // state that no gradient reaches (running means)
)

func (k ParamKind) String() string {
	switch k {
	case Weight:
		return "weight"
	case Bias:
		return "bias"
	case Buffer:
		return "buffer"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Entry is one tensor of the flat parameter vector: row-major, dense, at
// [Offset, Offset+Len).
type Entry struct {
	Name   string // as torch.nn.Sequential names it: "0.weight", the index counting every layer; "2.body.0.weight" inside a residual
	Shape  []int  // a Dense's weight is [in][out] (torch: [out][in]), its bias [out]
	Offset int
	Len    int
	Kind   ParamKind
	Local  bool // stays at the branch

	view, perm, final []int // torch's order of the same numbers; see param
}

// Layout lists the tensors of the flat vector in order. They are adjacent: an
// entry begins where the one before ends, the first at 0.
type Layout []Entry

// Len returns the length of the flat vector.
func (l Layout) Len() int {
	if len(l) == 0 {
		return 0
	}
	last := l[len(l)-1]
	return last.Offset + last.Len
}

// Layout returns where each parameter lies in the flat vector, or Validate's
// error.
func (s Spec) Layout() (Layout, error) {
	g, err := s.graph()
	if err != nil {
		return nil, err
	}
	return g.layout, nil
}
