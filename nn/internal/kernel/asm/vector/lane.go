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
		if l.wide && len(bits) <= 20 {
			l.consts[b] = l.move(m)
		}
	}
}

// constant says whether a wide instruction has to spread b, one of declare's in memory:
// as a whole vector it may lie across two cache lines.
func (l *lanes) constant(b Op) bool {
	m, ok := b.(Mem)
	return ok && l.wide && m.Symbol.Name != ""
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
func (l *lanes) op2(f [2]func(...Op), a VecVirtual, b Op) VecVirtual {
	d := l.vec()
	l.emit(f, b, a, d)
	return d
}

// emit writes f[1], which spreads its first operand, where that is a constant in memory,
// else f[0].
func (l *lanes) emit(f [2]func(...Op), b Op, rest ...Op) {
	k := 0
	if l.constant(b) {
		k = 1
	}
	f[k](append([]Op{b}, rest...)...)
}

// Instructions, for a vector and for a number that they spread.
var (
	vadd   = [2]func(...Op){VADDPS, VADDPS_BCST}
	vsub   = [2]func(...Op){VSUBPS, VSUBPS_BCST}
	vmul   = [2]func(...Op){VMULPS, VMULPS_BCST}
	vdiv   = [2]func(...Op){VDIVPS, VDIVPS_BCST}
	vmin   = [2]func(...Op){VMINPS, VMINPS_BCST}
	vmax   = [2]func(...Op){VMAXPS, VMAXPS_BCST}
	vand   = [2]func(...Op){VANDPS, VANDPS_BCST}
	vor    = [2]func(...Op){VORPS, VORPS_BCST}
	vxor   = [2]func(...Op){VXORPS, VXORPS_BCST}
	vaddi  = [2]func(...Op){VPADDD, VPADDD_BCST}
	vsubi  = [2]func(...Op){VPSUBD, VPSUBD_BCST}
	vscale = [2]func(...Op){VSCALEFPS, VSCALEFPS_BCST}
	vfma   = [2]func(...Op){VFMADD231PS, VFMADD231PS_BCST}
	vfnma  = [2]func(...Op){VFNMADD231PS, VFNMADD231PS_BCST}
	vpoly  = [2]func(...Op){VFMADD213PS, VFMADD213PS_BCST}
)

func (l *lanes) add(a VecVirtual, b Op) VecVirtual { return l.op2(vadd, a, b) }
func (l *lanes) sub(a VecVirtual, b Op) VecVirtual { return l.op2(vsub, a, b) }
func (l *lanes) mul(a VecVirtual, b Op) VecVirtual { return l.op2(vmul, a, b) }
func (l *lanes) div(a VecVirtual, b Op) VecVirtual { return l.op2(vdiv, a, b) }
func (l *lanes) and(a VecVirtual, b Op) VecVirtual { return l.op2(vand, a, b) }
func (l *lanes) or(a VecVirtual, b Op) VecVirtual  { return l.op2(vor, a, b) }

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
	if l.constant(a) {
		VBROADCASTSS(a, d)
	} else {
		VMOVUPS(a, d)
	}
	return d
}

// fma returns a·b + c.
func (l *lanes) fma(a VecVirtual, b, c Op) VecVirtual {
	d := l.move(c)
	l.emit(vfma, b, a, d)
	return d
}

// fnma returns −a·b + c.
func (l *lanes) fnma(a VecVirtual, b, c Op) VecVirtual {
	d := l.move(c)
	l.emit(vfnma, b, a, d)
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
		if l.constant(b) {
			VCMPPS_BCST(U8(predicate), b, a, k)
		} else {
			VCMPPS(U8(predicate), b, a, k)
		}
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

func (l *lanes) addInt(a VecVirtual, b Op) VecVirtual { return l.op2(vaddi, a, b) }
func (l *lanes) subInt(a VecVirtual, b Op) VecVirtual { return l.op2(vsubi, a, b) }
