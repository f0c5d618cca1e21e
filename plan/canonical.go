package plan

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"

	"tacit/nn"
)

const magic = "tacit plan v1\x00"

// ErrCanonical is returned for bytes that [Plan.Canonical] cannot have written.
var ErrCanonical = errors.New("plan: not the canonical bytes of a plan")

// NewerError is returned for a plan that uses a field of a later revision of
// plan/v1. The reader must refuse: it cannot know what it would be agreeing to.
type NewerError struct {
	Revision int // that the plan needs
	Field    int // first field that this build does not know
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("plan: field %d belongs to %s revision %d; this build reads up to revision %d: update tacit", e.Field, Format, e.Revision, Revision)
}

// Canonical returns the canonical bytes of p, which must be resolved (the package
// doc has the format). [ParseCanonical] is its inverse.
func (p *Plan) Canonical() []byte {
	b := cryptobyte.NewBuilder([]byte(magic))
	addFields(b, planByNumber, p, p.defaults())
	return b.BytesOrPanic()
}

// ParseCanonical reads exactly the bytes that Canonical writes for a valid plan.
func ParseCanonical(src []byte) (*Plan, error) {
	if len(src) > MaxBytes {
		return nil, fmt.Errorf("plan: %d bytes, at most %d", len(src), MaxBytes)
	}
	s := cryptobyte.String(src)
	var head []byte
	if !s.ReadBytes(&head, len(magic)) || string(head) != magic {
		return nil, ErrCanonical
	}
	p := Default()
	if err := readFields(new(canonicalReader), s, planByNumber, p); err != nil {
		return nil, err
	}
	if err := p.Resolve(); err != nil {
		return nil, err
	}
	// Fields at their default, unordered values and second spellings all show
	// here, once, instead of at each field.
	if !slices.Equal(p.Canonical(), src) {
		return nil, ErrCanonical
	}
	return p, nil
}

func addFields[T any](b *cryptobyte.Builder, fields []field[T], v, def *T) {
	for i := range fields {
		f := &fields[i]
		if equal(f.at(v), f.at(def)) {
			continue
		}
		b.AddUint16(f.num)
		b.AddUint8(f.revisionOf(v))
		b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { addValue(c, f.at(v)) })
	}
}

// canonicalReader counts what nested lists hold before any of it is kept.
type canonicalReader struct {
	layers int // read so far
	depth  int // of the layers being read
}

// readFields reads fields, in the order of their numbers, into v.
func readFields[T any](r *canonicalReader, s cryptobyte.String, fields []field[T], v *T) error {
	next, last := 0, -1
	for !s.Empty() {
		var num uint16
		var revision uint8
		var value cryptobyte.String
		if !s.ReadUint16(&num) || !s.ReadUint8(&revision) || !readPrefixed(&s, &value) || int(num) <= last {
			return ErrCanonical
		}
		last = int(num)
		if revision > Revision {
			return &NewerError{Revision: int(revision), Field: int(num)}
		}
		for next < len(fields) && fields[next].num < num {
			next++
		}
		if next == len(fields) || fields[next].num != num {
			return ErrCanonical
		}
		if err := r.value(value, fields[next].at(v)); err != nil {
			return err
		}
	}
	return nil
}

// readPrefixed is what cryptobyte lacks: a uint32-length-prefixed value.
func readPrefixed(s *cryptobyte.String, out *cryptobyte.String) bool {
	var n uint32
	var v []byte
	if !s.ReadUint32(&n) || uint64(n) > uint64(len(*s)) || !s.ReadBytes(&v, int(n)) {
		return false
	}
	*out = v
	return true
}

// equal compares what two pointers from field.at point to. Empty lists are equal
// whether nil or not.
func equal(a, b any) bool {
	switch a := a.(type) {
	case *[]string:
		return slices.Equal(*a, *b.(*[]string))
	case *[]int:
		return slices.Equal(*a, *b.(*[]int))
	case *[]float64:
		return slices.Equal(*a, *b.(*[]float64))
	case *[]Column:
		return len(*a) == 0 && len(*b.(*[]Column)) == 0
	case *[]nn.Layer:
		return len(*a) == 0 && len(*b.(*[]nn.Layer)) == 0
	}
	return reflect.ValueOf(a).Elem().Interface() == reflect.ValueOf(b).Elem().Interface()
}

func addValue(b *cryptobyte.Builder, at any) {
	text := func(s string) {
		b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(s)) })
	}
	flag := func(v bool) {
		if v {
			b.AddUint8(1)
		} else {
			b.AddUint8(0)
		}
	}
	switch v := at.(type) {
	case *string:
		b.AddBytes([]byte(*v))
	case *uint64:
		b.AddUint64(*v)
	case *int:
		b.AddUint64(uint64(*v))
	case *float64:
		b.AddUint64(math.Float64bits(*v + 0)) // −0 + 0 is +0
	case *bool:
		flag(*v)
	case *inverted:
		flag(bool(*v))
	case *time.Duration:
		b.AddUint64(uint64(*v))
	case *[]string:
		b.AddUint32(uint32(len(*v)))
		for _, s := range *v {
			text(s)
		}
	case *[]int:
		b.AddUint32(uint32(len(*v)))
		for _, n := range *v {
			b.AddUint64(uint64(n))
		}
	case *[]float64:
		b.AddUint32(uint32(len(*v)))
		for _, f := range *v {
			b.AddUint64(math.Float64bits(f + 0))
		}
	case *[2]int:
		b.AddUint64(uint64(v[0]))
		b.AddUint64(uint64(v[1]))
	case *[]Column:
		b.AddUint32(uint32(len(*v)))
		for i := range *v {
			b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { addFields(c, columnFields, &(*v)[i], new(Column)) })
		}
	case *[]nn.Layer:
		b.AddUint32(uint32(len(*v)))
		for i := range *v {
			b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { addFields(c, layerFields, &(*v)[i], new(nn.Layer)) })
		}
	default:
		panic("plan: a field of unknown type") // unreachable: the tables are fixed and tested
	}
}

func (r *canonicalReader) value(s cryptobyte.String, at any) error {
	ok := false
	switch v := at.(type) {
	case *string:
		*v, ok = string(s), utf8.Valid(s)
		s = nil
	case *uint64:
		ok = s.ReadUint64(v)
	case *int:
		var n uint64
		ok = s.ReadUint64(&n) && n <= math.MaxInt64
		*v = int(n)
	case *float64:
		var n uint64
		ok = s.ReadUint64(&n)
		*v = math.Float64frombits(n)
	case *bool:
		ok = readFlag(&s, v)
	case *inverted:
		ok = readFlag(&s, (*bool)(v))
	case *time.Duration:
		var n uint64
		ok = s.ReadUint64(&n) && n <= math.MaxInt64
		*v = time.Duration(n)
	case *[]string:
		var n uint32
		ok = s.ReadUint32(&n)
		*v = []string{}
		for ; ok && n > 0; n-- {
			var item cryptobyte.String
			ok = readPrefixed(&s, &item) && utf8.Valid(item)
			*v = append(*v, string(item))
		}
	case *[]int:
		var n uint32
		ok = s.ReadUint32(&n)
		*v = []int{}
		for ; ok && n > 0; n-- {
			var item uint64
			ok = s.ReadUint64(&item) && item <= math.MaxInt64
			*v = append(*v, int(item))
		}
	case *[]Column:
		var n uint32
		ok = s.ReadUint32(&n) && n <= MaxColumns
		*v = nil
		for ; ok && n > 0; n-- {
			var item cryptobyte.String
			if !readPrefixed(&s, &item) {
				return ErrCanonical
			}
			var c Column
			if err := readFields(r, item, columnFields, &c); err != nil {
				return err
			}
			*v = append(*v, c)
		}
	case *[]float64:
		var n uint32
		ok = s.ReadUint32(&n)
		*v = []float64{}
		for ; ok && n > 0; n-- {
			var item uint64
			ok = s.ReadUint64(&item)
			*v = append(*v, math.Float64frombits(item))
		}
	case *[2]int:
		for i := range v {
			var item uint64
			ok = s.ReadUint64(&item) && item <= math.MaxInt64
			v[i] = int(item)
			if !ok {
				break
			}
		}
	case *[]nn.Layer:
		var n uint32
		if !s.ReadUint32(&n) || uint64(n) > uint64(nn.MaxLayers-r.layers) || r.depth > nn.MaxNesting {
			return ErrCanonical
		}
		r.layers += int(n)
		r.depth++
		ok = true
		*v = nil
		for ; n > 0; n-- {
			var item cryptobyte.String
			if !readPrefixed(&s, &item) {
				return ErrCanonical
			}
			var l nn.Layer
			if err := readFields(r, item, layerFields, &l); err != nil {
				return err
			}
			*v = append(*v, l)
		}
		r.depth--
	}
	if !ok || !s.Empty() {
		return ErrCanonical
	}
	return nil
}

func readFlag(s *cryptobyte.String, out *bool) bool {
	var b uint8
	ok := s.ReadUint8(&b) && b <= 1
	*out = b == 1
	return ok
}
