package plan

import (
	"math"
	"time"

	"tacit/id"
)

// Revision is the newest revision of plan/v1 whose fields this package reads.
const Revision = 1

// Format is the value of a plan's first key.
const Format = "plan/v1"

// Limits that bound memory before anything is allocated for a plan.
const (
	MaxBytes    = 1 << 20 // of YAML, and of canonical bytes
	MaxColumns  = 4096
	MaxValues   = 1024  // of one categorical column
	MaxFeatures = 65536 // after one-hot expansion
	MaxLayers   = 64
	MaxOwners   = 16
	MaxBranches = 128 // one cohort's complete mask graph holds no more
)

// Values of Data.Standardise.
const (
	Federated = "federated" // round 0 sums statistics under masks; all sites use the result
	SiteWise  = "site"      // each site by its own training rows
	None      = "none"      // features stay (x−min)/(max−min)
)

// Values of Schema.OnMissing.
const (
	MissingError   = "error"
	MissingDropRow = "drop_row"
)

// Values of Column.Type and Target.Type.
const (
	Numeric     = "numeric"
	Categorical = "categorical"

	Binary = "binary" // labels 0 and 1
	Class  = "class"  // labels 0 … len(Classes)−1
	Number = "number" // target (y−min)/(max−min)
)

// Values of Model.Family.
const (
	LogReg = "logreg" // one dense layer; binary or class target
	MLP    = "mlp"    // hidden layers, any target
	Linear = "linear" // one dense layer, number target
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
	MaxExamples int    // most examples a branch may hold; bounds every statistic and count
	Standardise string // Federated, SiteWise or None
}

// Schema describes a table of text cells.
type Schema struct {
	Header    bool   // the file's first record names the columns
	Delimiter string // one character
	Missing   []string
	OnMissing string // MissingError or MissingDropRow
	Columns   []Column
	Target    Target
}

// Column is one column of the file, in file order where there is no header.
type Column struct {
	Name      string
	Type      string   // Numeric or Categorical; "" when Unused
	Min, Max  float64  // Numeric: the range of legal values, Min < Max
	Values    []string // Categorical: the legal values; numbers are compared as numbers
	DropFirst bool     // Categorical: the first value gets no feature of its own
	Unused    bool     // never read (in YAML: use: false)
}

// Target says which column is learned.
type Target struct {
	Column         string
	Type           string   // Binary, Class or Number
	Positive       string   // Binary over a numeric column: a rule such as "> 0"
	PositiveValues []string // Binary over a categorical column
}

// Model names the network.
type Model struct {
	Family     string // LogReg, MLP or Linear
	Hidden     []int  // MLP: units of each hidden layer
	Activation string // MLP: relu, tanh or sigmoid
	Loss       string // by default what the target asks for
}

// Training is what a branch does in one round.
type Training struct {
	Optimizer    string // sgd or adam; its state starts new in every round
	LearningRate float64
	Momentum     float64 // sgd only
	Batch        int     // examples per step
	Steps        int     // steps per round, cycling through the rows
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
// whose defaults depend on others (model.loss, federation.weight_max) are zero
// until [Plan.Resolve].
func Default() *Plan {
	return &Plan{
		Seed: 1,
		Data: Data{
			Schema: Schema{
				Delimiter: ",",
				Missing:   []string{"", "?", "NA"},
				OnMissing: MissingError,
			},
			MaxExamples: 10000,
			Standardise: Federated,
		},
		Model:    Model{Activation: "relu"},
		Training: Training{Optimizer: "sgd", LearningRate: 0.01, Batch: 32, Steps: 100},
		Federation: Federation{
			Rounds: 10, Strategy: FedAvg, Weights: ByExamples, Clip: 10,
			MinBranches: 5, MaxBranches: MaxBranches,
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
	switch p.Data.Target.Type {
	case Binary:
		d.Model.Loss = "binary_cross_entropy"
	case Class:
		d.Model.Loss = "cross_entropy"
	case Number:
		d.Model.Loss = "mse"
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
	d := p.defaults()
	if p.Model.Loss == "" {
		p.Model.Loss = d.Model.Loss
	}
	if p.Federation.WeightMax == 0 {
		p.Federation.WeightMax = d.Federation.WeightMax
	}
	for _, f := range planFields {
		if v, ok := f.at(p).(*float64); ok {
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
	for j, v := range p.Data.Target.PositiveValues {
		p.Data.Target.PositiveValues[j] = NormalValue(v)
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
