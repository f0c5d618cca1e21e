package kernel

// The rules of nn's optimizers, one pass over parameters w with gradient g: each
// operation is one float32 operation, rounded once, and what decays below float32's
// normal range becomes zero. s is the Slope's view of the gradient.

// Slope is how a rule sees a gradient: scaled, then with the decay of its weight.
type Slope struct{ Factor, Decay float32 }

func (s Slope) of(g, w float32) float32 {
	g = float32(g * s.Factor)
	if s.Decay != 0 {
		g += float32(s.Decay * w)
	}
	return g
}

// SGD: w ← w − lr·s.
func SGD(w, g []float32, lr float32, s Slope) {
	g = g[:len(w)]
	n := lanesOf(len(w))
	switch {
	case n == 0:
	case s.Decay != 0:
		sgdDecayLoop(n, &w[0], &g[0], lr, s.Factor, s.Decay)
	default:
		sgdLoop(n, &w[0], &g[0], lr, s.Factor)
	}
	for j := n; j < len(w); j++ {
		w[j] -= float32(lr * s.of(g[j], w[j]))
	}
}

// Momentum: v ← mu·v + s, w ← w − lr·v.
func Momentum(w, g, v []float32, lr, mu float32, s Slope) {
	g, v = g[:len(w)], v[:len(w)]
	n := lanesOf(len(w))
	switch {
	case n == 0:
	case s.Decay != 0:
		momentumDecayLoop(n, &w[0], &g[0], &v[0], lr, mu, s.Factor, s.Decay)
	default:
		momentumLoop(n, &w[0], &g[0], &v[0], lr, mu, s.Factor)
	}
	for j := n; j < len(w); j++ {
		t := Flush(float32(mu*v[j]) + s.of(g[j], w[j]))
		v[j] = t
		w[j] -= float32(lr * t)
	}
}

// Nesterov: v ← mu·v + s, w ← w − lr·(s + mu·v).
func Nesterov(w, g, v []float32, lr, mu float32, s Slope) {
	g, v = g[:len(w)], v[:len(w)]
	n := lanesOf(len(w))
	switch {
	case n == 0:
	case s.Decay != 0:
		nesterovDecayLoop(n, &w[0], &g[0], &v[0], lr, mu, s.Factor, s.Decay)
	default:
		nesterovLoop(n, &w[0], &g[0], &v[0], lr, mu, s.Factor)
	}
	for j := n; j < len(w); j++ {
		gi := s.of(g[j], w[j])
		t := Flush(float32(mu*v[j]) + gi)
		v[j] = t
		w[j] -= float32(lr * float32(gi+float32(mu*t)))
	}
}

// Adam: m ← b1·m + c1·s, v ← b2·v + (c2·s)·s, w ← w − step·(m/(√v/root + eps)).
func Adam(w, g, m, v []float32, b1, c1, b2, c2, step, root, eps float32, s Slope) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	n := lanesOf(len(w))
	switch {
	case n == 0:
	case s.Decay != 0:
		adamDecayLoop(n, &w[0], &g[0], &m[0], &v[0], b1, c1, b2, c2, step, root, eps, s.Factor, s.Decay)
	default:
		adamLoop(n, &w[0], &g[0], &m[0], &v[0], b1, c1, b2, c2, step, root, eps, s.Factor)
	}
	for j := n; j < len(w); j++ {
		gi := s.of(g[j], w[j])
		mj := Flush(float32(b1*m[j]) + float32(c1*gi))
		vj := Flush(float32(b2*v[j]) + float32(float32(c2*gi)*gi))
		m[j], v[j] = mj, vj
		d := float32(Sqrt(vj)/root) + eps
		w[j] -= float32(step * float32(mj/d))
	}
}

// RMSProp: v ← alpha·v + (rest·s)·s, w ← w − (lr·s)/(√v + eps).
func RMSProp(w, g, v []float32, lr, alpha, rest, eps float32, s Slope) {
	g, v = g[:len(w)], v[:len(w)]
	n := lanesOf(len(w))
	switch {
	case n == 0:
	case s.Decay != 0:
		rmspropDecayLoop(n, &w[0], &g[0], &v[0], lr, alpha, rest, eps, s.Factor, s.Decay)
	default:
		rmspropLoop(n, &w[0], &g[0], &v[0], lr, alpha, rest, eps, s.Factor)
	}
	for j := n; j < len(w); j++ {
		gi := s.of(g[j], w[j])
		v[j] = Flush(float32(alpha*v[j]) + float32(float32(rest*gi)*gi))
		w[j] -= float32(float32(lr*gi) / (Sqrt(v[j]) + eps))
	}
}

// RMSPropMomentum: v ← alpha·v + (rest·s)·s, m ← mu·m + s/(√v + eps), w ← w − lr·m.
func RMSPropMomentum(w, g, m, v []float32, lr, alpha, rest, mu, eps float32, s Slope) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	n := lanesOf(len(w))
	switch {
	case n == 0:
	case s.Decay != 0:
		rmspropMomentumDecayLoop(n, &w[0], &g[0], &m[0], &v[0], lr, alpha, rest, mu, eps, s.Factor, s.Decay)
	default:
		rmspropMomentumLoop(n, &w[0], &g[0], &m[0], &v[0], lr, alpha, rest, mu, eps, s.Factor)
	}
	for j := n; j < len(w); j++ {
		gi := s.of(g[j], w[j])
		v[j] = Flush(float32(alpha*v[j]) + float32(float32(rest*gi)*gi))
		m[j] = Flush(float32(mu*m[j]) + float32(gi/(Sqrt(v[j])+eps)))
		w[j] -= float32(lr * m[j])
	}
}

// Adagrad: v ← v + s·s, w ← w − (lr·s)/(√v + eps).
func Adagrad(w, g, v []float32, lr, eps float32, s Slope) {
	g, v = g[:len(w)], v[:len(w)]
	n := lanesOf(len(w))
	switch {
	case n == 0:
	case s.Decay != 0:
		adagradDecayLoop(n, &w[0], &g[0], &v[0], lr, eps, s.Factor, s.Decay)
	default:
		adagradLoop(n, &w[0], &g[0], &v[0], lr, eps, s.Factor)
	}
	for j := n; j < len(w); j++ {
		gi := s.of(g[j], w[j])
		v[j] = Flush(v[j] + float32(gi*gi))
		w[j] -= float32(float32(lr*gi) / (Sqrt(v[j]) + eps))
	}
}
