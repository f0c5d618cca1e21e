package model

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"tacit/nn"
	"tacit/nn/safetensors"
)

// The metadata entry that every file has.
const (
	LayoutKey   = "layout"
	LayoutTorch = "torch"
)

// Names of the standardisation's tensors.
const (
	MeanName = "standardise.mean"
	StdName  = "standardise.std"
)

// Model is a trained network without its Spec.
type Model struct {
	Params    []float32         // in nn's Layout
	Mean, Std []float64         // of each input or, in a sequence, each feature; kept as float32; nil: inputs are taken as they are
	Metadata  map[string]string // what else the file says; LayoutKey is the package's own
}

// Append appends a file with the model of a network with that layout to dst. The same
// model gives the same bytes.
func Append(dst []byte, layout nn.Layout, m *Model) ([]byte, error) {
	tensors, err := Tensors(layout, m.Params)
	if err != nil {
		return nil, err
	}
	if len(m.Mean) != len(m.Std) {
		return nil, fmt.Errorf("model: a standardisation of %d means and %d deviations", len(m.Mean), len(m.Std))
	}
	if len(m.Mean) > 0 {
		tensors = append(tensors,
			safetensors.Tensor{Name: MeanName, Shape: []int{len(m.Mean)}, Data: narrow(m.Mean)},
			safetensors.Tensor{Name: StdName, Shape: []int{len(m.Std)}, Data: narrow(m.Std)})
	}
	metadata := maps.Clone(m.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata[LayoutKey] = LayoutTorch
	return safetensors.Append(dst, tensors, metadata)
}

// Parse reads the model of a network with that layout. Its errors name every tensor
// that is missing, belongs to nothing or has another shape.
func Parse(layout nn.Layout, file []byte) (*Model, error) {
	tensors, metadata, err := safetensors.Parse(file)
	if err != nil {
		return nil, err
	}
	if got := metadata[LayoutKey]; got != LayoutTorch {
		return nil, fmt.Errorf("model: the file's metadata does not say %q: %q but %q: its tensors are in another order; export the model again", LayoutKey, LayoutTorch, got)
	}
	delete(metadata, LayoutKey)
	m := &Model{Metadata: metadata}
	own := tensors[:0:0]
	for _, t := range tensors {
		switch {
		case t.Name == MeanName && t.Ints == nil:
			m.Mean = widen(t.Data)
		case t.Name == StdName && t.Ints == nil:
			m.Std = widen(t.Data)
		default:
			own = append(own, t)
		}
	}
	if len(m.Mean) != len(m.Std) {
		return nil, fmt.Errorf("model: the file's standardisation has %d means and %d deviations", len(m.Mean), len(m.Std))
	}
	for i, v := range m.Std {
		if !(v >= 0 && v <= math.MaxFloat32) || m.Mean[i]-m.Mean[i] != 0 { // written so that NaN fails
			return nil, fmt.Errorf("model: the file's standardisation of input %d is %v ± %v", i, m.Mean[i], v)
		}
	}
	if m.Params, err = Flat(layout, own); err != nil {
		return nil, err
	}
	return m, nil
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// problems joins errors, of a hostile file too: many are counted.
type problems struct {
	errs []error
	more int
}

func (p *problems) add(format string, a ...any) {
	if len(p.errs) == 20 {
		p.more++
		return
	}
	p.errs = append(p.errs, fmt.Errorf("model: "+format, a...))
}

func (p *problems) join() error {
	if p.more > 0 {
		return errors.Join(append(p.errs, fmt.Errorf("model: and %d more", p.more))...)
	}
	return errors.Join(p.errs...)
}
