package nn

import (
	"cmp"
	"math"
	"slices"

	"tacit/nn/internal/kernel"
)

// cox is the negative log partial likelihood of survival times (Cox 1972, 1975,
// https://doi.org/10.1093/biomet/62.2.269) with Breslow's treatment of ties. The
// network's one output z is the log of the relative risk; example i was under
// observation until t_i, where it had the event (e_i = 1) or was censored (e_i = 0).
// With E = Σ_i e_i events and the risk sets R_i = Σ_{j: t_j ≥ t_i} e^z_j,
//
//	L = (1/E) Σ_{i: e_i = 1} (ln R_i − z_i)
//	δ_k = (1/E)·(Σ_{i: e_i = 1, t_i ≤ t_k} e^z_k/R_i − e_k)
//
// A batch without events has L = 0 and δ = 0. The Metrics' LossSum is E·L and their
// Weight E. Risk sets are of the examples given: losses of batches or of branches
// add to a stratified likelihood, not to that of all of them together.
//
// Sums run in float64 over examples by falling time, R_i in units of e^m with m the
// greatest z so far: nothing overflows.
type cox struct {
	order     []int32   // (batch) examples by falling time
	most, sum []float32 // (batch), by place in order: R = e^most·sum
}

func (c *compiler) cox(n int) cox {
	return cox{order: c.takeInts(n), most: c.take(n), sum: c.take(n)}
}

// loss adds the Metrics of the examples with outputs z (n) and targets (n, 2) to m
// and writes δ to d, unless that is nil. It returns the first example whose output is
// not finite, or −1.
func (c *cox) loss(m *Metrics, d, z, targets []float32) int {
	n := len(z)
	m.Examples += int64(n)
	if bad := nonFinite(z); bad >= 0 {
		m.LossSum = math.NaN()
		return bad
	}
	order := c.order[:n]
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if o := cmp.Compare(targets[2*b], targets[2*a]); o != 0 {
			return o
		}
		return cmp.Compare(a, b)
	})
	// end returns where the examples that share the time of order[lo] end.
	end := func(lo int) int {
		hi := lo + 1
		for hi < n && targets[2*order[hi]] == targets[2*order[lo]] {
			hi++
		}
		return hi
	}
	most, sum, events := math.Inf(-1), 0.0, 0.0
	for lo := 0; lo < n; {
		hi := end(lo)
		for _, i := range order[lo:hi] {
			if v := float64(z[i]); v > most {
				sum = float64(sum*kernel.Exp64(most-v)) + 1
				most = v
			} else {
				sum += kernel.Exp64(v - most)
			}
		}
		log := kernel.Log(sum)
		for k, i := range order[lo:hi] {
			c.most[lo+k], c.sum[lo+k] = float32(most), float32(sum)
			if targets[2*i+1] == 1 {
				m.LossSum += (most - float64(z[i])) + log
				events++
			}
		}
		lo = hi
	}
	m.Weight += events
	if d == nil {
		return -1
	}
	if events == 0 {
		clear(d)
		return -1
	}
	// By rising time, Σ 1/R_i in units of e^−most; most falls.
	inverse, most := 0.0, float64(c.most[n-1])
	for hi := n; hi > 0; {
		lo := hi - 1
		for lo > 0 && targets[2*order[lo-1]] == targets[2*order[lo]] {
			lo--
		}
		now := float64(c.most[lo])
		inverse = float64(inverse * kernel.Exp64(now-most))
		most = now
		for k, i := range order[lo:hi] {
			if targets[2*i+1] == 1 {
				inverse += 1 / float64(c.sum[lo+k])
			}
		}
		for _, i := range order[lo:hi] {
			share := float64(kernel.Exp64(float64(z[i])-most) * inverse)
			d[i] = float32((share - float64(targets[2*i+1])) / events)
		}
		hi = lo
	}
	return -1
}

// evaluateCox is Evaluate under Cox: the risk sets are of all examples of b.
func (p *Program) evaluateCox(b Batch, n int) Metrics {
	var m Metrics
	if n <= p.batch {
		p.cox.loss(&m, nil, p.forward(b.X, n), b.Targets)
		return m
	}
	all := cox{order: make([]int32, n), most: make([]float32, n), sum: make([]float32, n)}
	z := make([]float32, n)
	for i := 0; i < n; i += p.batch {
		k := min(p.batch, n-i)
		copy(z[i:], p.forward(b.X[i*p.spec.Inputs:][:k*p.spec.Inputs], k))
	}
	all.loss(&m, nil, z, b.Targets)
	return m
}
