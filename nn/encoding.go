package nn

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/crypto/cryptobyte"
)

// Canonical encoding of a Spec (big-endian; str8 is a byte of length, then
// bytes; f64 is the bits of an IEEE 754 number, never a NaN, an infinity or −0):
//
//	uint8  version = 1
//	uint32 inputs
//	str8   loss
//	uint16 number of layers
//	layer: str8 kind, then a uint8-prefixed list of fields (uint8 tag, value),
//	       tags rising; a field equal to its default is left out:
//	       1 units uint32 · 2 init str8 · 3 local · 4 no_bias · 5 kernel pair ·
//	       6 stride pair · 7 padding pair · 8 dilation pair · 9 groups uint32 ·
//	       10 vocab uint32 · 11 depth uint32 · 12 last · 13 truncate uint32 ·
//	       14 heads uint32 · 15 causal · 16 slope f64 · 17 rate f64 ·
//	       18 epsilon f64 · 19 momentum f64 · 20 body uint16 · 21 shortcut uint16
//	       where local, no_bias, last and causal have no value (they are true), a
//	       pair is two uint32, and body and shortcut give a number of layers, which
//	       follow the list, each with its own: those of body, then of shortcut
//	where the Spec has any, its own fields to the end of the bytes, the same way:
//	       1 shape, uint8 number of axes, then a uint32 each · 2 class weights,
//	       uint32 number of classes, then an f64 each · 3 label smoothing f64 ·
//	       4 delta f64
//
// Because defaults are left out, a field added later leaves the bytes of older
// Specs alone. A nil slice and an empty one are the same.
const specVersion = 1

// layerTags are the fields of a Layer in the order of their tags, from 1 on.
var layerTags = []func(*Layer) any{
	func(l *Layer) any { return &l.Units },
	func(l *Layer) any { return &l.Init },
	func(l *Layer) any { return &l.Local },
	func(l *Layer) any { return &l.NoBias },
	func(l *Layer) any { return &l.Kernel },
	func(l *Layer) any { return &l.Stride },
	func(l *Layer) any { return &l.Padding },
	func(l *Layer) any { return &l.Dilation },
	func(l *Layer) any { return &l.Groups },
	func(l *Layer) any { return &l.Vocab },
	func(l *Layer) any { return &l.Depth },
	func(l *Layer) any { return &l.Last },
	func(l *Layer) any { return &l.Truncate },
	func(l *Layer) any { return &l.Heads },
	func(l *Layer) any { return &l.Causal },
	func(l *Layer) any { return &l.Slope },
	func(l *Layer) any { return &l.Rate },
	func(l *Layer) any { return &l.Epsilon },
	func(l *Layer) any { return &l.Momentum },
	func(l *Layer) any { return &l.Body },
	func(l *Layer) any { return &l.Shortcut },
}

// specTags are the fields of a Spec that its tail may have, likewise.
var specTags = []func(*Spec) any{
	func(s *Spec) any { return &s.Shape },
	func(s *Spec) any { return &s.ClassWeights },
	func(s *Spec) any { return &s.LabelSmoothing },
	func(s *Spec) any { return &s.Delta },
}

var errSpecBytes = errors.New("nn: not a canonical spec")

// AppendSpec appends the canonical bytes of s to dst. Equal Specs, and only
// those, have equal bytes. s must pass Validate; otherwise its error is
// returned and dst unchanged.
func AppendSpec(dst []byte, s Spec) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return dst, err
	}
	b := cryptobyte.NewBuilder(dst)
	b.AddUint8(specVersion)
	b.AddUint32(uint32(s.Inputs))
	addString(b, s.Loss)
	addLayers(b, s.Layers)
	for i, field := range specTags {
		addField(b, uint8(i+1), field(&s))
	}
	out, err := b.Bytes()
	if err != nil {
		return dst, err
	}
	return out, nil
}

func addString(b *cryptobyte.Builder, v string) {
	b.AddUint8LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(v)) })
}

// addLayers adds a number of layers and the layers.
func addLayers(b *cryptobyte.Builder, layers []Layer) {
	b.AddUint16(uint16(len(layers)))
	addBody(b, layers)
}

func addBody(b *cryptobyte.Builder, layers []Layer) {
	for i := range layers {
		l := &layers[i]
		addString(b, l.Kind)
		b.AddUint8LengthPrefixed(func(c *cryptobyte.Builder) {
			for i, field := range layerTags {
				addField(c, uint8(i+1), field(l))
			}
		})
		addBody(b, l.Body)
		addBody(b, l.Shortcut)
	}
}

// addField adds a field of a valid Spec, unless it has its default.
func addField(b *cryptobyte.Builder, tag uint8, field any) {
	number := func(v int) {
		if v < 0 || v > maxNumber {
			b.SetError(fmt.Errorf("nn: the spec has a number %d, want 0 to %d", v, maxNumber))
		}
		b.AddUint32(uint32(v))
	}
	switch v := field.(type) {
	case *bool:
		if *v {
			b.AddUint8(tag)
		}
	case *int:
		if *v != 0 {
			b.AddUint8(tag)
			number(*v)
		}
	case *[2]int:
		if *v != [2]int{} {
			b.AddUint8(tag)
			number(v[0])
			number(v[1])
		}
	case *float64:
		if *v != 0 {
			b.AddUint8(tag)
			b.AddUint64(math.Float64bits(*v))
		}
	case *string:
		if *v != "" {
			b.AddUint8(tag)
			addString(b, *v)
		}
	case *[]Layer:
		if len(*v) > 0 {
			b.AddUint8(tag)
			b.AddUint16(uint16(len(*v)))
		}
	case *[]int:
		if len(*v) > 0 {
			b.AddUint8(tag)
			b.AddUint8(uint8(len(*v)))
			for _, d := range *v {
				number(d)
			}
		}
	case *[]float64:
		if len(*v) > 0 {
			b.AddUint8(tag)
			b.AddUint32(uint32(len(*v)))
			for _, w := range *v {
				b.AddUint64(math.Float64bits(w))
			}
		}
	}
}

// maxNumber bounds every whole number of an encoded Spec: what it may count is
// checked by Validate.
const maxNumber = MaxValues

// ParseSpec reads what AppendSpec wrote: exactly one Spec, canonical, and
// valid. On error the Spec is zero. What it allocates is bounded by a multiple of
// src's length.
func ParseSpec(src []byte) (Spec, error) {
	in := cryptobyte.String(src)
	var version uint8
	if !in.ReadUint8(&version) {
		return Spec{}, errSpecBytes
	}
	if version != specVersion {
		return Spec{}, fmt.Errorf("nn: spec version %d, this release reads %d", version, specVersion)
	}
	var s Spec
	var inputs uint32
	var loss cryptobyte.String
	var layers uint16
	if !in.ReadUint32(&inputs) || inputs > maxNumber || !in.ReadUint8LengthPrefixed(&loss) || !in.ReadUint16(&layers) {
		return Spec{}, errSpecBytes
	}
	s.Inputs, s.Loss = int(inputs), string(loss)
	left, ok := MaxLayers, false
	if s.Layers, ok = readLayers(&in, int(layers), &left, 0); !ok {
		return Spec{}, errSpecBytes
	}
	if !readFields(&in, len(specTags), func(tag int) any { return specTags[tag](&s) }) {
		return Spec{}, errSpecBytes
	}
	if err := s.Validate(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

// readLayers reads n layers, those inside them included. left is how many more the
// Spec may have, depth how deep these lie.
func readLayers(in *cryptobyte.String, n int, left *int, depth int) ([]Layer, bool) {
	if n == 0 {
		return nil, true
	}
	if n > *left || depth > MaxNesting {
		return nil, false
	}
	*left -= n
	var out []Layer
	for range n {
		var kind, fields cryptobyte.String
		if !in.ReadUint8LengthPrefixed(&kind) || !in.ReadUint8LengthPrefixed(&fields) {
			return nil, false
		}
		l := Layer{Kind: string(kind)}
		var body, shortcut count
		if !readFields(&fields, len(layerTags), func(tag int) any {
			switch v := layerTags[tag](&l).(type) {
			case *[]Layer:
				if v == &l.Body {
					return &body
				}
				return &shortcut
			default:
				return v
			}
		}) {
			return nil, false
		}
		var ok1, ok2 bool
		if l.Body, ok1 = readLayers(in, int(body), left, depth+1); ok1 {
			l.Shortcut, ok2 = readLayers(in, int(shortcut), left, depth+1)
		}
		if !ok2 {
			return nil, false
		}
		out = append(out, l)
	}
	return out, true
}

// count is a number of layers that follow their list of fields.
type count uint16

// readFields reads fields until in is empty, into where field says for a tag, less
// one. No field is read that has its default.
func readFields(in *cryptobyte.String, tags int, field func(tag int) any) bool {
	number := func(v *int) bool {
		var u uint32
		if !in.ReadUint32(&u) || u > maxNumber {
			return false
		}
		*v = int(u)
		return true
	}
	float := func(v *float64) bool {
		var u uint64
		if !in.ReadUint64(&u) || u == 1<<63 { // −0
			return false
		}
		*v = math.Float64frombits(u)
		return *v-*v == 0
	}
	last := uint8(0)
	for !in.Empty() {
		var tag uint8
		if !in.ReadUint8(&tag) || tag <= last || int(tag) > tags {
			return false
		}
		last = tag
		ok := false
		switch v := field(int(tag) - 1).(type) {
		case *bool:
			*v, ok = true, true
		case *int:
			ok = number(v) && *v != 0
		case *[2]int:
			ok = number(&v[0]) && number(&v[1]) && *v != [2]int{}
		case *float64:
			ok = float(v) && *v != 0
		case *string:
			var s cryptobyte.String
			ok = in.ReadUint8LengthPrefixed(&s) && len(s) > 0
			*v = string(s)
		case *count:
			ok = in.ReadUint16((*uint16)(v)) && *v != 0
		case *[]int:
			var n uint8
			if ok = in.ReadUint8(&n) && n > 0 && len(*in) >= 4*int(n); ok {
				*v = make([]int, n)
				for i := range *v {
					ok = ok && number(&(*v)[i])
				}
			}
		case *[]float64:
			var n uint32
			if ok = in.ReadUint32(&n) && n > 0 && uint64(len(*in)) >= 8*uint64(n); ok {
				*v = make([]float64, n)
				for i := range *v {
					ok = ok && float(&(*v)[i])
				}
			}
		}
		if !ok {
			return false
		}
	}
	return true
}
