package secureagg

import (
	"errors"
	"fmt"
	"io"

	"tacit/id"
)

// Masks are the pair masks of one attempt, which depend on nothing but its ctx: they can
// be made while the agent trains, by a goroutine of their own. They hold secrets, and no
// journal ever has them.
type Masks struct {
	ctx  id.Ctx
	pair *masks
	sum  []uint32
	done int
}

// Masks returns the pair masks of the attempt in which this member may report. Fill them
// with Step, then hand them back with Prepared. It takes the memory of a vector.
func (m *Member) Masks() (*Masks, error) {
	switch rd := m.rd; {
	case m.out != nil:
		return nil, ErrOut
	case rd == nil || m.ep == nil || rd.h.Epoch != m.ep.number:
		return nil, ErrNotOpen
	case !rd.mayReport():
		return nil, ErrMayNotReport
	}
	at := attemptKeys{all: m.rd.all, own: m.rd.h.Ctx}
	slots := m.c.slots(m.self)
	k := &Masks{ctx: m.rd.h.Ctx, pair: newMasks(slots - 1), sum: make([]uint32, m.rd.inputs.Dim)}
	for j := range slots {
		if j != m.self {
			ctx := at.of(m.c, j)
			seed := pairSeed(&m.ep.chain.keys[j], ctx)
			k.pair.addSeed(&seed, *ctx, !m.c.before(m.self, j))
			clear(seed[:])
		}
	}
	return k, nil
}

// Step makes up to words more of the masks and reports whether more are to make.
func (k *Masks) Step(words int) (more bool) {
	part := k.sum[k.done:min(len(k.sum), k.done+words)]
	k.pair.apply(part, uint64(k.done))
	k.done += len(part)
	return k.done < len(k.sum)
}

// Erase forgets the masks, of an attempt that came to nothing. There need be none.
func (k *Masks) Erase() {
	if k == nil {
		return
	}
	k.pair.erase()
	clear(k.sum)
	k.sum, k.done = nil, 0
}

// Format keeps the masks out of prints.
func (k *Masks) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// Prepared hands back the masks of the current attempt, for Report to use up: it then
// makes the self mask only, which is drawn there. It finishes what Step has not.
func (m *Member) Prepared(k *Masks) error {
	if m.rd == nil || m.rd.h.Ctx != k.ctx || len(k.sum) != m.rd.inputs.Dim || !m.rd.mayReport() {
		k.Erase()
		return errors.New("secureagg: the masks are of another attempt")
	}
	for k.Step(len(k.sum)) {
	}
	m.rd.masks = k
	return nil
}
