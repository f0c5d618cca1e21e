package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"tacit/audit"
	"tacit/internal/durable"
	"tacit/plan"
	"tacit/server"
	heartdisease "tacit/testdata/heart-disease"
	"tacit/wire"
)

// demoResult is result.json and the envelope's data.
type demoResult struct {
	Rounds           int                          `json:"rounds"` // committed, in both runs
	Branches         int                          `json:"branches"`
	DroppedRecovered int                          `json:"dropped_recovered"` // committed rounds with a member outside the set
	ServerRestarts   int                          `json:"server_restarts"`
	AgentRestarts    map[string]int               `json:"agent_restarts"`
	Accuracy         demoAccuracy                 `json:"accuracy"`
	Models           map[string]string            `json:"models"` // final model's hash by plan
	BytesOut         map[string]map[string]uint64 `json:"bytes_out"`
	Runs             []demoRun                    `json:"runs"`
	Files            demoFiles                    `json:"files"`
	LogKey           string                       `json:"log_key"`
	Verify           string                       `json:"verify"`
	OutputPrivacy    string                       `json:"output_privacy"`
	Seed             uint64                       `json:"seed"`
	Seconds          float64                      `json:"seconds"`
}

// demoAccuracy is every model's accuracy on all hospitals' test rows.
type demoAccuracy struct {
	Federated    float64            `json:"federated"`
	FederatedMLP float64            `json:"federated_mlp"`
	Pooled       float64            `json:"pooled"`
	Alone        map[string]float64 `json:"alone"`
}

type demoRun struct {
	Name     string  `json:"name"`
	Run      string  `json:"run"`
	Plan     string  `json:"plan"`
	Model    string  `json:"model"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
	File     string  `json:"file"`

	examples uint64
}

type demoFiles struct {
	Model    string `json:"model"`
	ModelMLP string `json:"model_mlp"`
	OwnerKey string `json:"owner_key"`
	Metrics  string `json:"metrics"`
	Report   string `json:"report"`
	Evidence string `json:"evidence"`
	Result   string `json:"result"`
}

// metricsLine is one line of metrics.jsonl.
type metricsLine struct {
	Time     time.Time `json:"time"`
	Run      string    `json:"run"`
	Plan     string    `json:"plan"`
	Round    uint64    `json:"round"`
	R        uint64    `json:"r"`
	Task     string    `json:"task"`
	Members  int       `json:"members"`
	Reported int       `json:"reported"`
	Dropped  []string  `json:"dropped,omitempty"`
	Examples uint64    `json:"examples,omitempty"`
	Loss     *float64  `json:"loss,omitempty"`
	Accuracy *float64  `json:"accuracy,omitempty"`
}

func metricsOf(p *plan.Plan, ev server.Event) metricsLine {
	m := metricsLine{Time: ev.Time, Run: ev.Run.String(), Plan: p.Name, Round: ev.Round, R: ev.R, Task: ev.Task,
		Members: ev.Members, Reported: ev.Reported, Dropped: ev.Dropped, Examples: ev.Examples}
	if ev.Task != plan.Statistics.String() {
		m.Loss, m.Accuracy = &ev.Loss, &ev.Accuracy
	}
	return m
}

// compare scores the exported models, pooled training and each hospital alone on
// all test rows, and holds the federation's own numbers against them.
func (s *story) compare(plans []*plan.Plan, models []*openedModel) error {
	r := &s.result
	r.Models, r.Accuracy.Alone = map[string]string{}, map[string]float64{}
	p := plans[0]
	data, err := hospitals(p)
	if err != nil {
		return err
	}
	train, test, err := pool(data)
	if err != nil {
		return err
	}
	for i, m := range models {
		got, err := score(plans[i], m.params, test, m.std)
		if err != nil {
			return err
		}
		run := r.Runs[i]
		claimed := int64(math.Round(run.Accuracy * float64(run.examples)))
		if got.Examples != int64(run.examples) || got.Correct != claimed {
			return fmt.Errorf("%s: the federation counted %d of %d test rows right, the exported model gets %d of %d",
				run.Name, claimed, run.examples, got.Correct, got.Examples)
		}
		r.Models[run.Name] = run.Model
	}
	r.Accuracy.Federated, r.Accuracy.FederatedMLP = r.Runs[0].Accuracy, r.Runs[1].Accuracy
	params, err := trainAlone(p, train, models[0].std)
	if err != nil {
		return err
	}
	pooled, err := score(p, params, test, models[0].std)
	if err != nil {
		return err
	}
	r.Accuracy.Pooled = pooled.Accuracy()
	for name, d := range data {
		own, err := d.Train.Standardisation()
		if err != nil {
			return err
		}
		if params, err = trainAlone(p, d.Train, own); err != nil {
			return err
		}
		m, err := score(p, params, test, own)
		if err != nil {
			return err
		}
		r.Accuracy.Alone[name] = m.Accuracy()
	}
	return nil
}

// checkKills holds the story to what it announced: who was missing where, whose
// vector counted, and where the server came back.
func (s *story) checkKills() error {
	if n := s.result.DroppedRecovered; n != 1 {
		return fmt.Errorf("%d committed rounds lack a branch; one was expected", n)
	}
	if len(s.restartedIn) != 1 || s.restartedIn[0] != killServerRound {
		return fmt.Errorf("the server came back in rounds %v, not in round %d", s.restartedIn, killServerRound)
	}
	for _, m := range s.metrics {
		if m.Plan != s.result.Runs[0].Name {
			continue
		}
		switch missing := slices.Equal(m.Dropped, []string{killBefore}); {
		case m.Round == killBeforeRound && !missing:
			return fmt.Errorf("round %d lacks %v, not %s", m.Round, m.Dropped, killBefore)
		case m.Round == killAfterRound && (m.Reported != m.Members || len(m.Dropped) > 0):
			return fmt.Errorf("round %d counts %d of %d vectors, that of %s not among them", m.Round, m.Reported, m.Members, killAfter)
		}
	}
	return nil
}

// conclude takes the evidence, verifies it as an outsider would, writes the files,
// and checks that everything that was announced has happened.
func (s *story) conclude() error {
	r := &s.result
	r.Branches, r.LogKey, r.OutputPrivacy, r.Seed = len(heartdisease.Sites()), s.status.LogKey, "none", s.seed
	r.Files = demoFiles{
		Model: s.path("heart-logreg.safetensors.age"), ModelMLP: s.path("heart-mlp.safetensors.age"), OwnerKey: s.path("owner-key.txt"),
		Metrics: s.path("metrics.jsonl"), Report: s.path("report.html"), Evidence: s.path("evidence.zip"), Result: s.path("result.json"),
	}
	r.AgentRestarts = map[string]int{}
	for _, c := range s.home.child {
		c.mu.Lock()
		restarts := c.restarts
		c.mu.Unlock()
		want := 0
		if crashes[c.name] != "" {
			want = 1
		}
		if restarts != want {
			return fmt.Errorf("%s was killed %d times, not %d", c.name, restarts, want)
		}
		if c.name == "server" {
			r.ServerRestarts = restarts
		} else if restarts > 0 {
			r.AgentRestarts[c.name] = restarts
		}
	}
	if err := s.checkKills(); err != nil {
		return err
	}
	sites, err := s.control.Traffic(s.ctx)
	if err != nil {
		return err
	}
	r.BytesOut = map[string]map[string]uint64{}
	for _, site := range sites {
		var sum uint64
		for _, n := range site.Classes {
			sum += n
		}
		if sum != site.Total || site.Classes[wire.ClassRows.String()] != 0 || site.Classes[wire.ClassPlaintextUpdates.String()] != 0 {
			return fmt.Errorf("bytes of %s do not add up: %v, %d in all", site.Site, site.Classes, site.Total)
		}
		r.BytesOut[site.Site] = site.Classes
	}
	if len(r.BytesOut) != r.Branches {
		return fmt.Errorf("bytes of %d branches were counted, not %d", len(r.BytesOut), r.Branches)
	}
	archive, err := s.control.Evidence(s.ctx)
	if err != nil {
		return err
	}
	if err := writeEvidence(r.Files.Evidence, r.Files.Report, archive); err != nil {
		return err
	}
	verified, err := audit.Verify(archive, server.VerifyOptions(r.LogKey))
	if err != nil {
		return err
	}
	if verified.LogKeyState != "pinned" || verified.Rounds != r.Rounds || verified.Runs != len(r.Runs) {
		return errors.New("the evidence tells of other runs and rounds than the demo saw")
	}
	r.Verify = verifyLine(r.Files.Evidence, r.LogKey)
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, m := range s.metrics {
		if err := enc.Encode(m); err != nil {
			return err
		}
	}
	return durable.WriteFile(r.Files.Metrics, lines.Bytes(), 0o644)
}

func (s *story) writeResult() error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s.result); err != nil {
		return err
	}
	return durable.WriteFile(s.result.Files.Result, out.Bytes(), 0o644)
}

// epilogue is what a person reads at the end.
func (s *story) epilogue(w io.Writer, kept bool) {
	r, c := &s.result, s.c
	head := func(text string) { fmt.Fprintf(w, "\n%s\n", c.paint(bold, text)) }
	head("accuracy on all 254 test rows")
	rows := [][]string{
		{"  federated", "logistic regression", fmt.Sprintf("%.3f", r.Accuracy.Federated)},
		{"  federated", "small neural network", fmt.Sprintf("%.3f", r.Accuracy.FederatedMLP)},
		{"  pooled", "logistic regression", fmt.Sprintf("%.3f", r.Accuracy.Pooled), "all rows in one place: for this demo only"},
	}
	for _, site := range heartdisease.Sites() {
		rows = append(rows, []string{"  " + site.Name, "alone", fmt.Sprintf("%.3f", r.Accuracy.Alone[site.Name]), site.Hospital})
	}
	table(w, rows...)
	head("what left each branch: rows 0, plaintext updates 0")
	rows = [][]string{{"  ", "rows", "plaintext updates", "masked updates", "keys and shares", "control"}}
	for _, site := range heartdisease.Sites() {
		row := []string{"  " + site.Name}
		for _, class := range wire.Classes() {
			row = append(row, humanize.Comma(int64(r.BytesOut[site.Name][class.String()])))
		}
		rows = append(rows, row)
	}
	table(w, rows...)
	head("files in " + relative(s.dir))
	table(w,
		[]string{"  " + filepath.Base(r.Files.Model), "logistic regression, for the owner's key only"},
		[]string{"  " + filepath.Base(r.Files.ModelMLP), "small neural network, for the owner's key only"},
		[]string{"  owner-key.txt", "the owner's key; it belongs elsewhere: here this demo plays every part"},
		[]string{"  report.html", "what happened, for people"},
		[]string{"  evidence.zip", "what happened, for verifiers"},
		[]string{"  metrics.jsonl, result.json", "what happened, for programs"})
	if kept {
		fmt.Fprintln(w, "  server/, branches/ and admin-key.txt were kept")
	}
	head("verify")
	fmt.Fprintf(w, "  %s\n\n", r.Verify)
	fmt.Fprintf(w, "%s in %.1f s · %d rounds committed · one branch's seeds recovered · server restarted once · output privacy: none\n",
		c.paint(good, "done"), r.Seconds, r.Rounds)
}
