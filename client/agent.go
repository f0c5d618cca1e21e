package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tacit/dataset"
	"tacit/id"
	"tacit/internal/crashpoint"
	"tacit/internal/durable"
	"tacit/plan"
	"tacit/vault"
	"tacit/wire"
)

// Crash points of the agent.
var (
	pointPrepare   = crashpoint.Register("agent.round.prepare")    // round open, training done, report not journaled
	pointPersisted = crashpoint.Register("agent.report.persisted") // report journaled, not sent
	pointAcked     = crashpoint.Register("agent.report.acked")     // receipt kept
	pointVoted     = crashpoint.Register("agent.vote.sent")
	pointReleased  = crashpoint.Register("agent.shares.sent")
	pointKept      = crashpoint.Register("agent.commit.kept") // replayed model durable, not cosigned
)

// Options are what a process gives its agent.
type Options struct {
	Logger   *slog.Logger   // nil: silent. Lines hold ids, sizes and codes
	Dial     DialFunc       // nil: a WebSocket to the pinned address
	Provider vault.Provider // nil: a key file in the state directory
	Memory   *Memory        // state without files: simulations
	// Data, or Load, stand in for reading Config.Data.
	Data *dataset.Data
	Load func(*plan.Plan) (*dataset.Data, error)
	// Trainer replaces local training with nn.
	Trainer func(*plan.Plan, *dataset.Data) Trainer

	disk *durable.Disk // tests
}

// Agent is a branch's agent. Status may be called from any goroutine; everything
// else belongs to Run.
type Agent struct {
	cfg    *Config
	opt    Options
	log    *slog.Logger
	st     *state
	ref    ServerRef
	org    string
	self   id.AgentID
	dial   DialFunc
	status *statusBoard
	closed sync.Once

	// Owned by the goroutine of Run.
	ctx      context.Context
	trust    trust
	runs     map[id.RunID]*run
	ch       *wire.Channel // nil while there is no session
	trained  chan trained
	training sync.WaitGroup
	commits  int         // told in this process
	stalled  bool        // the journal could not be written
	retry    *time.Timer // then: when to try again
	recheck  *time.Timer // when to look at the policy's hours again
}

// Open opens the agent of a branch that has joined. The state directory is locked
// until Run returns or Close is called.
func Open(cfg *Config, opt Options) (*Agent, error) {
	if err := cfg.Validate(); err != nil && opt.Memory == nil {
		return nil, err
	}
	if err := cfg.Policy.Validate(); err != nil {
		return nil, err
	}
	st, err := openState(cfg.State, opt.disk, opt.Provider, opt.Memory)
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, opt: opt, log: opt.Logger, st: st, ref: cfg.Server, runs: map[id.RunID]*run{}, trained: make(chan trained)}
	if err := a.open(); err != nil {
		st.close()
		return nil, err
	}
	return a, nil
}

func (a *Agent) open() error {
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	m, err := a.st.membership()
	if err != nil {
		return err
	}
	if m != nil && a.st.key != nil && !m.Approved {
		return &StopError{What: "this agent has asked to join, and has not joined yet", Do: "once it is approved, run tacit agent join with the same string again"}
	}
	if m == nil || a.st.key == nil {
		return &StopError{What: "this agent has not joined a federation", Do: "run: tacit agent join STRING"}
	}
	if a.ref.IsZero() {
		a.ref = m.Server
	}
	if a.ref.Charter != m.Server.Charter || a.ref.Channel != m.Server.Channel {
		return &StopError{What: "server: in the agent's file is not the server that this agent joined", Do: "remove server: from the file; joining keeps it in the state directory"}
	}
	if m.Site != a.cfg.Site {
		return &StopError{What: fmt.Sprintf("this agent joined as site %q, its file says %q", m.Site, a.cfg.Site), Do: "set site: back, or use another state directory"}
	}
	pub := a.st.key.Public()
	a.self, a.org = pub.AgentID(), m.Org
	if err := a.trust.load(a.st, a.ref.Charter); err != nil {
		return err
	}
	a.dial = a.opt.Dial
	if a.dial == nil {
		a.dial = webSocket(a.ref)
	}
	a.status = newStatusBoard(a.st.dir, Status{Site: m.Site, Org: m.Org, Agent: a.self, Fingerprint: pub.Fingerprint(),
		Server: a.ref.URL, Policy: a.cfg.Policy.describe()})
	return nil
}

// Close releases the state directory. Run does it too.
func (a *Agent) Close() error {
	var err error
	a.closed.Do(func() { err = a.st.close() })
	return err
}

// Status returns what the agent is doing.
func (a *Agent) Status() Status { return a.status.get() }

// Run serves the federation until ctx ends (then it returns nil) or until an error
// that a retry does not heal: *[StopError], *[Contradiction]. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	defer a.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer a.training.Wait()
	defer cancel()
	a.ctx = ctx
	a.retry, a.recheck = stoppedTimer(), stoppedTimer()
	defer a.retry.Stop()
	defer a.recheck.Stop()
	defer a.status.disconnected()
	a.log.Info("agent started", "site", a.cfg.Site, "agent", a.self.Short(), "policy", a.cfg.Policy.describe())
	var wait backoff
	lost := false // the loss was told; say so once, not at every try
	for {
		var welcomed time.Time
		before := a.commits
		err := a.session(ctx, func() {
			welcomed = time.Now()
			lost = false
		})
		if ctx.Err() != nil {
			return nil
		}
		if stop := final(err); stop != nil {
			a.status.failed(stop)
			return stop
		}
		switch {
		case a.commits > before, !welcomed.IsZero() && time.Since(welcomed) >= goodSession:
			wait.reset()
		case !welcomed.IsZero():
			wait.soon() // it is there, but ends every session at once: not without pause
		}
		d := wait.next()
		if !lost {
			a.log.Warn("no connection to the server; trying again", "error", err)
			lost = wait.tries > 1
		}
		a.status.failed(err)
		if sleep(ctx, d) != nil {
			return nil
		}
	}
}

// goodSession is how long a connection must have lasted, unless it brought a commit,
// for the next retry to come at once.
const goodSession = time.Second

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// persist makes records durable, and with them the newest checkpoint seen.
func (a *Agent) persist(records ...vault.Record) error {
	if a.trust.dirty {
		records = append(records, vault.Record{Key: keyWitness, Value: a.trust.witness.AppendBinary(nil)})
	}
	if len(records) == 0 {
		return nil
	}
	if err := a.st.Apply(records...); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	a.trust.dirty = false
	return nil
}

// stall stops what depends on a journal that cannot be written: the run's attempt is
// given up, its member is dropped (its memory is ahead of the disk) and will be
// restored from the journal when there is room again. The agent keeps its connection.
func (a *Agent) stall(r *run, err error) {
	if r != nil {
		r.giveUp()
		epoch := r.epoch
		r.member, r.told = nil, nil
		r.stalled = true
		if r.active && a.ch != nil {
			// The round need not wait for this branch. If the connection is lost as
			// well, the next use of it says so.
			_ = a.ch.Send(&wire.AgentState{Run: r.id, Epoch: epoch, Round: r.model.next, Out: true})
		}
	}
	if a.stalled {
		return
	}
	a.stalled = true
	hint := "the attempt in progress is given up; nothing that was acknowledged is lost"
	var full *durable.FullError
	if errors.As(err, &full) {
		hint = "free some space; the agent goes on by itself"
	}
	a.log.Error("the journal cannot be written", "error", err, "hint", hint)
	a.status.failed(err)
	a.retry.Reset(retryJournal)
}

// retryJournal is how often a full disk is tried again.
const retryJournal = time.Second

// keyProbe is written to find out whether the journal can be written again.
const keyProbe = "probe"

// unstall tries the journal again and, if it can be written, takes the runs up where
// the journal has them.
func (a *Agent) unstall() error {
	err := a.persist(vault.Record{Key: keyProbe, Value: []byte{1}})
	if err != nil && !errors.Is(err, durable.ErrDiskFull) {
		if err = a.st.reopen(); err == nil {
			err = a.persist(vault.Record{Key: keyProbe, Value: []byte{1}})
		}
	}
	if err != nil {
		a.retry.Reset(retryJournal)
		return nil
	}
	a.stalled = false
	a.log.Info("the journal can be written again")
	a.status.healed()
	for _, r := range a.runs {
		if !r.stalled {
			continue
		}
		r.stalled = false
		if r.active && a.ch != nil {
			if err := a.enter(r); err != nil {
				return err
			}
		}
	}
	return nil
}
