package nn

import (
	"fmt"
	"math"

	"tacit/nn/internal/kernel"
)

// embeddingKind: a row of a table for each token id of an example:
//
//	y_s = w_{x_s}      ∂w_k = Σ_{s: x_s = k} δ_s
//
// It is torch.nn.Embedding; ids are whole numbers 0 … Vocab−1 stored as float32, so
// it takes what an example holds and nothing a layer computes.
var embeddingKind = kind{
	name:   Embedding,
	fields: []string{"units", "init", "local", "vocab"},
	first:  "takes token ids, which no layer gives: it must be the first layer",
	shape: func(l *Layer, in []int) ([]int, error) {
		if err := wantAxes(in, 1, "[steps] of token ids"); err != nil {
			return nil, err
		}
		if err := bounded("vocab", l.Vocab, 1, MaxUnits); err != nil {
			return nil, err
		}
		if err := bounded("units", l.Units, 1, MaxUnits); err != nil {
			return nil, err
		}
		return []int{in[0], l.Units}, nil
	},
	params: func(l *Layer, in []int) []param {
		// torch.nn.init counts a table's columns as fan_in and its rows as fan_out.
		return []param{{name: "weight", shape: []int{l.Vocab, l.Units}, kind: Weight, init: l.weightInit(l.Units, l.Vocab, initial{normal, 1})}}
	},
	build: func(c *compiler, n *node) op {
		return &embedding{
			steps: n.in[0], width: n.layer.Units, vocab: n.layer.Vocab,
			w: c.weights(n.entries[0]), at: n.entries[0].Offset,
			head: c.takeInts(c.workers * n.layer.Vocab), next: c.takeInts(c.workers * n.in[0]),
		}
	},
}

type embedding struct {
	steps, width, vocab int
	w                   []float32 // (vocab, width)
	at                  int       // offset of w in the flat vector

	// norm2's lists, of each worker, of the steps that show one id: head (vocab) has
	// 1 + the first step, next (steps) 1 + the following one, 0 ends a list. Between calls every
	// head is 0.
	head, next []int32
}

// checkInput reports an id that is no row of the table.
func (e *embedding) checkInput(x []float32, n int) error {
	for j, v := range x[:n*e.steps] {
		if !(v >= 0 && v < float32(e.vocab)) || v != float32(int32(v)) { // NaN too
			return fmt.Errorf("nn: layer 0 (%s): token id %v at position %d of example %d, want a whole number from 0 to %d", Embedding, v, j%e.steps, j/e.steps, e.vocab-1)
		}
	}
	return nil
}

// row returns the part of table, shaped like w, that belongs to an id.
func (e *embedding) row(table []float32, id float32) []float32 {
	return table[int(id)*e.width:][:e.width]
}

func (e *embedding) forward(y, x []float32, n int, _ *work) {
	for j, id := range x[:n*e.steps] {
		copy(y[j*e.width:][:e.width], e.row(e.w, id))
	}
}

func (e *embedding) backward(dx, _, _, _ []float32, _ int, _ *work) { clear(dx) }

// grad adds each step's error to its id's row, examples and their steps ascending,
// from +0.
func (e *embedding) grad(g, dy, x []float32, n int, w *work) {
	g = g[e.at:][:len(e.w)]
	lo, hi := w.share(e.vocab, 1)
	clear(g[lo*e.width : hi*e.width])
	for j, id := range x[:n*e.steps] {
		if int(id) < lo || int(id) >= hi {
			continue
		}
		row := e.row(g, id)
		for k, v := range dy[j*e.width:][:len(row)] {
			row[k] += v
		}
	}
}

// norm2 returns Σ_k ‖Σ_{s: x_s = k} δ_s‖², which is the sum of δ_r·δ_s over all pairs
// of steps with equal ids: no row of the table that the example lacks is touched. As
// in outerNorm2, where an id repeats its errors may cancel and their roundings do
// not, so the norm of its row counts 2^-22·Σ‖δ_s‖ more.
func (e *embedding) norm2(dy, x []float32, _ int, w *work) float64 {
	head, next := e.head[w.id*e.vocab:][:e.vocab], e.next[w.id*e.steps:][:e.steps]
	for s := e.steps - 1; s >= 0; s-- {
		id := int(x[s])
		next[s], head[id] = head[id], int32(s+1)
	}
	var sum float64
	for s, id := range x[:e.steps] {
		if head[int(id)] != int32(s+1) {
			continue // counted with the id's first step
		}
		head[int(id)] = 0
		if next[s] == 0 {
			sum += kernel.SumSquares(dy[s*e.width:][:e.width])
			continue
		}
		sum += e.rowNorm2(dy, next, s)
	}
	return sum
}

// rowNorm2 is the term of norm2 of the id whose first step is s.
func (e *embedding) rowNorm2(dy []float32, next []int32, s int) float64 {
	var v [64]float64
	var square, lengths float64
	for j := 0; j < e.width; j += len(v) {
		w := min(len(v), e.width-j)
		clear(v[:w])
		for r := int32(s + 1); r != 0; r = next[r-1] {
			for c, d := range dy[int(r-1)*e.width+j:][:w] {
				v[c] += float64(d)
			}
		}
		for _, d := range v[:w] {
			square += float64(d * d)
		}
	}
	terms := 0
	for r := int32(s + 1); r != 0; r = next[r-1] {
		terms++
		lengths += math.Sqrt(kernel.SumSquares(dy[int(r-1)*e.width:][:e.width]))
	}
	return withRounding(square, lengths, terms)
}

func (e *embedding) scale(int, float32) {}
