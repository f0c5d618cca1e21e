package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"

	"tacit/nn/internal/kernel/asm/a64"
)

// neon is a machine of four lanes. It records what a round of a loop does and gives out
// registers afterwards: see registers.
type neon struct {
	f     *a64.File
	steps []step
	kept  map[*value]int // registers of what lives longer than a round
	bit   map[uint32]*value
}

// value is a vector: one that a step makes, one that is kept, or a constant.
type value struct {
	constant bool
	bits     uint32
}

// place is 16 bytes in memory.
type place struct {
	base string
	disp int
}

// Values and places pass for avo's operands.
func (v *value) Asm() string { return fmt.Sprintf("%p", v) }
func (p place) Asm() string  { return fmt.Sprintf("%d(%s)", p.disp, p.base) }

// step is an instruction of the round.
type step struct {
	out  *value   // nil: it stores
	from *value   // what out's register holds before; nil: anything
	in   []*value // what it reads beside
	line func(out int, in []int) string
}

func openNEON(f *a64.File, name, params string) *neon {
	f.Text(name+"Loop", params)
	return &neon{f: f, kept: map[*value]int{}, bit: map[uint32]*value{}}
}

// keep returns a value that lives in a register of its own.
func (l *neon) keep() (v *value, register int) {
	v, register = &value{}, 31-len(l.kept)
	l.kept[v] = register
	return v, register
}

// spread keeps a vector of a float32 parameter.
func (l *neon) spread(name string) *value {
	v, r := l.keep()
	l.f.Put("FMOVS %s, F%d", l.f.Arg(name), r)
	l.f.Put("VDUP V%d.S[0], V%d.S4", r, r)
	return v
}

func (l *neon) record(out, from *value, line func(out int, in []int) string, in ...Op) Op {
	s := step{out: out, from: from, line: line}
	for _, v := range in {
		s.in = append(s.in, v.(*value))
	}
	l.steps = append(l.steps, s)
	return out
}

func (l *neon) three(o a64.Op, a, b Op) Op {
	return l.record(&value{}, nil, func(d int, in []int) string { return o.Three(d, in[0], in[1]) }, a, b)
}

func (l *neon) two(o a64.Op, a Op) Op {
	return l.record(&value{}, nil, func(d int, in []int) string { return o.Two(d, in[0]) }, a)
}

// tied is three of an instruction that reads d too, as from.
func (l *neon) tied(o a64.Op, from, a, b Op) Op {
	return l.record(&value{}, from.(*value), func(d int, in []int) string { return o.Three(d, in[0], in[1]) }, a, b)
}

// into is three with the result in a value that is kept.
func (l *neon) into(o a64.Op, d *value, a, b Op) {
	l.record(d, nil, func(d int, in []int) string { return o.Three(d, in[0], in[1]) }, a, b)
}

func (l *neon) load(m Op) Op {
	return l.record(&value{}, nil, func(d int, _ []int) string { return fmt.Sprintf("FMOVQ %s, F%d", m.Asm(), d) })
}

func (l *neon) store(v, m Op) {
	l.record(nil, nil, func(_ int, in []int) string { return fmt.Sprintf("FMOVQ F%d, %s", in[0], m.Asm()) }, v)
}

func (l *neon) bits(b uint32) Op {
	v, ok := l.bit[b]
	if !ok {
		v = &value{constant: true, bits: b}
		l.bit[b] = v
	}
	return v
}

func (l *neon) zero() Op     { return l.bits(0) }
func (l *neon) move(a Op) Op { return a } // no step changes what it reads

func (l *neon) add(a, b Op) Op     { return l.three(a64.FADD, a, b) }
func (l *neon) sub(a, b Op) Op     { return l.three(a64.FSUB, a, b) }
func (l *neon) mul(a, b Op) Op     { return l.three(a64.FMUL, a, b) }
func (l *neon) div(a, b Op) Op     { return l.three(a64.FDIV, a, b) }
func (l *neon) max(a, b Op) Op     { return l.three(a64.FMAX, a, b) }
func (l *neon) min(a, b Op) Op     { return l.three(a64.FMIN, a, b) }
func (l *neon) sqrt(a Op) Op       { return l.two(a64.FSQRT, a) }
func (l *neon) fma(a, b, c Op) Op  { return l.tied(a64.FMLA, c, a, b) }
func (l *neon) fnma(a, b, c Op) Op { return l.tied(a64.FMLS, c, a, b) }

func (l *neon) horner(p, x, c Op) Op { return l.fma(p, x, c) }

func (l *neon) timesPow2(y, n Op) Op { return lanes{l}.twicePow2(y, n) }

func (l *neon) and(a, b Op) Op    { return l.three(a64.AND, a, b) }
func (l *neon) andNot(a, b Op) Op { return l.three(a64.BIC, a, b) }
func (l *neon) or(a, b Op) Op     { return l.three(a64.ORR, a, b) }
func (l *neon) xor(a, b Op) Op    { return l.three(a64.EOR, a, b) }

func (l *neon) toInt(a Op) Op     { return l.two(a64.FCVTZS, a) }
func (l *neon) addInt(a, b Op) Op { return l.three(a64.ADD, a, b) }
func (l *neon) subInt(a, b Op) Op { return l.three(a64.SUB, a, b) }

func (l *neon) shiftRight(a Op, n uint8) Op {
	return l.record(&value{}, nil, func(d int, in []int) string { return a64.ShiftRight(d, in[0], int(n)) }, a)
}

func (l *neon) shiftLeft(a Op, n uint8) Op {
	return l.record(&value{}, nil, func(d int, in []int) string { return a64.ShiftLeft(d, in[0], int(n)) }, a)
}

func (l *neon) choose(p predicate, a, b, yes, no Op) Op {
	var mask Op
	switch p {
	case less:
		mask = l.three(a64.FCMGT, b, a)
	case lessOrEqual:
		mask = l.three(a64.FCMGE, b, a)
	case greater:
		mask = l.three(a64.FCMGT, a, b)
	case greaterOrEqual:
		mask = l.three(a64.FCMGE, a, b)
	case equal:
		mask = l.three(a64.FCMEQ, a, b)
	case unordered:
		if a != b {
			panic("unordered is for a number and itself")
		}
		mask, yes, no = l.three(a64.FCMEQ, a, a), no, yes
	}
	isZero := func(v Op) bool { return v.(*value).constant && v.(*value).bits == 0 }
	switch {
	case isZero(no):
		return l.and(yes, mask)
	case isZero(yes):
		return l.andNot(no, mask)
	}
	return l.tied(a64.BSL, mask, yes, no)
}
