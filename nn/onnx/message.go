package onnx

import (
	"encoding/binary"
	"math"
)

// message is a protocol buffer message being written
// (https://protobuf.dev/programming-guides/encoding). Field numbers below are those of
// onnx.proto (https://github.com/onnx/onnx/blob/v1.12.0/onnx/onnx.proto).
type message []byte

const (
	wireVarint = 0
	wireBytes  = 2
	wire32     = 5
)

func (m *message) tag(field, wire uint64) { *m = binary.AppendUvarint(*m, field<<3|wire) }

func (m *message) int(field uint64, v int64) {
	m.tag(field, wireVarint)
	*m = binary.AppendUvarint(*m, uint64(v))
}

func (m *message) float(field uint64, v float32) {
	m.tag(field, wire32)
	*m = binary.LittleEndian.AppendUint32(*m, math.Float32bits(v))
}

func (m *message) string(field uint64, v string) {
	m.tag(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(v)))
	*m = append(*m, v...)
}

func (m *message) message(field uint64, v message) {
	m.tag(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(v)))
	*m = append(*m, v...)
}

// Types of TensorProto and AttributeProto.
const (
	typeFloat = 1
	typeInt64 = 7

	attrFloat  = 1
	attrInt    = 2
	attrTensor = 4
	attrInts   = 7
)

// floats is a TensorProto of float32.
func floats(name string, shape []int, v []float32) message {
	var m, raw message
	for _, d := range shape {
		m.int(1, int64(d))
	}
	m.int(2, typeFloat)
	if name != "" {
		m.string(8, name)
	}
	raw = make(message, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	m.message(9, raw)
	return m
}

// ints is a TensorProto of int64.
func ints(name string, shape []int, v ...int) message {
	var m, raw message
	for _, d := range shape {
		m.int(1, int64(d))
	}
	m.int(2, typeInt64)
	m.string(8, name)
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(int64(x)))
	}
	m.message(9, raw)
	return m
}

// attr is an attribute of a node: an int, []int, float32 or a TensorProto.
type attr struct {
	name  string
	value any
}

func (a attr) message() message {
	var m message
	m.string(1, a.name)
	switch v := a.value.(type) {
	case float32:
		m.float(2, v)
		m.int(20, attrFloat)
	case int:
		m.int(3, int64(v))
		m.int(20, attrInt)
	case message:
		m.message(5, v)
		m.int(20, attrTensor)
	case []int:
		for _, x := range v {
			m.int(8, int64(x))
		}
		m.int(20, attrInts)
	}
	return m
}

// valueInfo is the ValueInfoProto of float32 [batch, shape…].
func valueInfo(name string, shape []int) message {
	var dims message
	var batch message
	batch.string(2, "batch")
	dims.message(1, batch)
	for _, d := range shape {
		var dim message
		dim.int(1, int64(d))
		dims.message(1, dim)
	}
	var tensor, kind, m message
	tensor.int(1, typeFloat)
	tensor.message(2, dims)
	kind.message(1, tensor)
	m.string(1, name)
	m.message(2, kind)
	return m
}
