package onnx

import (
	"fmt"
	"slices"
	"strings"

	"tacit/nn"
)

// value is a tensor between two nodes: [batch, shape…], or where chw is set, of an
// image, [batch, channels, height, width]. Operators on images want the latter, so
// values stay so from one convolution to the next and turn where something needs
// nn's own order.
type value struct {
	name  string
	shape []int // nn's
	chw   bool
}

type node struct {
	name, op string
	in, out  []string
	attrs    []attr
}

// graph grows layer by layer.
type graph struct {
	nodes        []node
	initializers []message
	known        map[string]bool // names of initializers
	entries      map[string]nn.Entry
	shapes       map[string][2][]int // in and out, by a layer's path
	params       []float32
	path         string // of the layer at work
	count        int    // values that it made
}

// add appends a node of the layer at work and returns its one output's name.
func (g *graph) add(op string, in []string, attrs ...attr) string {
	return g.addMany(op, in, 1, attrs...)[0]
}

func (g *graph) addMany(op string, in []string, outputs int, attrs ...attr) []string {
	n := node{name: fmt.Sprintf("%s/%s_%d", g.path, op, g.count), op: op, in: in, attrs: attrs}
	for range outputs {
		n.out = append(n.out, fmt.Sprintf("%s/%d", g.path, g.count))
		g.count++
	}
	g.nodes = append(g.nodes, n)
	return slices.Clone(n.out)
}

// floats returns the name of a constant of the layer at work.
func (g *graph) floats(name string, shape []int, v ...float32) string {
	name = g.path + "." + name
	if !g.known[name] {
		g.known[name] = true
		g.initializers = append(g.initializers, floats(name, shape, v))
	}
	return name
}

// scalar is floats of no axes.
func (g *graph) scalar(name string, v float64) string {
	return g.floats(name, nil, float32(v))
}

// ints returns the name of a constant that says a shape, axes or lengths.
func (g *graph) ints(v ...int) string {
	name := "ints:" + strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]")
	if !g.known[name] {
		g.known[name] = true
		g.initializers = append(g.initializers, ints(name, []int{len(v)}, v...))
	}
	return name
}

// scalarInt returns the name of a constant of no axes, an int64.
func (g *graph) scalarInt(v int) string {
	name := fmt.Sprintf("int:%d", v)
	if !g.known[name] {
		g.known[name] = true
		g.initializers = append(g.initializers, ints(name, nil, v))
	}
	return name
}

// has says whether the layer at work has that parameter.
func (g *graph) has(name string) bool {
	_, ok := g.entries[g.path+"."+name]
	return ok
}

// own returns a parameter of the layer at work, in nn's order.
func (g *graph) own(name string) []float32 {
	e := g.entries[g.path+"."+name]
	return g.params[e.Offset:][:e.Len]
}

// torch returns a parameter of the layer at work, in torch's order.
func (g *graph) torch(name string) ([]int, []float32, error) {
	e := g.entries[g.path+"."+name]
	v := make([]float32, e.Len)
	return e.TorchShape(), v, e.ToTorch(v, g.params)
}

// weights returns the name of a parameter of the layer at work, in nn's order.
func (g *graph) weights(name string) string {
	return g.floats(name, g.entries[g.path+"."+name].Shape, g.own(name)...)
}

// channelsFirst returns v as [batch, channels, positions…].
func (g *graph) channelsFirst(v value) value {
	if len(v.shape) == 3 && !v.chw {
		return value{g.add("Transpose", []string{v.name}, attr{"perm", []int{0, 3, 1, 2}}), v.shape, true}
	}
	return v
}

// channelsLast returns v in nn's order.
func (g *graph) channelsLast(v value) value {
	if v.chw {
		return value{g.add("Transpose", []string{v.name}, attr{"perm", []int{0, 2, 3, 1}}), v.shape, false}
	}
	return v
}

// each applies an operator value by value.
func (g *graph) each(op string, v value, attrs ...attr) value {
	return value{g.add(op, []string{v.name}, attrs...), v.shape, v.chw}
}

// chain appends layers that follow each other.
func (g *graph) chain(layers []nn.Layer, prefix string, v value) (value, error) {
	for i := range layers {
		path := fmt.Sprintf("%s%d", prefix, i)
		g.path, g.count = path, 0
		f, ok := writers[layers[i].Kind]
		if !ok {
			return v, fmt.Errorf("onnx: layer %s (%s) has no form in ONNX", path, layers[i].Kind)
		}
		var err error
		if v, err = f(g, &layers[i], v); err != nil {
			return v, fmt.Errorf("onnx: layer %s (%s): %w", path, layers[i].Kind, err)
		}
		v.shape = g.shapes[path][1]
	}
	return v, nil
}

// encode returns the GraphProto.
func (g *graph) encode(name string, input, output message) message {
	var m message
	for _, n := range g.nodes {
		var p message
		for _, s := range n.in {
			p.string(1, s)
		}
		for _, s := range n.out {
			p.string(2, s)
		}
		p.string(3, n.name)
		p.string(4, n.op)
		slices.SortFunc(n.attrs, func(a, b attr) int { return strings.Compare(a.name, b.name) })
		for _, a := range n.attrs {
			p.message(5, a.message())
		}
		m.message(1, p)
	}
	m.string(2, name)
	for _, i := range g.initializers {
		m.message(5, i)
	}
	m.message(11, input)
	m.message(12, output)
	return m
}
