package plan

// field describes one key of a plan (T = Plan) or of a column (T = Column): its
// name in YAML, its number in canonical bytes, its range and its meaning. Both
// encodings, the range checks, the error texts and the commented output are
// driven by the tables below, so that a field is described once.
type field[T any] struct {
	key      string // dotted
	num      uint16 // in canonical bytes; never reused
	revision uint8  // of plan/v1 that brought the field
	doc      string
	at       func(*T) any // *string, *uint64, *int, *float64, *bool, *time.Duration, *[]string, *[]int or *[]Column
	rule     rule
}

// rule is the range of one field's value. For numbers min ≤ v ≤ max where
// either is not 0 (above: min < v); durations are in seconds; oneOf limits text.
type rule struct {
	min, max float64
	above    bool
	oneOf    []string
	because  map[string]string // refused values that deserve a reason of their own
}

const masked = "the server sees only the sum of all updates, so a rule that compares single updates cannot run under masks"
const later = "this version averages only"

var planFields = []field[Plan]{
	{"name", 1, 1, "what people call the plan", func(p *Plan) any { return &p.Name }, rule{}},
	{"seed", 2, 1, "of initial parameters, batch order and holdout", func(p *Plan) any { return &p.Seed }, rule{}},

	{"data.header", 3, 1, "the file's first line names its columns", func(p *Plan) any { return &p.Data.Header }, rule{}},
	{"data.delimiter", 4, 1, "one character between cells", func(p *Plan) any { return &p.Data.Delimiter }, rule{}},
	{"data.missing", 5, 1, "cells that mean: no value", func(p *Plan) any { return &p.Data.Missing }, rule{}},
	{"data.on_missing", 6, 1, "error | drop_row, when a used cell has no value", func(p *Plan) any { return &p.Data.OnMissing },
		rule{oneOf: []string{MissingError, MissingDropRow}}},
	{"data.max_examples", 7, 1, "most examples of one branch; bounds every statistic and count", func(p *Plan) any { return &p.Data.MaxExamples },
		rule{min: 1, max: 1 << 30}},
	{"data.standardise", 8, 1, "federated (masked statistics in round 0) | site | none", func(p *Plan) any { return &p.Data.Standardise },
		rule{oneOf: []string{Federated, SiteWise, None}}},
	{"data.columns", 9, 1, "the file's columns, in file order", func(p *Plan) any { return &p.Data.Columns }, rule{}},
	{"data.target.column", 10, 1, "the column that is learned", func(p *Plan) any { return &p.Data.Target.Column }, rule{}},
	{"data.target.type", 11, 1, "binary | class | number", func(p *Plan) any { return &p.Data.Target.Type },
		rule{oneOf: []string{Binary, Class, Number}}},
	{"data.target.positive", 12, 1, "rule of the positive class over a numeric column, such as \"> 0\"", func(p *Plan) any { return &p.Data.Target.Positive }, rule{}},
	{"data.target.positive_values", 13, 1, "values of the positive class of a categorical column", func(p *Plan) any { return &p.Data.Target.PositiveValues }, rule{}},

	{"model.family", 20, 1, "logreg | mlp | linear", func(p *Plan) any { return &p.Model.Family },
		rule{oneOf: []string{LogReg, MLP, Linear}}},
	{"model.hidden", 21, 1, "mlp: units of each hidden layer", func(p *Plan) any { return &p.Model.Hidden }, rule{min: 1, max: 1 << 20}},
	{"model.activation", 22, 1, "mlp: relu | tanh | sigmoid", func(p *Plan) any { return &p.Model.Activation },
		rule{oneOf: []string{"relu", "tanh", "sigmoid"}}},
	{"model.loss", 23, 1, "by default what the target asks for", func(p *Plan) any { return &p.Model.Loss },
		rule{oneOf: []string{"binary_cross_entropy", "cross_entropy", "mse"}}},

	{"training.optimizer", 30, 1, "sgd | adam; its state starts new in every round", func(p *Plan) any { return &p.Training.Optimizer },
		rule{oneOf: []string{"sgd", "adam"}}},
	{"training.learning_rate", 31, 1, "", func(p *Plan) any { return &p.Training.LearningRate }, rule{max: 1000, above: true}},
	{"training.momentum", 32, 1, "sgd only", func(p *Plan) any { return &p.Training.Momentum }, rule{max: 0.9999}},
	{"training.batch", 33, 1, "examples per step", func(p *Plan) any { return &p.Training.Batch }, rule{min: 1, max: 1 << 16}},
	{"training.steps", 34, 1, "steps per round, cycling through the rows", func(p *Plan) any { return &p.Training.Steps }, rule{min: 1, max: 1 << 24}},

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
	{"type", 2, 1, "", func(c *Column) any { return &c.Type }, rule{oneOf: []string{Numeric, Categorical}}},
	{"min", 3, 1, "", func(c *Column) any { return &c.Min }, rule{}},
	{"max", 4, 1, "", func(c *Column) any { return &c.Max }, rule{}},
	{"values", 5, 1, "", func(c *Column) any { return &c.Values }, rule{}},
	{"drop_first", 6, 1, "", func(c *Column) any { return &c.DropFirst }, rule{}},
	{"use", 7, 1, "", func(c *Column) any { return (*inverted)(&c.Unused) }, rule{}},
}

// inverted is a bool that YAML writes the other way round (use: false).
type inverted bool
