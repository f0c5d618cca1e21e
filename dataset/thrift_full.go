//go:build full

package dataset

import "errors"

// thrift walks over values in Thrift's compact protocol without keeping them
// (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
// It is run over a Parquet file's metadata before a library decodes it, since that
// allocates whatever a length in the file promises.
type thrift struct {
	b     []byte
	i     int
	items int // that lists may still have, all together
}

const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

var errThrift = errors.New("the metadata is damaged")

func (t *thrift) byte() (byte, error) {
	if t.i >= len(t.b) {
		return 0, errThrift
	}
	t.i++
	return t.b[t.i-1], nil
}

func (t *thrift) uvarint() (v uint64, err error) {
	for shift := 0; shift < 64; shift += 7 {
		c, err := t.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, nil
		}
	}
	return 0, errThrift
}

func (t *thrift) varint() (int64, error) {
	u, err := t.uvarint()
	return int64(u>>1) ^ -int64(u&1), err
}

// advance goes over n bytes.
func (t *thrift) advance(n uint64) error {
	if n > uint64(len(t.b)-t.i) {
		return errThrift
	}
	t.i += int(n)
	return nil
}

// fields calls each for every field of a struct; each must go over its value.
func (t *thrift) fields(each func(id int16, kind byte) error) error {
	id := int16(0)
	for {
		head, err := t.byte()
		if err != nil || head == 0 {
			return err
		}
		if delta := head >> 4; delta != 0 {
			id += int16(delta)
		} else {
			v, err := t.varint()
			if err != nil {
				return err
			}
			id = int16(v)
		}
		if err := each(id, head&15); err != nil {
			return err
		}
	}
}

// skip goes over a value. In a list a boolean is a byte.
func (t *thrift) skip(kind byte, depth int, inList bool) error {
	if depth > 32 {
		return errThrift
	}
	switch kind {
	case thriftTrue, thriftFalse:
		if inList {
			return t.advance(1)
		}
		return nil
	case thriftByte:
		return t.advance(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := t.uvarint()
		return err
	case thriftDouble:
		return t.advance(8)
	case thriftBinary:
		n, err := t.uvarint()
		if err != nil {
			return err
		}
		return t.advance(n)
	case thriftList, thriftSet:
		head, err := t.byte()
		if err != nil {
			return err
		}
		n := uint64(head >> 4)
		if n == 15 {
			if n, err = t.uvarint(); err != nil {
				return err
			}
		}
		if err := t.claim(n); err != nil {
			return err
		}
		for range n {
			if err := t.skip(head&15, depth+1, true); err != nil {
				return err
			}
		}
		return nil
	case thriftMap:
		n, err := t.uvarint()
		if err != nil || n == 0 {
			return err
		}
		if err := t.claim(n); err != nil {
			return err
		}
		kinds, err := t.byte()
		if err != nil {
			return err
		}
		for range n {
			if err := errors.Join(t.skip(kinds>>4, depth+1, true), t.skip(kinds&15, depth+1, true)); err != nil {
				return err
			}
		}
		return nil
	case thriftStruct:
		return t.fields(func(_ int16, kind byte) error { return t.skip(kind, depth+1, false) })
	}
	return errThrift
}

// claim takes n list items from those that are allowed.
func (t *thrift) claim(n uint64) error {
	if n > uint64(len(t.b)-t.i) || n > uint64(t.items) {
		return errThrift
	}
	t.items -= int(n)
	return nil
}
