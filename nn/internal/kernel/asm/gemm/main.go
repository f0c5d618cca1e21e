// Command gemm writes the tiles of kernel's matrix products for AVX-512 and NEON.
package main

import (
	"flag"
	"fmt"
	"log"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// maxRows is the rows of the widest tile: 14·2 sums, two vectors of B and two of A
// fill the 32 registers.
const maxRows = 14

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
	for rows := 1; rows <= maxRows; rows++ {
		tile(rows, 2, false)
		tile(rows, 2, true)
		tile(rows, 1, true)
	}
	pack()
	peak()
	Generate()
	if err := neon(*arm); err != nil {
		log.Fatal(err)
	}
}

// tile writes blocks of rows × (vectors·16) elements of C, one under the other: each
// element is one lane of one register, which takes a VFMADD231PS for each term.
func tile(rows, vectors int, masked bool) {
	name := fmt.Sprintf("tile%dx%d", rows, 16*vectors)
	if masked {
		name += "m"
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
		last = K1
		KMOVW(m, K1)
	}
	mask := func(v int) bool { return masked && v == vectors-1 }
	ars3, ars5 := GP64(), GP64()
	LEAQ(Mem{Base: ars, Index: ars, Scale: 2}, ars3)
	LEAQ(Mem{Base: ars, Index: ars, Scale: 4}, ars5)

	acc := make([][]VecVirtual, rows)
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], ZMM())
		}
	}
	// columns runs f with the address of every vector of the block in C.
	columns := func(f func(i, v int, m Mem)) {
		ldc, p := GP64(), GP64()
		MOVQ(at(offLDC), ldc)
		MOVQ(c, p)
		for i := range rows {
			for v := range vectors {
				f(i, v, Mem{Base: p, Disp: 64 * v})
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
	columns(func(i, v int, m Mem) {
		if mask(v) {
			VMOVUPS_Z(m, last, acc[i][v])
		} else {
			VMOVUPS(m, acc[i][v])
		}
	})
	JMP(LabelRef("start"))
	Label("zero")
	for i := range acc {
		for _, r := range acc[i] {
			VPXORD(r, r, r)
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
		bv[v] = ZMM()
		if mask(v) {
			VMOVUPS_Z(Mem{Base: b, Disp: 64 * v}, last, bv[v])
		} else {
			VMOVUPS(Mem{Base: b, Disp: 64 * v}, bv[v])
		}
	}
	ADDQ(ldb, b)
	for i := range rows {
		x := ZMM()
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

	columns(func(i, v int, m Mem) {
		if mask(v) {
			VMOVUPS(acc[i][v], last, m)
		} else {
			VMOVUPS(acc[i][v], m)
		}
	})
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

// pack writes a copy of k rows of 32 floats, of which the last 16 are those of the mask,
// ld bytes apart, to rows that follow each other.
func pack() {
	TEXT("packRows512", NOSPLIT, "func(k int, dst, src *float32, ld int, low, high uint32)")
	k, dst, src, ld := Load(Param("k"), GP64()), Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("ld"), GP64())
	low, high := Load(Param("low"), GP32()), Load(Param("high"), GP32())
	KMOVW(low, K1)
	KMOVW(high, K2)
	x, y := ZMM(), ZMM()
	Label("loop")
	VMOVUPS_Z(Mem{Base: src}, K1, x)
	VMOVUPS_Z(Mem{Base: src, Disp: 64}, K2, y)
	VMOVUPS(x, Mem{Base: dst})
	VMOVUPS(y, Mem{Base: dst, Disp: 64})
	ADDQ(ld, src)
	ADDQ(U8(128), dst)
	DECQ(k)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// peak writes a loop of FMAs that wait for nothing but each other.
func peak() {
	TEXT("fmaLoop512", NOSPLIT, "func(n int)")
	n := Load(Param("n"), GP64())
	x := ZMM()
	VPXORD(x, x, x)
	acc := make([]VecVirtual, 24)
	for i := range acc {
		acc[i] = ZMM()
		VPXORD(acc[i], acc[i], acc[i])
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
