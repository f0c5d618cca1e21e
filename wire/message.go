package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// Msg is one message. Its implementations are the pointers to the structs of this
// package, and no others.
type Msg interface {
	Kind() Kind
	check() error // the rules of the fields; both ends apply them
}

// bulky is a message that carries bytes behind its CBOR map.
type bulky interface{ bulk() *[]byte }

// overhead is what a message has before its body: kind and length.
const overhead = 5

// maxHashes bounds every list on the wire; the longest are proofs in a log of 2⁶⁴
// entries.
const maxHashes = 128

var encMode, decMode = func() (cbor.EncMode, cbor.DecMode) {
	enc, err := cbor.EncOptions{
		Sort:            cbor.SortCoreDeterministic,
		IndefLength:     cbor.IndefLengthForbidden,
		NilContainers:   cbor.NilContainerAsEmpty,
		TagsMd:          cbor.TagsForbidden,
		BinaryMarshaler: cbor.BinaryMarshalerNone,
	}.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		BignumTag:         cbor.BignumTagForbidden,
		NaN:               cbor.NaNDecodeForbidden,
		Inf:               cbor.InfDecodeForbidden,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		BinaryUnmarshaler: cbor.BinaryUnmarshalerNone,
		MaxNestedLevels:   4,
		MaxArrayElements:  maxHashes,
		MaxMapPairs:       32,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return enc, dec
}()

// encode returns the body of m in two parts, the second being its bulk, uncopied.
func encode(m Msg) (head, bulk []byte, err error) {
	k := m.Kind()
	if err := m.check(); err != nil {
		return nil, nil, &FormatError{k, err}
	}
	if head, err = encMode.Marshal(m); err != nil {
		return nil, nil, &FormatError{k, err}
	}
	if b, ok := m.(bulky); ok {
		bulk = *b.bulk()
		head = append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(head)), uint32(len(head))), head...)
	}
	if size := len(head) + len(bulk); size > k.Limit() {
		return nil, nil, &LimitError{k, size, k.Limit()}
	}
	return head, bulk, nil
}

// decode reads a body that has passed its kind's limit. The message keeps body.
func decode(k Kind, body []byte) (Msg, error) {
	m := kinds[k].empty()
	head := body
	if b, ok := m.(bulky); ok {
		if len(body) < 4 {
			return nil, &FormatError{k, errors.New("no room for the length of its map")}
		}
		n := binary.BigEndian.Uint32(body)
		if uint64(n) > uint64(len(body)-4) {
			return nil, &FormatError{k, errors.New("its map is longer than the body")}
		}
		head = body[4 : 4+n]
		*b.bulk() = body[4+n : len(body) : len(body)]
	}
	if err := decMode.Unmarshal(head, m); err != nil {
		return nil, &FormatError{k, err}
	}
	// One encoding: missing keys, short byte strings, long integers and unsorted
	// keys all decode, and all encode differently.
	again, err := encMode.Marshal(m)
	if err != nil {
		return nil, &FormatError{k, err}
	}
	if !bytes.Equal(again, head) {
		return nil, &FormatError{k, errors.New("not in canonical encoding")}
	}
	if err := m.check(); err != nil {
		return nil, &FormatError{k, err}
	}
	return m, nil
}

// Marshal returns the bytes of a whole message, kind and length included. A
// [Channel] does not need it; tools and golden vectors do.
func Marshal(m Msg) ([]byte, error) {
	head, bulk, err := encode(m)
	if err != nil {
		return nil, err
	}
	b := appendPrefix(make([]byte, 0, overhead+len(head)+len(bulk)), m.Kind(), len(head)+len(bulk))
	return append(append(b, head...), bulk...), nil
}

// Parse reads exactly what [Marshal] writes. The message may keep parts of b.
func Parse(b []byte) (Msg, error) {
	if len(b) < overhead {
		return nil, fmt.Errorf("%w: a message has at least %d bytes", ErrFrame, overhead)
	}
	k, n := Kind(b[0]), binary.BigEndian.Uint32(b[1:])
	if !k.Known() {
		return nil, &UseError{k, "unknown to this version"}
	}
	if uint64(n) > uint64(k.Limit()) {
		return nil, &LimitError{k, int(n), k.Limit()}
	}
	if uint64(n) != uint64(len(b)-overhead) {
		return nil, fmt.Errorf("%w: %v announces %d bytes and has %d", ErrFrame, k, n, len(b)-overhead)
	}
	return decode(k, b[overhead:])
}

func appendPrefix(b []byte, k Kind, n int) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(k)), uint32(n))
}

// checkText bounds what a peer can put into our logs and consoles.
func checkText(name, s string, max int) error {
	if len(s) > max {
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", name, len(s), max)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", name)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%s has an unprintable character", name)
		}
	}
	return nil
}

func checkSize(name string, b []byte, want int) error {
	if len(b) != want {
		return fmt.Errorf("%s has %d bytes, not %d", name, len(b), want)
	}
	return nil
}

func checkMax(name string, b []byte, max int) error {
	if len(b) > max {
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", name, len(b), max)
	}
	return nil
}

// Text limits in bytes.
const (
	maxSoftware = 128
	maxText     = 512
)
