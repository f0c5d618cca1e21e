package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// avx is a machine of one width: 16 lanes in AVX-512, whose last round is masked, or 8 in
// AVX2, which takes whole vectors only.
type avx struct {
	wide   bool
	masked bool // in the last round
	consts map[uint32]Op
}

func (l *avx) bytes() int {
	if l.wide {
		return 64
	}
	return 32
}

func (l *avx) vec() VecVirtual {
	if l.wide {
		return ZMM()
	}
	return YMM()
}

var globals = map[uint32]Mem{}

func (l *avx) bits(b uint32) Op {
	if c, ok := l.consts[b]; ok {
		return c
	}
	panic(fmt.Sprintf("constant %#x is not declared", b))
}

// declare makes constants ready: in registers where they are few, else in memory, since
// the longest loops need more than there are.
func (l *avx) declare(bits []uint32) {
	l.consts = map[uint32]Op{}
	for _, b := range bits {
		m, ok := globals[b]
		if !ok {
			m = GLOBL(fmt.Sprintf("lane%08x", b), RODATA|NOPTR)
			for i := range 16 {
				DATA(4*i, U32(b))
			}
			globals[b] = m
		}
		l.consts[b] = m
		if l.wide && len(bits) <= 20 {
			l.consts[b] = l.move(m)
		}
	}
}

// constant says whether a wide instruction has to spread b, one of declare's in memory:
// as a whole vector it may lie across two cache lines.
func (l *avx) constant(b Op) bool {
	m, ok := b.(Mem)
	return ok && l.wide && m.Symbol.Name != ""
}

// spread returns a vector of a float32 parameter.
func (l *avx) spread(name string) VecVirtual {
	x, v := XMM(), l.vec()
	Load(Param(name), x)
	VBROADCASTSS(x, v)
	return v
}

func (l *avx) load(m Op) Op {
	v := l.vec()
	if l.masked {
		VMOVUPS_Z(m, K1, v)
	} else {
		VMOVUPS(m, v)
	}
	return v
}

func (l *avx) store(v, m Op) {
	if l.masked {
		VMOVUPS(v, K1, m)
	} else {
		VMOVUPS(v, m)
	}
}

// Instructions take their second source last here, as a − b reads: it may be memory.
func (l *avx) op2(f spreading, a, b Op) Op {
	d := l.vec()
	l.emit(f, b, a, d)
	return d
}

// spreading is an instruction whose first operand is a vector, or a number that it
// spreads.
type spreading [2]func(...Op)

func (l *avx) emit(f spreading, b Op, rest ...Op) {
	k := 0
	if l.constant(b) {
		k = 1
	}
	f[k](append([]Op{b}, rest...)...)
}

func (l *avx) add(a, b Op) Op { return l.op2(spreading{VADDPS, VADDPS_BCST}, a, b) }
func (l *avx) sub(a, b Op) Op { return l.op2(spreading{VSUBPS, VSUBPS_BCST}, a, b) }
func (l *avx) mul(a, b Op) Op { return l.op2(spreading{VMULPS, VMULPS_BCST}, a, b) }
func (l *avx) div(a, b Op) Op { return l.op2(spreading{VDIVPS, VDIVPS_BCST}, a, b) }
func (l *avx) and(a, b Op) Op { return l.op2(spreading{VANDPS, VANDPS_BCST}, a, b) }
func (l *avx) or(a, b Op) Op  { return l.op2(spreading{VORPS, VORPS_BCST}, a, b) }
func (l *avx) xor(a, b Op) Op { return l.op2(spreading{VXORPS, VXORPS_BCST}, a, b) }
func (l *avx) max(a, b Op) Op { return l.op2(spreading{VMAXPS, VMAXPS_BCST}, a, b) }
func (l *avx) min(a, b Op) Op { return l.op2(spreading{VMINPS, VMINPS_BCST}, a, b) }

func (l *avx) andNot(a, b Op) Op {
	c := l.move(b)
	d := l.vec()
	VANDNPS(a, c, d)
	return d
}

func (l *avx) sqrt(a Op) Op {
	d := l.vec()
	VSQRTPS(a, d)
	return d
}

func (l *avx) move(a Op) Op {
	d := l.vec()
	if l.constant(a) {
		VBROADCASTSS(a, d)
	} else {
		VMOVUPS(a, d) // a constant in memory may lie anywhere
	}
	return d
}

func (l *avx) fma(a, b, c Op) Op {
	d := l.move(c)
	l.emit(spreading{VFMADD231PS, VFMADD231PS_BCST}, b, a, d)
	return d
}

func (l *avx) fnma(a, b, c Op) Op {
	d := l.move(c)
	l.emit(spreading{VFNMADD231PS, VFNMADD231PS_BCST}, b, a, d)
	return d
}

func (l *avx) horner(p, x, c Op) Op {
	l.emit(spreading{VFMADD213PS, VFMADD213PS_BCST}, c, x, p)
	return p
}

func (l *avx) choose(p predicate, a, b, yes, no Op) Op {
	if l.wide {
		k, d := K(), l.move(no)
		if l.constant(b) {
			VCMPPS_BCST(U8(p), b, a, k)
		} else {
			VCMPPS(U8(p), b, a, k)
		}
		VMOVAPS(yes, k, d)
		return d
	}
	m, d := YMM(), YMM()
	VCMPPS(U8(p), b, a, m)
	VBLENDVPS(m, yes, no, d)
	return d
}

func (l *avx) zero() Op {
	d := l.vec()
	if l.wide {
		VPXORD(d, d, d)
	} else {
		VXORPS(d, d, d)
	}
	return d
}

func (l *avx) toInt(a Op) Op {
	d := l.vec()
	VCVTTPS2DQ(a, d)
	return d
}

func (l *avx) shiftRight(a Op, n uint8) Op {
	d := l.vec()
	VPSRAD(U8(n), a, d)
	return d
}

func (l *avx) shiftLeft(a Op, n uint8) Op {
	d := l.vec()
	VPSLLD(U8(n), a, d)
	return d
}

func (l *avx) addInt(a, b Op) Op { return l.op2(spreading{VPADDD, VPADDD_BCST}, a, b) }
func (l *avx) subInt(a, b Op) Op { return l.op2(spreading{VPSUBD, VPSUBD_BCST}, a, b) }

func (l *avx) timesPow2(y, n Op) Op {
	if l.wide {
		return l.op2(spreading{VSCALEFPS, VSCALEFPS_BCST}, y, n)
	}
	return lanes{l}.twicePow2(y, n)
}
