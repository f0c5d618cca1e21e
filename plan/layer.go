package plan

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"tacit/internal/nearest"
	"tacit/nn"
)

// layers decodes a list of layers: the name of a kind, or a mapping with its kind
// and the options that nn.LayerFields gives it.
//
//	layers:
//	  - {kind: conv2d, units: 16, kernel: 3, padding: 1}
//	  - relu
//	  - kind: residual
//	    body: [{kind: conv2d, units: 16, kernel: [3, 5], padding: [1, 2]}, relu]
//	  - flatten
//	  - {kind: dense, units: 10}
func (d *decoder) layers(n ast.Node, wrong func(want, hint string), key string, out *[]nn.Layer) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		wrong("a list of layers", "- relu, or - {kind: dense, units: 16}")
		return
	}
	if d.depth > nn.MaxNesting {
		d.bad(s.GetToken(), key, fmt.Sprintf("%s: layers nested more than %d deep", key, nn.MaxNesting), "")
		return
	}
	if d.layerCount += len(s.Values); d.layerCount > nn.MaxLayers {
		d.bad(s.GetToken(), key, fmt.Sprintf("%s: more than %d layers in all", key, nn.MaxLayers), "")
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	*out = []nn.Layer{}
	for i, item := range s.Values {
		at := fmt.Sprintf("%s[%d]", key, i)
		tk := valueToken(item, s.GetToken())
		d.at[at] = place{d.file, tk.Position.Line, tk.Position.Column}
		var l nn.Layer
		switch item := item.(type) {
		case *ast.MappingNode:
			d.layer(item, at, tk, &l)
		default:
			text, _, ok := scalar(item)
			if !ok {
				d.bad(tk, at, fmt.Sprintf("%s: want a kind of layer, or a mapping with its kind and options", at), "- relu, or - {kind: dense, units: 16}")
				break
			}
			l.Kind = text
			d.layerKind(text, at, tk)
		}
		*out = append(*out, l)
	}
}

// layer decodes one layer's mapping.
func (d *decoder) layer(m *ast.MappingNode, at string, tk *token.Token, l *nn.Layer) {
	kind, kindToken := "", tk
	for _, v := range m.Values {
		if keyText(v) == "kind" {
			kind, _, _ = scalar(v.Value)
			kindToken = valueToken(v.Value, tk)
		}
	}
	if kind == "" {
		d.bad(tk, at, fmt.Sprintf("%s has no kind", at), "kind: dense")
		return
	}
	if !d.layerKind(kind, at, kindToken) {
		return // its options are unknown with it
	}
	options := nn.LayerFields(kind)
	names := fieldNames(layerFields)
	seen := map[string]bool{}
	for _, v := range m.Values {
		key, ktk := keyText(v), v.Key.GetToken()
		f := slices.Index(names, key)
		switch {
		case key != "kind" && !slices.Contains(options, key):
			hint := fmt.Sprintf("%s has no options", kind)
			if n := nearest.Name(key, options); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			} else if len(options) > 0 {
				hint = fmt.Sprintf("its options are %s", quoteList(options))
			}
			d.bad(ktk, at, fmt.Sprintf("%s: %s has no option %q", at, kind, key), hint)
		case seen[key]:
			d.bad(ktk, at, fmt.Sprintf("%s: key %q is here twice", at, key), "remove one")
		case f >= 0:
			full := at + "." + key
			vtk := valueToken(v.Value, ktk)
			d.at[full] = place{d.file, vtk.Position.Line, vtk.Position.Column}
			d.value(v.Value, ktk, full, layerFields[f].at(l))
		}
		seen[key] = true
	}
}

// layerKind reports an unknown kind.
func (d *decoder) layerKind(kind, at string, tk *token.Token) bool {
	kinds := nn.LayerKinds()
	if slices.Contains(kinds, kind) {
		return true
	}
	hint := "known kinds are " + quoteList(kinds)
	if n := nearest.Name(kind, kinds); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	}
	d.bad(tk, at, fmt.Sprintf("%s: unknown kind of layer %q", at, kind), hint)
	return false
}

// pair decodes two sizes, height and width: one number means both.
func (d *decoder) pair(n ast.Node, wrong func(want, hint string), key string, out *[2]int) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		text, quoted, isScalar := scalar(n)
		i, ok := wholeNumber(text)
		if !isScalar || quoted || !ok {
			wrong("a whole number, or two: [height, width]", "")
			return
		}
		*out = [2]int{i, i}
		return
	}
	if len(s.Values) != len(out) {
		d.bad(s.GetToken(), key, fmt.Sprintf("%s: %d numbers, want one or [height, width]", key, len(s.Values)), "")
		return
	}
	for i, item := range s.Values {
		text, quoted, isScalar := scalar(item)
		v, ok := wholeNumber(text)
		if !isScalar || quoted || !ok {
			d.bad(valueToken(item, s.GetToken()), key, fmt.Sprintf("%s: item %d: want a whole number", key, i+1), "")
			return
		}
		out[i] = v
	}
}
