package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tacit/nn"
)

// field describes one key of a plan (T = Plan), of a column (T = Column) or of a
// layer (T = nn.Layer): its name in YAML, its number in canonical bytes, its range
// and its meaning. Both encodings, the range checks, the error texts and the
// commented output are driven by the tables below, so that a field is described
// once. A table is in the order that people read; canonical bytes have the order of
// the numbers.
type field[T any] struct {
	key      string // dotted
	num      uint16 // in canonical bytes; never reused
	revision uint8  // of plan/v1 that brought the field
	doc      string
	at       func(*T) any // what value, addValue and readValue have a case for
	rule     rule
}

// revisionOf returns the revision of plan/v1 that a reader of v's field needs: the
// field's own, or that of its value.
func (f *field[T]) revisionOf(v *T) uint8 {
	if s, ok := f.at(v).(*string); ok && slices.Contains(f.rule.newer, *s) {
		return 2
	}
	return f.revision
}

// byNumber returns the fields in the order of canonical bytes.
func byNumber[T any](fields []field[T]) []field[T] {
	return slices.SortedFunc(slices.Values(fields), func(a, b field[T]) int { return cmp.Compare(a.num, b.num) })
}

var planByNumber = byNumber(planFields)

// rule is the range of one field's value. For numbers min ≤ v ≤ max where
// either is not 0 (above: min < v); durations are in seconds; oneOf limits text.
type rule struct {
	min, max float64
	above    bool
	oneOf    []string
	because  map[string]string // refused values that deserve a reason of their own
	newer    []string          // values of oneOf that came with revision 2, after their field
	derived  bool              // the zero value stands for a default that depends on other fields, so nobody writes it

	only condition
}

// condition reports whether a field means anything in p; one that does not holds
// its default and is left out of commented output. reason is "" where another
// check says why not.
type condition func(p *Plan) (applies bool, reason, hint string)

// belongs makes rule.only of a field that has a meaning only where the key
// that get reads has one of some values out of all that it can have.
func belongs(key string, get func(*Plan) string, all []string, values ...string) condition {
	_, word, _ := strings.Cut(key, ".")
	return func(p *Plan) (bool, string, string) {
		v := get(p)
		switch {
		case slices.Contains(values, v):
			return true, "", ""
		case !slices.Contains(all, v):
			return false, "", "" // an illegal value: it is said there
		}
		hint := "remove it"
		if len(values) == 1 {
			hint += fmt.Sprintf(", or %s: %s", word, values[0])
		}
		return false, fmt.Sprintf("belongs to %s: %s; this plan's is %s", key, quoteList(values), v), hint
	}
}

func ofKind(kinds ...string) condition {
	return belongs("data.kind", func(p *Plan) string { return p.Data.Kind }, kindNames, kinds...)
}

func ofFamily(families ...string) condition {
	return belongs("model.family", func(p *Plan) string { return p.Model.Family }, familyNames, families...)
}

func ofTarget(types ...string) condition {
	return belongs("data.target.type", func(p *Plan) string { return p.Data.Target.Type }, []string{Binary, Class, Number, Survival, Next}, types...)
}

// sized says whether images have a size whose numbers can be judged one by one.
func sized(p *Plan) (applies bool, reason, hint string) {
	if p.Data.Kind == KindImages && p.Data.Image == (Image{}) {
		return false, "", ""
	}
	return ofKind(KindImages)(p)
}

// embeds says whether there is a vector for each position: of a text's characters,
// and in a transformer always.
func embeds(p *Plan) (applies bool, reason, hint string) {
	if p.Model.Family == Transformer {
		return true, "", ""
	}
	if applies, reason, hint = ofFamily(RNN, LSTM, GRU, Transformer)(p); !applies {
		return
	}
	return ofKind(KindText)(p)
}

func ofLoss(losses ...string) condition {
	return belongs("model.loss", func(p *Plan) string { return p.Model.Loss }, lossNames, losses...)
}

func ofOptimizer(kinds ...string) condition {
	return belongs("training.optimizer", func(p *Plan) string { return p.Training.Optimizer }, optimizerNames, kinds...)
}

func ofSchedule(kinds ...string) condition {
	return belongs("training.schedule.kind", func(p *Plan) string { return p.Training.Schedule.Kind }, scheduleNames, kinds...)
}

// silent leaves the reason to another check, which has a better one.
func silent(only condition) condition {
	return func(p *Plan) (bool, string, string) {
		applies, _, _ := only(p)
		return applies, "", ""
	}
}

var (
	kindNames      = []string{KindTable, KindImages, KindText, KindSeries}
	familyNames    = []string{LogReg, MLP, Linear, CNN, ResNet, RNN, LSTM, GRU, Transformer, Layers}
	lossNames      = []string{nn.BinaryCrossEntropy, nn.CrossEntropy, nn.MSE, nn.MAE, nn.Huber, nn.Cox}
	activations    = []string{nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.LeakyReLU}
	optimizerNames = []string{nn.SGD, nn.Adam, nn.AdamW, nn.RMSProp, nn.Adagrad}
	scheduleNames  = []string{Constant, Step, Cosine}
)

const masked = "the server sees only the sum of all updates, so a rule that compares single updates cannot run under masks"
const later = "this version averages only"

var planFields = []field[Plan]{
	{"name", 1, 1, "what people call the plan", func(p *Plan) any { return &p.Name }, rule{}},
	{"seed", 2, 1, "of initial parameters, batch order and holdout", func(p *Plan) any { return &p.Seed }, rule{}},

	{"data.kind", 100, 2, "table | images | text | series", func(p *Plan) any { return &p.Data.Kind }, rule{oneOf: kindNames}},
	{"data.source", 101, 2, "the branch's data set of this name; without it, its only one", func(p *Plan) any { return &p.Data.Source }, rule{}},
	{"data.header", 3, 1, "the file's first line names its columns", func(p *Plan) any { return &p.Data.Header }, rule{only: ofKind(KindTable, KindSeries)}},
	{"data.delimiter", 4, 1, "one character between cells", func(p *Plan) any { return &p.Data.Delimiter }, rule{only: ofKind(KindTable, KindSeries)}},
	{"data.missing", 5, 1, "cells that mean: no value", func(p *Plan) any { return &p.Data.Missing }, rule{only: ofKind(KindTable, KindSeries)}},
	{"data.on_missing", 6, 1, "error | drop_row, when a used cell has no value", func(p *Plan) any { return &p.Data.OnMissing },
		rule{oneOf: []string{MissingError, MissingDropRow}, only: ofKind(KindTable, KindSeries)}},
	{"data.max_examples", 7, 1, "most examples of one branch; bounds every statistic and count", func(p *Plan) any { return &p.Data.MaxExamples },
		rule{min: 1, max: 1 << 30}},
	{"data.standardise", 8, 1, "federated (masked statistics in round 0) | site | none", func(p *Plan) any { return &p.Data.Standardise },
		rule{oneOf: []string{Federated, SiteWise, None}, derived: true}},
	{"data.image.height", 103, 2, "pixels", func(p *Plan) any { return &p.Data.Image.Height }, rule{min: 1, max: 1 << 14, only: sized}},
	{"data.image.width", 104, 2, "pixels", func(p *Plan) any { return &p.Data.Image.Width }, rule{min: 1, max: 1 << 14, only: sized}},
	{"data.image.channels", 105, 2, "1: grey, 3: red, green, blue", func(p *Plan) any { return &p.Data.Image.Channels }, rule{min: 1, max: 64, only: sized}},
	{"data.classes", 102, 2, "the classes of images, in label order", func(p *Plan) any { return &p.Data.ClassNames }, rule{only: ofKind(KindImages)}},
	{"data.text.alphabet", 110, 2, "every character of the text; its place is its id", func(p *Plan) any { return &p.Data.Text.Alphabet }, rule{only: ofKind(KindText)}},
	{"data.text.length", 111, 2, "characters of a window", func(p *Plan) any { return &p.Data.Text.Length }, rule{min: 1, max: 1 << 16, only: ofKind(KindText)}},
	{"data.text.stride", 112, 2, "characters from a window's beginning to the next one's; by default the length", func(p *Plan) any { return &p.Data.Text.Stride },
		rule{min: 1, max: 1 << 20, derived: true, only: ofKind(KindText)}},
	{"data.text.unknown", 113, 2, "error | skip, for a character that the alphabet lacks", func(p *Plan) any { return &p.Data.Text.Unknown },
		rule{oneOf: []string{UnknownError, UnknownSkip}, only: ofKind(KindText)}},
	{"data.series.length", 120, 2, "rows of a window", func(p *Plan) any { return &p.Data.Series.Length }, rule{min: 1, max: 1 << 16, only: ofKind(KindSeries)}},
	{"data.series.horizon", 121, 2, "rows from a window's last to the target's", func(p *Plan) any { return &p.Data.Series.Horizon }, rule{min: 1, max: 1 << 20, only: ofKind(KindSeries)}},
	{"data.series.stride", 122, 2, "rows from a window's beginning to the next one's", func(p *Plan) any { return &p.Data.Series.Stride }, rule{min: 1, max: 1 << 20, only: ofKind(KindSeries)}},
	{"data.columns", 9, 1, "the file's columns, in file order", func(p *Plan) any { return &p.Data.Columns }, rule{only: ofKind(KindTable, KindSeries)}},
	{"data.target.column", 10, 1, "the column that is learned", func(p *Plan) any { return &p.Data.Target.Column }, rule{only: ofKind(KindTable, KindSeries)}},
	{"data.target.type", 11, 1, "binary | class | number | survival", func(p *Plan) any { return &p.Data.Target.Type },
		rule{oneOf: []string{Binary, Class, Number, Survival}, newer: []string{Survival}, only: ofKind(KindTable, KindImages, KindSeries),
			because: map[string]string{Next: "the next character is what kind: text learns, without a target"}}},
	{"data.target.positive", 12, 1, "rule of the positive class over a numeric column, such as \"> 0\"", func(p *Plan) any { return &p.Data.Target.Positive }, rule{only: ofKind(KindTable)}},
	{"data.target.positive_values", 13, 1, "values of the positive class of a categorical column", func(p *Plan) any { return &p.Data.Target.PositiveValues }, rule{only: ofKind(KindTable)}},
	{"data.target.event", 130, 2, "survival: the column that says whether the event was seen", func(p *Plan) any { return &p.Data.Target.Event }, rule{only: ofKind(KindTable)}},
	{"data.target.event_values", 131, 2, "survival: those of its values that mean yes", func(p *Plan) any { return &p.Data.Target.EventValues }, rule{only: ofTarget(Survival)}},

	{"model.family", 20, 1, "logreg | mlp | linear | cnn | resnet | rnn | lstm | gru | transformer | layers", func(p *Plan) any { return &p.Model.Family },
		rule{oneOf: familyNames, newer: []string{CNN, ResNet, RNN, LSTM, GRU, Transformer, Layers}}},
	{"model.layers", 150, 2, "the network, layer by layer", func(p *Plan) any { return &p.Model.Layers }, rule{only: ofFamily(Layers)}},
	{"model.hidden", 21, 1, "mlp, cnn: units of each hidden layer", func(p *Plan) any { return &p.Model.Hidden }, rule{min: 1, max: 1 << 20, only: silent(ofFamily(MLP, CNN))}},
	{"model.channels", 140, 2, "cnn: of each convolution; resnet: of each stage", func(p *Plan) any { return &p.Model.Channels }, rule{min: 1, max: 1 << 14, only: ofFamily(CNN, ResNet)}},
	{"model.units", 141, 2, "of each recurrent layer", func(p *Plan) any { return &p.Model.Units }, rule{min: 1, max: 1 << 16, only: ofFamily(RNN, LSTM, GRU)}},
	{"model.depth", 142, 2, "resnet: blocks of a stage; rnn, lstm, gru: layers; transformer: blocks", func(p *Plan) any { return &p.Model.Depth },
		rule{min: 1, max: 64, derived: true, only: ofFamily(ResNet, RNN, LSTM, GRU, Transformer)}},
	{"model.heads", 143, 2, "of attention", func(p *Plan) any { return &p.Model.Heads }, rule{min: 1, max: 256, only: ofFamily(Transformer)}},
	{"model.embedding", 144, 2, "width of a position's vector", func(p *Plan) any { return &p.Model.Embedding }, rule{min: 1, max: 1 << 16, derived: true, only: embeds}},
	{"model.norm", 145, 2, "group | batch (of one branch's batch: federates badly) | none", func(p *Plan) any { return &p.Model.Norm },
		rule{oneOf: []string{GroupNorm, BatchNorm, NoNorm}, only: ofFamily(ResNet)}},
	{"model.activation", 22, 1, "relu | tanh | sigmoid | gelu | silu | leaky_relu", func(p *Plan) any { return &p.Model.Activation },
		rule{oneOf: activations, newer: activations[3:], derived: true, only: silent(ofFamily(MLP, CNN, ResNet, Transformer))}},
	{"model.dropout", 146, 2, "share of values that each training step leaves out", func(p *Plan) any { return &p.Model.Dropout },
		rule{max: 0.95, only: ofFamily(MLP, CNN, ResNet, RNN, LSTM, GRU, Transformer)}},
	{"model.loss", 23, 1, "by default what the target asks for", func(p *Plan) any { return &p.Model.Loss },
		rule{oneOf: lossNames, newer: []string{nn.MAE, nn.Huber, nn.Cox}, derived: true}},
	{"model.class_weights", 147, 2, "of each class in the loss, in label order", func(p *Plan) any { return &p.Model.ClassWeights },
		rule{max: 1e6, above: true, only: ofLoss(nn.BinaryCrossEntropy, nn.CrossEntropy)}},
	{"model.label_smoothing", 148, 2, "share of a label that is spread over all classes", func(p *Plan) any { return &p.Model.LabelSmoothing },
		rule{max: 0.999, only: ofLoss(nn.BinaryCrossEntropy, nn.CrossEntropy)}},
	{"model.huber_delta", 149, 2, "error at which the loss turns from square to absolute", func(p *Plan) any { return &p.Model.HuberDelta },
		rule{max: 1e6, above: true, only: ofLoss(nn.Huber)}},

	{"training.optimizer", 30, 1, "sgd | adam | adamw | rmsprop | adagrad; its state starts new in every round", func(p *Plan) any { return &p.Training.Optimizer },
		rule{oneOf: optimizerNames, newer: []string{nn.AdamW, nn.RMSProp, nn.Adagrad}}},
	{"training.learning_rate", 31, 1, "", func(p *Plan) any { return &p.Training.LearningRate }, rule{max: 1000, above: true}},
	{"training.momentum", 32, 1, "sgd, rmsprop", func(p *Plan) any { return &p.Training.Momentum }, rule{max: 0.9999, only: silent(ofOptimizer(nn.SGD, nn.RMSProp))}},
	{"training.nesterov", 160, 2, "momentum that looks ahead", func(p *Plan) any { return &p.Training.Nesterov }, rule{only: ofOptimizer(nn.SGD)}},
	{"training.beta1", 162, 2, "how slowly the mean gradient forgets", func(p *Plan) any { return &p.Training.Beta1 }, rule{max: 0.999999, only: ofOptimizer(nn.Adam, nn.AdamW)}},
	{"training.beta2", 163, 2, "how slowly the mean square forgets", func(p *Plan) any { return &p.Training.Beta2 }, rule{max: 0.999999, only: ofOptimizer(nn.Adam, nn.AdamW)}},
	{"training.alpha", 165, 2, "how slowly the mean square forgets", func(p *Plan) any { return &p.Training.Alpha }, rule{max: 0.999999, only: ofOptimizer(nn.RMSProp)}},
	{"training.epsilon", 164, 2, "added to the root of the mean square", func(p *Plan) any { return &p.Training.Epsilon },
		rule{max: 1, above: true, derived: true, only: ofOptimizer(nn.Adam, nn.AdamW, nn.RMSProp, nn.Adagrad)}},
	{"training.weight_decay", 161, 2, "pull towards 0: of the weights (adamw) or through the gradient", func(p *Plan) any { return &p.Training.WeightDecay }, rule{max: 1000}},
	{"training.clip_norm", 166, 2, "L2 bound on a step's gradient; 0: none", func(p *Plan) any { return &p.Training.ClipNorm }, rule{max: 1e9}},
	{"training.batch", 33, 1, "examples per step", func(p *Plan) any { return &p.Training.Batch }, rule{min: 1, max: 1 << 16}},
	{"training.steps", 34, 1, "steps per round, cycling through the rows", func(p *Plan) any { return &p.Training.Steps }, rule{min: 1, max: 1 << 24}},
	{"training.schedule.kind", 167, 2, "constant | step | cosine", func(p *Plan) any { return &p.Training.Schedule.Kind }, rule{oneOf: scheduleNames}},
	{"training.schedule.warmup", 168, 2, "steps over which the rate rises from 0", func(p *Plan) any { return &p.Training.Schedule.Warmup }, rule{max: 1 << 40}},
	{"training.schedule.every", 169, 2, "steps between changes of the rate", func(p *Plan) any { return &p.Training.Schedule.Every }, rule{min: 1, max: 1 << 40, only: ofSchedule(Step)}},
	{"training.schedule.gamma", 170, 2, "what each change multiplies the rate by", func(p *Plan) any { return &p.Training.Schedule.Gamma }, rule{max: 1, above: true, only: ofSchedule(Step)}},
	{"training.schedule.min", 171, 2, "the last rate", func(p *Plan) any { return &p.Training.Schedule.Min }, rule{max: 1000, only: ofSchedule(Cosine)}},
	{"training.schedule.total", 172, 2, "steps until the last rate; by default federation.rounds × training.steps", func(p *Plan) any { return &p.Training.Schedule.Total },
		rule{min: 1, max: 1 << 45, derived: true, only: ofSchedule(Cosine)}},
	{"training.epochs", 173, 2, "training alone: passes over the rows; 0: federation.rounds × training.steps steps", func(p *Plan) any { return &p.Training.Epochs }, rule{max: 1 << 20}},
	{"training.validation", 174, 2, "training alone: share of the training rows that judges when to stop", func(p *Plan) any { return &p.Training.Validation }, rule{max: 0.9}},
	{"training.patience", 175, 2, "training alone: epochs without a better loss on them before it stops; 0: never", func(p *Plan) any { return &p.Training.Patience }, rule{max: 1 << 20}},

	{"federation.rounds", 40, 1, "training rounds", func(p *Plan) any { return &p.Federation.Rounds }, rule{min: 1, max: 1 << 20}},
	{"federation.strategy", 41, 1, "how a sum becomes the next model", func(p *Plan) any { return &p.Federation.Strategy },
		rule{oneOf: []string{FedAvg}, because: map[string]string{
			"median": masked, "trimmed_mean": masked, "krum": masked, "multi_krum": masked, "bulyan": masked,
			"fedadam": later, "fedyogi": later, "fedadagrad": later, "fedprox": later, "scaffold": later,
		}}},
	{"federation.weights", 42, 1, "a branch counts by its examples | batches | uniform", func(p *Plan) any { return &p.Federation.Weights },
		rule{oneOf: []string{ByExamples, ByBatches, Uniform}}},
	{"federation.weight_max", 43, 1, "largest weight of a branch; by default what data.max_examples allows", func(p *Plan) any { return &p.Federation.WeightMax },
		rule{max: 1 << 30, above: true}},
	{"federation.clip", 44, 1, "L2 bound on a branch's update", func(p *Plan) any { return &p.Federation.Clip }, rule{min: 1e-6, max: 1e6}},
	{"federation.min_branches", 45, 1, "fewest branches that open a round", func(p *Plan) any { return &p.Federation.MinBranches }, rule{min: 3, max: MaxBranches,
		because: map[string]string{
			"1": "the sum of one branch is that branch's update",
			"2": "with two branches each can subtract its own update from the sum and read the other's",
		}}},
	{"federation.max_branches", 46, 1, "most branches of an epoch; sets every scale", func(p *Plan) any { return &p.Federation.MaxBranches }, rule{min: 3, max: MaxBranches}},
	{"federation.start_grace", 47, 1, "how long a round's start waits for branches that are away", func(p *Plan) any { return &p.Federation.StartGrace }, rule{max: 86400}},
	{"federation.collect_deadline", 48, 1, "for training and reporting", func(p *Plan) any { return &p.Federation.CollectDeadline }, rule{min: 1, max: 7 * 86400}},
	{"federation.phase_deadline", 49, 1, "for every other stage of a round", func(p *Plan) any { return &p.Federation.PhaseDeadline }, rule{min: 1, max: 86400}},
	{"federation.attempts", 50, 1, "tries per model before the run stops", func(p *Plan) any { return &p.Federation.Attempts }, rule{min: 3, max: 3}},

	{"evaluation.final", 60, 1, "an evaluate round after the last training round", func(p *Plan) any { return &p.Evaluation.Final }, rule{}},
	{"evaluation.holdout", 61, 1, "share of rows kept for tests where the branch has no split file", func(p *Plan) any { return &p.Evaluation.Holdout }, rule{max: 0.9}},
	{"evaluation.loss_bound", 62, 1, "one example's loss counts for no more in metrics", func(p *Plan) any { return &p.Evaluation.LossBound }, rule{min: 0.1, max: 1000}},

	{"outputs.owner", 70, 1, "age recipients who may open the model", func(p *Plan) any { return &p.Outputs.Owner }, rule{}},

	{"privacy", 80, 1, "none: nothing is claimed about what the outputs reveal", func(p *Plan) any { return &p.Privacy }, rule{oneOf: []string{"none"},
		because: map[string]string{
			"dp": "differential privacy is not built yet", "record": "differential privacy is not built yet", "client": "differential privacy is not built yet",
		}}},
	{"device", 81, 1, "", func(p *Plan) any { return &p.Device }, rule{oneOf: []string{"cpu"}}},
	{"aggregation.cohorts", 82, 1, "", func(p *Plan) any { return &p.Aggregation.Cohorts }, rule{min: 1, max: 1}},
	{"aggregation.ring", 83, 1, "bits of the sum's modulus", func(p *Plan) any { return &p.Aggregation.Ring }, rule{min: 32, max: 32}},
}

var columnFields = []field[Column]{
	{"name", 1, 1, "", func(c *Column) any { return &c.Name }, rule{}},
	{"type", 2, 1, "", func(c *Column) any { return &c.Type }, rule{oneOf: columnTypes, newer: []string{Timestamp, FreeText}}},
	{"min", 3, 1, "", func(c *Column) any { return &c.Min }, rule{}},
	{"max", 4, 1, "", func(c *Column) any { return &c.Max }, rule{}},
	{"values", 5, 1, "", func(c *Column) any { return &c.Values }, rule{}},
	{"drop_first", 6, 1, "", func(c *Column) any { return &c.DropFirst }, rule{}},
	{"use", 7, 1, "", func(c *Column) any { return (*inverted)(&c.Unused) }, rule{}},
	{"parts", 8, 2, "", func(c *Column) any { return &c.Parts }, rule{}},
	{"buckets", 9, 2, "", func(c *Column) any { return &c.Buckets }, rule{}},
}

var columnTypes = []string{Numeric, Categorical, Timestamp, FreeText}

// layerFields are an nn.Layer's, under the names that nn has for them in
// nn.LayerFields. Which of them a kind reads is nn's to say.
var layerFields = []field[nn.Layer]{
	{"kind", 1, 2, "", func(l *nn.Layer) any { return &l.Kind }, rule{}},
	{"units", 2, 2, "", func(l *nn.Layer) any { return &l.Units }, rule{}},
	{"init", 3, 2, "", func(l *nn.Layer) any { return &l.Init }, rule{}},
	{"local", 4, 2, "", func(l *nn.Layer) any { return &l.Local }, rule{}},
	{"no_bias", 5, 2, "", func(l *nn.Layer) any { return &l.NoBias }, rule{}},
	{"kernel", 6, 2, "", func(l *nn.Layer) any { return &l.Kernel }, rule{}},
	{"stride", 7, 2, "", func(l *nn.Layer) any { return &l.Stride }, rule{}},
	{"padding", 8, 2, "", func(l *nn.Layer) any { return &l.Padding }, rule{}},
	{"dilation", 9, 2, "", func(l *nn.Layer) any { return &l.Dilation }, rule{}},
	{"groups", 10, 2, "", func(l *nn.Layer) any { return &l.Groups }, rule{}},
	{"vocab", 11, 2, "", func(l *nn.Layer) any { return &l.Vocab }, rule{}},
	{"depth", 12, 2, "", func(l *nn.Layer) any { return &l.Depth }, rule{}},
	{"last", 13, 2, "", func(l *nn.Layer) any { return &l.Last }, rule{}},
	{"truncate", 14, 2, "", func(l *nn.Layer) any { return &l.Truncate }, rule{}},
	{"heads", 15, 2, "", func(l *nn.Layer) any { return &l.Heads }, rule{}},
	{"causal", 16, 2, "", func(l *nn.Layer) any { return &l.Causal }, rule{}},
	{"slope", 17, 2, "", func(l *nn.Layer) any { return &l.Slope }, rule{}},
	{"rate", 18, 2, "", func(l *nn.Layer) any { return &l.Rate }, rule{}},
	{"epsilon", 19, 2, "", func(l *nn.Layer) any { return &l.Epsilon }, rule{}},
	{"momentum", 20, 2, "", func(l *nn.Layer) any { return &l.Momentum }, rule{}},
	{"body", 21, 2, "", func(l *nn.Layer) any { return &l.Body }, rule{}},
	{"shortcut", 22, 2, "", func(l *nn.Layer) any { return &l.Shortcut }, rule{}},
}

// inverted is a bool that YAML writes the other way round (use: false).
type inverted bool
