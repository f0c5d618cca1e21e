// Package safetensors writes and reads the safetensors format: a little-endian
// 64-bit header length, a JSON header that names each tensor's type, shape and byte
// range, and the tensors' bytes (github.com/huggingface/safetensors, "Format").
//
// Float32 tensors ("F32") are written and read, and the int64 ones ("I64") that torch
// keeps counters in; a file with any other is refused. The header is padded with
// spaces to a multiple of eight bytes so that the data is aligned, and its keys are
// in a fixed order: the same tensors give the same bytes.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
)

// MaxHeader bounds the header, as the format's own reader does.
const MaxHeader = 100 << 20

// Tensor is a named tensor in row-major order, of float32 or, where Ints is not nil,
// of int64. Data, or Ints, has as many values as the product of Shape.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
	Ints  []int64
}

type info struct {
	Type    string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// width is the bytes of a value of each type.
var width = map[string]int64{"F32": 4, "I64": 8}

const metadataKey = "__metadata__"

// Append appends a file with the tensors, in their order, and the metadata to b.
func Append(b []byte, tensors []Tensor, metadata map[string]string) ([]byte, error) {
	header := bytes.NewBufferString("{")
	member := func(key string, value any) error {
		if header.Len() > 1 {
			header.WriteByte(',')
		}
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		header.Write(k)
		header.WriteByte(':')
		header.Write(v)
		return nil
	}
	if len(metadata) > 0 {
		if err := member(metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{metadataKey: true}
	at := 0
	for _, t := range tensors {
		if t.Name == "" || seen[t.Name] {
			return nil, fmt.Errorf("safetensors: tensor name %q is empty, reserved or used twice", t.Name)
		}
		seen[t.Name] = true
		kind, have, end := "F32", len(t.Data), at+4*len(t.Data)
		if t.Ints != nil {
			if len(t.Data) > 0 {
				return nil, fmt.Errorf("safetensors: tensor %q has values of two types", t.Name)
			}
			kind, have, end = "I64", len(t.Ints), at+8*len(t.Ints)
		}
		if n, ok := count(t.Shape); !ok || n != have {
			return nil, fmt.Errorf("safetensors: tensor %q has %d values, its shape %v another number", t.Name, have, t.Shape)
		}
		if err := member(t.Name, info{kind, append([]int{}, t.Shape...), [2]int{at, end}}); err != nil {
			return nil, err
		}
		at = end
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(header.Len()))
	b = append(b, header.Bytes()...)
	for _, t := range tensors {
		for _, v := range t.Data {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		for _, v := range t.Ints {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	}
	return b, nil
}

// count is the product of the shape; ok is false if it is negative or too large.
func count(shape []int) (n int, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt32/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// Parse reads a file, strictly: the header has one meaning, whoever reads it, and the
// tensors must cover the data without gap or overlap. They come in the order of their
// data.
func Parse(b []byte) ([]Tensor, map[string]string, error) {
	if len(b) < 8 {
		return nil, nil, errors.New("safetensors: shorter than its header's length")
	}
	n := binary.LittleEndian.Uint64(b)
	if n > MaxHeader || n > uint64(len(b)-8) {
		return nil, nil, fmt.Errorf("safetensors: a header of %d bytes in a file of %d", n, len(b))
	}
	all, metadata, err := parseHeader(b[8 : 8+n])
	if err != nil {
		return nil, nil, fmt.Errorf("safetensors: header: %w", err)
	}
	data := b[8+n:]
	for _, p := range all {
		size, ok := count(p.Shape)
		w := width[p.kind]
		if w == 0 || !ok || p.to > len(data) || int64(p.to)-int64(p.from) != w*int64(size) {
			return nil, nil, fmt.Errorf("safetensors: tensor %q: type %s, shape %v and range [%d %d] do not fit", p.Name, p.kind, p.Shape, p.from, p.to)
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].from != all[j].from {
			return all[i].from < all[j].from
		}
		return all[i].to < all[j].to || all[i].to == all[j].to && all[i].Name < all[j].Name
	})
	at := 0
	tensors := make([]Tensor, 0, len(all))
	for _, p := range all {
		if p.from != at {
			return nil, nil, fmt.Errorf("safetensors: tensor %q leaves a gap or overlaps", p.Name)
		}
		at = p.to
		switch p.kind {
		case "F32":
			p.Data = make([]float32, (p.to-p.from)/4)
			for i := range p.Data {
				p.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[p.from+4*i:]))
			}
		case "I64":
			p.Ints = make([]int64, (p.to-p.from)/8)
			for i := range p.Ints {
				p.Ints[i] = int64(binary.LittleEndian.Uint64(data[p.from+8*i:]))
			}
		}
		tensors = append(tensors, p.Tensor)
	}
	if at != len(data) {
		return nil, nil, errors.New("safetensors: data beyond the last tensor")
	}
	return tensors, metadata, nil
}
