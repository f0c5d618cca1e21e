package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// sums is how many float64 run side by side, whatever the width: column ℓ of a block of
// 16, or elements ℓ, ℓ+16, … of a vector.
const sums = 16

// doubles is 16 float64 in registers.
type doubles []VecVirtual

// half is the float32 that one register of float64 comes from.
func (l *avx) half() VecVirtual {
	if l.wide {
		return YMM()
	}
	return XMM()
}

func (l *avx) parts() int { return 2 * sums * 4 / l.bytes() }

func (l *avx) loadDoubles(p Register) doubles {
	var d doubles
	for i := range l.parts() {
		v := l.vec()
		VMOVUPD(Mem{Base: p, Disp: i * l.bytes()}, v)
		d = append(d, v)
	}
	return d
}

func (l *avx) storeDoubles(d doubles, p Register) {
	for i, v := range d {
		VMOVUPD(v, Mem{Base: p, Disp: i * l.bytes()})
	}
}

// part returns the address of the i-th part of 16 float32 at m.
func (l *avx) part(m Mem, i int) Mem {
	m.Disp += i * l.bytes() / 2
	return m
}

// widen returns part i of 16 float32 at m as float64.
func (l *avx) widen(m Mem, i int) VecVirtual {
	v := l.vec()
	VCVTPS2PD(l.part(m, i), v)
	return v
}

// narrow returns the lower half of v.
func (l *avx) narrow(v VecVirtual) Op {
	if l.wide {
		return v.AsY()
	}
	return v.AsX()
}

// signatures are the loops that writeGo chooses between beside those of loops, name and
// parameters.
var signatures [][2]string

// open begins a function of either width.
func open(name, params string, wide bool) *avx {
	suffix := "AVX512"
	if !wide {
		suffix = "AVX2"
		signatures = append(signatures, [2]string{name, params})
	}
	TEXT(name+suffix, NOSPLIT, "func("+params+")")
	return &avx{wide: wide}
}

// addresses loads the pointers among the parameters.
func addresses(names []string) map[string]Register {
	out := map[string]Register{}
	for _, p := range names {
		out[p] = Load(Param(p), GP64())
	}
	return out
}

// blocks writes a loop over the 16·(n/16) first elements of vectors.
func blocks(name, params string, pointers []string, wide bool, setup func(l *avx) func(at func(string) Mem), end func(l *avx)) {
	l := open(name, params, wide)
	n := Load(Param("n"), GP64())
	bases := addresses(pointers)
	body := setup(l)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	CMPQ(n, U8(sums))
	JLT(LabelRef("done"))
	body(func(p string) Mem { return Mem{Base: bases[p], Index: i, Scale: 1} })
	ADDQ(U8(4*sums), i)
	SUBQ(U8(sums), n)
	JMP(LabelRef("loop"))
	Label("done")
	end(l)
	VZEROUPPER()
	RET()
}

func reductions() {
	for _, wide := range []bool{false, true} {
		var acc doubles
		var s Register
		begin := func(l *avx) {
			s = Load(Param("s"), GP64())
			acc = l.loadDoubles(s)
		}
		end := func(l *avx) { l.storeDoubles(acc, s) }
		blocks("dot", "n int, a, b *float32, s *float64", []string{"a", "b"}, wide, func(l *avx) func(func(string) Mem) {
			begin(l)
			return func(at func(string) Mem) {
				for i, d := range acc {
					VFMADD231PD(l.widen(at("a"), i), l.widen(at("b"), i), d) // the product is exact
				}
			}
		}, end)
		blocks("sum", "n int, a *float32, s *float64", []string{"a"}, wide, func(l *avx) func(func(string) Mem) {
			begin(l)
			return func(at func(string) Mem) {
				for i, d := range acc {
					VADDPD(l.widen(at("a"), i), d, d)
				}
			}
		}, end)
		blocks("deviation", "n int, a *float32, mean float64, s *float64", []string{"a"}, wide, func(l *avx) func(func(string) Mem) {
			x, mean := XMM(), l.vec()
			Load(Param("mean"), x)
			VBROADCASTSD(x, mean)
			begin(l)
			return func(at func(string) Mem) {
				for i, d := range acc {
					v := l.widen(at("a"), i)
					VSUBPD(mean, v, v)
					VMULPD(v, v, v)
					VADDPD(v, d, d)
				}
			}
		}, end)
		// hat is part i of x̂ = (x − mean)·inverse in float32, as float64.
		hat := func(l *avx, x Mem, i int, mean, inverse VecVirtual) VecVirtual {
			h, d := l.half(), l.vec()
			VMOVUPS(l.part(x, i), h)
			VSUBPS(l.narrow(mean), h, h)
			VMULPS(l.narrow(inverse), h, h)
			VCVTPS2PD(h, d)
			return d
		}
		var dots doubles
		var dp Register
		both := func(l *avx) {
			begin(l)
			dp = Load(Param("d"), GP64())
			dots = l.loadDoubles(dp)
		}
		ends := func(l *avx) {
			end(l)
			l.storeDoubles(dots, dp)
		}
		// Σ δ·γ and Σ (δ·γ)·x̂.
		blocks("rowErrors", "n int, dy, gamma, x *float32, mean, inverse float32, s, d *float64", []string{"dy", "gamma", "x"}, wide, func(l *avx) func(func(string) Mem) {
			mean, inverse := l.spread("mean"), l.spread("inverse")
			both(l)
			return func(at func(string) Mem) {
				for i := range acc {
					e := l.widen(at("dy"), i)
					VMULPD(l.widen(at("gamma"), i), e, e) // exact
					VADDPD(e, acc[i], acc[i])
					VMULPD(hat(l, at("x"), i, mean, inverse), e, e)
					VADDPD(e, dots[i], dots[i])
				}
			}
		}, ends)
		// Each lane's greatest number, its last NaN where it has one.
		var top []Op
		blocks("most", "n int, a *float32, s *float32", []string{"a"}, wide, func(l *avx) func(func(string) Mem) {
			s = Load(Param("s"), GP64())
			top = nil
			for i := range 64 / l.bytes() {
				top = append(top, l.load(Mem{Base: s, Disp: i * l.bytes()}))
			}
			return func(at func(string) Mem) {
				for i, d := range top {
					m := at("a")
					m.Disp = i * l.bytes()
					x := l.load(m)
					VMOVUPS(l.choose(unordered, x, x, x, l.choose(greater, x, d, x, d)), d)
				}
			}
		}, func(l *avx) {
			for i, d := range top {
				l.store(d, Mem{Base: s, Disp: i * l.bytes()})
			}
		})
		var most []VecVirtual
		blocks("greatest", "n int, a *float32, s *float32", []string{"a"}, wide, func(l *avx) func(func(string) Mem) {
			l.declare(signs)
			s = Load(Param("s"), GP64())
			most = nil
			for i := range 64 / l.bytes() {
				v := l.vec()
				VMOVUPS(Mem{Base: s, Disp: i * l.bytes()}, v)
				most = append(most, v)
			}
			return func(at func(string) Mem) {
				for i, d := range most {
					m := at("a")
					m.Disp = i * l.bytes()
					VPMAXSD(lanes{l}.abs(l.load(m)), d, d) // patterns of magnitudes: a NaN is the greatest
				}
			}
		}, func(l *avx) {
			for i, d := range most {
				VMOVUPS(d, Mem{Base: s, Disp: i * l.bytes()})
			}
		})
	}
}

// columns writes loops over the rows of 16 columns, ld values apart.
func columns() {
	for _, wide := range []bool{false, true} {
		column("colSum", "rows int, a *float32, ld int, s *float64", []string{"a"}, wide, func(l *avx) (func(func(string) Mem), func()) {
			s := Load(Param("s"), GP64())
			acc := l.loadDoubles(s)
			return func(at func(string) Mem) {
				for i, d := range acc {
					VADDPD(l.widen(at("a"), i), d, d)
				}
			}, func() { l.storeDoubles(acc, s) }
		})
		column("colSquare", "rows int, a *float32, ld int, mean, s *float64", []string{"a"}, wide, func(l *avx) (func(func(string) Mem), func()) {
			s := Load(Param("s"), GP64())
			mean, acc := l.loadDoubles(Load(Param("mean"), GP64())), l.loadDoubles(s)
			return func(at func(string) Mem) {
				for i, d := range acc {
					v := l.widen(at("a"), i)
					VSUBPD(mean[i], v, v)
					VMULPD(v, v, v)
					VADDPD(v, d, d)
				}
			}, func() { l.storeDoubles(acc, s) }
		})
		// Σ δ and Σ δ·x̂, x̂ = (x − mean)·inverse in float32; mean and inverse belong to
		// columns, or to rows.
		for _, byRow := range []bool{false, true} {
			name := map[bool]string{false: "colErrors", true: "colRowErrors"}[byRow]
			column(name, "rows int, dy, x *float32, ld int, mean, inverse *float32, sum, dot *float64", []string{"dy", "x"}, wide, func(l *avx) (func(func(string) Mem), func()) {
				sp, dp := Load(Param("sum"), GP64()), Load(Param("dot"), GP64())
				sum, dot := l.loadDoubles(sp), l.loadDoubles(dp)
				mean, inverse := Load(Param("mean"), GP64()), Load(Param("inverse"), GP64())
				return func(at func(string) Mem) {
					m, v := l.half(), l.half()
					if byRow {
						VBROADCASTSS(Mem{Base: mean}, m)
						VBROADCASTSS(Mem{Base: inverse}, v)
						ADDQ(U8(4), mean)
						ADDQ(U8(4), inverse)
					}
					for i := range sum {
						e := l.widen(at("dy"), i)
						VADDPD(e, sum[i], sum[i])
						h, hat := l.half(), l.vec()
						VMOVUPS(l.part(at("x"), i), h)
						if byRow {
							VSUBPS(m, h, h)
							VMULPS(v, h, h)
						} else {
							VSUBPS(l.part(Mem{Base: mean}, i), h, h)
							VMULPS(l.part(Mem{Base: inverse}, i), h, h)
						}
						VCVTPS2PD(h, hat)
						VFMADD231PD(e, hat, dot[i]) // the product is exact
					}
				}, func() { l.storeDoubles(sum, sp); l.storeDoubles(dot, dp) }
			})
		}
		// y = gamma·x̂ + beta, and then max(y, 0), or max(y + plus, 0).
		for _, kind := range []string{"colNorm", "colNormReLU", "colNormPlusReLU"} {
			params, pointers := "rows int, y, x *float32, ld int, mean, inverse, gamma, beta *float32", []string{"y", "x"}
			if kind == "colNormPlusReLU" {
				params, pointers = "rows int, y, x, plus *float32, ld int, mean, inverse, gamma, beta *float32", append(pointers, "plus")
			}
			column(kind, params, pointers, wide, func(l *avx) (func(func(string) Mem), func()) {
				mean, inverse, gamma, beta := fixed(l, "mean"), fixed(l, "inverse"), fixed(l, "gamma"), fixed(l, "beta")
				return func(at func(string) Mem) {
					for i := range 64 / l.bytes() {
						part := func(p string) Mem {
							m := at(p)
							m.Disp = i * l.bytes()
							return m
						}
						h := l.mul(l.sub(l.load(part("x")), mean[i]), inverse[i])
						v := l.add(l.mul(h, gamma[i]), beta[i])
						if len(pointers) == 3 {
							v = l.add(v, part("plus"))
						}
						if kind != "colNorm" {
							v = lanes{l}.relu(v)
						}
						l.store(v, part("y"))
					}
				}, func() {}
			})
		}
		// dx = factor·((δ − a) − x̂·b).
		column("colBack", "rows int, dx, dy, x *float32, ld int, mean, inverse, a, b, factor *float32", []string{"dx", "dy", "x"}, wide, func(l *avx) (func(func(string) Mem), func()) {
			mean, inverse, a, b, factor := fixed(l, "mean"), fixed(l, "inverse"), fixed(l, "a"), fixed(l, "b"), fixed(l, "factor")
			return func(at func(string) Mem) {
				for i := range 64 / l.bytes() {
					x, dy, dx := at("x"), at("dy"), at("dx")
					x.Disp, dy.Disp, dx.Disp = i*l.bytes(), i*l.bytes(), i*l.bytes()
					h := l.mul(l.sub(l.load(x), mean[i]), inverse[i])
					l.store(l.mul(l.sub(l.sub(l.load(dy), a[i]), l.mul(h, b[i])), factor[i]), dx)
				}
			}, func() {}
		})
	}
}

// fixed returns the addresses of 16 float32 that do not move, in vectors.
func fixed(l *avx, name string) []Mem {
	p := Load(Param(name), GP64())
	var out []Mem
	for i := range 64 / l.bytes() {
		out = append(out, Mem{Base: p, Disp: i * l.bytes()})
	}
	return out
}

func column(name, params string, pointers []string, wide bool, setup func(l *avx) (body func(func(string) Mem), end func())) {
	l := open(name, params, wide)
	rows, ld, i := Load(Param("rows"), GP64()), Load(Param("ld"), GP64()), GP64()
	SHLQ(U8(2), ld)
	bases := addresses(pointers)
	body, end := setup(l)
	XORQ(i, i)
	TESTQ(rows, rows)
	JLE(LabelRef("done"))
	Label("loop")
	body(func(p string) Mem { return Mem{Base: bases[p], Index: i, Scale: 1} })
	ADDQ(ld, i)
	DECQ(rows)
	JNZ(LabelRef("loop"))
	Label("done")
	end()
	VZEROUPPER()
	RET()
}

// transpose writes transpose16AVX512: dst[j·ldd + i] = src[i·lds + j] of a 16×16 block,
// strides in bytes.
func transpose() {
	TEXT("transpose16AVX512", NOSPLIT, "func(dst *float32, ldd int, src *float32, lds int)")
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	src, lds := Load(Param("src"), GP64()), Load(Param("lds"), GP64())
	v := make([]VecVirtual, 16)
	for i := range v {
		v[i] = ZMM()
		VMOVUPS(Mem{Base: src}, v[i])
		ADDQ(lds, src)
	}
	pair := func(lo, hi func(a, b, d VecVirtual), step int) {
		out := make([]VecVirtual, 16)
		for i := range 16 {
			if i&step == 0 {
				out[i], out[i+step] = ZMM(), ZMM()
				lo(v[i], v[i+step], out[i])
				hi(v[i], v[i+step], out[i+step])
			}
		}
		v = out
	}
	pair(func(a, b, d VecVirtual) { VUNPCKLPS(b, a, d) }, func(a, b, d VecVirtual) { VUNPCKHPS(b, a, d) }, 1)
	pair(func(a, b, d VecVirtual) { VUNPCKLPD(b, a, d) }, func(a, b, d VecVirtual) { VUNPCKHPD(b, a, d) }, 2)
	pair(func(a, b, d VecVirtual) { VSHUFF32X4(U8(0x88), b, a, d) }, func(a, b, d VecVirtual) { VSHUFF32X4(U8(0xdd), b, a, d) }, 4)
	pair(func(a, b, d VecVirtual) { VSHUFF32X4(U8(0x88), b, a, d) }, func(a, b, d VecVirtual) { VSHUFF32X4(U8(0xdd), b, a, d) }, 8)
	// Which column each register holds.
	column := make([]int, 16)
	for i := range 16 {
		// after the two unpacks register i of a group of four holds column bits 0 and 1 swapped
		lane := (i&1)<<1 | (i&2)>>1
		column[i] = lane | (i & 4) | (i & 8)
	}
	row := GP64()
	for c := range 16 {
		for i, k := range column {
			if k == c {
				MOVQ(dst, row)
				VMOVUPS(v[i], Mem{Base: row})
				ADDQ(ldd, dst)
			}
		}
	}
	VZEROUPPER()
	RET()
}
