package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/operand"

	"tacit/nn/internal/kernel/asm/a64"
)

// kept16 keeps 16 float32, or with size 8 float64, that a pointer among the parameters
// points to; store writes them back.
func (l *neon) kept16(name string, size int) (values []*value, store func()) {
	var regs []int
	l.f.Put("MOVD %s, R16", l.f.Arg(name))
	for i := range size {
		v, r := l.keep()
		values, regs = append(values, v), append(regs, r)
		l.f.Put("%s", a64.LoadQuad("R16", 16*i, r))
	}
	return values, func() {
		l.f.Put("MOVD %s, R16", l.f.Arg(name))
		for i, r := range regs {
			l.f.Put("FMOVQ F%d, %d(R16)", r, 16*i)
		}
	}
}

// pair returns four float32 as float64, two and two.
func (l *neon) pair(v Op) [2]Op { return [2]Op{l.two(a64.FCVTL, v), l.two(a64.FCVTL2, v)} }

func quad(m Op, i int) Op {
	p := m.(place)
	p.disp += 16 * i
	return p
}

// fold is a loop over blocks of 16 elements or the rows of 16 columns: setup keeps what
// lasts and returns the body of a round and what ends the loop.
type fold struct {
	name, params string
	pointers     []string
	setup        func(l *neon) (body func(at func(string) Op), end func())
}

func (k fold) neon(f *a64.File) {
	l := openNEON(f, k.name, k.params)
	bases := pointersOf(f, k.pointers)
	count, taken, step := "n", 16, "$64"
	if strings.HasPrefix(k.params, "rows") {
		count, taken, step = "rows", 1, "R15"
		f.Put("MOVD %s, R15", f.Arg("ld"))
		f.Put("LSL $2, R15")
	}
	f.Put("MOVD %s, R0", f.Arg(count))
	body, end := k.setup(l)
	body(func(p string) Op { return place{bases[p], 0} })
	text := l.registers(l.round())
	f.Put("SUBS $%d, R0", taken)
	f.Put("BLT done")
	f.Label("loop")
	f.Put("%s", strings.Join(text[0], "\n\t"))
	advance(f, k.pointers, bases, step)
	f.Put("SUBS $%d, R0", taken)
	f.Put("BGE loop")
	f.Label("done")
	end()
	f.Put("RET")
}

// doubled keeps two vectors of a float64 parameter.
func (l *neon) doubled(name string) *value {
	v, r := l.keep()
	l.f.Put("FMOVD %s, F%d", l.f.Arg(name), r)
	l.f.Put("VDUP V%d.D[0], V%d.D2", r, r)
	return v
}

var folds = []fold{
	{"dot", "n int, a, b *float32, s *float64", []string{"a", "b"}, func(l *neon) (func(func(string) Op), func()) {
		acc, end := l.kept16("s", 8)
		return func(at func(string) Op) {
			for i := range 4 {
				a, b := l.pair(l.load(quad(at("a"), i))), l.pair(l.load(quad(at("b"), i)))
				for h := range 2 {
					l.into(a64.FMLAD, acc[2*i+h], a[h], b[h]) // the product is exact
				}
			}
		}, end
	}},
	{"sum", "n int, a *float32, s *float64", []string{"a"}, sumOf},
	{"deviation", "n int, a *float32, mean float64, s *float64", []string{"a"}, func(l *neon) (func(func(string) Op), func()) {
		mean := l.doubled("mean")
		acc, end := l.kept16("s", 8)
		return func(at func(string) Op) {
			l.squares(at("a"), func(int) Op { return mean }, acc)
		}, end
	}},
	// Σ δ·γ and Σ (δ·γ)·x̂.
	{"rowErrors", "n int, dy, gamma, x *float32, mean, inverse float32, s, d *float64", []string{"dy", "gamma", "x"}, func(l *neon) (func(func(string) Op), func()) {
		mean, inverse := l.spread("mean"), l.spread("inverse")
		sum, ends := l.kept16("s", 8)
		dot, endd := l.kept16("d", 8)
		return func(at func(string) Op) {
			for i := range 4 {
				dy, gamma := l.pair(l.load(quad(at("dy"), i))), l.pair(l.load(quad(at("gamma"), i)))
				hat := l.pair(l.mul(l.sub(l.load(quad(at("x"), i)), mean), inverse))
				for h := range 2 {
					e := l.three(a64.FMULD, dy[h], gamma[h]) // exact
					l.into(a64.FADDD, sum[2*i+h], sum[2*i+h], e)
					l.into(a64.FADDD, dot[2*i+h], dot[2*i+h], l.three(a64.FMULD, e, hat[h]))
				}
			}
		}, func() { ends(); endd() }
	}},
	{"greatest", "n int, a *float32, s *float32", []string{"a"}, func(l *neon) (func(func(string) Op), func()) {
		most, end := l.kept16("s", 4)
		return func(at func(string) Op) {
			for i, d := range most {
				l.into(a64.SMAX, d, d, lanes{l}.abs(l.load(quad(at("a"), i)))) // patterns of magnitudes: a NaN is the greatest
			}
		}, end
	}},
	// Each lane's greatest number, its last NaN where it has one.
	{"most", "n int, a *float32, s *float32", []string{"a"}, func(l *neon) (func(func(string) Op), func()) {
		top, end := l.kept16("s", 4)
		return func(at func(string) Op) {
			for i, d := range top {
				x := l.load(quad(at("a"), i))
				v := l.choose(unordered, x, x, x, l.choose(greater, x, d, x, d))
				l.into(a64.AND, d, v, v)
			}
		}, end
	}},
	{"colSum", "rows int, a *float32, ld int, s *float64", []string{"a"}, sumOf},
	{"colSquare", "rows int, a *float32, ld int, mean, s *float64", []string{"a"}, func(l *neon) (func(func(string) Op), func()) {
		mean, _ := l.kept16("mean", 8)
		acc, end := l.kept16("s", 8)
		return func(at func(string) Op) {
			l.squares(at("a"), func(i int) Op { return mean[i] }, acc)
		}, end
	}},
	// Σ δ and Σ δ·x̂, x̂ = (x − mean)·inverse in float32; mean and inverse belong to
	// columns, or to rows.
	{"colErrors", columnErrors, []string{"dy", "x"}, func(l *neon) (func(func(string) Op), func()) {
		mean, _ := l.kept16("mean", 4)
		inverse, _ := l.kept16("inverse", 4)
		return l.errors(func(i int) (Op, Op) { return mean[i], inverse[i] })
	}},
	{"colRowErrors", columnErrors, []string{"dy", "x"}, func(l *neon) (func(func(string) Op), func()) {
		l.f.Put("MOVD %s, R10", l.f.Arg("mean"))
		l.f.Put("MOVD %s, R11", l.f.Arg("inverse"))
		next := func(register string) Op {
			return l.record(&value{}, nil, func(d int, _ []int) string { return fmt.Sprintf("VLD1R.P 4(%s), [V%d.S4]", register, d) })
		}
		var mean, inverse Op
		return l.errors(func(i int) (Op, Op) {
			if i == 0 {
				mean, inverse = next("R10"), next("R11")
			}
			return mean, inverse
		})
	}},
	{"colNorm", columnNorm, []string{"y", "x"}, func(l *neon) (func(func(string) Op), func()) { return l.norm(false, false) }},
	{"colNormReLU", columnNorm, []string{"y", "x"}, func(l *neon) (func(func(string) Op), func()) { return l.norm(false, true) }},
	{"colNormPlusReLU", strings.Replace(columnNorm, "x *", "x, plus *", 1), []string{"y", "x", "plus"}, func(l *neon) (func(func(string) Op), func()) { return l.norm(true, true) }},
	// dx = factor·((δ − a) − x̂·b).
	{"colBack", "rows int, dx, dy, x *float32, ld int, mean, inverse, a, b, factor *float32", []string{"dx", "dy", "x"}, func(l *neon) (func(func(string) Op), func()) {
		p := l.kept4("mean", "inverse", "a", "b", "factor")
		return func(at func(string) Op) {
			for i := range 4 {
				h := l.mul(l.sub(l.load(quad(at("x"), i)), p["mean"][i]), p["inverse"][i])
				d := l.sub(l.sub(l.load(quad(at("dy"), i)), p["a"][i]), l.mul(h, p["b"][i]))
				l.store(l.mul(d, p["factor"][i]), quad(at("dx"), i))
			}
		}, func() {}
	}},
}

const (
	columnErrors = "rows int, dy, x *float32, ld int, mean, inverse *float32, sum, dot *float64"
	columnNorm   = "rows int, y, x *float32, ld int, mean, inverse, gamma, beta *float32"
)

// errors adds up δ and δ·x̂; of returns mean and inverse of the i-th four columns.
func (l *neon) errors(of func(i int) (mean, inverse Op)) (func(func(string) Op), func()) {
	sum, ends := l.kept16("sum", 8)
	dot, endd := l.kept16("dot", 8)
	return func(at func(string) Op) {
		for i := range 4 {
			mean, inverse := of(i)
			e := l.pair(l.load(quad(at("dy"), i)))
			hat := l.pair(l.mul(l.sub(l.load(quad(at("x"), i)), mean), inverse))
			for h := range 2 {
				l.into(a64.FADDD, sum[2*i+h], sum[2*i+h], e[h])
				l.into(a64.FMLAD, dot[2*i+h], e[h], hat[h]) // the product is exact
			}
		}
	}, func() { ends(); endd() }
}

// norm writes y = gamma·x̂ + beta, with plus added, and max(y, 0) of it.
func (l *neon) norm(plus, relu bool) (func(func(string) Op), func()) {
	p := l.kept4("mean", "inverse", "gamma", "beta")
	return func(at func(string) Op) {
		for i := range 4 {
			h := l.mul(l.sub(l.load(quad(at("x"), i)), p["mean"][i]), p["inverse"][i])
			v := l.add(l.mul(h, p["gamma"][i]), p["beta"][i])
			if plus {
				v = l.add(v, l.load(quad(at("plus"), i)))
			}
			if relu {
				v = lanes{l}.relu(v)
			}
			l.store(v, quad(at("y"), i))
		}
	}, func() {}
}

// kept4 keeps 16 float32 each.
func (l *neon) kept4(names ...string) map[string][]*value {
	out := map[string][]*value{}
	for _, n := range names {
		out[n], _ = l.kept16(n, 4)
	}
	return out
}

func sumOf(l *neon) (func(func(string) Op), func()) {
	acc, end := l.kept16("s", 8)
	return func(at func(string) Op) {
		for i := range 4 {
			for h, v := range l.pair(l.load(quad(at("a"), i))) {
				l.into(a64.FADDD, acc[2*i+h], acc[2*i+h], v)
			}
		}
	}, end
}

// squares adds (a − mean)² to acc.
func (l *neon) squares(a Op, mean func(i int) Op, acc []*value) {
	for i := range 4 {
		for h, v := range l.pair(l.load(quad(a, i))) {
			d := l.three(a64.FSUBD, v, mean(2*i+h))
			l.into(a64.FADDD, acc[2*i+h], acc[2*i+h], l.three(a64.FMULD, d, d))
		}
	}
}

// transposeNEON writes transpose16: dst[j·ldd + i] = src[i·lds + j] of a 16×16 block,
// strides in bytes, in blocks of 4×4.
func transposeNEON(f *a64.File) {
	f.Text("transpose16", "dst *float32, ldd int, src *float32, lds int")
	for i, p := range []string{"dst", "ldd", "src", "lds"} {
		f.Put("MOVD %s, R%d", f.Arg(p), i)
	}
	f.Put("MOVD $4, R4")
	f.Label("rows")
	f.Put("ADD R3, R2, R5")
	f.Put("ADD R3, R5, R6")
	f.Put("ADD R3, R6, R7")
	f.Put("MOVD R0, R8")
	for block := range 4 {
		for i, r := range []string{"R2", "R5", "R6", "R7"} {
			f.Put("%s", a64.LoadQuad(r, 16*block, i))
		}
		for i := range 2 {
			f.Put("%s", a64.TRN1.Three(4+2*i, 2*i, 2*i+1))
			f.Put("%s", a64.TRN2.Three(5+2*i, 2*i, 2*i+1))
		}
		for i := range 2 {
			f.Put("%s", a64.TRN1D.Three(i, 4+i, 6+i))
			f.Put("%s", a64.TRN2D.Three(2+i, 4+i, 6+i))
		}
		for i := range 4 {
			f.Put("FMOVQ F%d, (R8)", i)
			f.Put("ADD R1, R8")
		}
	}
	f.Put("ADD $16, R0")
	f.Put("ADD R3, R7, R2")
	f.Put("SUBS $1, R4")
	f.Put("BNE rows")
	f.Put("RET")
}

// writeNEON writes base.s with all loops and base.go with what Go calls them.
func writeNEON(base string) error {
	var f a64.File
	for _, k := range makeLoops() {
		k.neon(&f)
	}
	for _, k := range folds {
		k.neon(&f)
	}
	transposeNEON(&f)
	if err := f.Write(base+".s", "asm/vector"); err != nil {
		return err
	}
	var b strings.Builder
	for _, k := range signatures {
		fmt.Fprintf(&b, "//go:noescape\nfunc %sLoop(%s)\n\n", k[0], k[1])
	}
	fmt.Fprintf(&b, "//go:noescape\nfunc transpose16(dst *float32, ldd int, src *float32, lds int)\n")
	return writeFile(base+".go", "arm64 && !purego", b.String())
}
