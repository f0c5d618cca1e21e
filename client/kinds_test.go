package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tacit/dataset"
	"tacit/plan"
	"tacit/strategy"
)

const federated = `
federation: {min_branches: 3, max_branches: 8, rounds: 2, clip: 5, weights: examples}
`

// Every kind of data goes through the rounds of a federation: what a trainer gives
// fits the plan's segments, and a sum of it makes the next model.
func TestKindsThroughRounds(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var pixels, labels bytes.Buffer
	for _, v := range []uint32{0x803, 40, 8, 8} {
		binary.Write(&pixels, binary.BigEndian, v)
	}
	for _, v := range []uint32{0x801, 40} {
		binary.Write(&labels, binary.BigEndian, v)
	}
	for i := range 40 {
		labels.WriteByte(byte(i % 2))
		for j := range 64 {
			pixels.WriteByte(byte(i%2*100 + (i*7+j*13)%97))
		}
	}
	var series, survival strings.Builder
	series.WriteString("load,heat\n")
	survival.WriteString("age,time,died\n")
	for i := range 120 {
		fmt.Fprintf(&series, "%.3f,%.3f\n", math.Sin(float64(i)/5), math.Cos(float64(i)/5))
		fmt.Fprintf(&survival, "%d,%d,%d\n", i%60+20, 200-i%60+i%7, i%3%2)
	}
	for name, c := range map[string]struct {
		plan   string
		source dataset.Source
		labels int // per example
	}{
		"images": {`
data: {kind: images, image: {height: 8, width: 8, channels: 1}, classes: [no, yes], standardise: federated, max_examples: 100}
model: {family: cnn, channels: [4, 8], hidden: [8], dropout: 0.2}
training: {optimizer: adam, batch: 8, steps: 20, learning_rate: 0.01}
`, dataset.Source{Format: "idx", Path: write("images", pixels.Bytes()), Labels: write("labels", labels.Bytes())}, 1},
		"text": {`
data: {kind: text, text: {alphabet: "ab .", length: 6}, max_examples: 100}
model: {family: lstm, units: 8, embedding: 4}
training: {optimizer: adamw, weight_decay: 0.01, batch: 8, steps: 20, learning_rate: 0.01, schedule: {kind: cosine}}
`, dataset.Source{Format: "text", Path: write("text.txt", []byte(strings.Repeat("ab ab. ba. ", 40)))}, 6},
		"series": {`
data:
  kind: series
  header: true
  max_examples: 200
  standardise: federated
  columns: [{name: load, type: numeric, min: -1, max: 1}, {name: heat, type: numeric, min: -1, max: 1}]
  target: {column: heat, type: number}
  series: {length: 5}
model: {family: transformer, depth: 1, heads: 2, embedding: 8}
training: {optimizer: sgd, momentum: 0.9, batch: 8, steps: 20}
`, dataset.Source{Format: "csv", Path: write("series.csv", []byte(series.String()))}, 1},
		"survival": {`
data:
  header: true
  max_examples: 200
  columns: [{name: age, type: numeric, min: 0, max: 100}, {name: time, type: numeric, min: 0, max: 300}, {name: died, type: numeric, min: 0, max: 1}]
  target: {column: time, type: survival, event: died}
model: {family: linear}
training: {optimizer: adam, batch: 32, steps: 20}
`, dataset.Source{Format: "csv", Path: write("survival.csv", []byte(survival.String()))}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := plan.Parse([]byte("tacit: plan/v1\nname: kinds\n"+c.plan+federated), name)
			if err != nil {
				t.Fatal(err)
			}
			d, err := dataset.Load(p, c.source)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			rec, state, err := strategy.Initial(p)
			if err != nil {
				t.Fatal(err)
			}
			var losses []float64
			for round := p.FirstRound(); round <= p.LastRound(); round++ {
				task, _ := p.Task(round)
				one := train(t, p, d, rec, task, round)
				if task != plan.Statistics {
					rows := d.Train.Len()
					if task == plan.Evaluate {
						rows = d.Test.Len()
					}
					if one.Examples != int64(rows*c.labels) || one.Correct > one.Examples || !(one.LossSum >= 0) {
						t.Errorf("round %d: %d examples, %d correct, loss %v; want %d rows of %d labels", round, one.Examples, one.Correct, one.LossSum, rows, c.labels)
					}
				}
				words, err := quantize(p, task, &one)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				sum := make([]uint32, len(words))
				for range 3 { // three branches with the same rows
					for i, w := range words {
						sum[i] += w
					}
				}
				var m strategy.Metrics
				if rec, state, m, err = strategy.Next(p, rec, state, task, sum); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				if task == plan.Train {
					losses = append(losses, m.Loss())
				}
			}
			if len(losses) != 2 || !(losses[1] < losses[0]) {
				t.Errorf("losses of the received models: %v", losses)
			}
		})
	}
}
