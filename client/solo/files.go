package solo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/plan"
	"tacit/strategy"
	"tacit/vault"
)

// Names of what a training leaves in its directory.
const (
	ModelName      = "model.sealed"
	CheckpointName = "checkpoint.sealed"
	PlanName       = "plan.yaml"
	MetricsName    = "metrics.jsonl"
	ResultName     = "result.json"
)

const (
	modelMagic      = "tacit-solo-model/1\n"
	checkpointMagic = "tacit-solo-checkpoint/1\n"

	modelUse      = "solo/model"
	checkpointUse = "solo/checkpoint"
)

// Model is a trained model, opened.
type Model struct {
	Plan   *plan.Plan
	Record *strategy.Record
	Info   Info
}

// Info says where a model comes from.
type Info struct {
	Data       string   `json:"data"`                 // the data set's name
	DataDigest string   `json:"data_digest"`          // see Digest
	Epoch      int      `json:"epoch"`                // after which the parameters were these
	Step       uint64   `json:"step"`                 // the same in steps
	Validation *float64 `json:"validation,omitempty"` // loss on the validation rows
	Rows       int      `json:"rows"`                 // training rows
}

// appendModel writes m as it is sealed.
func (m *Model) encode() ([]byte, error) {
	info, err := json.Marshal(m.Info)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder([]byte(modelMagic))
	for _, part := range [][]byte{m.Plan.Canonical(), info, m.Record.AppendBinary(nil)} {
		b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(part) })
	}
	return b.Bytes()
}

func parseModel(src []byte) (*Model, error) {
	s := cryptobyte.String(src)
	var magic []byte
	var canonical, info, record cryptobyte.String
	if !s.ReadBytes(&magic, len(modelMagic)) || string(magic) != modelMagic ||
		!read32(&s, &canonical) || !read32(&s, &info) || !read32(&s, &record) || !s.Empty() {
		return nil, errors.New("not a model of this version")
	}
	m := &Model{}
	var err error
	if m.Plan, err = plan.ParseCanonical(canonical); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(info, &m.Info); err != nil {
		return nil, err
	}
	if m.Record, err = strategy.ParseRecord(record); err != nil {
		return nil, err
	}
	return m, check(m.Plan, m.Record)
}

// check reports a record that is no model of p.
func check(p *plan.Plan, r *strategy.Record) error {
	if d := p.NumParams(); len(r.Params) != d {
		return fmt.Errorf("%d parameters, the plan's model has %d", len(r.Params), d)
	}
	if r.Standardisation != nil {
		return r.Standardisation.Validate(p.Data.StatWidth())
	}
	return nil
}

func read32(s, out *cryptobyte.String) bool {
	var n uint32
	return s.ReadUint32(&n) && s.ReadBytes((*[]byte)(out), int(n))
}

// Find returns the path of the sealed model that path means: the file itself, or
// the one in that directory.
func Find(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	path = filepath.Join(path, ModelName)
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	return path, nil
}

// ReadModel opens the model that Train left in dir, a directory or the file itself.
func ReadModel(v *vault.Vault, dir string) (*Model, error) {
	path, err := Find(dir)
	if err != nil {
		return nil, err
	}
	b, err := v.ReadSealed(path, modelUse)
	if err != nil {
		return nil, err
	}
	m, err := parseModel(b)
	if err != nil {
		return nil, &vault.DamagedError{Path: path, What: err.Error()}
	}
	return m, nil
}

// checkpoint is a training between two steps.
type checkpoint struct {
	plan  id.PlanHash
	data  id.Digest
	where where
	now   *strategy.Record
	state []byte           // nn's
	best  *strategy.Record // nil: none yet
}

// where is how far a training has come. Sums are of the epoch in progress.
type where struct {
	Step      uint64  `json:"step"`
	Epoch     int     `json:"epoch"` // epochs that are over
	Examples  int64   `json:"examples"`
	LossSum   float64 `json:"loss_sum"`
	Weight    float64 `json:"weight"`
	Correct   int64   `json:"correct"`
	Seconds   float64 `json:"seconds"` // of all processes together
	Best      Info    `json:"best"`
	BestEpoch int     `json:"best_epoch"` // 0: none
	History   []Epoch `json:"history"`
}

func (c *checkpoint) encode() ([]byte, error) {
	at, err := json.Marshal(c.where)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder([]byte(checkpointMagic))
	b.AddBytes(c.plan[:])
	b.AddBytes(c.data[:])
	var best []byte
	if c.best != nil {
		best = c.best.AppendBinary(nil)
	}
	for _, part := range [][]byte{at, c.now.AppendBinary(nil), c.state, best} {
		b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(part) })
	}
	return b.Bytes()
}

func parseCheckpoint(src []byte) (*checkpoint, error) {
	s := cryptobyte.String(src)
	c := &checkpoint{}
	var magic []byte
	var at, now, state, best cryptobyte.String
	if !s.ReadBytes(&magic, len(checkpointMagic)) || string(magic) != checkpointMagic ||
		!s.CopyBytes(c.plan[:]) || !s.CopyBytes(c.data[:]) ||
		!read32(&s, &at) || !read32(&s, &now) || !read32(&s, &state) || !read32(&s, &best) || !s.Empty() {
		return nil, errors.New("not a checkpoint of this version")
	}
	if err := json.Unmarshal(at, &c.where); err != nil {
		return nil, err
	}
	var err error
	if c.now, err = strategy.ParseRecord(now); err != nil {
		return nil, err
	}
	c.state = state
	if len(best) > 0 {
		if c.best, err = strategy.ParseRecord(best); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// readCheckpoint returns the checkpoint in dir, or nil where there is none.
func readCheckpoint(v *vault.Vault, dir string) (*checkpoint, error) {
	path := filepath.Join(dir, CheckpointName)
	b, err := v.ReadSealed(path, checkpointUse)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := parseCheckpoint(b)
	if err != nil {
		return nil, &vault.DamagedError{Path: path, What: err.Error()}
	}
	return c, nil
}
