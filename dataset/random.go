package dataset

import "math/bits"

// Streams of random numbers that one seed gives.
const (
	batchOrder  = 1
	holdout     = 2
	validation  = 3
	bufferOrder = 4
)

// random is xoshiro256**: the published reference code, in Go.
type random struct{ s [4]uint64 }

// newRandom seeds a generator from three numbers: the run's seed, the stream and
// the position in it (the pass).
func newRandom(seed, stream, position uint64) *random {
	// SplitMix64 spreads each number before the next is mixed in, so that
	// neighbouring seeds and passes have nothing in common.
	x := splitMix(seed) ^ stream
	x = splitMix(x) ^ position
	r := new(random)
	for i := range r.s {
		x += 0x9e3779b97f4a7c15
		r.s[i] = splitMixFinish(x)
	}
	return r
}

// splitMix is one step of SplitMix64 (Steele, Lea, Flood 2014,
// https://doi.org/10.1145/2714064.2660195).
func splitMix(x uint64) uint64 { return splitMixFinish(x + 0x9e3779b97f4a7c15) }

func splitMixFinish(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *random) next() uint64 {
	s := &r.s
	out := bits.RotateLeft64(s[1]*5, 7) * 9
	t := s[1] << 17
	s[2] ^= s[0]
	s[3] ^= s[1]
	s[1] ^= s[2]
	s[0] ^= s[3]
	s[2] ^= t
	s[3] = bits.RotateLeft64(s[3], 45)
	return out
}

// below returns a uniform number in [0, n), n > 0 (Lemire 2019, with rejection,
// https://doi.org/10.1145/3230636).
func (r *random) below(n uint64) uint64 {
	hi, lo := bits.Mul64(r.next(), n)
	if lo < n {
		for threshold := -n % n; lo < threshold; {
			hi, lo = bits.Mul64(r.next(), n)
		}
	}
	return hi
}

// permute fills p with a uniform permutation of 0 … len(p)−1 (Fisher–Yates, from
// the end).
func (r *random) permute(p []int32) {
	for i := range p {
		p[i] = int32(i)
	}
	for i := len(p) - 1; i > 0; i-- {
		j := r.below(uint64(i + 1))
		p[i], p[j] = p[j], p[i]
	}
}
