package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/server/blob"
	"tacit/server/engine"
	"tacit/server/store"
	"tacit/vault"
	"tacit/wire"
	"tacit/wire/wsconn"
)

// Version is the software's version, as branches and the log see it.
const Version = "0.1.0"

// DeniedError says that somebody may not do what they asked, and what to do instead.
type DeniedError struct{ Reason, Advice string }

func (e *DeniedError) Error() string { return e.Reason }

// Hint is the advice printed under the error; it may be empty.
func (e *DeniedError) Hint() string { return e.Advice }

// TooFewError says that too few branches are enrolled.
type TooFewError struct{ Have, Want int }

func (e *TooFewError) Error() string {
	return fmt.Sprintf("%d branches are enrolled, the charter's smallest cohort is %d", e.Have, e.Want)
}

// Options are what a server needs beside its configuration.
type Options struct {
	Logger *slog.Logger // nil: silent
}

// Server is a coordinator. Make one with [Open] or [NewMemory].
type Server struct {
	cfg     Config
	log     *slog.Logger
	keys    *secrets
	charter *id.Charter
	store   store.Store
	blobs   blobs
	keeper  keeper
	vault   *vault.Vault // nil in memory
	fence   store.Fence
	started time.Time
	tlsPin  id.Digest
	traffic *traffic
	events  *events
	past    past

	commitMu sync.Mutex // serialises commits; guards what follows
	head     store.Head
	cosigned map[id.AgentID]int64 // size of the newest checkpoint that a branch has cosigned

	rosterMu   sync.Mutex // guards what follows
	roster     *id.Roster
	rosterWake chan struct{}

	sessionMu  sync.Mutex // guards what follows
	sessions   map[id.AgentID]*session
	candidates map[id.AgentID]*session // that wait for an administrator
	serving    int                     // connections in ServeConn
	draining   bool
	drained    chan struct{} // closed when draining and serving is 0

	halted context.Context // ends every connection
	halt   context.CancelFunc

	queueMu   sync.Mutex // guards queue
	queue     []event
	queueWake chan struct{}
	stopped   chan struct{} // closed when the loop has ended
	failed    chan error

	activeMu  sync.Mutex // guards activeRun
	activeRun *activeRun

	submitMu  sync.Mutex  // one submission at a time
	startable atomic.Bool // a run may be waiting to be started

	// Owned by the loop.
	run     *activeRun
	present map[id.AgentID]*session
	over    []*wire.RunDone // the latest runs that have ended
}

// blobs is what the server asks of a blob store.
type blobs interface {
	PutSealed(name string, k *blob.Key, r io.Reader) (blob.Info, error)
	OpenSealed(name string, k *blob.Key) (io.ReadCloser, error)
	Put(name string, data []byte) error
	Stage(name string, data []byte) error
	Publish(name string) error
	Discard(name string) error
	Staged() ([]string, error)
	Get(name string) ([]byte, error)
	Shred(prefix string) error
}

func newServer(cfg Config, keys *secrets, charter *id.Charter, opt Options) *Server {
	log := opt.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, log: log, keys: keys, charter: charter, started: time.Now(),
		traffic: newTraffic(), events: newEvents(), cosigned: map[id.AgentID]int64{},
		roster: &id.Roster{Federation: charter.Federation}, rosterWake: make(chan struct{}),
		sessions: map[id.AgentID]*session{}, candidates: map[id.AgentID]*session{}, drained: make(chan struct{}),
		present:   map[id.AgentID]*session{},
		queueWake: make(chan struct{}, 1), stopped: make(chan struct{}), failed: make(chan error, 1),
	}
	s.halted, s.halt = context.WithCancel(context.Background())
	s.startable.Store(true)
	return s
}

// Open opens a server's directory: it takes the directory's lock, opens the vault
// and the store, raises the fencing epoch, and finishes what an earlier process left
// between commit and publish. It refuses to start rather than guess.
func Open(cfg *Config, opt Options) (*Server, error) {
	v, err := vault.Open(cfg.Data, vault.KeyFile(cfg.KeyFile))
	if err != nil {
		return nil, err
	}
	sealed, err := v.ReadSealed(filepath.Join(cfg.Data, "keys.age"), purposeKeys)
	if err != nil {
		v.Close()
		return nil, err
	}
	keys, err := unmarshalSecrets(sealed)
	clear(sealed)
	if err != nil {
		v.Close()
		return nil, err
	}
	ledger, err := audit.NewLog(keys.log)
	if err != nil {
		v.Close()
		return nil, err
	}
	st, err := store.Open(cfg.Data, ledger)
	if err != nil {
		v.Close()
		return nil, err
	}
	s, err := open(cfg, opt, v, keys, st)
	if err != nil {
		st.Close()
		v.Close()
		return nil, err
	}
	return s, nil
}

func open(cfg *Config, opt Options, v *vault.Vault, keys *secrets, st store.Store) (*Server, error) {
	_, body, err := st.LatestCharter(context.Background())
	if err != nil {
		return nil, fmt.Errorf("server: charter: %w", err)
	}
	charter, err := id.ParseCharter(body)
	if err != nil {
		return nil, err
	}
	if err := charter.Verify(); err != nil {
		return nil, err
	}
	s := newServer(*cfg, keys, charter, opt)
	s.store, s.vault, s.keeper = st, v, vaultKeeper{v}
	dir, err := blob.Open(filepath.Join(cfg.Data, "blobs"))
	if err != nil {
		return nil, err
	}
	s.blobs = dir
	if cfg.TLS.Certificate != "" {
		if s.keys.cert, err = tls.LoadX509KeyPair(cfg.TLS.Certificate, cfg.TLS.Key); err != nil {
			return nil, fmt.Errorf("server: tls: %w", err)
		}
	} else {
		s.tlsPin = wsconn.SPKI(s.keys.cert.Leaf)
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	return s, nil
}

// recover takes the store over and finishes what an earlier process left.
func (s *Server) recover() error {
	ctx := context.Background()
	var err error
	if s.fence, err = s.store.Acquire(ctx, fmt.Sprintf("pid %d", os.Getpid())); err != nil {
		return err
	}
	if s.head, err = s.store.Head(ctx); err != nil {
		return err
	}
	if _, body, err := s.store.LatestRoster(ctx); err == nil {
		if s.roster, err = id.ParseRoster(body); err != nil {
			return err
		}
		if err := s.roster.Verify(s.charter); err != nil {
			return err
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := s.settleModels(ctx); err != nil {
		return err
	}
	if err := s.shredOver(ctx); err != nil {
		return err
	}
	if err := s.loadCosigned(ctx); err != nil {
		return err
	}
	if err := s.loadTraffic(ctx); err != nil {
		return err
	}
	if s.past.runs, err = s.store.Runs(ctx); err != nil {
		return err
	}
	s.past.size = s.head.Size
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	_, err = s.commit(&store.Batch{}, entry(id.RunID{}, 0, 0, id.Digest{}, audit.ServerStarted{Fence: uint64(s.fence)}))
	return err
}

// settleModels publishes staged models whose row was committed and discards the
// others.
func (s *Server) settleModels(ctx context.Context) error {
	staged, err := s.blobs.Staged()
	if err != nil || len(staged) == 0 {
		return err
	}
	committed := map[string]bool{}
	runs, err := s.store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		models, err := s.store.Models(ctx, r.ID)
		if err != nil {
			return err
		}
		for _, m := range models {
			committed[m.File] = true
		}
	}
	for _, name := range staged {
		settle := s.blobs.Discard
		if committed[name] {
			settle = s.blobs.Publish
		}
		if err := settle(name); err != nil {
			return err
		}
	}
	return nil
}

// loadTraffic takes the counts of earlier processes from the store and subtracts
// what the records of the log hold already.
func (s *Server) loadTraffic(ctx context.Context) error {
	rows, err := s.store.BytesOut(ctx)
	if err != nil {
		return err
	}
	records, err := s.store.Records(ctx)
	if err != nil {
		return err
	}
	var recorded []audit.Traffic
	for _, r := range records {
		recorded = append(recorded, recordTraffic(r.Body)...)
	}
	s.traffic.load(rows, recorded)
	return nil
}

func recordTraffic(body []byte) []audit.Traffic {
	if r, err := audit.ParseEpochRecord(body); err == nil {
		return r.Traffic
	}
	if r, err := audit.ParseRoundRecord(body); err == nil {
		return r.Traffic
	}
	if r, err := audit.ParseFinishRecord(body); err == nil {
		return r.Traffic
	}
	return nil
}

// Run serves until ctx ends or the server's integrity is lost. It listens on the
// configured address and on a control socket in the data directory.
func (s *Server) Run(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("server: listen: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	control, err := listenControl(s.cfg.Data)
	if err != nil {
		listener.Close()
		return err
	}
	// Connections outlive ctx for as long as it takes to tell their branches.
	mux := http.NewServeMux()
	mux.HandleFunc(wsconn.Path, func(w http.ResponseWriter, r *http.Request) {
		conn, err := wsconn.Upgrade(w, r, wsconn.Limits{})
		if err != nil {
			return // answered
		}
		if err := s.ServeConn(s.halted, conn); err != nil && ctx.Err() == nil {
			s.log.Debug("connection ended", "from", conn.RemoteAddr(), "error", err)
		}
	})
	quiet := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	public := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: quiet,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{s.keys.cert}, NextProtos: []string{"http/1.1"}},
	}
	private := &http.Server{Handler: s.controlHandler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet, BaseContext: func(net.Listener) context.Context { return ctx }}
	var tasks sync.WaitGroup
	errs := make(chan error, 3)
	task := func(f func() error) { tasks.Go(func() { errs <- f() }) }
	task(func() error { return public.ServeTLS(listener, "", "") })
	task(func() error { return private.Serve(control) })
	task(func() error { return s.loop(ctx) })
	s.log.Info("serving", "address", listener.Addr().String(), "url", s.cfg.URL)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-errs:
	}
	cancel()
	stop, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	_ = private.Shutdown(stop)
	s.drain(&wire.Error{Code: wire.CodeShuttingDown, Message: "the server stops", Hint: "connect again when it is back"})
	_ = public.Shutdown(stop)
	_ = public.Close()
	_ = private.Close()
	tasks.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// Serve runs the loop alone, for a server whose connections come through ServeConn.
func (s *Server) Serve(ctx context.Context) error { return s.loop(ctx) }

// Close releases the store, the directory's lock and the keys. It ends connections
// that are still there.
func (s *Server) Close() error {
	s.drain(&wire.Error{Code: wire.CodeShuttingDown, Message: "the server stops", Hint: "connect again when it is back"})
	err := s.store.Close()
	if s.vault != nil {
		s.vault.Close()
	}
	return err
}

// fail stops the server: something that must hold does not.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// errStopping is the end of a connection that came too late.
var errStopping = errors.New("server: stopping")

// enter counts a connection in, unless the server is stopping.
func (s *Server) enter() bool {
	s.sessionMu.Lock()
	defer s.sessionMu.Unlock()
	if s.draining {
		return false
	}
	s.serving++
	return true
}

func (s *Server) leave() {
	s.sessionMu.Lock()
	defer s.sessionMu.Unlock()
	if s.serving--; s.serving == 0 && s.draining {
		close(s.drained)
	}
}

// drainPatience is how long a stopping server waits for its branches to read why.
const drainPatience = 1500 * time.Millisecond

// drain takes no connection any more, tells the branches why, and waits until the
// last one is gone.
func (s *Server) drain(why *wire.Error) {
	s.sessionMu.Lock()
	if !s.draining {
		s.draining = true
		if s.serving == 0 {
			close(s.drained)
		}
	}
	for _, ss := range s.candidates {
		ss.end(why)
	}
	s.sessionMu.Unlock()
	s.hangUp(why)
	patience := time.AfterFunc(drainPatience, s.halt)
	defer patience.Stop()
	<-s.drained
	s.halt()
}

// LogKey is the log's verifier key.
func (s *Server) LogKey() string { return s.charter.LogKey }

// register makes ss the session of its agent; an older one is let go.
func (s *Server) register(ss *session) {
	s.sessionMu.Lock()
	old := s.sessions[ss.agent]
	s.sessions[ss.agent] = ss
	s.sessionMu.Unlock()
	if old != nil {
		old.end(&wire.Error{Code: wire.CodeSuperseded, Message: "a newer connection of this agent is up"})
	}
	if _, _, version := s.documents(); version != ss.roster {
		ss.end(rosterChanged) // under its Welcome
	}
}

// rosterChanged ends sessions whose Welcome holds an older roster.
var rosterChanged = &wire.Error{Code: wire.CodeBusy, Message: "the roster has changed", Hint: "connect again"}

func (s *Server) unregister(ss *session) {
	s.sessionMu.Lock()
	if s.sessions[ss.agent] == ss {
		delete(s.sessions, ss.agent)
	}
	s.sessionMu.Unlock()
	s.enqueue(event{from: ss, ev: engine.Gone{Agent: ss.agent}})
}

func (s *Server) connected(a id.AgentID) bool {
	s.sessionMu.Lock()
	defer s.sessionMu.Unlock()
	return s.sessions[a] != nil
}

// hangUp ends every member's session.
func (s *Server) hangUp(why *wire.Error) {
	s.sessionMu.Lock()
	defer s.sessionMu.Unlock()
	for _, ss := range s.sessions {
		ss.end(why)
	}
}

// await makes ss the candidate's only waiting session.
func (s *Server) await(agent id.AgentID, ss *session) {
	s.sessionMu.Lock()
	old := s.candidates[agent]
	s.candidates[agent] = ss
	s.sessionMu.Unlock()
	if old != nil && old != ss {
		old.end(&wire.Error{Code: wire.CodeBusy, Message: "a newer connection of this candidate is up", Hint: "wait on that one"})
	}
}

func (s *Server) awaited(agent id.AgentID, ss *session) {
	s.sessionMu.Lock()
	defer s.sessionMu.Unlock()
	if s.candidates[agent] == ss {
		delete(s.candidates, agent)
	}
}

// member returns the roster's member, or nil.
func (s *Server) member(a id.AgentID) *id.Member {
	s.rosterMu.Lock()
	defer s.rosterMu.Unlock()
	return s.roster.Lookup(a)
}

// members lists the roster's members.
func (s *Server) members() []id.Member {
	s.rosterMu.Lock()
	defer s.rosterMu.Unlock()
	return s.roster.Members // a roster in force is never changed
}

func (s *Server) rosterChanges() <-chan struct{} {
	s.rosterMu.Lock()
	defer s.rosterMu.Unlock()
	return s.rosterWake
}

func (s *Server) documents() (charter, roster []byte, version uint64) {
	s.rosterMu.Lock()
	defer s.rosterMu.Unlock()
	return s.charter.AppendBinary(nil), s.roster.AppendBinary(nil), s.roster.Version
}

func (s *Server) active() *activeRun {
	s.activeMu.Lock()
	defer s.activeMu.Unlock()
	return s.activeRun
}

func (s *Server) setActive(r *activeRun) {
	s.activeMu.Lock()
	defer s.activeMu.Unlock()
	s.activeRun = r
}

func (s *Server) isActive(run id.RunID) bool {
	r := s.active()
	return r != nil && r.id == run
}

func (s *Server) busy() (id.RunID, bool) {
	r := s.active()
	if r == nil {
		return id.RunID{}, false
	}
	return r.id, true
}

// underway is busy, or a run that an earlier process left and this one has not taken
// up yet.
func (s *Server) underway(ctx context.Context) (id.RunID, bool, error) {
	if run, busy := s.busy(); busy {
		return run, true, nil
	}
	runs, err := s.store.Runs(ctx)
	if err != nil {
		return id.RunID{}, false, err
	}
	for _, r := range runs {
		if interrupted(r) {
			return r.ID, true, nil
		}
	}
	return id.RunID{}, false, nil
}

// checkpointFor opens a checkpoint that carries a member's cosignature.
func (s *Server) checkpointFor(agent id.AgentID, signed []byte, member *id.Member) (audit.Head, error) {
	if member == nil {
		return audit.Head{}, errors.New("not a member")
	}
	head, err := audit.OpenCheckpoint(signed, s.charter.LogKey)
	if err != nil {
		return audit.Head{}, err
	}
	if line := cosignature(signed, agent); line != nil {
		_, err := audit.CheckCosignature(signed, line, agent, member.Key.Ed25519())
		return head, err
	}
	return audit.Head{}, errors.New("no cosignature of this agent")
}
