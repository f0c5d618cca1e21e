package plan

import (
	"math"
	"time"

	"tacit/id"
	"tacit/nn"
)

// Revision is the newest revision of plan/v1 whose fields this package reads.
// Revision 2 brought images, text and series, survival, timestamp and text
// columns, the networks beyond mlp and the optimisers beyond sgd and adam.
const Revision = 2

// Format is the value of a plan's first key.
const Format = "plan/v1"

// Limits that bound memory before anything is allocated for a plan.
const (
	MaxBytes    = 1 << 20 // of YAML, and of canonical bytes
	MaxColumns  = 4096
	MaxValues   = 1024    // of one categorical column
	MaxFeatures = 65536   // of one row, after one-hot expansion
	MaxInputs   = 1 << 20 // values of one example: pixels, ids, or rows times features
	MaxAlphabet = 4096    // characters of a text
	MaxLayers   = 64      // entries of model.hidden and model.channels
	MaxOwners   = 16
	MaxBranches = 17 * 128 // as many cohorts as secure aggregation has, of as many members
)

// Values of Data.Standardise.
const (
	Federated = "federated" // round 0 sums statistics under masks; all sites use the result
	SiteWise  = "site"      // each site by its own training rows
	None      = "none"      // features stay (x−min)/(max−min)
)

// Values of Schema.Kind.
const (
	KindTable  = "table"  // an example is a row
	KindImages = "images" // an example is a picture with a class
	KindText   = "text"   // an example is a window of characters; the labels are the next ones
	KindSeries = "series" // an example is a window of consecutive rows
)

// Values of Schema.OnMissing.
const (
	MissingError   = "error"
	MissingDropRow = "drop_row"
)

// Values of Column.Type.
const (
	Numeric     = "numeric"
	Categorical = "categorical"
	Timestamp   = "timestamp" // a date, or a date and time: see ParseTime
	FreeText    = "text"      // words, hashed into Column.Buckets features: see Words and Bucket
)

// Values of Target.Type.
const (
	Binary   = "binary"   // labels 0 and 1
	Class    = "class"    // labels 0 … len(Classes)−1
	Number   = "number"   // target (y−min)/(max−min)
	Survival = "survival" // two targets: the time in the column's own unit, and 1 where the event happened, 0 where it was not seen
	Next     = "next"     // labels are the ids of the next characters: of KindText alone, and implied there
)

// Values of Column.Parts.
const (
	Hour    = "hour"    // 0 … 23
	Weekday = "weekday" // Monday is 0
	Month   = "month"   // January is 0
)

// Values of Text.Unknown.
const (
	UnknownError = "error" // a character outside the alphabet is an error
	UnknownSkip  = "skip"  // … is left out, and its neighbours meet
)

// Values of Model.Family.
const (
	LogReg      = "logreg"      // one dense layer; binary or class target
	MLP         = "mlp"         // hidden layers, any target
	Linear      = "linear"      // one dense layer, number or survival target
	CNN         = "cnn"         // images: 3×3 convolutions and pools, then hidden layers
	ResNet      = "resnet"      // images: stages of residual blocks (He et al. 2015, https://arxiv.org/abs/1512.03385)
	RNN         = "rnn"         // text or series: a recurrent layer (Elman)
	LSTM        = "lstm"        // the same with gates and a cell
	GRU         = "gru"         // the same with gates
	Transformer = "transformer" // text or series: pre-norm blocks of attention and dense layers
	Layers      = "layers"      // what model.layers says
)

// Values of Model.Norm.
const (
	GroupNorm = "group" // by example, so every branch computes the same
	BatchNorm = "batch" // by batch: branches that differ disturb each other's statistics
	NoNorm    = "none"
)

// Values of Schedule.Kind.
const (
	Constant = "constant"
	Step     = "step"   // the rate times gamma every so many steps
	Cosine   = "cosine" // from the rate to min along half a cosine
)

// Values of Federation.Weights.
const (
	ByExamples = "examples" // training rows
	ByBatches  = "batches"  // batches in one pass over the training rows
	Uniform    = "uniform"  // every branch the same
)

// FedAvg is the only value of Federation.Strategy.
const FedAvg = "fedavg"

// Plan is one training plan. The zero Plan is invalid: begin with [Default] or
// [Parse]. A Plan that [Plan.Resolve] accepted is not to be changed without
// calling it again; reading one is safe for concurrent use.
type Plan struct {
	Name        string
	Seed        uint64 // of initial parameters, batch order and holdout
	Data        Data
	Model       Model
	Training    Training
	Federation  Federation
	Evaluation  Evaluation
	Outputs     Outputs
	Privacy     string // "none": nothing is claimed about what the outputs reveal
	Device      string // "cpu"
	Aggregation Aggregation
}

// Data says what a branch's rows look like and how they become examples.
type Data struct {
	Schema
	Source      string // name of the data set in the branch's configuration; "": the only one
	MaxExamples int    // most examples a branch may hold; bounds every statistic and count
	Standardise string // Federated, SiteWise or None
}

// Schema describes what a branch holds. Kind says which of the other fields
// apply: Image and ClassNames to KindImages, Text to KindText, Series and the
// table's fields to KindSeries, and the table's fields alone to KindTable. The
// others hold their defaults.
type Schema struct {
	Kind       string // KindTable (also when empty), KindImages, KindText or KindSeries
	Header     bool   // the file's first record names the columns
	Delimiter  string // one character
	Missing    []string
	OnMissing  string // MissingError or MissingDropRow
	Columns    []Column
	Target     Target
	Image      Image
	ClassNames []string // KindImages: the classes, in label order (in YAML: data.classes)
	Text       Text
	Series     Series
}

// Column is one column of the file, in file order where there is no header.
type Column struct {
	Name      string
	Type      string   // Numeric, Categorical, Timestamp or FreeText; "" when Unused
	Min, Max  float64  // Numeric: the range of legal values, Min < Max; Timestamp: in seconds since 1970 UTC
	Values    []string // Categorical: the legal values; numbers are compared as numbers
	DropFirst bool     // Categorical: the first value gets no feature of its own
	Unused    bool     // never read (in YAML: use: false)
	Parts     []string // Timestamp: Hour, Weekday, Month; each adds two features (see PartUnit)
	Buckets   int      // FreeText: features that words are hashed into
}

// Target says what is learned.
type Target struct {
	Column         string
	Type           string   // Binary, Class, Number or Survival; Next for KindText
	Positive       string   // Binary over a numeric column: a rule such as "> 0"
	PositiveValues []string // Binary over a categorical column
	Event          string   // Survival: the column that says whether the event was seen
	EventValues    []string // Survival: those of its values that mean yes; a numeric column holds 0 and 1
}

// Image is the size of every picture. A byte of a pixel b is u = b/255.
type Image struct {
	Height, Width, Channels int
}

// Text says how text becomes examples: windows of Length characters, whose ids
// are their positions in Alphabet, and as labels the characters that follow each
// of them.
type Text struct {
	Alphabet string // distinct characters
	Length   int    // characters of a window
	Stride   int    // characters between the beginnings of windows; by default Length
	Unknown  string // UnknownError or UnknownSkip
}

// Series says how consecutive rows become examples: windows of Length rows, and
// the target's value Horizon rows after a window's last. Every numeric column is a
// feature, the target's own past included; rows come in file order, or in that of
// the timestamp column where there is one.
type Series struct {
	Length  int // rows of a window
	Horizon int // rows from a window's last to the target's
	Stride  int // rows between the beginnings of windows
}

// Model names the network. Fields that the family does not use are zero.
type Model struct {
	Family         string
	Hidden         []int      // MLP, CNN: units of each hidden layer
	Activation     string     // MLP, CNN, ResNet, Transformer: relu, tanh, sigmoid, gelu, silu or leaky_relu
	Loss           string     // by default what the target asks for
	Channels       []int      // CNN: of each convolution; ResNet: of each stage
	Units          int        // RNN, LSTM, GRU: units of each layer
	Depth          int        // ResNet: blocks of a stage; RNN, LSTM, GRU: layers; Transformer: blocks
	Heads          int        // Transformer
	Embedding      int        // width of a character's embedding, and of a Transformer
	Norm           string     // ResNet: GroupNorm, BatchNorm or NoNorm
	Dropout        float64    // rate, 0: none
	ClassWeights   []float64  // of each class in the loss; none: all 1
	LabelSmoothing float64    // share of a label that is spread over all classes
	HuberDelta     float64    // Loss huber: where it turns from square to absolute
	Layers         []nn.Layer // Layers: the network itself
}

// Training is what a branch does in one round.
type Training struct {
	Optimizer    string // sgd, adam, adamw, rmsprop or adagrad; its state starts new in every round
	LearningRate float64
	Momentum     float64 // sgd, rmsprop
	Batch        int     // examples per step
	Steps        int     // steps per round, cycling through the rows
	Nesterov     bool    // sgd with momentum
	WeightDecay  float64 // adamw: decoupled from the gradient; else an L2 penalty
	Beta1, Beta2 float64 // adam, adamw
	Epsilon      float64 // adam, adamw, rmsprop, adagrad
	Alpha        float64 // rmsprop: how slowly the mean square forgets
	ClipNorm     float64 // L2 bound on a step's gradient, 0: none
	Schedule     Schedule

	// For a person who trains alone; a federation does not read them.
	Epochs     int     // passes over the rows, 0: federation.rounds × Steps steps
	Validation float64 // share of the training rows that judge when to stop
	Patience   int     // epochs without a better loss on them before training stops, 0: never
}

// Schedule is how the learning rate changes with the steps of the whole training.
type Schedule struct {
	Kind   string  // Constant, Step or Cosine
	Warmup int     // steps over which the rate rises from 0
	Every  int     // Step: steps between the changes
	Gamma  float64 // Step: what the rate is multiplied by
	Min    float64 // Cosine: the last rate
	Total  int     // Cosine: steps from start to Min; by default federation.rounds × training.steps
}

// Federation is how branches' updates become one.
type Federation struct {
	Rounds          int
	Strategy        string
	Weights         string  // ByExamples, ByBatches or Uniform
	WeightMax       float64 // w_max: the weight that travels as 1
	Clip            float64 // L2 bound on a branch's update
	MinBranches     int     // fewest branches that open a round
	MaxBranches     int     // n_max: most branches in an epoch; sets every scale
	StartGrace      time.Duration
	CollectDeadline time.Duration
	PhaseDeadline   time.Duration
	Attempts        int
}

// Evaluation is how the model is judged.
type Evaluation struct {
	Final     bool    // an evaluate round after the last training round
	Holdout   float64 // share of rows kept for tests where the branch has no split file
	LossBound float64 // one example's loss counts for no more than this in metrics
}

// Outputs says who may open the model.
type Outputs struct {
	Owner []string // age recipients
}

// Aggregation is reserved: one cohort over ℤ_2^32.
type Aggregation struct {
	Cohorts int
	Ring    int
}

// Default returns a plan that holds every default and no columns. The fields
// whose defaults depend on others (data.standardise, data.target.type,
// data.text.stride, model.hidden, .channels, .depth, .embedding, .activation and
// .loss, training.epsilon, training.schedule.total, federation.weight_max) are zero
// until [Plan.Resolve].
func Default() *Plan {
	return &Plan{
		Seed: 1,
		Data: Data{
			Schema: Schema{
				Kind:      KindTable,
				Delimiter: ",",
				Missing:   []string{"", "?", "NA"},
				OnMissing: MissingError,
				Text:      Text{Unknown: UnknownError},
				Series:    Series{Horizon: 1, Stride: 1},
			},
			MaxExamples: 10000,
		},
		Model: Model{Units: 64, Heads: 4, Norm: GroupNorm, HuberDelta: 1},
		Training: Training{
			Optimizer: "sgd", LearningRate: 0.01, Batch: 32, Steps: 100,
			Beta1: 0.9, Beta2: 0.999, Alpha: 0.99,
			Schedule: Schedule{Kind: Constant, Gamma: 0.1},
		},
		Federation: Federation{
			Rounds: 10, Strategy: FedAvg, Weights: ByExamples, Clip: 10,
			MinBranches: 5, MaxBranches: 128,
			StartGrace: 10 * time.Second, CollectDeadline: 10 * time.Minute, PhaseDeadline: time.Minute,
			Attempts: 3,
		},
		Evaluation:  Evaluation{Final: true, Holdout: 0.2, LossBound: 16},
		Privacy:     "none",
		Device:      "cpu",
		Aggregation: Aggregation{Cohorts: 1, Ring: 32},
	}
}

// defaults returns every default of p, those that depend on p's other fields
// included.
func (p *Plan) defaults() *Plan {
	d := Default()
	d.Data.Standardise = Federated
	switch p.Data.Kind {
	case KindImages:
		d.Data.Target.Type = Class
	case KindSeries:
		d.Data.Target.Type = Number
	case KindText:
		d.Data.Target.Type = Next
		d.Data.Standardise = None
		d.Data.Text.Stride = max(p.Data.Text.Length, 1)
	}
	target := p.Data.Target.Type
	if target == "" {
		target = d.Data.Target.Type
	}
	if losses := lossesOf(target); len(losses) > 0 {
		d.Model.Loss = losses[0]
	}
	d.Model.familyDefaults(p.Model.Family, p.Data.Kind)
	d.Training.Epsilon = 1e-8
	if p.Training.Optimizer == nn.Adagrad {
		d.Training.Epsilon = 1e-10
	}
	if p.Training.Schedule.Kind == Cosine {
		d.Training.Schedule.Total = p.Federation.Rounds * p.Training.Steps
	}
	switch p.Federation.Weights {
	case ByExamples:
		d.Federation.WeightMax = float64(p.Data.MaxExamples)
	case ByBatches:
		d.Federation.WeightMax = math.Ceil(float64(p.Data.MaxExamples) / float64(max(p.Training.Batch, 1)))
	default:
		d.Federation.WeightMax = 1
	}
	return d
}

// Resolve fills in the defaults that depend on other fields where those hold
// zero, brings values to their one spelling and returns what [Plan.Validate]
// says. Calling it again changes nothing.
func (p *Plan) Resolve() error {
	if p.Data.Kind == "" {
		p.Data.Kind = KindTable
	}
	d := p.defaults()
	if p.Model.Hidden == nil {
		p.Model.Hidden = d.Model.Hidden
	}
	if p.Model.Channels == nil {
		p.Model.Channels = d.Model.Channels
	}
	if p.Federation.WeightMax == 0 {
		p.Federation.WeightMax = d.Federation.WeightMax
	}
	for _, f := range planFields {
		switch v := f.at(p).(type) {
		case *string:
			if f.rule.derived && *v == "" || f.key == "data.target.type" && *v == "" {
				*v = *f.at(d).(*string)
			}
		case *int:
			if f.rule.derived && *v == 0 {
				*v = *f.at(d).(*int)
			}
		case *float64:
			if f.rule.derived && *v == 0 {
				*v = *f.at(d).(*float64)
			}
			*v += 0 // −0 becomes 0
		}
	}
	for i := range p.Data.Columns {
		c := &p.Data.Columns[i]
		c.Min += 0
		c.Max += 0
		for j, v := range c.Values {
			c.Values[j] = NormalValue(v)
		}
	}
	for _, values := range [][]string{p.Data.Target.PositiveValues, p.Data.Target.EventValues} {
		for j, v := range values {
			values[j] = NormalValue(v)
		}
	}
	return p.Validate()
}

// Hash returns the digest of p's canonical bytes.
func (p *Plan) Hash() id.PlanHash {
	var h id.PlanHash
	sumInto(&h, "tacit-plan/v1", p.Canonical())
	return h
}

// sumInto exists because a hash's kind can be inferred but not named here.
func sumInto[K any](h *id.Hash[K], label string, parts ...[]byte) {
	*h = id.Sum[K](label, parts...)
}
