// Command asm writes the loops of ctr for VAES with AVX-512 and for AES-NI with AVX,
// and their declarations in Go.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// rings are the widths of a word in bits, in the order of ctr's kinds.
var rings = []int{16, 24, 32, 64}

// level is a set of instructions. A loop holds states vectors of AES blocks at a time,
// a multiple of 3, and the words that they are added to.
type level struct {
	name   string
	lanes  int // blocks in a vector
	states int
}

var levels = []level{{"VAES", 4, 12}, {"AESNI", 1, 6}}

func (l level) wide() bool { return l.lanes == 4 }

func (l level) vec() VecVirtual {
	if l.wide() {
		return ZMM()
	}
	return XMM()
}

func (l level) bytes() int { return 16 * l.lanes }

// groupBytes is what a loop takes of the vector at a time. Three blocks of 24-bit
// words fill four blocks in memory.
func (l level) groupBytes(bits int) int {
	if bits == 24 {
		return l.states * l.bytes() * 4 / 3
	}
	return l.states * l.bytes()
}

func (l level) load(m Mem, v VecVirtual) {
	if l.wide() {
		VMOVDQU64(m, v)
	} else {
		VMOVDQU(m, v)
	}
}

func (l level) store(v VecVirtual, m Mem) {
	if l.wide() {
		VMOVDQU64(v, m)
	} else {
		VMOVDQU(v, m)
	}
}

// roundKey loads a round key into every lane.
func (l level) roundKey(m Mem, v VecVirtual) {
	if l.wide() {
		VBROADCASTI32X4(m, v)
	} else {
		VMOVDQU(m, v)
	}
}

func (l level) xor(a Op, b, out VecVirtual) {
	if l.wide() {
		VPXORQ(a, b, out)
	} else {
		VPXOR(a, b, out)
	}
}

func (l level) and(a Op, b, out VecVirtual) {
	if l.wide() {
		VPANDQ(a, b, out)
	} else {
		VPAND(a, b, out)
	}
}

// flip loads the parameter of that name into every lane.
func (l level) flip() VecVirtual {
	p, err := Param("flip").Resolve()
	if err != nil {
		log.Fatal(err)
	}
	v := l.vec()
	if l.wide() {
		VPBROADCASTQ(p.Addr, v)
	} else {
		VMOVDDUP(p.Addr, v)
	}
	return v
}

var globals = map[string]Mem{}

// constant is 64 bytes of read-only memory.
func constant(name string, qwords [8]uint64) Mem {
	m, ok := globals[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		for i, q := range qwords {
			DATA(8*i, U64(q))
		}
		globals[name] = m
	}
	return m
}

// lanes repeats 16 bytes.
func lanes(lo, hi uint64) [8]uint64 { return [8]uint64{lo, hi, lo, hi, lo, hi, lo, hi} }

var (
	// bigEndian turns a counter into its block.
	bigEndian = func() Mem { return constant("bigEndian", lanes(0x08090a0b0c0d0e0f, 0x0001020304050607)) }
	// spread makes four words of four bytes of the first twelve, spreadHigh of the last.
	spread     = func() Mem { return constant("spread", lanes(0x8005040380020100, 0x800b0a0980080706)) }
	spreadHigh = func() Mem { return constant("spreadHigh", lanes(0x8009080780060504, 0x800f0e0d800c0b0a)) }
	low24      = func() Mem { return constant("low24", lanes(0x00ffffff00ffffff, 0x00ffffff00ffffff)) }
)

// blocks are the counters of state s relative to the group's first: consecutive, but
// for 24-bit words lane i of three consecutive states has three consecutive blocks,
// which are 16 words.
func (l level) blocks(bits, s int) Mem {
	var q [8]uint64
	name := fmt.Sprintf("blocks%s%d", l.name, s)
	for i := range l.lanes {
		q[2*i] = uint64(s*l.lanes + i)
		if bits == 24 {
			q[2*i] = uint64(3*(s/3*l.lanes+i) + s%3)
		}
	}
	if bits == 24 {
		name = fmt.Sprintf("triples%s%d", l.name, s)
	}
	return constant(name, q)
}

// counters writes the group's counter blocks to local, one vector for each state.
func (l level) counters(bits int, hi, lo Register, local Mem) {
	base := XMM()
	VMOVQ(lo, base)
	VPINSRQ(U8(1), hi, base, base)
	all := VecVirtual(base)
	if l.wide() {
		all = ZMM()
		VSHUFI64X2(U8(0), base.AsZ(), base.AsZ(), all)
	}
	for s := range l.states {
		c := l.vec()
		VPADDQ(l.blocks(bits, s), all, c)
		VPSHUFB(bigEndian(), c, c)
		l.store(c, local.Offset(s*l.bytes()))
	}
}

// transpose exchanges rows and columns of a 4 × 4 matrix of 16-byte lanes. It is its
// own inverse.
func transpose(z []VecVirtual) {
	a, b, c, d := ZMM(), ZMM(), ZMM(), ZMM()
	VSHUFI32X4(U8(0x44), z[1], z[0], a) // 00 01 10 11
	VSHUFI32X4(U8(0xee), z[1], z[0], b) // 02 03 12 13
	VSHUFI32X4(U8(0x44), z[3], z[2], c)
	VSHUFI32X4(U8(0xee), z[3], z[2], d)
	VSHUFI32X4(U8(0x88), c, a, z[0])
	VSHUFI32X4(U8(0xdd), c, a, z[1])
	VSHUFI32X4(U8(0x88), d, b, z[2])
	VSHUFI32X4(U8(0xdd), d, b, z[3])
}

func add(bits int, a Op, b, out VecVirtual) {
	switch bits {
	case 16:
		VPADDW(a, b, out)
	case 24, 32:
		VPADDD(a, b, out)
	case 64:
		VPADDQ(a, b, out)
	}
}

func (l level) write(bits int) {
	TEXT(fmt.Sprintf("add%d%s", bits, l.name), 0, "func(dst *byte, n int, hi, lo uint64, keys *byte, m int, flip uint64)")
	dst, n := Load(Param("dst"), GP64()), Load(Param("n"), GP64())
	hi, lo := Load(Param("hi"), GP64()), Load(Param("lo"), GP64())
	local := AllocLocal(l.states * l.bytes())
	var acc, state []VecVirtual
	for range l.groupBytes(bits) / l.bytes() {
		acc = append(acc, l.vec())
	}
	for range l.states {
		state = append(state, l.vec())
	}

	Label("group")
	l.counters(bits, hi, lo, local)
	flip := l.flip()
	for i, v := range acc {
		l.load(Mem{Base: dst, Disp: i * l.bytes()}, v)
		l.xor(flip, v, v)
	}
	if bits == 24 && l.wide() {
		for i := 0; i < len(acc); i += 4 {
			transpose(acc[i:])
		}
	}
	key, m := Load(Param("keys"), GP64()), Load(Param("m"), GP64())
	Label("key")
	k := l.vec()
	l.roundKey(Mem{Base: key}, k)
	for s, v := range state {
		l.xor(local.Offset(s*l.bytes()), k, v)
	}
	for r := 1; r <= 14; r++ {
		k := l.vec()
		l.roundKey(Mem{Base: key, Disp: 16 * r}, k)
		for _, v := range state {
			if r < 14 {
				VAESENC(k, v, v)
			} else {
				VAESENCLAST(k, v, v)
			}
		}
	}
	if bits == 24 {
		for t := range l.states / 3 {
			l.add24(acc[4*t:], state[3*t:])
		}
	} else {
		for i, v := range acc {
			add(bits, state[i], v, v)
		}
	}
	ADDQ(U8(240), key)
	DECQ(m)
	JNZ(LabelRef("key"))

	if bits == 24 && l.wide() {
		for i := 0; i < len(acc); i += 4 {
			transpose(acc[i:])
		}
	}
	flip = l.flip()
	for i, v := range acc {
		l.xor(flip, v, v)
		if bits == 24 {
			l.and(low24(), v, v)
		}
		l.store(v, Mem{Base: dst, Disp: i * l.bytes()})
	}
	ADDQ(U32(l.groupBytes(bits)), dst)
	ADDQ(U8(l.states*l.lanes), lo)
	DECQ(n)
	JNZ(LabelRef("group"))
	if l.wide() {
		VZEROUPPER()
	}
	RET()
}

// add24 adds the 16 words of three blocks, in every lane, to four vectors.
func (l level) add24(acc, state []VecVirtual) {
	t := l.vec()
	VPALIGNR(U8(12), state[0], state[1], t)
	VPSHUFB(spread(), state[0], state[0])
	add(24, state[0], acc[0], acc[0])
	VPSHUFB(spread(), t, t)
	add(24, t, acc[1], acc[1])
	VPALIGNR(U8(8), state[1], state[2], t)
	VPSHUFB(spread(), t, t)
	add(24, t, acc[2], acc[2])
	VPSHUFB(spreadHigh(), state[2], state[2])
	add(24, state[2], acc[3], acc[3])
}

func main() {
	stubs := flag.String("go", "", "file for the declarations")
	ConstraintExpr("amd64,!purego")
	for _, l := range levels {
		for _, bits := range rings {
			l.write(bits)
		}
	}
	Generate()
	var b strings.Builder
	b.WriteString("// Code generated by asm. DO NOT EDIT.\n\n//go:build amd64 && !purego\n\npackage ctr\n\nimport \"unsafe\"\n")
	for _, l := range levels {
		fmt.Fprintf(&b, "\n// group%s is how many bytes of the vector a loop takes at a time.\nvar group%[1]s = [...]int{", l.name)
		for i, bits := range rings {
			fmt.Fprintf(&b, "%s%d", strings.Repeat(", ", min(i, 1)), l.groupBytes(bits))
		}
		b.WriteString("}\n")
		for _, bits := range rings {
			fmt.Fprintf(&b, "\n//go:noescape\nfunc add%d%s(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)\n", bits, l.name)
		}
	}
	if err := os.WriteFile(*stubs, []byte(b.String()), 0o644); err != nil {
		log.Fatal(err)
	}
}
