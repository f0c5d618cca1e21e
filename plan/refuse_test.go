package plan

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// refusals are bad inputs of the kinds, families and trainings, one mistake each,
// with the whole text of what is said about it. They stand in testdata so that a
// person can read them in one go.
type refusal struct{ name, src, old, new string }

func refusals() []refusal {
	table := strings.Replace(minimal, "    - {name: ill", `    - {name: seen, type: timestamp, min: 2000-01-01, max: 2020-01-01, parts: [month]}
    - {name: note, type: text, buckets: 2}
    - {name: ill`, 1)
	layers := strings.Replace(imagesPlan, "{family: logreg}", `
  family: layers
  layers:
    - {kind: conv2d, units: 4, kernel: 3}
    - relu
    - kind: residual
      body:
        - {kind: conv2d, units: 4, kernel: 3, padding: 1}
    - flatten
    - {kind: dense, units: 3}`, 1)
	const training = "\ntraining: "
	return []refusal{
		// Kinds and their sections.
		{"unknown kind", imagesPlan, "kind: images", "kind: image"},
		{"section of another kind", minimal, "  columns:", "  image: {height: 3}\n  columns:"},
		{"columns of images", imagesPlan, "kind: images", "kind: images\n  columns: [{name: a, type: numeric, max: 1}]"},
		{"header of text", textPlan, "kind: text", "kind: text\n  header: true"},
		{"no size", imagesPlan, "  image: {height: 8, width: 12, channels: 3}\n", ""},
		{"no width", imagesPlan, "width: 12, ", ""},
		{"too many pixels", imagesPlan, "height: 8, width: 12", "height: 9000, width: 9000"},
		{"no classes", imagesPlan, "  classes: [cat, dog, bird]\n", ""},
		{"one class", imagesPlan, "[cat, dog, bird]", "[cat]"},
		{"class twice", imagesPlan, "[cat, dog, bird]", "[cat, dog, cat]"},
		{"number of images", imagesPlan, "  classes", "  target: {type: number}\n  classes"},
		{"no alphabet", textPlan, `alphabet: "\n abc", `, ""},
		{"one character", textPlan, `"\n abc"`, "a"},
		{"character twice", textPlan, `"\n abc"`, `"abca"`},
		{"no character", textPlan, `"\n abc"`, `"ab\uFFFD"`},
		{"no length", textPlan, ", length: 6", ""},
		{"stride 0", textPlan, "length: 6", "length: 6, stride: 0"},
		{"unknown what", textPlan, "length: 6", "length: 6, unknown: ignore"},
		{"target of text", textPlan, "  text:", "  target: {column: x}\n  text:"},
		{"text standardised", textPlan, "  text:", "  standardise: federated\n  text:"},
		{"next character of a table", minimal, "type: binary", "type: next"},
		{"second timestamp", seriesPlan, "    - {name: load", "    - {name: other, type: timestamp, min: 2016-07-01, max: 2018-07-01}\n    - {name: load"},
		{"category in a series", seriesPlan, "type: numeric, min: 0, max: 10", "type: categorical, values: [a, b]"},
		{"class of a series", seriesPlan, "{column: oil}", "{column: oil, type: survival, event: load}"},
		{"no rows of a window", seriesPlan, "{length: 4}", "{horizon: 1}"},
		{"horizon 0", seriesPlan, "{length: 4}", "{length: 4, horizon: 0}"},
		{"window too long", seriesPlan, "{length: 4}", "{length: 70000}"},
		{"source with space", minimal, "  columns:", "  source: ' ward'\n  columns:"},
		// Columns.
		{"timestamp without range", table, "min: 2000-01-01, max: 2020-01-01, ", ""},
		{"timestamp in numbers", table, "min: 2000-01-01", "min: 0"},
		{"number in dates", minimal, "min: 0, max: 120", "min: 2000-01-01, max: 120"},
		{"timestamp turned round", table, "min: 2000-01-01", "min: 2021-01-01"},
		{"timestamp of a fraction", table, "min: 2000-01-01", `min: "2000-01-01 00:00:00.5"`},
		{"unknown part", table, "[month]", "[mouth]"},
		{"part twice", table, "[month]", "[month, month]"},
		{"parts of a number", minimal, "min: 0, max: 120", "min: 0, max: 120, parts: [hour]"},
		{"timestamp with values", table, "parts: [month]", "values: [a, b]"},
		{"no buckets", table, ", buckets: 2", ""},
		{"text with a range", table, "buckets: 2", "buckets: 2, max: 3"},
		{"buckets of a number", minimal, "min: 0, max: 120", "min: 0, max: 120, buckets: 3"},
		{"unknown type", minimal, "type: numeric", "type: timestmap"},
		{"too many buckets in all", table, "type: text, buckets: 2", "type: text, buckets: 65536"},
		// Survival.
		{"no event", survivalPlan, ", event: outcome, event_values: [relapse, dead]", ""},
		{"unknown event", survivalPlan, "event: outcome", "event: outcomes"},
		{"event is the time", survivalPlan, "event: outcome, event_values: [relapse, dead]", "event: days"},
		{"every value an event", survivalPlan, "[relapse, dead]}\n", "[relapse, dead, alive]}\n"},
		{"value that is none", survivalPlan, "[relapse, dead]}\n", "[relapsed]}\n"},
		{"event of a number", survivalPlan, "event: outcome, event_values: [relapse, dead]", "event: age"},
		{"event without survival", minimal, "type: binary", "type: binary, event: age"},
		{"event values without survival", minimal, "type: binary", "type: binary, event_values: [yes]"},
		{"category as time", survivalPlan, "{name: days, type: numeric, min: 0, max: 5000}", "{name: days, type: categorical, values: [few, many]}"},
		// Families.
		{"cnn of a table", minimal, "{family: logreg}", "{family: cnn}"},
		{"logreg of text", textPlan, "{family: lstm}", "{family: logreg}"},
		{"lstm of images", imagesPlan, "{family: logreg}", "{family: lstm}"},
		{"logreg of survival", survivalPlan, "{family: linear}", "{family: logreg}"},
		{"units of logreg", minimal, "{family: logreg}", "{family: logreg, units: 3}"},
		{"channels of an lstm", textPlan, "{family: lstm}", "{family: lstm, channels: [3]}"},
		{"embedding of a series", seriesPlan, "{family: linear}", "{family: gru, embedding: 3}"},
		{"depth 0", textPlan, "{family: lstm}", "{family: lstm, depth: 0}"},
		{"channel 0", imagesPlan, "{family: logreg}", "{family: cnn, channels: [8, 0]}"},
		{"no channels", imagesPlan, "{family: logreg}", "{family: resnet, channels: []}"},
		{"image too small", imagesPlan, "{family: logreg}", "{family: cnn, channels: [2, 2, 2, 2]}"},
		{"heads", textPlan, "{family: lstm}", "{family: transformer, heads: 3}"},
		{"norm", imagesPlan, "{family: logreg}", "{family: resnet, norm: layer}"},
		{"activation of an lstm", textPlan, "{family: lstm}", "{family: lstm, activation: gelu}"},
		{"unknown activation", imagesPlan, "{family: logreg}", "{family: cnn, activation: rely}"},
		{"dropout", imagesPlan, "{family: logreg}", "{family: cnn, dropout: 1}"},
		{"dropout of logreg", imagesPlan, "{family: logreg}", "{family: logreg, dropout: 0.1}"},
		// Losses.
		{"loss of another target", seriesPlan, "{family: linear}", "{family: linear, loss: cox}"},
		{"loss of a class", imagesPlan, "{family: logreg}", "{family: logreg, loss: mae}"},
		{"unknown loss", seriesPlan, "{family: linear}", "{family: linear, loss: hubert}"},
		{"weights too few", imagesPlan, "{family: logreg}", "{family: logreg, class_weights: [1, 2]}"},
		{"weight 0", minimal, "{family: logreg}", "{family: logreg, class_weights: [0, 2]}"},
		{"weight of no number", minimal, "{family: logreg}", "{family: logreg, class_weights: [a, 2]}"},
		{"weights of a number", seriesPlan, "{family: linear}", "{family: linear, class_weights: [1, 2]}"},
		{"smoothing all", minimal, "{family: logreg}", "{family: logreg, label_smoothing: 1}"},
		{"delta without huber", seriesPlan, "{family: linear}", "{family: linear, huber_delta: 2}"},
		{"delta 0", seriesPlan, "{family: linear}", "{family: linear, loss: huber, huber_delta: 0}"},
		// Layers.
		{"no layers", imagesPlan, "{family: logreg}", "{family: layers}"},
		{"layers of a preset", imagesPlan, "{family: logreg}", "{family: logreg, layers: [relu]}"},
		{"layers that are no list", imagesPlan, "{family: logreg}", "{family: layers, layers: relu}"},
		{"unknown layer", layers, "- relu", "- relo"},
		{"unknown layer far from any", layers, "- relu", "- zzzzzzzzzz"},
		{"unknown kind of a mapping", layers, "kind: conv2d, units: 4, kernel: 3}", "kind: conv2, units: 4, kernl: 3}"},
		{"unknown option", layers, "kernel: 3}", "kernl: 3}"},
		{"option of another layer", layers, "{kind: dense, units: 3}", "{kind: dense, units: 3, heads: 2}"},
		{"option twice", layers, "{kind: dense, units: 3}", "{kind: dense, units: 3, units: 3}"},
		{"no kind", layers, "{kind: dense, units: 3}", "{units: 3}"},
		{"number as layer", layers, "- relu", "- [relu]"},
		{"units of text", layers, "{kind: dense, units: 3}", "{kind: dense, units: many}"},
		{"three sizes", layers, "kernel: 3}", "kernel: [3, 3, 3]}"},
		{"half a size", layers, "kernel: 3}", "kernel: [3, 1.5]}"},
		{"size of text", layers, "kernel: 3}", "kernel: big}"},
		{"no units", layers, "{kind: dense, units: 3}", "{kind: dense}"},
		{"shapes that do not fit", layers, "padding: 1", "padding: 2"},
		{"conv of a flat shape", layers, "- relu", "- flatten"},
		{"outputs", layers, "{kind: dense, units: 3}", "{kind: dense, units: 4}"},
		{"softmax before the loss", layers, "{kind: dense, units: 3}", "{kind: dense, units: 3}\n    - softmax"},
		{"embedding of pixels", layers, "- flatten", "- flatten\n    - {kind: embedding, units: 3, vocab: 9}\n    - flatten"},
		{"embedding too small", textPlan, "{family: lstm}", "{family: layers, layers: [{kind: embedding, vocab: 4, units: 2}, {kind: dense, units: 5}]}"},
		{"too deep", imagesPlan, "{family: logreg}", "{family: layers, layers: " + nested(9) + "}"},
		{"too many", imagesPlan, "{family: logreg}", "{family: layers, layers: [" + strings.Repeat("relu, ", 1024) + "relu]}"},
		// Training.
		{"unknown optimizer", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adamm}"},
		{"momentum of adamw", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adamw, momentum: 0.9, weight_decay: 0.1}"},
		{"momentum of adagrad", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adagrad, momentum: 0.9}"},
		{"adamw without decay", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adamw}"},
		{"nesterov without momentum", minimal, "name: minimal", "name: minimal" + training + "{nesterov: true}"},
		{"nesterov of adam", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adam, nesterov: true}"},
		{"beta1 of sgd", minimal, "name: minimal", "name: minimal" + training + "{beta1: 0.5}"},
		{"beta2 of 1", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adam, beta2: 1}"},
		{"epsilon 0", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adam, epsilon: 0}"},
		{"alpha of adam", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adam, alpha: 0.5}"},
		{"negative decay", minimal, "name: minimal", "name: minimal" + training + "{weight_decay: -0.1}"},
		{"negative clip", minimal, "name: minimal", "name: minimal" + training + "{clip_norm: -1}"},
		{"unknown schedule", minimal, "name: minimal", "name: minimal" + training + "{schedule: {kind: cosin}}"},
		{"schedule as text", minimal, "name: minimal", "name: minimal" + training + "{schedule: cosine}"},
		{"step of nothing", minimal, "name: minimal", "name: minimal" + training + "{schedule: {kind: step}}"},
		{"gamma above 1", minimal, "name: minimal", "name: minimal" + training + "{schedule: {kind: step, every: 3, gamma: 2}}"},
		{"every of cosine", minimal, "name: minimal", "name: minimal" + training + "{schedule: {kind: cosine, every: 3}}"},
		{"total of constant", minimal, "name: minimal", "name: minimal" + training + "{schedule: {total: 3}}"},
		{"total 0", minimal, "name: minimal", "name: minimal" + training + "{schedule: {kind: cosine, total: 0}}"},
		{"min above the rate", minimal, "name: minimal", "name: minimal" + training + "{schedule: {kind: cosine, min: 1}}"},
		{"warmup to the end", minimal, "name: minimal", "name: minimal" + training + "{schedule: {kind: cosine, warmup: 1000}}"},
		{"negative warmup", minimal, "name: minimal", "name: minimal" + training + "{schedule: {warmup: -1}}"},
		{"patience without rows", minimal, "name: minimal", "name: minimal" + training + "{epochs: 3, patience: 1}"},
		{"patience without epochs", minimal, "name: minimal", "name: minimal" + training + "{validation: 0.1, patience: 1}"},
		{"validation of all", minimal, "name: minimal", "name: minimal" + training + "{validation: 1}"},
		{"decay beyond the weights", minimal, "name: minimal", "name: minimal" + training + "{optimizer: adamw, learning_rate: 2, weight_decay: 0.9}"},
		{"rule of a series", seriesPlan, "{column: oil}", `{column: oil, positive: "> 3"}`},
	}
}

func nested(depth int) string {
	return strings.Repeat("[{kind: residual, body: ", depth) + "[relu]" + strings.Repeat("}]", depth)
}

// Every refusal, word by word: what, where, what to do.
func TestRefusals(t *testing.T) {
	const name = "testdata/refusals.txt"
	var b strings.Builder
	count := 0
	for _, c := range refusals() {
		p, err := Parse([]byte(edit(t, c.src, c.old, c.new)), "plan.yaml")
		var all *Error
		if !errors.As(err, &all) || p != nil {
			t.Errorf("%s: got %v", c.name, err)
			continue
		}
		if len(all.Problems) != 1 {
			t.Errorf("%s: %d problems for one mistake:\n%v", c.name, len(all.Problems), err)
		}
		text := err.Error()
		if strings.Contains(text, "nn:") {
			t.Errorf("%s: a package's name in\n%s", c.name, text)
		}
		fmt.Fprintf(&b, "# %s\n%s\n\n", c.name, text)
		count++
	}
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		g, w := strings.Split(got, "\n\n"), strings.Split(string(want), "\n\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("got\n%s\nwant\n%s", g[i], w[i])
			}
		}
		t.Fatalf("%d refusals, %s has %d", len(g)-1, name, len(w)-1)
	}
	if count < 120 {
		t.Errorf("%d refusals, want 120 or more", count)
	}
}
