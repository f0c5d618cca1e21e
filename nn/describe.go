package nn

import "slices"

// LayerInfo is what a Spec makes of one of its layers.
type LayerInfo struct {
	Path    string // its place: "2", or "2.body.0" inside layer 2
	Kind    string
	In, Out []int // shapes of one example
	Params  int   // of the layer itself; a Residual's are its inner layers'
	Nesting int   // layers that it is inside of
}

// Describe returns the layers of s in the order in which they work, those inside
// others after the layer that holds them, or Validate's error.
func (s Spec) Describe() ([]LayerInfo, error) {
	g, err := s.graph()
	if err != nil {
		return nil, err
	}
	var out []LayerInfo
	var walk func(nodes []*node, nesting int)
	walk = func(nodes []*node, nesting int) {
		for _, n := range nodes {
			info := LayerInfo{Path: n.path, Kind: n.kind.name, In: slices.Clone(n.in), Out: slices.Clone(n.out), Nesting: nesting}
			for _, e := range n.entries {
				info.Params += e.Len
			}
			out = append(out, info)
			walk(n.body, nesting+1)
			walk(n.shortcut, nesting+1)
		}
	}
	walk(g.nodes, 0)
	return out, nil
}
