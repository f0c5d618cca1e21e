package nn

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"

	"tacit/nn/internal/kernel"
)

// initial says how one tensor begins.
type initial struct {
	rule rule
	a    float64 // bound or standard deviation
}

type rule uint8

const (
	zeros   rule = iota // nothing is drawn
	ones                // nothing is drawn
	uniform             // on [−a, a)
	normal              // mean 0, deviation a
)

// weightInit returns how a weight with these fans begins: as l.Init says, or by
// the layer's own default.
func (l *Layer) weightInit(fanIn, fanOut int, byDefault initial) initial {
	in, out := float64(fanIn), float64(fanOut)
	switch l.Init {
	case InitZeros:
		return initial{}
	case InitKaimingUniform:
		return initial{uniform, math.Sqrt(6 / in)}
	case InitKaimingNormal:
		return initial{normal, math.Sqrt(2 / in)}
	case InitXavierUniform:
		return initial{uniform, math.Sqrt(6 / (in + out))}
	case InitXavierNormal:
		return initial{normal, math.Sqrt(2 / (in + out))}
	}
	return byDefault
}

// otherInit returns how a tensor that is no weight begins: zero with InitZeros,
// else by the layer's default.
func (l *Layer) otherInit(byDefault initial) initial {
	if l.Init == InitZeros {
		return initial{}
	}
	return byDefault
}

// fanInUniform is torch.nn.Linear's and Conv2d's default: uniform in ±1/√fan_in
// (kaiming_uniform with a = √5).
func fanInUniform(fanIn int) initial { return initial{uniform, 1 / math.Sqrt(float64(fanIn))} }

// Init sets the parameters from seed and resets the optimizer. The distributions
// are torch's defaults or what Layer.Init names; the numbers are ours: ChaCha8
// (https://c2sp.org/chacha8rand) keyed by SHA-256 of "tacit nn init" and the seed,
// drawn in Layout order, one word for a uniform number and as many as Marsaglia's
// polar method takes for two normal ones.
func (p *Program) Init(seed uint64) {
	key := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("tacit nn init\x00"), seed))
	src := rand.NewChaCha8(key)
	p.graph.each(func(n *node) {
		for i, e := range n.entries {
			n.inits[i].fill(p.params[e.Offset:][:e.Len], src)
		}
	})
	p.ResetOptimizer()
}

func (v initial) fill(w []float32, src *rand.ChaCha8) {
	switch v.rule {
	case zeros:
		clear(w)
	case ones:
		for i := range w {
			w[i] = 1
		}
	case uniform:
		for i := range w {
			w[i] = float32(signed(src) * v.a)
		}
	case normal:
		for i := 0; i < len(w); i += 2 {
			a, b := normals(src)
			w[i] = float32(a * v.a)
			if i+1 < len(w) {
				w[i+1] = float32(b * v.a)
			}
		}
	}
}

// signed returns a uniform number on [−1, 1), a multiple of 2^-23.
func signed(src *rand.ChaCha8) float64 { return float64(float64(src.Uint64()>>40)*0x1p-23) - 1 }

// normals returns two independent standard normal numbers (Marsaglia and Bray
// 1964, https://doi.org/10.1137/1006063).
func normals(src *rand.ChaCha8) (a, b float64) {
	for {
		x, y := signed(src), signed(src)
		s := float64(x*x) + float64(y*y) // exact: 23 bits each
		if s > 0 && s < 1 {
			f := math.Sqrt(float64(-2*kernel.Log(s)) / s)
			return float64(x * f), float64(y * f)
		}
	}
}
