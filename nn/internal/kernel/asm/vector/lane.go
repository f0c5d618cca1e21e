package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lanes writes a loop for one width: 16 lanes in AVX-512, whose last round is masked,
// or 8 in AVX2, which takes whole vectors only. A method is one instruction for every
// lane, rounded as Go rounds it, and returns a new vector.
type lanes struct {
	wide   bool
	masked bool // in the last round
	consts map[uint32]Op
}

const tail = "tail"

func (l *lanes) bytes() int {
	if l.wide {
		return 64
	}
	return 32
}

func (l *lanes) vec() VecVirtual {
	if l.wide {
		return ZMM()
	}
	return YMM()
}

var globals = map[uint32]Mem{}

// bits returns a vector of the pattern b.
func (l *lanes) bits(b uint32) Op {
	if c, ok := l.consts[b]; ok {
		return c
	}
	panic(fmt.Sprintf("constant %#x is not declared", b))
}

func (l *lanes) num(f float64) Op { return l.bits(math.Float32bits(float32(f))) }

// declare makes constants ready: in memory, as whole vectors, since the longest loops
// need more than there are registers.
func (l *lanes) declare(bits []uint32) {
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
func (l *lanes) spread(name string) VecVirtual {
	x, v := XMM(), l.vec()
	Load(Param(name), x)
	VBROADCASTSS(x, v)
	return v
}

func (l *lanes) load(m Mem) VecVirtual {
	v := l.vec()
	if l.masked {
		VMOVUPS_Z(m, K1, v)
	} else {
		VMOVUPS(m, v)
	}
	return v
}

func (l *lanes) store(v VecVirtual, m Mem) {
	if l.masked {
		VMOVUPS(v, K1, m)
	} else {
		VMOVUPS(v, m)
	}
}

// Instructions take their second source last here, as a − b reads: it may be memory.
func (l *lanes) op2(f func(...Op), a VecVirtual, b Op) VecVirtual {
	d := l.vec()
	f(b, a, d)
	return d
}

func (l *lanes) add(a VecVirtual, b Op) VecVirtual { return l.op2(VADDPS, a, b) }
func (l *lanes) sub(a VecVirtual, b Op) VecVirtual { return l.op2(VSUBPS, a, b) }
func (l *lanes) mul(a VecVirtual, b Op) VecVirtual { return l.op2(VMULPS, a, b) }
func (l *lanes) div(a VecVirtual, b Op) VecVirtual { return l.op2(VDIVPS, a, b) }
func (l *lanes) and(a VecVirtual, b Op) VecVirtual { return l.op2(VANDPS, a, b) }
func (l *lanes) or(a VecVirtual, b Op) VecVirtual  { return l.op2(VORPS, a, b) }

// andNot returns a &^ b.
func (l *lanes) andNot(a VecVirtual, b Op) VecVirtual {
	c := l.move(b)
	d := l.vec()
	VANDNPS(a, c, d)
	return d
}

func (l *lanes) sqrt(a VecVirtual) VecVirtual {
	d := l.vec()
	VSQRTPS(a, d)
	return d
}

// move returns a copy in a register.
func (l *lanes) move(a Op) VecVirtual {
	d := l.vec()
	VMOVUPS(a, d) // a constant in memory may lie anywhere
	return d
}

// fma returns a·b + c.
func (l *lanes) fma(a VecVirtual, b, c Op) VecVirtual {
	d := l.move(c)
	VFMADD231PS(b, a, d)
	return d
}

// fnma returns −a·b + c.
func (l *lanes) fnma(a VecVirtual, b, c Op) VecVirtual {
	d := l.move(c)
	VFNMADD231PS(b, a, d)
	return d
}

// Predicates of compare.
const (
	lessOrEqual = 0x12 // ordered: false with a NaN
	less        = 0x11
	greater     = 0x1e
	unordered   = 0x03
	equal       = 0x00
)

// choose returns yes where a ⋚ b holds, else no.
func (l *lanes) choose(predicate int, a VecVirtual, b Op, yes, no VecVirtual) VecVirtual {
	if l.wide {
		k, d := K(), l.move(no)
		VCMPPS(U8(predicate), b, a, k)
		VMOVAPS(yes, k, d)
		return d
	}
	m, d := YMM(), YMM()
	VCMPPS(U8(predicate), b, a, m)
	VBLENDVPS(m, yes, no, d)
	return d
}

func (l *lanes) zero() VecVirtual {
	d := l.vec()
	if l.wide {
		VPXORD(d, d, d)
	} else {
		VXORPS(d, d, d)
	}
	return d
}

// integers

func (l *lanes) toInt(a VecVirtual) VecVirtual {
	d := l.vec()
	VCVTTPS2DQ(a, d)
	return d
}

func (l *lanes) shiftRight(a VecVirtual, n uint8) VecVirtual { // keeps the sign
	d := l.vec()
	VPSRAD(U8(n), a, d)
	return d
}

func (l *lanes) shiftLeft(a VecVirtual, n uint8) VecVirtual {
	d := l.vec()
	VPSLLD(U8(n), a, d)
	return d
}

func (l *lanes) addInt(a VecVirtual, b Op) VecVirtual { return l.op2(VPADDD, a, b) }
func (l *lanes) subInt(a VecVirtual, b Op) VecVirtual { return l.op2(VPSUBD, a, b) }
