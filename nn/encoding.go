package nn

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Canonical encoding of a Spec (big-endian; str8 is a byte of length, then
// bytes):
//
//	uint8  version = 1
//	uint32 inputs
//	str8   loss
//	uint16 number of layers
//	layer: str8 kind, then a uint8-prefixed list of fields (uint8 tag, value),
//	       tags rising; a field equal to its default is left out:
//	       1 units uint32 · 2 init str8 · 3 local (no value: true)
//
// Because defaults are left out, a field added later leaves the bytes of older
// Specs alone.
const specVersion = 1

const (
	fieldUnits = 1
	fieldInit  = 2
	fieldLocal = 3
)

var errSpecBytes = errors.New("nn: not a canonical spec")

// AppendSpec appends the canonical bytes of s to dst. Equal Specs, and only
// those, have equal bytes. s must pass Validate; otherwise its error is
// returned and dst unchanged.
func AppendSpec(dst []byte, s Spec) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return dst, err
	}
	b := cryptobyte.NewBuilder(dst)
	str := func(v string) {
		b.AddUint8LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(v)) })
	}
	b.AddUint8(specVersion)
	b.AddUint32(uint32(s.Inputs))
	str(s.Loss)
	b.AddUint16(uint16(len(s.Layers)))
	for _, l := range s.Layers {
		str(l.Kind)
		b.AddUint8LengthPrefixed(func(c *cryptobyte.Builder) {
			if l.Units != 0 {
				c.AddUint8(fieldUnits)
				c.AddUint32(uint32(l.Units))
			}
			if l.Init != "" {
				c.AddUint8(fieldInit)
				c.AddUint8LengthPrefixed(func(d *cryptobyte.Builder) { d.AddBytes([]byte(l.Init)) })
			}
			if l.Local {
				c.AddUint8(fieldLocal)
			}
		})
	}
	return b.Bytes()
}

// ParseSpec reads what AppendSpec wrote: exactly one Spec, canonical, and
// valid. On error the Spec is zero.
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
	if !in.ReadUint32(&inputs) || inputs > MaxUnits || !in.ReadUint8LengthPrefixed(&loss) ||
		!in.ReadUint16(&layers) || layers > MaxLayers {
		return Spec{}, errSpecBytes
	}
	s.Inputs, s.Loss = int(inputs), string(loss)
	for range layers {
		var kind, fields cryptobyte.String
		if !in.ReadUint8LengthPrefixed(&kind) || !in.ReadUint8LengthPrefixed(&fields) {
			return Spec{}, errSpecBytes
		}
		l := Layer{Kind: string(kind)}
		last := uint8(0)
		for !fields.Empty() {
			var tag uint8
			if !fields.ReadUint8(&tag) || tag <= last {
				return Spec{}, errSpecBytes
			}
			last = tag
			switch tag {
			case fieldUnits:
				var u uint32
				if !fields.ReadUint32(&u) || u == 0 || u > MaxUnits {
					return Spec{}, errSpecBytes
				}
				l.Units = int(u)
			case fieldInit:
				var v cryptobyte.String
				if !fields.ReadUint8LengthPrefixed(&v) || len(v) == 0 {
					return Spec{}, errSpecBytes
				}
				l.Init = string(v)
			case fieldLocal:
				l.Local = true
			default:
				return Spec{}, errSpecBytes
			}
		}
		s.Layers = append(s.Layers, l)
	}
	if !in.Empty() {
		return Spec{}, errSpecBytes
	}
	if err := s.Validate(); err != nil {
		return Spec{}, err
	}
	return s, nil
}
