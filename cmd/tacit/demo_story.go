package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"tacit/client"
	"tacit/dataset"
	"tacit/id"
	"tacit/internal/durable"
	"tacit/plan"
	"tacit/server"
	heartdisease "tacit/testdata/heart-disease"
	"tacit/vault"
	"tacit/wire/wsconn"
)

// The demo's two kills of branches and one of the server, all in its first run.
// Reports are counted from round 0: four a round, but for the killed branch's.
const (
	killBefore      = "hungarian" // dies in round 3, before its report
	killBeforeRound = 3
	killAfter       = "va" // dies in round 6, after its report
	killAfterRound  = 6
	killServerRound = 9 // after two of its reports were acknowledged
)

var crashes = map[string]string{
	killBefore: fmt.Sprintf("agent.round.prepare:%d", killBeforeRound+1),
	killAfter:  fmt.Sprintf("agent.report.acked:%d", killAfterRound+1),
	"server":   fmt.Sprintf("server.report.acked:%d", 4*killServerRound-1+2),
}

// story is one demo: a federation, two runs, and the files they leave.
type story struct {
	c    *console
	ctx  context.Context
	dir  string
	seed uint64
	home *household

	config   string // server.yaml
	adminKey string
	owner    *vault.Owner
	control  server.Control
	status   server.Status

	seen    map[string]bool // events printed; a restarted server tells earlier ones again
	metrics []metricsLine
	result  demoResult

	restartedIn []uint64 // rounds in which the server came back
}

func (s *story) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// transient is what the demo shreds unless it is told to keep it.
func (s *story) transient() []string {
	return []string{s.path("server"), s.path("branches"), s.adminKey}
}

// phase prints the heading of a part of the story.
func (s *story) phase(name, format string, args ...any) {
	s.c.say("%s %s", s.c.paint(bold, fmt.Sprintf("%-12s", name)), fmt.Sprintf(format, args...))
}

func (s *story) play() error {
	s.phase("tacit", "four hospitals learn to recognise heart disease; no row leaves its hospital")
	if err := s.found(); err != nil {
		return err
	}
	for _, site := range heartdisease.Sites() {
		if err := s.admit(site); err != nil {
			return fmt.Errorf("%s: %w", site.Name, err)
		}
	}
	plans := make([]*plan.Plan, 0, 2)
	for _, name := range []string{"heart-logreg", "heart-mlp"} {
		p, err := plan.Parse(heartdisease.Plan(name), name+".yaml")
		if err != nil {
			return err
		}
		p.Seed, p.Outputs.Owner = s.seed, []string{s.owner.Recipient()}
		if err := p.Resolve(); err != nil {
			return err
		}
		plans = append(plans, p)
	}
	models := make([]*openedModel, len(plans))
	for i, p := range plans {
		m, err := s.learn(i+1, len(plans), p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		models[i] = m
	}
	if err := s.compare(plans, models); err != nil {
		return err
	}
	return s.conclude()
}

// found makes the federation and starts its server.
func (s *story) found() error {
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	s.adminKey = s.path("admin-key.txt")
	made, err := server.Init(server.InitOptions{
		Dir: s.path("server"), Listen: listen, URL: "wss://" + listen + wsconn.Path, AdminKeyFile: s.adminKey,
		Rules: server.Rules{Name: "heart-demo", MinCohort: 4, MinRelease: 3, AllowSmall: true, Families: []string{"logreg", "mlp"}},
	})
	if err != nil {
		return err
	}
	s.config = made.Config
	if s.owner, err = vault.GenerateOwner(); err != nil {
		return err
	}
	if err := durable.WriteFile(s.path("owner-key.txt"), s.owner.IdentityFile(), 0o600); err != nil {
		return err
	}
	c := &child{name: "server", log: s.path("server", "server.log"),
		args: []string{"server", "run", "--config", s.config, "--until-input-ends", "--output", "jsonl"}}
	c.died = func(*child) {
		s.c.say("  %-10s %s", "server", s.c.paint(alarm, fmt.Sprintf("killed in round %d, after two reports were acknowledged; started again", killServerRound)))
	}
	if err := s.home.start(c, crashes["server"]); err != nil {
		return err
	}
	if s.control, err = s.reach(); err != nil {
		return err
	}
	if s.status, err = s.control.Status(s.ctx); err != nil {
		return err
	}
	s.phase("federation", "%s · charter %s · server process %d on %s", s.status.Name, s.status.Charter.Short(), s.status.PID, s.status.URL)
	s.phase("", "%s", s.c.paint(alarm, "a small cohort: 4 branches (n_min 4, U_min 3). A sum over so few hides less; a charter asks for 5 or more by default"))
	return nil
}

// freeAddress is a loopback address on which nothing listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// reach waits until the server answers.
func (s *story) reach() (server.Control, error) {
	cfg := &atServer{Config: s.config}
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		var ctl server.Control
		if ctl, err = cfg.control(); err == nil {
			if _, err = ctl.Status(s.ctx); err == nil {
				return ctl, nil
			}
		}
		select {
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, err
}

// admit gives a hospital its directory, has its agent join, approves it and starts
// it for good.
func (s *story) admit(site heartdisease.Site) error {
	dir := s.path("branches", site.Name)
	if err := durable.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return err
	}
	cfg := &client.Config{
		Site: site.Name, State: "state",
		Data:   map[string]dataset.Source{"rows": {Path: "data/" + site.File, Split: "data/split.csv", Center: site.Name}},
		Policy: client.Policy{Allow: []string{plan.LogReg, plan.MLP}, MinBranches: 4},
	}
	config := filepath.Join(dir, "agent.yaml")
	for path, data := range map[string][]byte{
		filepath.Join(dir, "data", site.File):   heartdisease.Rows(site.Name),
		filepath.Join(dir, "data", "split.csv"): heartdisease.Split(site.Name),
		config:                                  []byte(cfg.YAML()),
	} {
		if err := durable.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	fingerprint, err := s.join(site.Name, config)
	if err != nil {
		return err
	}
	c := &child{name: site.Name, log: filepath.Join(dir, "agent.log"),
		args: []string{"agent", "run", "--config", config, "--until-input-ends", "--output", "jsonl"}}
	c.died = func(*child) {
		what := fmt.Sprintf("killed in round %d, before its report; started again", killBeforeRound)
		if site.Name == killAfter {
			what = fmt.Sprintf("killed in round %d, after its report: its vector counts, the other three release; started again", killAfterRound)
		}
		s.c.say("  %-10s %s", site.Name, s.c.paint(alarm, what))
	}
	if err := s.home.start(c, crashes[site.Name]); err != nil {
		return err
	}
	data, err := dataset.Load(mustPlan("heart-logreg"), dataset.Source{
		Path: filepath.Join(dir, "data", site.File), Split: filepath.Join(dir, "data", "split.csv"), Center: site.Name})
	if err != nil {
		return err
	}
	s.phase(site.Name, "joined and approved · %s · process %d · %d training and %d test rows, its own", fingerprint, c.pid(), data.Train.Len(), data.Test.Len())
	return nil
}

// mustPlan is one of the shipped plans.
func mustPlan(name string) *plan.Plan {
	p, err := plan.Parse(heartdisease.Plan(name), name+".yaml")
	if err != nil {
		panic(err)
	}
	return p
}

// join runs `tacit agent join`, compares the fingerprint that it reads out with the
// one that the server shows, and approves.
func (s *story) join(site, config string) (fingerprint string, err error) {
	invitation, err := s.control.Invite(s.ctx, site, site, time.Hour)
	if err != nil {
		return "", err
	}
	cmd := s.home.command("", "agent", "join", "-", "--wait", "--config", config, "--output", "jsonl")
	cmd.Stdin = strings.NewReader(invitation + "\n")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	defer cmd.Process.Kill() // it has ended, unless something failed
	stop := context.AfterFunc(s.ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	var said agentJoinData
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			return "", err
		}
		if said.State == "pending" {
			admin, err := server.ReadAdministrator(s.adminKey)
			if err != nil {
				return "", err
			}
			if err := admin.Approve(s.ctx, s.control, site, said.Fingerprint); err != nil {
				return "", err
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		return "", errors.Join(s.ctx.Err(), fmt.Errorf("agent join: %w: %s", err, strings.TrimSpace(complaints.String())))
	}
	if said.State != "member" {
		return "", errors.New("agent join ended without membership")
	}
	return said.Fingerprint, nil
}

// learn submits a plan, follows the run and opens the model that it exports.
func (s *story) learn(n, of int, p *plan.Plan) (*openedModel, error) {
	s.phase(fmt.Sprintf("run %d of %d", n, of), "%s · %s, %d parameters · FedAvg, %d rounds of %d steps on batches of %d · output privacy: %s",
		p.Name, modelNames[p.Model.Family], p.NumParams(), p.Federation.Rounds, p.Training.Steps, p.Training.Batch, p.Privacy)
	run, err := s.control.Submit(s.ctx, p.Canonical())
	if err != nil {
		return nil, err
	}
	last, err := s.follow(p, run)
	if err != nil {
		return nil, err
	}
	file, err := s.control.Export(s.ctx, run, nil)
	if err != nil {
		return nil, err
	}
	name := s.path(p.Name + ".safetensors.age")
	if err := durable.WriteFile(name, file, 0o600); err != nil {
		return nil, err
	}
	payload, err := vault.OpenExport(bytes.NewReader(file), s.owner.IdentityFile())
	if err != nil {
		return nil, err
	}
	s.result.Runs = append(s.result.Runs, demoRun{Name: p.Name, Run: run.String(), Plan: p.Hash().String(), Model: last.Model, Accuracy: last.Accuracy, Loss: last.Loss, File: name,
		examples: last.Examples})
	return openModel(p, payload)
}

var modelNames = map[string]string{plan.LogReg: "logistic regression", plan.MLP: "small neural network", plan.Linear: "linear model"}

// follow prints a run's events, across restarts of the server, and returns the
// committed evaluate round.
func (s *story) follow(p *plan.Plan, run id.RunID) (last server.Event, err error) {
	committed := map[uint64]bool{}
	var end server.Event
	note := func(ev server.Event) error {
		key := fmt.Sprint(ev.Run, ev.Kind, ev.Round, ev.R, ev.Site, ev.Code, strings.Join(ev.Dropped, " "))
		if s.seen[key] {
			return nil
		}
		s.seen[key] = true
		switch ev.Kind {
		case "committed":
			committed[ev.Round] = true
			s.result.Rounds++
			if len(ev.Dropped) > 0 {
				s.result.DroppedRecovered++
			}
			s.metrics = append(s.metrics, metricsOf(p, ev))
			last = ev
		case "plan-refused":
			return fmt.Errorf("%s refuses the plan: %s", ev.Site, ev.Code)
		case "restarted":
			s.restartedIn = append(s.restartedIn, ev.Round)
		case "done", "stopped":
			end = ev
		}
		if line := eventLine(s.c, ev); line != "" || s.c.Output == "jsonl" {
			return s.c.stream(ev, line)
		}
		return nil
	}
	for end.Kind == "" {
		err := s.control.Watch(s.ctx, run, note)
		var idle *server.NotRunningError
		switch {
		case errors.As(err, &idle): // killed: it is started again
			if s.control, err = s.reach(); err != nil {
				return last, err
			}
		case err != nil:
			return last, err
		}
	}
	if end.Kind == "stopped" {
		return last, fmt.Errorf("the run stopped: %s", end.Text)
	}
	for round := p.FirstRound(); round <= p.LastRound(); round++ {
		if !committed[round] {
			return last, fmt.Errorf("round %d was not committed", round)
		}
	}
	if last.Round != p.LastRound() {
		return last, fmt.Errorf("the last committed round is %d, not %d", last.Round, p.LastRound())
	}
	last.Model = end.Model
	return last, nil
}
