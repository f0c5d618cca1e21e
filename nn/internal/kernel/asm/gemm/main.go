// Command gemm writes the tiles of kernel's matrix products for AVX-512, AVX2 and NEON.
package main

import (
	"flag"
	"fmt"
	"log"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// set is the registers that tiles are made of.
type set struct {
	name string
	wide bool // 32 of 16 lanes, else 16 of 8
	rows int  // of the greatest tile
	sums int  // that Peak's loop keeps in flight
}

// The sums, rows·2 vectors, leave registers for two vectors of B, for one or two of A,
// and in AVX2 for the mask.
var (
	avx512 = set{"512", true, 14, 24}
	avx2   = set{"AVX2", false, 6, 12}
)

func (s set) vec() VecVirtual {
	if s.wide {
		return ZMM()
	}
	return YMM()
}

// bytes is those of a vector.
func (s set) bytes() int {
	if s.wide {
		return 64
	}
	return 32
}

func (s set) zero(v VecVirtual) {
	if s.wide {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

// mask returns the register for load and store whose lanes are on where bits has a
// one: n, or one of AVX2.
func (s set) mask(bits, n Register) Register {
	if s.wide {
		KMOVW(bits, n)
		return n
	}
	x, v := XMM(), YMM()
	VMOVD(bits, x)
	VPBROADCASTD(x, v)
	VPAND(lanes(), v, v)
	VPCMPEQD(lanes(), v, v)
	return v
}

// load reads the lanes of the mask, all where it is nil; the others are zero.
func (s set) load(m Mem, mask Register, v VecVirtual) {
	switch {
	case mask == nil:
		VMOVUPS(m, v)
	case s.wide:
		VMOVUPS_Z(m, mask, v)
	default:
		VMASKMOVPS(m, mask, v)
	}
}

// store writes the lanes of the mask, all where it is nil.
func (s set) store(v VecVirtual, mask Register, m Mem) {
	switch {
	case mask == nil:
		VMOVUPS(v, m)
	case s.wide:
		VMOVUPS(v, mask, m)
	default:
		VMASKMOVPS(v, mask, m)
	}
}

var laneBits Mem

// lanes returns where lane i of 8 has bit i.
func lanes() Mem {
	if laneBits.Base == nil {
		laneBits = GLOBL("laneBits", RODATA|NOPTR)
		for i := range 8 {
			DATA(4*i, U32(1<<i))
		}
	}
	return laneBits
}

// Offsets of kernel's tile.
const (
	offA, offB, offC           = 0, 8, 16
	offARS, offACS, offLDB     = 24, 32, 40
	offLDC, offASkip, offBSkip = 48, 56, 64
	offK, offSegs, offBlocks   = 72, 80, 88
	offMask, offAdd            = 96, 100
)

func main() {
	arm := flag.String("neon", "", "path without its end for the tiles in NEON")
	ConstraintExpr("amd64,!purego")
	for _, s := range []set{avx512, avx2} {
		for rows := 1; rows <= s.rows; rows++ {
			tile(s, rows, 2, false)
			tile(s, rows, 2, true)
			tile(s, rows, 1, true)
		}
		pack(s)
		peak(s)
	}
	Generate()
	if err := neon(*arm); err != nil {
		log.Fatal(err)
	}
}

// tile writes blocks of rows × vectors elements of C, one under the other: each
// element is one lane of one register, which takes a VFMADD231PS for each term.
func tile(s set, rows, vectors int, masked bool) {
	name := fmt.Sprintf("tile%dx%d", rows, s.bytes()/4*vectors)
	if masked {
		name += "m"
	}
	if !s.wide {
		name += s.name
	}
	TEXT(name, NOSPLIT, "func(t *int)")
	t := Load(Param("t"), GP64())
	at := func(off int) Mem { return Mem{Base: t, Disp: off} }
	quad := func(off int) GPVirtual {
		r := GP64()
		MOVQ(at(off), r)
		return r
	}
	a, c, ars, acs, ldb := quad(offA), quad(offC), quad(offARS), quad(offACS), quad(offLDB)
	var last Register
	if masked {
		m := GP32()
		MOVL(at(offMask), m)
		last = s.mask(m, K1)
	}
	mask := func(v int) Register {
		if v == vectors-1 {
			return last
		}
		return nil
	}
	ars3, ars5 := GP64(), GP64()
	LEAQ(Mem{Base: ars, Index: ars, Scale: 2}, ars3)
	LEAQ(Mem{Base: ars, Index: ars, Scale: 4}, ars5)

	acc := make([][]VecVirtual, rows)
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], s.vec())
		}
	}
	// columns runs f with the address of every vector of the block in C.
	columns := func(f func(i, v int, m Mem)) {
		ldc, p := GP64(), GP64()
		MOVQ(at(offLDC), ldc)
		MOVQ(c, p)
		for i := range rows {
			for v := range vectors {
				f(i, v, Mem{Base: p, Disp: s.bytes() * v})
			}
			if i < rows-1 {
				ADDQ(ldc, p)
			}
		}
	}

	Label("block")
	add := GP32()
	MOVL(at(offAdd), add)
	TESTL(add, add)
	JZ(LabelRef("zero"))
	columns(func(i, v int, m Mem) { s.load(m, mask(v), acc[i][v]) })
	JMP(LabelRef("start"))
	Label("zero")
	for i := range acc {
		for _, r := range acc[i] {
			s.zero(r)
		}
	}
	Label("start")
	p, q, b := GP64(), GP64(), GP64()
	MOVQ(a, p)
	if rows > 7 {
		// row 7: 8·ars − ars
		LEAQ(Mem{Base: a, Index: ars, Scale: 8}, q)
		SUBQ(ars, q)
	}
	MOVQ(at(offB), b)
	segs := quad(offSegs)
	row := func(i int) Mem {
		base := p
		if i >= 7 {
			base, i = q, i-7
		}
		switch i {
		case 0:
			return Mem{Base: base}
		case 1, 2, 4:
			return Mem{Base: base, Index: ars, Scale: uint8(i)}
		case 3, 6:
			return Mem{Base: base, Index: ars3, Scale: uint8(i / 3)}
		}
		return Mem{Base: base, Index: ars5, Scale: 1}
	}

	Label("segment")
	k := quad(offK)
	Label("term")
	bv := make([]VecVirtual, vectors)
	for v := range bv {
		bv[v] = s.vec()
		s.load(Mem{Base: b, Disp: s.bytes() * v}, mask(v), bv[v])
	}
	ADDQ(ldb, b)
	for i := range rows {
		x := s.vec()
		VBROADCASTSS(row(i), x)
		for v := range bv {
			VFMADD231PS(bv[v], x, acc[i][v])
		}
	}
	ADDQ(acs, p)
	if rows > 7 {
		ADDQ(acs, q)
	}
	DECQ(k)
	JNZ(LabelRef("term"))
	ADDQ(at(offASkip), p)
	if rows > 7 {
		ADDQ(at(offASkip), q)
	}
	ADDQ(at(offBSkip), b)
	DECQ(segs)
	JNZ(LabelRef("segment"))

	columns(func(i, v int, m Mem) { s.store(acc[i][v], mask(v), m) })
	step := GP64()
	IMUL3Q(U8(rows), ars, step)
	ADDQ(step, a)
	IMUL3Q(U8(rows), at(offLDC), step)
	ADDQ(step, c)
	DECQ(at(offBlocks))
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// pack writes a copy of k rows of two vectors, of which the elements of two masks are
// those of rows ld bytes apart, to rows that follow each other.
func pack(s set) {
	TEXT("packRows"+s.name, NOSPLIT, "func(k int, dst, src *float32, ld int, low, high uint32)")
	k, dst, src, ld := Load(Param("k"), GP64()), Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("ld"), GP64())
	low, high := Load(Param("low"), GP32()), Load(Param("high"), GP32())
	low, high = s.mask(low, K1), s.mask(high, K2)
	x, y := s.vec(), s.vec()
	Label("loop")
	s.load(Mem{Base: src}, low, x)
	s.load(Mem{Base: src, Disp: s.bytes()}, high, y)
	VMOVUPS(x, Mem{Base: dst})
	VMOVUPS(y, Mem{Base: dst, Disp: s.bytes()})
	ADDQ(ld, src)
	ADDQ(U8(2*s.bytes()), dst)
	DECQ(k)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// peak writes a loop of FMAs that wait for nothing but each other.
func peak(s set) {
	TEXT("fmaLoop"+s.name, NOSPLIT, "func(n int)")
	n := Load(Param("n"), GP64())
	x := s.vec()
	s.zero(x)
	acc := make([]VecVirtual, s.sums)
	for i := range acc {
		acc[i] = s.vec()
		s.zero(acc[i])
	}
	Label("loop")
	for _, r := range acc {
		VFMADD231PS(x, x, r)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
