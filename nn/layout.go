package nn

import "strconv"

// ParamKind says what a Layout entry holds.
type ParamKind uint8

const (
	Weight ParamKind = iota + 1
	Bias
	Buffer // state that no gradient reaches (running means); none of today's layers has one
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
	Name   string // as torch.nn.Sequential names it: "0.weight", the index counting every layer
	Shape  []int  // a Dense's weight is [in][out] (torch: [out][in]), its bias [out]
	Offset int
	Len    int
	Kind   ParamKind
	Local  bool // stays at the branch
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
	if err := s.Validate(); err != nil {
		return nil, err
	}
	var out Layout
	in, off := s.Inputs, 0
	add := func(name string, kind ParamKind, local bool, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		out = append(out, Entry{Name: name, Shape: shape, Offset: off, Len: n, Kind: kind, Local: local})
		off += n
	}
	for i, l := range s.Layers {
		if l.Kind != Dense {
			continue
		}
		idx := strconv.Itoa(i)
		add(idx+".weight", Weight, l.Local, in, l.Units)
		add(idx+".bias", Bias, l.Local, l.Units)
		in = l.Units
	}
	return out, nil
}
