package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// special values stand between random ones in every test below.
var special = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -0x1p-130, 0x1p-126, 88.7, 89, -87.3, -103.9, -104.1, 0.625, -0.9375, 4, 3.9999998,
}

type vectors = [][]float32

func doubled(s []float32) []float64 {
	out := make([]float64, len(s))
	for i, v := range s {
		out[i] = float64(v)
	}
	return out
}

func narrowed(s []float64) []float32 {
	var out []float32
	for _, v := range s {
		u := math.Float64bits(v)
		if v != v {
			u = 0
		}
		out = append(out, math.Float32frombits(uint32(u)), math.Float32frombits(uint32(u>>32)))
	}
	return out
}

func number(v float64) []float32 { return narrowed([]float64{v}) }

// functions are all that work on vectors: they may change what they are given, and
// return what else they give.
var functions = map[string]func(v vectors) []float32{
	"relu":        func(v vectors) []float32 { ReLU(v[0], v[1]); return nil },
	"relu back":   func(v vectors) []float32 { ReLUBack(v[0], v[1], v[2]); return nil },
	"add":         func(v vectors) []float32 { Add(v[0], v[1], v[2]); return nil },
	"add itself":  func(v vectors) []float32 { Add(v[0], v[0], v[1]); return nil },
	"scale":       func(v vectors) []float32 { Scale(v[0], v[1], 0.3); return nil },
	"exp":         func(v vectors) []float32 { ExpMinus(v[0], v[1], 0.25); return nil },
	"div":         func(v vectors) []float32 { Div(v[0], v[1], 3); return nil },
	"softmaxBack": func(v vectors) []float32 { SoftmaxBack(v[0], v[1], v[2], 0.3, 0.7); return nil },
	"sigmoid":     func(v vectors) []float32 { SigmoidOf(v[0], v[1]); return nil },
	"tanh":        func(v vectors) []float32 { TanhOf(v[0], v[1]); return nil },
	"tanh back":   func(v vectors) []float32 { TanhBack(v[0], v[1], v[2]); return nil },
	"gelu":        func(v vectors) []float32 { GELU(v[0], v[1], v[2]); return nil },
	"gelu back":   func(v vectors) []float32 { GELUBack(v[0], v[1], v[2], v[3]); return nil },
	"silu":        func(v vectors) []float32 { SiLU(v[0], v[1]); return nil },
	"silu back":   func(v vectors) []float32 { SiLUBack(v[0], v[1], v[2]); return nil },
	"leaky":       func(v vectors) []float32 { LeakyReLU(v[0], v[1], 0.2); return nil },
	"leaky back":  func(v vectors) []float32 { LeakyReLUBack(v[0], v[1], v[2], 0.2); return nil },
	"lstm":        func(v vectors) []float32 { LSTM(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]); return nil },
	"lstm back":   func(v vectors) []float32 { LSTMBack(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]); return nil },
	"gru":         func(v vectors) []float32 { GRU(v[0], v[1], v[2], v[3], v[4], v[5]); return nil },
	"gru back":    func(v vectors) []float32 { GRUBack(v[0], v[1], v[2], v[3], v[4], v[5], v[6]); return nil },
	"max tap":     func(v vectors) []float32 { MaxTap(v[0], v[1], v[2], 3); return nil },
	"spread tap":  func(v vectors) []float32 { SpreadTap(v[0], v[1], v[2], 1); return nil },
	"row norm":    func(v vectors) []float32 { RowNorm(v[0], v[1], v[2], v[3], 0.3, 1.7); return nil },
	"row back":    func(v vectors) []float32 { RowBack(v[0], v[1], v[2], v[3], 0.3, 1.7, 0.1, 0.2); return nil },
	"row errors": func(v vectors) []float32 {
		s, d := RowErrors(v[0], v[1], v[2], 0.3, 1.7)
		return append(number(s), number(d)...)
	},
	"dot":       func(v vectors) []float32 { return number(Dot(v[0], v[1])) },
	"sum":       func(v vectors) []float32 { return number(Sum(v[0])) },
	"deviation": func(v vectors) []float32 { return number(Deviation(v[0], 0.3)) },
	"max": func(v vectors) []float32 {
		if len(v[0]) == 0 {
			return nil
		}
		return []float32{Max(v[0])}
	},
	"greatest": func(v vectors) []float32 { return []float32{Greatest(v[0])} },
}

func init() {
	for name, s := range map[string]Slope{"": {Factor: 0.9}, " with decay": {0.9, 0.01}} {
		functions["sgd"+name] = func(v vectors) []float32 { SGD(v[0], v[1], 0.1, s); return nil }
		functions["momentum"+name] = func(v vectors) []float32 { Momentum(v[0], v[1], v[2], 0.1, 0.9, s); return nil }
		functions["nesterov"+name] = func(v vectors) []float32 { Nesterov(v[0], v[1], v[2], 0.1, 0.9, s); return nil }
		functions["adam"+name] = func(v vectors) []float32 {
			Adam(v[0], v[1], v[2], v[3], 0.9, 0.1, 0.999, 0.001, 0.01, 0.03, 1e-8, s)
			return nil
		}
		functions["rmsprop"+name] = func(v vectors) []float32 { RMSProp(v[0], v[1], v[2], 0.1, 0.99, 0.01, 1e-8, s); return nil }
		functions["rmsprop momentum"+name] = func(v vectors) []float32 {
			RMSPropMomentum(v[0], v[1], v[2], v[3], 0.1, 0.99, 0.01, 0.9, 1e-8, s)
			return nil
		}
		functions["adagrad"+name] = func(v vectors) []float32 { Adagrad(v[0], v[1], v[2], 0.1, 1e-10, s); return nil }
	}
	// Columns: the length is theirs, and there are three rows a column apart.
	rows := func(v vectors, k int) []float32 {
		var out []float32
		for range 3 {
			out = append(append(out, v[k]...), 7)
		}
		return out
	}
	functions["columns' sums"] = func(v vectors) []float32 {
		s, n := doubled(v[0]), len(v[0])
		ColSum(s, rows(v, 1), n+1, 3)
		return narrowed(s)
	}
	functions["columns' squares"] = func(v vectors) []float32 {
		s, n := doubled(v[0]), len(v[0])
		ColSquare(s, rows(v, 1), n+1, 3, doubled(v[2]))
		return narrowed(s)
	}
	functions["columns' errors"] = func(v vectors) []float32 {
		s, d, n := doubled(v[0]), doubled(v[1]), len(v[0])
		ColErrors(s, d, rows(v, 2), rows(v, 3), n+1, 3, v[4], v[5])
		return append(narrowed(s), narrowed(d)...)
	}
	functions["columns' errors by row"] = func(v vectors) []float32 {
		s, d, n := doubled(v[0]), doubled(v[1]), len(v[0])
		ColRowErrors(s, d, rows(v, 2), rows(v, 3), n+1, 3, []float32{0.1, -3, 0.7}, []float32{2, 0.3, 1})
		return append(narrowed(s), narrowed(d)...)
	}
	functions["columns' norm, relu"] = func(v vectors) []float32 {
		y, n := rows(v, 0), len(v[0])
		ColNormReLU(y, rows(v, 1), nil, n+1, 3, v[2], v[3], v[4], v[5])
		return y
	}
	functions["columns' norm, plus, relu"] = func(v vectors) []float32 {
		y, n := rows(v, 0), len(v[0])
		ColNormReLU(y, rows(v, 1), rows(v, 6), n+1, 3, v[2], v[3], v[4], v[5])
		return y
	}
	functions["columns' norm"] = func(v vectors) []float32 {
		y, n := rows(v, 0), len(v[0])
		ColNorm(y, rows(v, 1), n+1, 3, v[2], v[3], v[4], v[5])
		return y
	}
	functions["columns' norm back"] = func(v vectors) []float32 {
		y, n := rows(v, 0), len(v[0])
		ColBack(y, rows(v, 1), rows(v, 2), n+1, 3, v[3], v[4], v[5], v[6], v[7])
		return y
	}
}

// Every function gives the bits of its loop in Go at every level, for every length and
// at any address, and writes nothing beside its vectors.
func TestVectorBits(t *testing.T) {
	const pad = 19
	r := rand.New(rand.NewPCG(61, 62))
	draw := func(n int) (all, body vectors) {
		for range 8 {
			a := make([]float32, n+2*pad)
			for i := range a {
				a[i] = guard
			}
			off := pad - r.IntN(3)
			b := a[off : off+n]
			for i := range b {
				if b[i] = float32(r.NormFloat64() * math.Exp(3*r.NormFloat64())); r.IntN(6) == 0 {
					b[i] = special[r.IntN(len(special))]
				}
			}
			all, body = append(all, a), append(body, b)
		}
		return all, body
	}
	forLevels(t, func(t *testing.T) {
		for name, f := range functions {
			for k := range 120 {
				n := k
				if k > 80 {
					n = r.IntN(400)
				}
				all, body := draw(n)
				var plain vectors
				for _, b := range body {
					plain = append(plain, append([]float32{}, b...))
				}
				got := f(body)
				var want []float32
				inGo(func() { want = f(plain) })
				if len(got) != len(want) {
					t.Fatalf("%s of %d: %d results, want %d", name, n, len(got), len(want))
				}
				for i := range got {
					if !same(got[i], want[i]) {
						t.Fatalf("%s of %d: result %d is %v (%08x), the loop in Go gives %v (%08x)", name, n, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
					}
				}
				for v := range body {
					for i := range body[v] {
						if !same(body[v][i], plain[v][i]) {
							t.Fatalf("%s of %d: vector %d element %d is %v (%08x), the loop in Go gives %v (%08x)", name, n, v, i, body[v][i], math.Float32bits(body[v][i]), plain[v][i], math.Float32bits(plain[v][i]))
						}
					}
					for i := range body[v] {
						body[v][i] = guard
					}
					for i, x := range all[v] {
						if x != guard {
							t.Fatalf("%s of %d wrote beside vector %d, at %d", name, n, v, i)
						}
					}
				}
			}
		}
	})
}

// The functions of one number have their loop's bits over the whole range of float32.
func TestVectorSweep(t *testing.T) {
	of := map[string]func(y, x []float32){"exp": func(y, x []float32) { ExpMinus(y, x, 0) }, "sigmoid": SigmoidOf, "tanh": TanhOf, "silu": SiLU,
		"gelu": func(y, x []float32) { GELU(y, make([]float32, len(x)), x) }}
	forLevels(t, func(t *testing.T) {
		x, y, want := make([]float32, 1<<12), make([]float32, 1<<12), make([]float32, 1<<12)
		for name, f := range of {
			for at := uint64(0); at < 1<<32; at += 4099 << 12 {
				for i := range x {
					x[i] = math.Float32frombits(uint32(at + uint64(i)*4099))
				}
				f(y, x)
				inGo(func() { f(want, x) })
				for i := range y {
					if !same(y[i], want[i]) {
						t.Fatalf("%s(%v) = %v, the loop in Go gives %v", name, x[i], y[i], want[i])
					}
				}
			}
		}
	})
}

func BenchmarkVector(b *testing.B) {
	v := make(vectors, 8)
	for i := range v {
		v[i] = make([]float32, 1024)
		for j := range v[i] {
			v[i][j] = float32(j%7) - 3
		}
	}
	for _, name := range []string{"relu", "add", "exp", "sigmoid", "tanh", "gelu", "gelu back", "lstm", "gru", "adam", "dot"} {
		b.Run(name, func(b *testing.B) {
			f := functions[name]
			for b.Loop() {
				f(v)
			}
			b.ReportMetric(1024*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "Gelem/s")
		})
	}
}
