package nn

import "fmt"

// TorchShape returns the shape that torch gives the tensor: a Dense's weight is
// [in][out] here and [out][in] there.
func (e Entry) TorchShape() []int {
	if e.final != nil {
		return e.final
	}
	view, perm := e.torchView()
	out := make([]int, len(perm))
	for i, a := range perm {
		out[i] = view[a]
	}
	return out
}

func (e Entry) torchView() (view, perm []int) {
	view, perm = e.view, e.perm
	if view == nil {
		view = e.Shape
	}
	if perm == nil {
		perm = make([]int, len(view))
		for i := range perm {
			perm[i] = i
		}
	}
	return view, perm
}

// ToTorch writes to dst the entry's values of flat, the whole parameter vector, in
// torch's order. dst has e.Len values.
func (e Entry) ToTorch(dst, flat []float32) error {
	return e.permute(len(dst), len(flat), func(torch, ours int) { dst[torch] = flat[ours] })
}

// FromTorch writes src, the entry's values in torch's order, to their place in
// flat, the whole parameter vector. src has e.Len values.
func (e Entry) FromTorch(flat, src []float32) error {
	return e.permute(len(src), len(flat), func(torch, ours int) { flat[ours] = src[torch] })
}

func (e Entry) permute(have, flat int, move func(torch, ours int)) error {
	if have != e.Len {
		return fmt.Errorf("nn: tensor %s has %d values, want %d (torch's shape %s)", e.Name, have, e.Len, shape(e.TorchShape()))
	}
	if flat < e.Offset+e.Len {
		return fmt.Errorf("nn: the parameter vector has %d values, tensor %s ends at %d", flat, e.Name, e.Offset+e.Len)
	}
	view, perm := e.torchView()
	// strides[i] is how far our index moves along torch's axis i.
	strides, at := make([]int, len(perm)), 1
	ours := make([]int, len(view))
	for a := len(view) - 1; a >= 0; a-- {
		ours[a], at = at, at*view[a]
	}
	for i, a := range perm {
		strides[i] = ours[a]
	}
	index, j := make([]int, len(perm)), e.Offset
	for t := range e.Len {
		move(t, j)
		for i := len(perm) - 1; i >= 0; i-- {
			index[i]++
			j += strides[i]
			if index[i] < view[perm[i]] {
				break
			}
			j -= index[i] * strides[i]
			index[i] = 0
		}
	}
	return nil
}
