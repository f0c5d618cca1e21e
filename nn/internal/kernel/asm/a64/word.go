package a64

import "fmt"

// Op is an instruction on whole vectors whose registers are Rd, Rn and, but for those of
// two registers, Rm: name and shape as Arm writes them, and the word with all registers 0.
// The encodings are those of the Arm Architecture Reference Manual, DDI 0487, chapter C7.
type Op struct {
	name, shape, from string // from is the sources' shape where it is another
	word              uint32
}

// Instructions of three registers, d = n ∘ m. Those that end in D work on two float64.
var (
	FADD  = Op{"fadd", "4s", "", 0x4e20d400}
	FSUB  = Op{"fsub", "4s", "", 0x4ea0d400}
	FMUL  = Op{"fmul", "4s", "", 0x6e20dc00}
	FDIV  = Op{"fdiv", "4s", "", 0x6e20fc00}
	FMLA  = Op{"fmla", "4s", "", 0x4e20cc00} // d += n·m, rounded once
	FMLS  = Op{"fmls", "4s", "", 0x4ea0cc00} // d −= n·m, rounded once
	FMAX  = Op{"fmax", "4s", "", 0x4e20f400} // a NaN wins
	FMIN  = Op{"fmin", "4s", "", 0x4ea0f400}
	FADDD = Op{"fadd", "2d", "", 0x4e60d400}
	FSUBD = Op{"fsub", "2d", "", 0x4ee0d400}
	FMULD = Op{"fmul", "2d", "", 0x6e60dc00}
	FMLAD = Op{"fmla", "2d", "", 0x4e60cc00}

	// Comparisons give a lane of ones where they hold; with a NaN they do not.
	FCMEQ = Op{"fcmeq", "4s", "", 0x4e20e400}
	FCMGE = Op{"fcmge", "4s", "", 0x6e20e400}
	FCMGT = Op{"fcmgt", "4s", "", 0x6ea0e400}

	AND = Op{"and", "16b", "", 0x4e201c00}
	BIC = Op{"bic", "16b", "", 0x4e601c00} // n &^ m
	ORR = Op{"orr", "16b", "", 0x4ea01c00}
	EOR = Op{"eor", "16b", "", 0x6e201c00}
	BSL = Op{"bsl", "16b", "", 0x6e601c00} // d = n where d has ones, else m

	ADD  = Op{"add", "4s", "", 0x4ea08400}
	SUB  = Op{"sub", "4s", "", 0x6ea08400}
	SMAX = Op{"smax", "4s", "", 0x4ea06400}

	TRN1  = Op{"trn1", "4s", "", 0x4e802800} // n0 m0 n2 m2
	TRN2  = Op{"trn2", "4s", "", 0x4e806800} // n1 m1 n3 m3
	TRN1D = Op{"trn1", "2d", "", 0x4ec02800}
	TRN2D = Op{"trn2", "2d", "", 0x4ec06800}
)

// Instructions of two registers, d = ∘ n.
var (
	FSQRT  = Op{"fsqrt", "4s", "4s", 0x6ea1f800}
	FCVTZS = Op{"fcvtzs", "4s", "4s", 0x4ea1b800} // to integers, towards zero
	FCVTL  = Op{"fcvtl", "2d", "2s", 0x0e617800}  // the lower two to float64
	FCVTL2 = Op{"fcvtl2", "2d", "4s", 0x4e617800} // the upper two
)

// Three returns the line of d = n ∘ m.
func (o Op) Three(d, n, m int) string {
	return line(o.word|reg(m)<<16|reg(n)<<5|reg(d), "%s v%d.%s, v%d.%s, v%d.%s", o.name, d, o.shape, n, o.shape, m, o.shape)
}

// Two returns the line of d = ∘ n.
func (o Op) Two(d, n int) string {
	return line(o.word|reg(n)<<5|reg(d), "%s v%d.%s, v%d.%s", o.name, d, o.shape, n, o.from)
}

// Move returns the line of d = n.
func Move(d, n int) string {
	return line(ORR.word|reg(n)<<16|reg(n)<<5|reg(d), "mov v%d.16b, v%d.16b", d, n)
}

// ShiftRight returns the line of d = n >> by for four int32, 1 ≤ by ≤ 32; it keeps the sign.
func ShiftRight(d, n, by int) string {
	return line(0x4f000400|uint32(64-by)<<16|reg(n)<<5|reg(d), "sshr v%d.4s, v%d.4s, #%d", d, n, by)
}

// ShiftLeft returns the line of d = n << by for four int32, 0 ≤ by ≤ 31.
func ShiftLeft(d, n, by int) string {
	return line(0x4f005400|uint32(32+by)<<16|reg(n)<<5|reg(d), "shl v%d.4s, v%d.4s, #%d", d, n, by)
}

// MulAddFirst returns the line of d += n·m₀ for four float32, m₀ the first of m's, each
// rounded once.
func MulAddFirst(d, n, m int) string {
	return line(0x4f801000|reg(m)<<16|reg(n)<<5|reg(d), "fmla v%d.4s, v%d.4s, v%d.s[0]", d, n, m)
}

func reg(r int) uint32 {
	if r < 0 || r > 31 {
		panic(fmt.Sprintf("no register v%d", r))
	}
	return uint32(r)
}

func line(word uint32, format string, args ...any) string {
	return fmt.Sprintf("WORD $%#08x // %s", word, fmt.Sprintf(format, args...))
}
