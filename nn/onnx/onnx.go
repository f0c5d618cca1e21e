package onnx

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"tacit/nn"
)

// Versions that a file is of.
const (
	IRVersion    = 8
	OpsetVersion = 17
)

// InputName and OutputName are the names of the graph's tensors.
const (
	InputName  = "input"
	OutputName = "output"
)

// Options are what a file says beside the network.
type Options struct {
	Mean, Std []float64         // of each input or, over a Shape of more axes, of each place on its last axis; nil: inputs are taken as they are
	Name      string            // of the graph, "" is "tacit"
	Metadata  map[string]string // metadata_props, written in the order of their keys
}

// Append appends the network's file to dst. params is the flat vector in nn's Layout.
func Append(dst []byte, spec nn.Spec, params []float32, o Options) ([]byte, error) {
	layers, err := spec.Describe()
	if err != nil {
		return nil, err
	}
	layout, err := spec.Layout()
	if err != nil {
		return nil, err
	}
	if len(params) != layout.Len() {
		return nil, fmt.Errorf("onnx: %d parameters, the network has %d", len(params), layout.Len())
	}
	g := &graph{known: map[string]bool{}, entries: map[string]nn.Entry{}, shapes: map[string][2][]int{}, params: params}
	for _, e := range layout {
		g.entries[e.Name] = e
	}
	for _, l := range layers {
		g.shapes[l.Path] = [2][]int{l.In, l.Out}
	}
	in := spec.InputShape()
	v, err := g.standardise(spec, value{name: InputName, shape: in}, o)
	if err != nil {
		return nil, err
	}
	if v, err = g.chain(spec.Layers, "", v); err != nil {
		return nil, err
	}
	g.path, g.count = "prediction", 0
	v = g.channelsLast(v)
	switch spec.Loss {
	case nn.BinaryCrossEntropy:
		v = g.each("Sigmoid", v)
	case nn.CrossEntropy:
		v = g.each("Softmax", v, attr{"axis", -1})
	default:
		v = g.each("Identity", v)
	}
	g.nodes[len(g.nodes)-1].out[0] = OutputName

	name := o.Name
	if name == "" {
		name = "tacit"
	}
	var opset, m message
	opset.string(1, "")
	opset.int(2, OpsetVersion)
	m.int(1, IRVersion)
	m.string(2, "tacit")
	m.message(7, g.encode(name, valueInfo(InputName, in), valueInfo(OutputName, v.shape)))
	m.message(8, opset)
	for _, k := range slices.Sorted(maps.Keys(o.Metadata)) {
		var p message
		p.string(1, k)
		p.string(2, o.Metadata[k])
		m.message(14, p)
	}
	if len(m) > math.MaxInt32 {
		return nil, fmt.Errorf("onnx: the file has %d bytes; a protocol buffer holds at most %d: keep the network as safetensors", len(m), math.MaxInt32)
	}
	return append(dst, m...), nil
}

// standardise appends z = (u − mean)/(std + 1e-9).
func (g *graph) standardise(spec nn.Spec, v value, o Options) (value, error) {
	if len(o.Mean) == 0 && len(o.Std) == 0 {
		return v, nil
	}
	shape := v.shape
	last := shape[len(shape)-1:]
	switch {
	case spec.Layers[0].Kind == nn.Embedding:
		return v, errors.New("onnx: token ids are not standardised")
	case len(o.Mean) != len(o.Std):
		return v, fmt.Errorf("onnx: a standardisation of %d means and %d deviations", len(o.Mean), len(o.Std))
	case len(o.Mean) == spec.Inputs:
	case len(o.Mean) == last[0]:
		shape = last
	default:
		return v, fmt.Errorf("onnx: a standardisation of %d inputs, the network has %d of shape %v", len(o.Mean), spec.Inputs, v.shape)
	}
	mean, std := make([]float32, len(o.Mean)), make([]float32, len(o.Std))
	for i := range mean {
		mean[i], std[i] = float32(o.Mean[i]), float32(o.Std[i]+1e-9)
		if mean[i]-mean[i] != 0 || !(std[i] > 0 && std[i] <= math.MaxFloat32) { // written so that NaN fails
			return v, fmt.Errorf("onnx: the standardisation of input %d is %v ± %v", i, o.Mean[i], o.Std[i])
		}
	}
	g.path, g.count = "standardise", 0
	d := g.add("Sub", []string{v.name, g.floats("mean", shape, mean...)})
	v.name = g.add("Div", []string{d, g.floats("std", shape, std...)})
	return v, nil
}
