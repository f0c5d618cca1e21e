package strategy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/plan"
)

const magic = "tacit model v1\x00"

// Record is a model between rounds. Treat it as immutable.
type Record struct {
	Params          []float32
	Standardisation *plan.Standardisation // nil before the statistics round, and where sites do without a common one
	State           id.Digest             // State.Hash
}

// ErrRecord is returned for bytes that [Record.AppendBinary] cannot have written.
var ErrRecord = errors.New("strategy: not a model record")

// AppendBinary appends the record's canonical bytes (the package doc has them).
func (r *Record) AppendBinary(b []byte) []byte {
	b = slices.Grow(b, len(magic)+8+4*len(r.Params)+1+32)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(r.Params)))
	for _, v := range r.Params {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	if r.Standardisation == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = binary.BigEndian.AppendUint32(b, uint32(len(r.Standardisation.Mean)))
		for _, list := range [][]float64{r.Standardisation.Mean, r.Standardisation.Std} {
			for _, v := range list {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
			}
		}
	}
	return append(b, r.State[:]...)
}

// ParseRecord reads exactly the bytes that AppendBinary writes for a sound
// record. It allocates no more than their length asks for.
func ParseRecord(src []byte) (*Record, error) {
	s := cryptobyte.String(src)
	var head, raw []byte
	var d uint64
	var has uint8
	if !s.ReadBytes(&head, len(magic)) || string(head) != magic || !s.ReadUint64(&d) ||
		d > uint64(len(s)/4) || !s.ReadBytes(&raw, 4*int(d)) || !s.ReadUint8(&has) || has > 1 {
		return nil, ErrRecord
	}
	r := &Record{Params: make([]float32, d)}
	for i := range r.Params {
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if v-v != 0 { // NaN or infinite
			return nil, ErrRecord
		}
		r.Params[i] = v
	}
	if has == 1 {
		var w uint32
		if !s.ReadUint32(&w) || uint64(w) > uint64(len(s)/16) || !s.ReadBytes(&raw, 16*int(w)) {
			return nil, ErrRecord
		}
		n := int(w)
		all := make([]float64, 2*n)
		for i := range all {
			all[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
			if all[i] == 0 && math.Signbit(all[i]) {
				return nil, ErrRecord
			}
		}
		r.Standardisation = &plan.Standardisation{Mean: all[:n:n], Std: all[n:]}
		if r.Standardisation.Validate(n) != nil {
			return nil, ErrRecord
		}
	}
	if !s.CopyBytes(r.State[:]) || !s.Empty() {
		return nil, ErrRecord
	}
	return r, nil
}

// Hash returns the digest of the record's canonical bytes.
func (r *Record) Hash() id.ModelHash {
	var h id.ModelHash
	sumInto(&h, "tacit-model/v1", r.AppendBinary(nil))
	return h
}

// sumInto exists because a hash's kind can be inferred but not named here.
func sumInto[K any](h *id.Hash[K], label string, parts ...[]byte) {
	*h = id.Sum[K](label, parts...)
}

// CheckPlan reports why the record cannot be a model of p.
func (r *Record) CheckPlan(p *plan.Plan) error {
	if d := p.NumParams(); len(r.Params) != d {
		return fmt.Errorf("strategy: a record of %d parameters, the plan's model has %d", len(r.Params), d)
	}
	if r.Standardisation == nil {
		return nil
	}
	if p.Data.Standardise != plan.Federated {
		return fmt.Errorf("strategy: a record with standardisation, the plan says standardise: %s", p.Data.Standardise)
	}
	return r.Standardisation.Validate(p.Data.StatWidth())
}

// State is what a strategy remembers between rounds, in its own canonical bytes;
// empty for FedAvg.
type State []byte

// Hash returns the digest that a record carries of the state.
func (s State) Hash() id.Digest {
	var h id.Digest
	sumInto(&h, "tacit-strategy-state/v1", s)
	return h
}
