package main

import . "github.com/mmcloughlin/avo/operand"

const (
	signBit   = 0x80000000
	minNormal = 0x00800000
)

var (
	one      = f(1)
	expBits  = append(f(1.44269504088896341, -0.693359375, 2.12194440e-4, 12582912, -104, 89, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1), 127)
	tanhBits = append(f(2, 0.625, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1), signBit)
	erfBits  = append(f(0.9375, 4, 8.2674618170131e-05, -8.118075202219188e-4, 5.198829807341099e-3, -2.685849741101265e-2, 1.128367930650711e-1, -3.7612631916999817e-1, 1.2837916612625122e-1,
		1.2150416296208277e-05, -3.3198739402e-4, 3.679727902635932e-3, -2.3840725421905518e-2, 1.0632801055908203e-1, 6.350963115692139e-1, 1.2866200506687164e-1), signBit)
	geluBits = f(0.707106781186547524, 0.5, -0.5, 0.398942280401432678)
	signs    = []uint32{signBit}
	normal   = []uint32{minNormal, signBit}
)

func (l lanes) abs(x Op) Op { return l.andNot(x, l.bits(signBit)) }
func (l lanes) neg(x Op) Op { return l.xor(x, l.bits(signBit)) }

// withSign returns y with the sign of x.
func (l lanes) withSign(y, x Op) Op {
	return l.or(l.abs(y), l.and(x, l.bits(signBit)))
}

// relu returns max(x, 0); a NaN stays.
func (l lanes) relu(x Op) Op {
	z := l.zero()
	return l.choose(lessOrEqual, x, z, z, x)
}

// flush is nn's: +0 where x is subnormal.
func (l lanes) flush(x Op) Op {
	return l.choose(less, l.abs(x), l.bits(minNormal), l.zero(), x)
}

// poly returns the polynomial with these coefficients in x, the highest first.
func (l lanes) poly(x Op, c ...float64) Op {
	p := l.move(l.num(c[0]))
	for _, v := range c[1:] {
		p = l.horner(p, x, l.num(v))
	}
	return p
}

// exp is kernel.Exp, operation by operation.
func (l lanes) exp(x0 Op) Op {
	x := l.max(l.min(x0, l.num(89)), l.num(-104))
	magic := l.num(12582912)
	n := l.sub(l.fma(x, l.num(1.44269504088896341), magic), magic)
	r := l.fma(n, l.num(-0.693359375), x)
	r = l.fma(n, l.num(2.12194440e-4), r)
	p := l.poly(r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	y := l.add(l.fma(p, l.mul(r, r), r), l.num(1))
	return l.choose(unordered, x0, x0, x0, l.timesPow2(y, n))
}

// twicePow2 is timesPow2 by two products, of which the first is exact.
func (l lanes) twicePow2(y, n Op) Op {
	k := l.toInt(n)
	h := l.shiftRight(k, 1)
	return l.mul(l.mul(y, l.pow2(h)), l.pow2(l.subInt(k, h)))
}

func (l lanes) pow2(n Op) Op {
	return l.shiftLeft(l.addInt(n, l.bits(127)), 23)
}

// sigmoid is kernel.Sigmoid.
func (l lanes) sigmoid(x Op) Op {
	e := l.exp(l.or(x, l.bits(signBit)))
	top := l.choose(greaterOrEqual, x, l.zero(), l.move(l.num(1)), e)
	return l.div(top, l.add(e, l.num(1)))
}

// tanh is kernel.Tanh.
func (l lanes) tanh(x Op) Op {
	a := l.abs(x)
	z := l.mul(a, a)
	p := l.poly(z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
	low := l.fma(l.mul(p, z), a, a)
	e := l.add(l.exp(l.mul(a, l.num(2))), l.num(1))
	high := l.sub(l.move(l.num(1)), l.div(l.move(l.num(2)), e))
	return l.withSign(l.choose(less, a, l.num(0.625), low, high), x)
}

// erf is kernel.Erf.
func (l lanes) erf(x Op) Op {
	a := l.abs(x)
	q := l.poly(a, 1.2150416296208277e-05, -3.3198739402e-4, 3.679727902635932e-3, -2.3840725421905518e-2, 1.0632801055908203e-1, 6.350963115692139e-1, 1.2866200506687164e-1)
	one := l.move(l.num(1))
	mid := l.sub(one, l.exp(l.neg(l.fma(q, a, a))))
	y := l.choose(less, a, l.num(4), mid, one)
	p := l.poly(l.mul(a, a), 8.2674618170131e-05, -8.118075202219188e-4, 5.198829807341099e-3, -2.685849741101265e-2, 1.128367930650711e-1, -3.7612631916999817e-1, 1.2837916612625122e-1)
	y = l.choose(less, a, l.num(0.9375), l.fma(p, a, a), y)
	return l.choose(unordered, x, x, x, l.withSign(y, x))
}

// normalCDF is nn's.
func (l lanes) normalCDF(x Op) Op {
	return l.mul(l.add(l.erf(l.mul(x, l.num(0.707106781186547524))), l.num(1)), l.num(0.5))
}

// slope returns g·factor, and with decay + decay·w.
func slope(l lanes, p map[string]Op, g, w Op, decay bool) Op {
	s := l.mul(g, p["factor"])
	if decay {
		s = l.add(s, l.mul(w, p["decay"]))
	}
	return s
}

// rule makes an optimizer's loop, with and without decay.
func rule(name string, pointers, scalars []string, consts [][]uint32, body func(l lanes, at func(string) Op, p map[string]Op, s, w Op) Op) []loop {
	var out []loop
	for _, decay := range []bool{false, true} {
		all := append(append([]string{}, scalars...), "factor")
		full := name
		if decay {
			full, all = name+"Decay", append(all, "decay")
		}
		out = append(out, loop{full, append([]string{"w", "g1"}, pointers...), all, consts, func(l lanes, at func(string) Op, p map[string]Op) {
			w := l.load(at("w"))
			l.store(body(l, at, p, slope(l, p, l.load(at("g1")), w, decay), w), at("w"))
		}})
	}
	return out
}

func makeLoops() []loop {
	out := []loop{
		{"relu", []string{"y", "x"}, nil, nil, func(l lanes, at func(string) Op, _ map[string]Op) {
			l.store(l.relu(l.load(at("x"))), at("y"))
		}},
		{"reluBack", []string{"dx", "dy", "y"}, nil, nil, func(l lanes, at func(string) Op, _ map[string]Op) {
			z := l.zero()
			l.store(l.choose(greater, l.load(at("y")), z, l.load(at("dy")), z), at("dx"))
		}},
		{"add", []string{"y", "a", "b"}, nil, nil, func(l lanes, at func(string) Op, _ map[string]Op) {
			l.store(l.add(l.load(at("a")), l.load(at("b"))), at("y"))
		}},
		{"scale", []string{"y", "x"}, []string{"f"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			l.store(l.mul(l.load(at("x")), p["f"]), at("y"))
		}},
		{"maxTap", []string{"best", "taken", "x"}, []string{"tap"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			x, best, taken := l.load(at("x")), l.load(at("best")), l.load(at("taken"))
			taken = l.choose(unordered, x, x, p["tap"], l.choose(greater, x, best, p["tap"], taken))
			l.store(l.choose(unordered, x, x, x, l.choose(greater, x, best, x, best)), at("best"))
			l.store(taken, at("taken"))
		}},
		{"spreadTap", []string{"dx", "dy", "taken"}, []string{"tap"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			e := l.choose(equal, l.load(at("taken")), p["tap"], l.load(at("dy")), l.zero())
			l.store(l.add(l.load(at("dx")), e), at("dx"))
		}},
		{"rowNorm", []string{"y", "x", "gamma", "beta"}, []string{"mean", "inverse"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			h := l.mul(l.sub(l.load(at("x")), p["mean"]), p["inverse"])
			l.store(l.add(l.mul(h, l.load(at("gamma"))), l.load(at("beta"))), at("y"))
		}},
		{"rowBack", []string{"dx", "dy", "x", "gamma"}, []string{"mean", "inverse", "a", "b"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			h := l.mul(l.sub(l.load(at("x")), p["mean"]), p["inverse"])
			d := l.sub(l.sub(l.mul(l.load(at("dy")), l.load(at("gamma"))), p["a"]), l.mul(h, p["b"]))
			l.store(l.mul(d, p["inverse"]), at("dx"))
		}},
		{"exp", []string{"y", "x"}, []string{"m"}, [][]uint32{expBits}, func(l lanes, at func(string) Op, p map[string]Op) {
			l.store(l.exp(l.sub(l.load(at("x")), p["m"])), at("y"))
		}},
		{"div", []string{"y", "x"}, []string{"d"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			l.store(l.div(l.load(at("x")), p["d"]), at("y"))
		}},
		{"softmaxBack", []string{"dx", "dy", "y"}, []string{"dot", "f"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			l.store(l.mul(l.mul(l.load(at("y")), l.sub(l.load(at("dy")), p["dot"])), p["f"]), at("dx"))
		}},
		{"sigmoid", []string{"y", "x"}, nil, [][]uint32{expBits, signs}, func(l lanes, at func(string) Op, _ map[string]Op) {
			l.store(l.sigmoid(l.load(at("x"))), at("y"))
		}},
		{"tanh", []string{"y", "x"}, nil, [][]uint32{expBits, tanhBits}, func(l lanes, at func(string) Op, _ map[string]Op) {
			l.store(l.tanh(l.load(at("x"))), at("y"))
		}},
		{"tanhBack", []string{"dx", "dy", "y"}, nil, [][]uint32{one}, func(l lanes, at func(string) Op, _ map[string]Op) {
			y := l.load(at("y"))
			l.store(l.mul(l.load(at("dy")), l.fnma(y, y, l.num(1))), at("dx"))
		}},
		{"leaky", []string{"y", "x"}, []string{"slope"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			x := l.load(at("x"))
			l.store(l.choose(greater, x, l.zero(), x, l.mul(x, p["slope"])), at("y"))
		}},
		{"leakyBack", []string{"dx", "dy", "x"}, []string{"slope"}, nil, func(l lanes, at func(string) Op, p map[string]Op) {
			d := l.load(at("dy"))
			l.store(l.choose(greater, l.load(at("x")), l.zero(), d, l.mul(d, p["slope"])), at("dx"))
		}},
		{"silu", []string{"y", "x"}, nil, [][]uint32{expBits, signs}, func(l lanes, at func(string) Op, _ map[string]Op) {
			x := l.load(at("x"))
			l.store(l.mul(x, l.sigmoid(x)), at("y"))
		}},
		{"siluBack", []string{"dx", "dy", "x"}, nil, [][]uint32{expBits, signs}, func(l lanes, at func(string) Op, _ map[string]Op) {
			x := l.load(at("x"))
			s, one := l.sigmoid(x), l.move(l.num(1))
			l.store(l.mul(l.load(at("dy")), l.mul(s, l.fma(x, l.sub(one, s), one))), at("dx"))
		}},
		{"gelu", []string{"y", "phi", "x"}, nil, [][]uint32{expBits, erfBits, geluBits}, func(l lanes, at func(string) Op, _ map[string]Op) {
			x := l.load(at("x"))
			phi := l.normalCDF(x)
			l.store(phi, at("phi"))
			l.store(l.mul(x, phi), at("y"))
		}},
		{"geluBack", []string{"dx", "dy", "phi", "x"}, nil, [][]uint32{expBits, geluBits}, func(l lanes, at func(string) Op, _ map[string]Op) {
			x := l.load(at("x"))
			d := l.mul(l.exp(l.mul(l.mul(x, x), l.num(-0.5))), l.num(0.398942280401432678))
			l.store(l.mul(l.load(at("dy")), l.fma(x, d, l.load(at("phi")))), at("dx"))
		}},
		{"lstm", []string{"h", "i1", "f1", "g1", "o1", "c", "tc", "was"}, nil, [][]uint32{expBits, tanhBits}, func(l lanes, at func(string) Op, _ map[string]Op) {
			gt := l.tanh(l.load(at("g1")))
			l.store(gt, at("g1"))
			i := l.sigmoid(l.load(at("i1")))
			l.store(i, at("i1"))
			ig := l.mul(i, gt)
			fg := l.sigmoid(l.load(at("f1")))
			l.store(fg, at("f1"))
			l.store(l.fma(fg, l.load(at("was")), ig), at("c"))
			tc := l.tanh(l.load(at("c")))
			l.store(tc, at("tc"))
			o := l.sigmoid(l.load(at("o1")))
			l.store(o, at("o1"))
			l.store(l.mul(o, tc), at("h"))
		}},
		{"lstmBack", []string{"i1", "f1", "g1", "o1", "tc", "was", "dh", "carry"}, nil, [][]uint32{one}, func(l lanes, at func(string) Op, _ map[string]Op) {
			d, o, tc := l.load(at("dh")), l.load(at("o1")), l.load(at("tc"))
			one := l.move(l.num(1))
			dc := l.fma(l.mul(d, o), l.fnma(tc, tc, one), l.load(at("carry")))
			l.store(l.mul(l.mul(d, tc), l.mul(o, l.sub(one, o))), at("o1"))
			i, gt, fg := l.load(at("i1")), l.load(at("g1")), l.load(at("f1"))
			l.store(l.mul(l.mul(dc, gt), l.mul(i, l.sub(one, i))), at("i1"))
			l.store(l.mul(l.mul(dc, l.load(at("was"))), l.mul(fg, l.sub(one, fg))), at("f1"))
			l.store(l.mul(l.mul(dc, i), l.fnma(gt, gt, one)), at("g1"))
			l.store(l.mul(dc, fg), at("carry"))
		}},
		{"gru", []string{"h", "r", "z", "nn", "q", "prev"}, nil, [][]uint32{expBits, tanhBits}, func(l lanes, at func(string) Op, _ map[string]Op) {
			r := l.sigmoid(l.load(at("r")))
			l.store(r, at("r"))
			c := l.tanh(l.fma(r, l.load(at("q")), l.load(at("nn"))))
			l.store(c, at("nn"))
			z := l.sigmoid(l.load(at("z")))
			l.store(z, at("z"))
			l.store(l.fma(z, l.sub(l.load(at("prev")), c), c), at("h"))
		}},
		{"gruBack", []string{"r", "z", "nn", "q", "prev", "dh", "carry"}, nil, [][]uint32{one}, func(l lanes, at func(string) Op, _ map[string]Op) {
			r, z, c, q := l.load(at("r")), l.load(at("z")), l.load(at("nn")), l.load(at("q"))
			one := l.move(l.num(1))
			d := l.add(l.load(at("dh")), l.load(at("carry")))
			dn := l.mul(l.mul(d, l.sub(one, z)), l.fnma(c, c, one))
			l.store(l.mul(l.mul(dn, q), l.mul(r, l.sub(one, r))), at("r"))
			l.store(l.mul(l.mul(d, l.sub(l.load(at("prev")), c)), l.mul(z, l.sub(one, z))), at("z"))
			l.store(dn, at("nn"))
			l.store(l.mul(dn, r), at("q"))
			l.store(l.mul(d, z), at("carry"))
		}},
	}
	out = append(out, rule("sgd", nil, []string{"lr"}, nil, func(l lanes, at func(string) Op, p map[string]Op, s, w Op) Op {
		return l.sub(w, l.mul(s, p["lr"]))
	})...)
	for _, nesterov := range []bool{false, true} {
		name := "momentum"
		if nesterov {
			name = "nesterov"
		}
		out = append(out, rule(name, []string{"v"}, []string{"lr", "mu"}, [][]uint32{normal}, func(l lanes, at func(string) Op, p map[string]Op, s, w Op) Op {
			t := l.flush(l.add(l.mul(l.load(at("v")), p["mu"]), s))
			l.store(t, at("v"))
			if nesterov {
				t = l.add(s, l.mul(t, p["mu"]))
			}
			return l.sub(w, l.mul(t, p["lr"]))
		})...)
	}
	out = append(out, rule("adam", []string{"m", "v"}, []string{"b1", "c1", "b2", "c2", "step", "root", "eps"}, [][]uint32{normal}, func(l lanes, at func(string) Op, p map[string]Op, s, w Op) Op {
		m := l.flush(l.add(l.mul(l.load(at("m")), p["b1"]), l.mul(s, p["c1"])))
		v := l.flush(l.add(l.mul(l.load(at("v")), p["b2"]), l.mul(l.mul(s, p["c2"]), s)))
		l.store(m, at("m"))
		l.store(v, at("v"))
		d := l.add(l.div(l.sqrt(v), p["root"]), p["eps"])
		return l.sub(w, l.mul(l.div(m, d), p["step"]))
	})...)
	// last returns (√v + ε).
	last := func(l lanes, p map[string]Op, v Op) Op { return l.add(l.sqrt(v), p["eps"]) }
	square := func(l lanes, at func(string) Op, p map[string]Op, s Op) Op {
		v := l.flush(l.add(l.mul(l.load(at("v")), p["alpha"]), l.mul(l.mul(s, p["rest"]), s)))
		l.store(v, at("v"))
		return v
	}
	out = append(out, rule("rmsprop", []string{"v"}, []string{"lr", "alpha", "rest", "eps"}, [][]uint32{normal}, func(l lanes, at func(string) Op, p map[string]Op, s, w Op) Op {
		v := square(l, at, p, s)
		return l.sub(w, l.div(l.mul(s, p["lr"]), last(l, p, v)))
	})...)
	out = append(out, rule("rmspropMomentum", []string{"m", "v"}, []string{"lr", "alpha", "rest", "mu", "eps"}, [][]uint32{normal}, func(l lanes, at func(string) Op, p map[string]Op, s, w Op) Op {
		v := square(l, at, p, s)
		m := l.flush(l.add(l.mul(l.load(at("m")), p["mu"]), l.div(s, last(l, p, v))))
		l.store(m, at("m"))
		return l.sub(w, l.mul(m, p["lr"]))
	})...)
	return append(out, rule("adagrad", []string{"v"}, []string{"lr", "eps"}, [][]uint32{normal}, func(l lanes, at func(string) Op, p map[string]Op, s, w Op) Op {
		v := l.flush(l.add(l.load(at("v")), l.mul(s, s)))
		l.store(v, at("v"))
		return l.sub(w, l.div(l.mul(s, p["lr"]), last(l, p, v)))
	})...)
}
