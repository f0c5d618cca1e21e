package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tacit/client"
	"tacit/dataset"
	"tacit/internal/memnet"
	"tacit/plan"
	"tacit/server"
	"tacit/vault"
	"tacit/wire"
)

// simulation is a federation in this process: the server, the agents and the whole
// protocol between them, over connections and stores in memory.
type simulation struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	plan   *plan.Plan
	sites  []string
	source *source
	server *server.Server
	owner  *vault.Owner
	tasks  sync.WaitGroup

	mu   sync.Mutex // guards data
	data map[uint64]map[string]*dataset.Data
}

// simulated is a run of a simulation and the model that its owner opened.
type simulated struct {
	simulatedRun
	plan  *plan.Plan
	model *openedModel
}

func newSimulation(ctx context.Context, p *plan.Plan, sites []string, src *source, c *console) (*simulation, error) {
	owner, err := vault.GenerateOwner()
	if err != nil {
		return nil, err
	}
	log := c.logger(slog.LevelError)
	if c.LogLevel == "warn" {
		log = nil
	}
	srv, admin, err := server.NewMemory(server.Rules{
		Name: "simulation", MinCohort: uint32(min(5, len(sites))), AllowSmall: len(sites) < 5,
	}, server.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &simulation{ctx: ctx, cancel: cancel, plan: p, sites: sites, source: src, server: srv, owner: owner, data: map[uint64]map[string]*dataset.Data{}}
	s.task(func() error { return srv.Serve(ctx) })
	for _, site := range sites {
		if err := s.admit(site, func(fingerprint string) error {
			return admin.Approve(ctx, srv, site, fingerprint)
		}, log); err != nil {
			s.close()
			return nil, fmt.Errorf("%s: %w", site, err)
		}
	}
	return s, nil
}

// task runs f until the simulation ends; an early error ends it.
func (s *simulation) task(f func() error) {
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		if err := f(); err != nil && s.ctx.Err() == nil {
			s.cancel(err)
		}
	}()
}

// dial opens a connection to the server of this process.
func (s *simulation) dial(context.Context) (wire.FrameConn, error) {
	near, far := memnet.Pair()
	s.task(func() error { _ = s.server.ServeConn(s.ctx, far); return nil })
	return near, nil
}

func (s *simulation) admit(site string, approve func(fingerprint string) error, log *slog.Logger) error {
	invitation, err := s.server.Invite(s.ctx, site, site, time.Hour)
	if err != nil {
		return err
	}
	cfg := &client.Config{Site: site, State: "memory", Policy: client.Policy{Allow: []string{s.plan.Model.Family}}}
	memory := client.NewMemory()
	join := client.JoinOptions{Config: cfg, Memory: memory, JoinString: invitation, Dial: s.dial}
	joined, err := client.Join(s.ctx, join)
	if err != nil {
		return err
	}
	if err := approve(joined.Fingerprint); err != nil {
		return err
	}
	if joined, err = client.Join(s.ctx, join); err != nil {
		return err
	}
	if joined.Pending {
		return errors.New("approved, and still waiting")
	}
	agent, err := client.Open(cfg, client.Options{Logger: log, Dial: s.dial, Memory: memory, Load: func(p *plan.Plan) (*dataset.Data, error) {
		return s.rows(p, site)
	}})
	if err != nil {
		return err
	}
	s.task(func() error { return agent.Run(s.ctx) })
	return nil
}

// rows are a site's rows for the seed of a plan.
func (s *simulation) rows(p *plan.Plan, site string) (*dataset.Data, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data[p.Seed] == nil {
		dealt, err := s.source.deal(p, s.sites)
		if err != nil {
			return nil, err
		}
		clear(s.data) // runs follow one another
		s.data[p.Seed] = dealt
	}
	return s.data[p.Seed][site], nil
}

// run trains the plan with one seed and opens the model.
func (s *simulation) run(seed uint64, committed func(server.Event)) (*simulated, error) {
	p := *s.plan
	p.Seed, p.Outputs.Owner = seed, []string{s.owner.Recipient()}
	if err := p.Resolve(); err != nil {
		return nil, err
	}
	run, err := s.server.Submit(s.ctx, p.Canonical())
	if err != nil {
		return nil, err
	}
	out := &simulated{plan: &p, simulatedRun: simulatedRun{Seed: seed, Run: run.String()}}
	var last server.Event
	err = s.server.Watch(s.ctx, run, func(ev server.Event) error {
		switch ev.Kind {
		case "plan-refused":
			return fmt.Errorf("%s refuses the plan: %s", ev.Site, ev.Code)
		case "committed":
			out.Rounds++
			out.Accuracy, out.Loss = ev.Accuracy, ev.Loss
			committed(ev)
		}
		last = ev
		return nil
	})
	if err != nil {
		return nil, s.explain(err)
	}
	if last.Kind != "done" {
		return nil, fmt.Errorf("seed %d: the run stopped: %s", seed, last.Text)
	}
	out.Model = last.Model
	file, err := s.server.Export(s.ctx, run, nil)
	if err != nil {
		return nil, err
	}
	payload, err := vault.OpenExport(bytes.NewReader(file), s.owner.IdentityFile())
	if err != nil {
		return nil, err
	}
	out.model, err = openModel(&p, payload)
	return out, err
}

// explain prefers the error that ended the simulation over its consequences.
func (s *simulation) explain(err error) error {
	if cause := context.Cause(s.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// bytesPerSite is what a branch sent, on average, over all runs.
func (s *simulation) bytesPerSite() (float64, error) {
	sites, err := s.server.Traffic(s.ctx)
	if err != nil || len(sites) == 0 {
		return 0, err
	}
	var sum uint64
	for _, t := range sites {
		sum += t.Total
	}
	return float64(sum) / float64(len(sites)), nil
}

func (s *simulation) close() {
	s.cancel(nil)
	s.server.Close()
	s.tasks.Wait()
}
