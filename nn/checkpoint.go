package nn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// stateMagic begins what AppendState writes.
const stateMagic = "tacit nn state/1\n"

// AppendState appends all that a step depends on beside the parameters: the
// optimizer's moments and the count of steps. With [Program.Store] it makes a
// checkpoint: a Program of the same Spec and Options that loads both goes on with
// the bits that this one would have made. Little-endian:
//
//	"tacit nn state/1\n" ‖ len8(optimizer kind) ‖ steps64 ‖ β₁ᵗ64 ‖ β₂ᵗ64 ‖ vectors8 ‖ length64 ‖ the vectors' float32
func (p *Program) AppendState(dst []byte) []byte {
	o := &p.opt
	dst = append(dst, stateMagic...)
	dst = append(dst, byte(len(o.Kind)))
	dst = append(dst, o.Kind...)
	dst = binary.LittleEndian.AppendUint64(dst, p.step)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(o.b1))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(o.b2))
	vectors := o.vectors()
	dst = append(dst, byte(len(vectors)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(p.params)))
	for _, v := range vectors {
		for _, x := range v {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
		}
	}
	return dst
}

var errState = errors.New("nn: load state: these bytes are no state of a network")

// LoadState reads what AppendState wrote for a Program of the same network and
// optimizer. On an error the state is as before.
func (p *Program) LoadState(src []byte) error {
	o := &p.opt
	rest, ok := bytes.CutPrefix(src, []byte(stateMagic))
	if !ok || len(rest) < 1 || len(rest) < 1+int(rest[0])+8*3+1+8 {
		return errState
	}
	kind := string(rest[1:][:rest[0]]) // 1+rest[0] would be a byte
	if kind != o.Kind {
		return fmt.Errorf("nn: load state: it is of the optimizer %q, this network has %q", kind, o.Kind)
	}
	rest = rest[1+len(kind):]
	step := binary.LittleEndian.Uint64(rest)
	b1, b2 := math.Float64frombits(binary.LittleEndian.Uint64(rest[8:])), math.Float64frombits(binary.LittleEndian.Uint64(rest[16:]))
	if !(b1 >= 0 && b1 <= 1 && b2 >= 0 && b2 <= 1) {
		return errState
	}
	count, length := int(rest[24]), binary.LittleEndian.Uint64(rest[25:])
	rest = rest[33:]
	vectors := o.vectors()
	if count != len(vectors) || length != uint64(len(p.params)) {
		return fmt.Errorf("nn: load state: %d vectors of %d numbers, want %d of %d", count, length, len(vectors), len(p.params))
	}
	if len(rest) != 4*count*len(p.params) {
		return errState
	}
	for _, v := range vectors {
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(rest[4*i:]))
		}
		rest = rest[4*len(v):]
	}
	o.b1, o.b2, p.step = b1, b2, step
	return nil
}

// vectors returns the rule's state, a value per parameter each.
func (o *optimizer) vectors() [][]float32 {
	var out [][]float32
	for _, v := range [][]float32{o.v, o.m} {
		if len(v) > 0 {
			out = append(out, v)
		}
	}
	return out
}
