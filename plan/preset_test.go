package plan

import (
	"strings"
	"testing"

	"tacit/nn"
)

// Plans of each kind, as short as they can be; %s is the model.
const (
	imagesPlan = `tacit: plan/v1
name: images
data:
  kind: images
  image: {height: 8, width: 12, channels: 3}
  classes: [cat, dog, bird]
model: {family: logreg}
`
	textPlan = `tacit: plan/v1
name: text
data:
  kind: text
  text: {alphabet: "\n abc", length: 6}
model: {family: lstm}
`
	seriesPlan = `tacit: plan/v1
name: series
data:
  kind: series
  series: {length: 4}
  columns:
    - {name: date, type: timestamp, min: 2016-07-01, max: 2018-07-01, parts: [hour]}
    - {name: load, type: numeric, min: 0, max: 10}
    - {name: oil, type: numeric, min: -10, max: 60}
  target: {column: oil}
model: {family: linear}
`
	survivalPlan = `tacit: plan/v1
name: survival
data:
  columns:
    - {name: days, type: numeric, min: 0, max: 5000}
    - {name: age, type: numeric, min: 0, max: 120}
    - {name: outcome, type: categorical, values: [alive, relapse, dead]}
  target: {column: days, type: survival, event: outcome, event_values: [relapse, dead]}
model: {family: linear}
`
)

// Every preset's network, written out. Parameters are counted by hand in the
// comments.
func TestPresets(t *testing.T) {
	for _, c := range []struct {
		name, src string
		set       []string
		want      string
		params    int
		shape     string
	}{
		{"logreg of images", imagesPlan, nil, `
- flatten
- {kind: dense, units: 3}
`, 288*3 + 3, "[8 12 3]"},
		{"mlp of images", imagesPlan, []string{"model.family=mlp", "model.hidden=[4]", "model.dropout=0.5", "model.activation=silu"}, `
- flatten
- {kind: dense, units: 4}
- silu
- {kind: dropout, rate: 0.5}
- {kind: dense, units: 3}
`, 288*4 + 4 + 4*3 + 3, "[8 12 3]"},
		{"cnn", imagesPlan, []string{"model.family=cnn"}, `
- {kind: conv2d, units: 16, kernel: 3, padding: 1}
- relu
- {kind: max_pool, kernel: 2}
- {kind: conv2d, units: 32, kernel: 3, padding: 1}
- relu
- {kind: max_pool, kernel: 2}
- flatten
- {kind: dense, units: 64}
- relu
- {kind: dense, units: 3}
`, 9*3*16 + 16 + 9*16*32 + 32 + 2*3*32*64 + 64 + 64*3 + 3, "[8 12 3]"},
		{"cnn without hidden layers", imagesPlan, []string{"model.family=cnn", "model.hidden=[]", "model.channels=[2]"}, `
- {kind: conv2d, units: 2, kernel: 3, padding: 1}
- relu
- {kind: max_pool, kernel: 2}
- flatten
- {kind: dense, units: 3}
`, 9*3*2 + 2 + 4*6*2*3 + 3, "[8 12 3]"},
		{"resnet", imagesPlan, []string{"model.family=resnet", "model.channels=[6, 8]", "model.depth=2"}, `
- {kind: conv2d, units: 6, no_bias: true, kernel: 3, padding: 1}
- {kind: group_norm, groups: 6}
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 6, no_bias: true, kernel: 3, padding: 1}
    - {kind: group_norm, groups: 6}
    - relu
    - {kind: conv2d, units: 6, no_bias: true, kernel: 3, padding: 1}
    - {kind: group_norm, groups: 6}
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 6, no_bias: true, kernel: 3, padding: 1}
    - {kind: group_norm, groups: 6}
    - relu
    - {kind: conv2d, units: 6, no_bias: true, kernel: 3, padding: 1}
    - {kind: group_norm, groups: 6}
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 8, no_bias: true, kernel: 3, stride: 2, padding: 1}
    - {kind: group_norm, groups: 8}
    - relu
    - {kind: conv2d, units: 8, no_bias: true, kernel: 3, padding: 1}
    - {kind: group_norm, groups: 8}
  shortcut:
    - {kind: conv2d, units: 8, no_bias: true, kernel: 1, stride: 2}
    - {kind: group_norm, groups: 8}
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 8, no_bias: true, kernel: 3, padding: 1}
    - {kind: group_norm, groups: 8}
    - relu
    - {kind: conv2d, units: 8, no_bias: true, kernel: 3, padding: 1}
    - {kind: group_norm, groups: 8}
- relu
- global_avg_pool
- {kind: dense, units: 3}
`, 9*(3*6+4*6*6+6*8+3*8*8) + 6*8 + 2*(6*5+8*5) + 8*3 + 3, "[8 12 3]"},
		{"resnet of equal stages", imagesPlan, []string{"model.family=resnet", "model.channels=[1, 1]", "model.norm=none"}, `
- {kind: conv2d, units: 1, kernel: 3, padding: 1}
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 1, kernel: 3, padding: 1}
    - relu
    - {kind: conv2d, units: 1, kernel: 3, padding: 1}
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 1, kernel: 3, stride: 2, padding: 1}
    - relu
    - {kind: conv2d, units: 1, kernel: 3, padding: 1}
  shortcut:
    - {kind: conv2d, units: 1, kernel: 1, stride: 2}
- relu
- global_avg_pool
- {kind: dense, units: 3}
`, 28 + 4*10 + 2 + 6, "[8 12 3]"},
		{"resnet with batch norm", imagesPlan, []string{"model.family=resnet", "model.channels=[4]", "model.norm=batch", "model.dropout=0.1"}, `
- {kind: conv2d, units: 4, no_bias: true, kernel: 3, padding: 1}
- batch_norm
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 4, no_bias: true, kernel: 3, padding: 1}
    - batch_norm
    - relu
    - {kind: conv2d, units: 4, no_bias: true, kernel: 3, padding: 1}
    - batch_norm
- relu
- global_avg_pool
- {kind: dropout, rate: 0.1}
- {kind: dense, units: 3}
`, -1, "[8 12 3]"},
		{"resnet without norm", imagesPlan, []string{"model.family=resnet", "model.channels=[4]", "model.norm=none"}, `
- {kind: conv2d, units: 4, kernel: 3, padding: 1}
- relu
- kind: residual
  body:
    - {kind: conv2d, units: 4, kernel: 3, padding: 1}
    - relu
    - {kind: conv2d, units: 4, kernel: 3, padding: 1}
- relu
- global_avg_pool
- {kind: dense, units: 3}
`, 9*(3*4+2*4*4) + 3*4 + 4*3 + 3, "[8 12 3]"},
		{"rnn of text", textPlan, []string{"model.family=rnn"}, `
- {kind: embedding, units: 32, vocab: 5}
- {kind: rnn, units: 64}
- {kind: dense, units: 5}
`, 5*32 + 32*64 + 64*64 + 2*64 + 64*5 + 5, "[]"},
		{"lstm of text", textPlan, []string{"model.units=4", "model.depth=2", "model.embedding=3", "model.dropout=0.2"}, `
- {kind: embedding, units: 3, vocab: 5}
- {kind: lstm, units: 4, depth: 2}
- {kind: dropout, rate: 0.2}
- {kind: dense, units: 5}
`, 5*3 + 4*(3*4+4*4+8) + 4*(4*4+4*4+8) + 4*5 + 5, "[]"},
		{"gru of a series", seriesPlan, []string{"model.family=gru", "model.units=3"}, `
- {kind: gru, units: 3, last: true}
- {kind: dense, units: 1}
`, 3*(4*3+3*3+6) + 3 + 1, "[4 4]"},
		{"transformer of text", textPlan, []string{"model.family=transformer", "model.embedding=4", "model.heads=2", "model.depth=1", "model.dropout=0.1"}, `
- {kind: embedding, units: 4, vocab: 5}
- positional
- {kind: dropout, rate: 0.1}
- kind: residual
  body:
    - layer_norm
    - {kind: attention, heads: 2, causal: true}
    - {kind: dropout, rate: 0.1}
- kind: residual
  body:
    - layer_norm
    - {kind: dense, units: 16}
    - gelu
    - {kind: dense, units: 4}
    - {kind: dropout, rate: 0.1}
- layer_norm
- {kind: dense, units: 5}
`, 5*4 + 6*4 + 3*8 + (4*12 + 12 + 4*4 + 4) + (4*16 + 16 + 16*4 + 4) + 4*5 + 5, "[]"},
		{"transformer of a series", seriesPlan, []string{"model.family=transformer", "model.embedding=8", "model.depth=1", "model.activation=relu"}, `
- {kind: dense, units: 8}
- positional
- kind: residual
  body:
    - layer_norm
    - {kind: attention, heads: 4}
- kind: residual
  body:
    - layer_norm
    - {kind: dense, units: 32}
    - relu
    - {kind: dense, units: 8}
- layer_norm
- global_avg_pool
- {kind: dense, units: 1}
`, 4*8 + 8 + 4*8 + 3*16 + (8*24 + 24 + 8*8 + 8) + (8*32 + 32 + 32*8 + 8) + 8 + 1, "[4 4]"},
		{"linear of a series", seriesPlan, nil, `
- flatten
- {kind: dense, units: 1}
`, 17, "[4 4]"},
		{"Cox's model", survivalPlan, nil, `
- {kind: dense, units: 1}
`, 2, "[]"},
		{"survival by mlp", survivalPlan, []string{"model.family=mlp", "model.hidden=[2]"}, `
- {kind: dense, units: 2}
- relu
- {kind: dense, units: 1}
`, 2 + 2 + 2 + 1, "[]"},
		{"layers of text", textPlan, []string{"model.family=layers", "model.layers=[{kind: embedding, units: 2}, {kind: dense, units: 5}]"}, `
- {kind: embedding, units: 2, vocab: 5}
- {kind: dense, units: 5}
`, 10 + 10 + 5, "[]"},
		{"layers with room in the vocabulary", textPlan, []string{"model.family=layers", "model.layers=[{kind: embedding, units: 2, vocab: 9}, {kind: dense, units: 5}]"}, `
- {kind: embedding, units: 2, vocab: 9}
- {kind: dense, units: 5}
`, 18 + 10 + 5, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustParse(t, c.src, c.set...)
			spec := p.Spec()
			if err := spec.Validate(); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			renderLayers(&b, "", spec.Layers)
			if got := "\n" + b.String(); got != c.want {
				t.Errorf("got%s\nwant%s", got, c.want)
			}
			if n := p.NumParams(); n != c.params && c.params >= 0 {
				t.Errorf("%d parameters, want %d", n, c.params)
			}
			if got := spell(spec.Shape); got != c.shape {
				t.Errorf("shape %s, want %s", got, c.shape)
			}
			if got, want := spec.Outputs(), p.Data.Outputs()*p.Data.LabelsPerExample(); got != want {
				t.Errorf("%d outputs, want %d", got, want)
			}
			roundTrip(t, p)
			if a, err := p.InitialParams(); err != nil || len(a) != p.NumParams() {
				t.Errorf("%d initial parameters, %v", len(a), err)
			}
		})
	}
}

// Loss options reach nn.
func TestSpecLoss(t *testing.T) {
	s := mustParse(t, imagesPlan, "model.class_weights=[1, 2, 0.5]", "model.label_smoothing=0.1").Spec()
	if s.Loss != nn.CrossEntropy || len(s.ClassWeights) != 3 || s.ClassWeights[2] != 0.5 || s.LabelSmoothing != 0.1 || s.Delta != 0 {
		t.Errorf("got %+v", s)
	}
	for _, c := range []struct {
		src   string
		set   []string
		loss  string
		delta float64
	}{
		{seriesPlan, nil, nn.MSE, 0},
		{seriesPlan, []string{"model.loss=mae"}, nn.MAE, 0},
		{seriesPlan, []string{"model.loss=huber"}, nn.Huber, 1},
		{seriesPlan, []string{"model.loss=huber", "model.huber_delta=0.25"}, nn.Huber, 0.25},
		{survivalPlan, nil, nn.Cox, 0},
		{textPlan, nil, nn.CrossEntropy, 0},
		{minimal, nil, nn.BinaryCrossEntropy, 0},
	} {
		if s := mustParse(t, c.src, c.set...).Spec(); s.Loss != c.loss || s.Delta != c.delta {
			t.Errorf("%v: loss %s with %v, want %s with %v", c.set, s.Loss, s.Delta, c.loss, c.delta)
		}
	}
}

func TestOptimizer(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want nn.Optimizer
	}{
		{nil, nn.Optimizer{Kind: "sgd", LR: 0.01}},
		{[]string{"training.momentum=0.5", "training.nesterov=true", "training.weight_decay=0.25", "training.clip_norm=3"},
			nn.Optimizer{Kind: "sgd", LR: 0.01, Momentum: 0.5, Nesterov: true, WeightDecay: 0.25, ClipNorm: 3}},
		{[]string{"training.optimizer=adam"}, nn.NewAdam(0.01)},
		{[]string{"training.optimizer=adamw", "training.weight_decay=0.01", "training.beta1=0", "training.beta2=0.5", "training.epsilon=0.001"},
			nn.Optimizer{Kind: "adamw", LR: 0.01, WeightDecay: 0.01, Beta2: 0.5, Epsilon: 0.001}},
		{[]string{"training.optimizer=rmsprop", "training.momentum=0.5"}, nn.Optimizer{Kind: "rmsprop", LR: 0.01, Momentum: 0.5, Alpha: 0.99, Epsilon: 1e-8}},
		{[]string{"training.optimizer=adagrad"}, nn.Optimizer{Kind: "adagrad", LR: 0.01, Epsilon: 1e-10}},
		{[]string{"training.schedule.warmup=9"}, nn.Optimizer{Kind: "sgd", LR: 0.01, Schedule: nn.Schedule{Warmup: 9}}},
		{[]string{"training.schedule.kind=step", "training.schedule.every=7"}, nn.Optimizer{Kind: "sgd", LR: 0.01, Schedule: nn.Schedule{Kind: "step", Every: 7, Gamma: 0.1}}},
		{[]string{"training.schedule.kind=cosine"}, nn.Optimizer{Kind: "sgd", LR: 0.01, Schedule: nn.Schedule{Kind: "cosine", Total: 1000}}},
		{[]string{"training.schedule.kind=cosine", "training.schedule.total=50", "training.schedule.min=0.001", "training.schedule.warmup=5"},
			nn.Optimizer{Kind: "sgd", LR: 0.01, Schedule: nn.Schedule{Kind: "cosine", Warmup: 5, Min: 0.001, Total: 50}}},
	} {
		p := mustParse(t, minimal, c.set...)
		got := p.Optimizer()
		if got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.set, got, c.want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%v: %v", c.set, err)
		}
		roundTrip(t, p)
	}
}
