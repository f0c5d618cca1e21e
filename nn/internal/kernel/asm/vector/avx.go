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

// declare makes constants ready: in memory, as whole vectors, since the longest loops
// need more than there are registers.
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
	}
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
func (l *avx) op2(f func(...Op), a, b Op) Op {
	d := l.vec()
	f(b, a, d)
	return d
}

func (l *avx) add(a, b Op) Op { return l.op2(VADDPS, a, b) }
func (l *avx) sub(a, b Op) Op { return l.op2(VSUBPS, a, b) }
func (l *avx) mul(a, b Op) Op { return l.op2(VMULPS, a, b) }
func (l *avx) div(a, b Op) Op { return l.op2(VDIVPS, a, b) }
func (l *avx) and(a, b Op) Op { return l.op2(VANDPS, a, b) }
func (l *avx) or(a, b Op) Op  { return l.op2(VORPS, a, b) }
func (l *avx) xor(a, b Op) Op { return l.op2(VXORPS, a, b) }
func (l *avx) max(a, b Op) Op { return l.op2(VMAXPS, a, b) }
func (l *avx) min(a, b Op) Op { return l.op2(VMINPS, a, b) }

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
	VMOVUPS(a, d) // a constant in memory may lie anywhere
	return d
}

func (l *avx) fma(a, b, c Op) Op {
	d := l.move(c)
	VFMADD231PS(b, a, d)
	return d
}

func (l *avx) fnma(a, b, c Op) Op {
	d := l.move(c)
	VFNMADD231PS(b, a, d)
	return d
}

func (l *avx) choose(p predicate, a, b, yes, no Op) Op {
	if l.wide {
		k, d := K(), l.move(no)
		VCMPPS(U8(p), b, a, k)
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

func (l *avx) addInt(a, b Op) Op { return l.op2(VPADDD, a, b) }
func (l *avx) subInt(a, b Op) Op { return l.op2(VPSUBD, a, b) }
