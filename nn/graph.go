package nn

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// node is a layer whose shapes fit.
type node struct {
	path     string // its place: "2", or "2.body.0" inside layer 2
	layer    *Layer
	kind     *kind
	in, out  []int
	entries  []Entry // its own parameters, in the whole Layout
	inits    []initial
	body     []*node
	shortcut []*node
}

// graph is a Spec that passed every check.
type graph struct {
	nodes  []*node
	out    []int
	layout Layout
}

// each calls f for every node, outer ones first, in Layout order.
func (g *graph) each(f func(*node)) {
	var walk func([]*node)
	walk = func(nodes []*node) {
		for _, n := range nodes {
			f(n)
			walk(n.body)
			walk(n.shortcut)
		}
	}
	walk(g.nodes)
}

type grapher struct {
	errs   []error
	layers int
	total  int64
	layout Layout
	lost   bool // a shape is unknown: what follows would only echo

	image []int // the shape before a Flatten, until a Dense or anything that mixes the values
}

func (g *grapher) bad(format string, a ...any) {
	g.errs = append(g.errs, fmt.Errorf("nn: "+format, a...))
}

// graph checks s whole and returns its nodes.
func (s *Spec) graph() (*graph, error) {
	var g grapher
	in := s.InputShape()
	if s.Inputs < 1 || s.Inputs > MaxValues {
		g.bad("inputs is %d, want 1 to %d", s.Inputs, MaxValues)
		g.lost = true
	} else if err := checkShape(in); err != nil {
		g.bad("the shape of an example: %v", err)
		g.lost = true
	} else if size(in) != s.Inputs {
		g.bad("an example of shape %s has %d values, inputs is %d", shape(in), size(in), s.Inputs)
		g.lost = true
	}
	if n := len(s.Layers); n < 1 || n > MaxLayers {
		g.bad("%d layers, want 1 to %d", n, MaxLayers)
		return nil, errors.Join(g.errs...)
	}
	nodes, out := g.chain(s.Layers, "", in, 0)
	if g.total > MaxParams {
		g.bad("%d parameters, want at most %d", g.total, MaxParams)
	}
	if g.total == 0 && len(g.errs) == 0 {
		g.bad("no layer has parameters")
	}
	if len(nodes) > 0 && !g.lost {
		s.checkLoss(nodes[len(nodes)-1], g.bad)
	} else if !slices.Contains(Losses(), s.Loss) {
		g.bad("unknown loss %q, want one of %s%s", s.Loss, strings.Join(Losses(), ", "), hint(s.Loss, Losses()))
	}
	if len(g.errs) > 0 {
		return nil, errors.Join(g.errs...)
	}
	return &graph{nodes: nodes, out: out, layout: g.layout}, nil
}

// chain checks layers that follow each other and returns what the last one gives.
func (g *grapher) chain(layers []Layer, prefix string, in []int, depth int) ([]*node, []int) {
	if depth > MaxNesting {
		g.bad("layer %s: nested more than %d deep", strings.TrimSuffix(prefix, "."), MaxNesting)
		g.lost = true
		return nil, in
	}
	var nodes []*node
	for i := range layers {
		if g.layers++; g.layers > MaxLayers {
			if g.layers == MaxLayers+1 {
				g.bad("more than %d layers", MaxLayers)
			}
			g.lost = true
			return nodes, in
		}
		n := g.node(&layers[i], prefix+strconv.Itoa(i), in, depth)
		if n == nil {
			continue
		}
		nodes, in = append(nodes, n), n.out
	}
	return nodes, in
}

// node checks one layer, nil where it is unknown.
func (g *grapher) node(l *Layer, path string, in []int, depth int) *node {
	k := kindOf(l.Kind)
	if k == nil {
		g.bad("layer %s: unknown kind %q, want one of %s%s", path, l.Kind, strings.Join(LayerKinds(), ", "), hint(l.Kind, LayerKinds()))
		g.lost = true
		return nil
	}
	bad := func(format string, a ...any) {
		g.bad("layer %s (%s): %s", path, l.Kind, fmt.Sprintf(format, a...))
	}
	set := l.set()
	for _, f := range layerFields {
		v, ok := set[f]
		if !ok || slices.Contains(k.fields, f) {
			continue
		}
		switch f {
		case "init":
			bad("has no parameters to init with %q", v)
		case "local":
			bad("has no parameters to keep local")
		default:
			bad("has no %s, got %v", f, v)
		}
	}
	if !slices.Contains([]string{InitDefault, InitZeros, InitKaimingUniform, InitKaimingNormal, InitXavierUniform, InitXavierNormal}, l.Init) {
		bad("unknown init %q, want %q, %q, %q, %q, %q or none", l.Init, InitZeros, InitKaimingUniform, InitKaimingNormal, InitXavierUniform, InitXavierNormal)
	}
	if k.first != "" && path != "0" {
		bad("%s", k.first)
	}
	n := &node{path: path, layer: l, kind: k, in: in}
	if k == &residualKind {
		if len(l.Body) == 0 {
			bad("has no body")
		}
		image := g.image
		n.body, n.out = g.chain(l.Body, path+".body.", in, depth+1)
		image, g.image = g.image, image
		short := in
		n.shortcut, short = g.chain(l.Shortcut, path+".shortcut.", in, depth+1)
		if !g.lost && !slices.Equal(image, g.image) {
			bad("would add values of a flattened image in two orders in torch: put a dense layer between the flatten and it")
		}
		if !g.lost && !slices.Equal(n.out, short) {
			bad("its body gives %s and its shortcut %s: they cannot be added", shape(n.out), shape(short))
			g.lost = true
		}
		return n
	}
	if g.lost {
		n.out = in
		return n
	}
	if k == &flattenKind && len(in) == 3 {
		g.image = in
	} else if len(in) != 1 {
		g.image = nil
	}
	out, err := k.shape(l, in)
	if err == nil {
		err = checkShape(out)
	}
	if err != nil {
		bad("%v", err)
		g.lost = true
		n.out = in
		return n
	}
	n.out = out
	if k == &groupNormKind && l.Groups > 1 && len(in) == 1 && g.image != nil {
		bad("the groups of a flattened image would be rows of it here and channels in torch: put the group_norm before the flatten")
	}
	if k.params == nil {
		return n
	}
	for _, p := range k.params(l, in) {
		count, most := int64(1), int64(MaxParams)
		for _, d := range p.shape {
			if count *= int64(d); count > most {
				break
			}
		}
		if g.total += count; g.total > most {
			continue
		}
		e := Entry{Name: path + "." + p.name, Shape: p.shape, Offset: g.layout.Len(), Len: int(count), Kind: p.kind, Local: l.Local}
		e.view, e.perm, e.final = p.view, p.perm, p.final
		if k == &denseKind && p.kind == Weight && g.image != nil {
			// The columns of our flattened image are [height][width][channels], torch's
			// [channels][height][width].
			h, w, c := g.image[0], g.image[1], g.image[2]
			e.view, e.perm, e.final = []int{h, w, c, l.Units}, []int{3, 2, 0, 1}, []int{l.Units, h * w * c}
		} else if k != &denseKind && len(in) == 1 && g.image != nil {
			// So do the norms' parameters, one for each value.
			h, w, c := g.image[0], g.image[1], g.image[2]
			e.view, e.perm, e.final = []int{h, w, c}, []int{2, 0, 1}, []int{h * w * c}
		}
		g.layout = append(g.layout, e)
		n.entries, n.inits = append(n.entries, e), append(n.inits, p.init)
	}
	if k == &denseKind {
		g.image = nil
	}
	return n
}

// checkShape reports a shape that no layer can have.
func checkShape(s []int) error {
	if len(s) < 1 || len(s) > 3 {
		return fmt.Errorf("shape %s, want one to three axes", shape(s))
	}
	n := int64(1)
	for _, d := range s {
		if d < 1 || d > MaxUnits {
			return fmt.Errorf("shape %s has an axis of %d, want 1 to %d", shape(s), d, MaxUnits)
		}
		if n *= int64(d); n > MaxValues {
			return fmt.Errorf("shape %s has more than %d values", shape(s), MaxValues)
		}
	}
	return nil
}

// size returns the number of values of a checked shape.
func size(s []int) int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// shape is a shape as errors print it.
func shape(s []int) string { return strings.ReplaceAll(fmt.Sprint(s), " ", ",") }
