package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"tacit/client"
	"tacit/client/solo"
	"tacit/dataset"
	"tacit/nn"
	"tacit/nn/safetensors"
	"tacit/plan"
	"tacit/vault"
)

// trainedFile is a model and the examples that it is asked about.
type trainedFile struct {
	Model string `arg:"" type:"path" help:"Directory of tacit model train, or a file that tacit model export wrote."`
	atBranch
	Data     string `help:"The data set's name in the agent's file; by default the one that the model was trained on, or the only one."`
	Identity string `type:"path" help:"Of an exported file: the age identity that opens it, such as owner-key.txt."`
	Plan     string `type:"path" help:"Of an exported file: the plan that it was trained with."`
}

// trained is a model, opened.
type trained struct {
	*openedModel
	plan *plan.Plan
	name string // of the data set that it was trained on; may be empty
	prog *nn.Program
}

// open opens the model with the branch's vault, or with the identity of an export.
func (x *trainedFile) open(c *console, cfg *client.Config) (*trained, error) {
	m := &trained{}
	switch {
	case x.Identity != "" && x.Plan == "":
		return nil, misused("--plan PLAN.yaml is the plan as it was submitted", "an exported model needs --plan")
	case x.Identity == "" && x.Plan != "":
		return nil, misused("--identity owner-key.txt opens an exported model; a directory of model train has its plan inside", "--plan without --identity")
	case x.Identity != "":
		payload, err := openExport(x.Model, x.Identity)
		if err != nil {
			return nil, err
		}
		if m.plan, err = (&planFile{File: x.Plan}).load(); err != nil {
			return nil, err
		}
		if m.openedModel, err = openModel(m.plan, payload); err != nil {
			return nil, misconfigured("--plan is to be the plan as it was submitted", "%s: %w", x.Model, err)
		}
		if _, about, err := safetensors.Parse(payload); err == nil && about["plan"] != m.plan.Hash().String() {
			fmt.Fprintf(c.err, "note: the model was trained with plan %.16s, %s is plan %.16s: features are computed as the latter says\n", about["plan"], x.Plan, m.plan.Hash())
		}
	default:
		v, err := client.OpenVault(cfg.State)
		if err != nil {
			return nil, err
		}
		defer v.Close()
		sealed, err := solo.ReadModel(v, x.Model)
		if errors.Is(err, vault.ErrSealed) {
			return nil, misconfigured("--config is to be the agent that trained it; an exported file needs --identity and --plan", "%w", err)
		}
		if err != nil {
			return nil, err
		}
		m.plan, m.name = sealed.Plan, sealed.Info.Data
		m.openedModel = &openedModel{params: sealed.Record.Params, std: sealed.Record.Standardisation}
	}
	var err error
	m.prog, err = nn.Compile(m.plan.Spec(), nn.Options{Batch: m.plan.Training.Batch, Device: m.plan.Device, Seed: m.plan.Seed})
	if err != nil {
		return nil, err
	}
	return m, m.prog.Load(m.params)
}

func openExport(path, identity string) ([]byte, error) {
	key, err := os.ReadFile(identity)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	payload, err := vault.OpenExport(bytes.NewReader(file), key)
	if err != nil {
		return nil, misconfigured("the file is to be one that tacit model export wrote for this identity", "%s: %w", path, err)
	}
	return payload, nil
}

// Parts of a data set.
const (
	partTest  = "test"
	partTrain = "train"
	partAll   = "all"
)

// ask opens the model and loads the part of the data set that it is asked about.
func (x *trainedFile) ask(ctx context.Context, c *console, part string) (*trained, *dataset.Examples, *dataset.Data, error) {
	cfg, err := x.load()
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := x.open(c, cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	examples, data, err := x.examples(ctx, cfg, m, part)
	return m, examples, data, err
}

// examples loads a part of the data set, standardised as the model's rows were.
func (x *trainedFile) examples(ctx context.Context, cfg *client.Config, m *trained, part string) (*dataset.Examples, *dataset.Data, error) {
	name := x.Data
	if _, known := cfg.Data[m.name]; name == "" && known {
		name = m.name
	}
	source, err := findSource(cfg, m.plan, name)
	if err != nil {
		return nil, nil, err
	}
	p := *m.plan
	if part == partAll {
		p.Evaluation.Holdout, source.Split = 0, ""
	}
	data, err := dataset.LoadContext(ctx, &p, source)
	if err != nil {
		return nil, nil, err
	}
	table, err := partOf(data, part)
	if err == nil && table.Len() == 0 {
		err = misconfigured("--on all takes every example", "the data set %s has no %s examples", source.Name, part)
	}
	std := m.std
	if err == nil && std == nil && p.Data.Standardise == plan.SiteWise {
		std, err = data.Train.Standardisation()
	}
	var examples *dataset.Examples
	if err == nil {
		examples, err = table.Examples(std)
	}
	if err != nil {
		data.Close()
		return nil, nil, err
	}
	return examples, data, nil
}

func partOf(data *dataset.Data, part string) (*dataset.Table, error) {
	switch {
	case part == partTrain:
		return data.Train, nil
	case part == partTest:
		return data.Test, nil
	case data.Test.Len() == 0:
		return data.Train, nil
	}
	return dataset.Concat(data.Train, data.Test)
}

// metricTable prints a loss and metrics. Those of one class stand below, and only
// where they are asked for.
func metricTable(w io.Writer, p *plan.Plan, loss *float64, metrics []solo.Metric, classes bool) {
	var rows [][]string
	if loss != nil {
		rows = append(rows, []string{"  loss (" + p.Model.Loss + ")", number(*loss)})
	}
	of, examples := "examples", 0.0
	if p.Data.Kind == plan.KindText {
		of = "characters"
	}
	for _, m := range metrics {
		examples = max(examples, m.Weight)
		if m.Name == "log_loss" || m.Name == "mse" || m.Name == "accuracy" {
			examples = m.Weight
			break
		}
	}
	for _, m := range metrics {
		if m.OfClass() && !classes || m.Value == 0 && (m.Name == "clamped" || m.Name == "unusable") {
			continue
		}
		value := number(m.Value)
		if m.Error > 0 {
			value += " ± " + number(m.Error)
		}
		weight := ""
		if m.Weight == examples {
			weight = fmt.Sprintf("over %.0f %s", m.Weight, of)
		} else if m.Weight > 0 {
			weight = fmt.Sprintf("over %.0f", m.Weight)
		}
		if name, class, ok := strings.Cut(m.Name, "."); ok && m.OfClass() {
			k, _ := strconv.Atoi(class)
			if all := p.Data.Classes(); k < len(all) {
				m.Name, weight = name+" of "+all[k], fmt.Sprintf("over %.0f", m.Weight)
			}
		}
		rows = append(rows, []string{"  " + m.Name, value, weight})
	}
	table(w, rows...)
}
