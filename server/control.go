package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"tacit/id"
	"tacit/internal/durable"
)

// Control is what operators, administrators and auditors ask of a server. *Server
// answers in its own process; [DialControl] reaches a running one.
type Control interface {
	Status(ctx context.Context) (Status, error)
	Invite(ctx context.Context, org, site string, ttl time.Duration) (string, error)
	Sites(ctx context.Context) ([]Site, error)
	Propose(ctx context.Context, site, fingerprint string) (charter, roster, member []byte, err error)
	Adopt(ctx context.Context, roster []byte) error
	Submit(ctx context.Context, canonical []byte) (id.RunID, error)
	Runs(ctx context.Context) ([]RunInfo, error)
	Watch(ctx context.Context, run id.RunID, f func(Event) error) error
	Export(ctx context.Context, run id.RunID, recipients []string) ([]byte, error)
	Evidence(ctx context.Context) ([]byte, error)
	Traffic(ctx context.Context) ([]SiteTraffic, error)
}

// Status is a server at a glance.
type Status struct {
	Version    string          `json:"version"`
	Federation id.FederationID `json:"federation"`
	Name       string          `json:"name"`
	URL        string          `json:"url"`
	LogKey     string          `json:"log_key"`
	Charter    id.CharterHash  `json:"charter"`
	MinCohort  int             `json:"min_cohort"`
	Started    time.Time       `json:"started"`
	Fence      uint64          `json:"fence"`
	PID        int             `json:"pid"`
	Members    int             `json:"members"`
	Connected  []string        `json:"connected"`
	LogSize    int64           `json:"log_size"`
	ActiveRun  id.RunID        `json:"active_run"`
}

// Site is a member or a candidate.
type Site struct {
	Site        string     `json:"site"`
	Org         string     `json:"org"`
	Agent       id.AgentID `json:"agent"`
	Fingerprint string     `json:"fingerprint"`
	State       string     `json:"state"` // member, pending
	Connected   bool       `json:"connected"`
	NotAfter    time.Time  `json:"not_after"`
}

// RunInfo is a run at a glance.
type RunInfo struct {
	Run      id.RunID     `json:"run"`
	Name     string       `json:"name"`
	Plan     id.PlanHash  `json:"plan"`
	State    string       `json:"state"`
	Round    uint64       `json:"round"`
	Rounds   uint64       `json:"rounds"`
	R        uint64       `json:"r"`
	Model    id.ModelHash `json:"model"`
	Loss     float64      `json:"loss"`
	Accuracy float64      `json:"accuracy"`
	Reason   string       `json:"reason,omitempty"`
	Created  time.Time    `json:"created"`
}

// SiteTraffic is what the server received from a branch, in bytes of wire messages
// before the inner channel; every kind is in exactly one class.
type SiteTraffic struct {
	Site    string            `json:"site"`
	Agent   id.AgentID        `json:"agent"`
	Classes map[string]uint64 `json:"classes"`
	Kinds   map[string]uint64 `json:"kinds"`
	Total   uint64            `json:"total"`
}

// NotFoundError says that there is no such thing.
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string { return "there is no " + e.What }

// NotRunningError says that no server answers for a directory.
type NotRunningError struct{ Dir string }

func (e *NotRunningError) Error() string {
	return fmt.Sprintf("no server is running on %s", e.Dir)
}

func pid() int { return os.Getpid() }

// socketPath is the control socket of a data directory: in it, or, where that path
// is too long for a socket's name, in the temporary directory under its digest.
func socketPath(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if path := filepath.Join(abs, "control.sock"); len(path) < 100 {
		return path, nil
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(os.TempDir(), "tacit-"+hex.EncodeToString(sum[:8])+".sock"), nil
}

// listenControl listens on the control socket. Whoever may enter the data directory
// may operate the server: the socket's mode is 0600. The directory's lock is held, so
// a socket that is there is a dead process's.
func listenControl(dir string) (net.Listener, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("server: control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// request is the body of every control call; each uses what it needs.
type request struct {
	Org         string        `json:"org,omitempty"`
	Site        string        `json:"site,omitempty"`
	Fingerprint string        `json:"fingerprint,omitempty"`
	TTL         time.Duration `json:"ttl,omitempty"`
	Bytes       []byte        `json:"bytes,omitempty"`
	Run         id.RunID      `json:"run"`
	Recipients  []string      `json:"recipients,omitempty"`
}

// reply is the body of every answer but Watch's.
type reply struct {
	Error   *replyError     `json:"error,omitempty"`
	Text    string          `json:"text,omitempty"`
	Bytes   []byte          `json:"bytes,omitempty"`
	Charter []byte          `json:"charter,omitempty"`
	Member  []byte          `json:"member,omitempty"`
	Value   json.RawMessage `json:"value,omitempty"`
}

// replyError carries an error's type over the socket.
type replyError struct {
	Kind    string `json:"kind"` // denied, too-few, not-found, disk-full, other
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Have    int    `json:"have,omitempty"`
	Want    int    `json:"want,omitempty"`
}

func asReplyError(err error) *replyError {
	var denied *DeniedError
	var few *TooFewError
	var missing *NotFoundError
	var full *durable.FullError
	var advice interface{ Hint() string }
	hint := ""
	if errors.As(err, &advice) {
		hint = advice.Hint()
	}
	switch {
	case errors.As(err, &denied):
		return &replyError{Kind: "denied", Message: denied.Reason, Hint: denied.Advice}
	case errors.As(err, &few):
		return &replyError{Kind: "too-few", Have: few.Have, Want: few.Want}
	case errors.As(err, &missing):
		return &replyError{Kind: "not-found", Message: missing.What}
	case errors.As(err, &full):
		return &replyError{Kind: "disk-full", Message: full.Path}
	}
	return &replyError{Kind: "other", Message: err.Error(), Hint: hint}
}

func (e *replyError) err() error {
	switch e.Kind {
	case "denied":
		return &DeniedError{Reason: e.Message, Advice: e.Hint}
	case "too-few":
		return &TooFewError{Have: e.Have, Want: e.Want}
	case "not-found":
		return &NotFoundError{What: e.Message}
	case "disk-full":
		return &durable.FullError{Path: e.Message, Err: durable.ErrDiskFull}
	}
	return &remoteError{e.Message, e.Hint}
}

// remoteError is an error of the server's that no caller branches on.
type remoteError struct{ text, hint string }

func (e *remoteError) Error() string { return e.text }

// Hint is the advice printed under the error; it may be empty.
func (e *remoteError) Hint() string { return e.hint }

// controlHandler serves Control over HTTP on the control socket.
func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	handle := func(name string, f func(context.Context, request) (reply, error)) {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			var req request
			d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<20))
			d.DisallowUnknownFields()
			if err := d.Decode(&req); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			out, err := f(r.Context(), req)
			if err != nil {
				out = reply{Error: asReplyError(err)}
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(out)
		})
	}
	value := func(v any, err error) (reply, error) {
		if err != nil {
			return reply{}, err
		}
		raw, err := json.Marshal(v)
		return reply{Value: raw}, err
	}
	handle("status", func(ctx context.Context, _ request) (reply, error) { return value(s.Status(ctx)) })
	handle("sites", func(ctx context.Context, _ request) (reply, error) { return value(s.Sites(ctx)) })
	handle("runs", func(ctx context.Context, _ request) (reply, error) { return value(s.Runs(ctx)) })
	handle("traffic", func(ctx context.Context, _ request) (reply, error) { return value(s.Traffic(ctx)) })
	handle("invite", func(ctx context.Context, q request) (reply, error) {
		text, err := s.Invite(ctx, q.Org, q.Site, q.TTL)
		return reply{Text: text}, err
	})
	handle("propose", func(ctx context.Context, q request) (reply, error) {
		charter, roster, member, err := s.Propose(ctx, q.Site, q.Fingerprint)
		return reply{Charter: charter, Bytes: roster, Member: member}, err
	})
	handle("adopt", func(ctx context.Context, q request) (reply, error) { return reply{}, s.Adopt(ctx, q.Bytes) })
	handle("submit", func(ctx context.Context, q request) (reply, error) { return value(s.Submit(ctx, q.Bytes)) })
	handle("export", func(ctx context.Context, q request) (reply, error) {
		b, err := s.Export(ctx, q.Run, q.Recipients)
		return reply{Bytes: b}, err
	})
	handle("evidence", func(ctx context.Context, _ request) (reply, error) {
		b, err := s.Evidence(ctx)
		return reply{Bytes: b}, err
	})
	mux.HandleFunc("GET /watch/{run}", s.serveWatch)
	return mux
}

// serveWatch streams a run's events, one JSON object a line; the last line is a
// reply that says how the stream ended.
func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request) {
	enc := json.NewEncoder(w)
	run := new(id.RunID)
	err := run.UnmarshalText([]byte(r.PathValue("run")))
	if err == nil {
		w.Header().Set("Content-Type", "application/jsonl")
		err = s.Watch(r.Context(), *run, func(ev Event) error {
			if err := enc.Encode(watchLine{Event: &ev}); err != nil {
				return err
			}
			return http.NewResponseController(w).Flush()
		})
	}
	line := watchLine{End: true}
	if err != nil {
		line.Error = asReplyError(err)
	}
	_ = enc.Encode(line)
}

type watchLine struct {
	Event *Event      `json:"event,omitempty"`
	End   bool        `json:"end,omitempty"`
	Error *replyError `json:"error,omitempty"`
}

// remote is a Control over the socket.
type remote struct {
	dir    string
	client *http.Client
}

// DialControl reaches the server that runs on a data directory.
func DialControl(dir string) (Control, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}
	conn, err := dial(context.Background(), "", "")
	if err != nil {
		return nil, &NotRunningError{Dir: dir}
	}
	conn.Close()
	return &remote{dir: dir, client: &http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

func (c *remote) call(ctx context.Context, name string, q request, v any) (reply, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return reply{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/"+name, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return reply{}, c.lost(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return reply{}, fmt.Errorf("server: %s: %s", name, bytes.TrimSpace(text))
	}
	var out reply
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return reply{}, c.lost(ctx, err)
	}
	if out.Error != nil {
		return reply{}, out.Error.err()
	}
	if v != nil {
		if err := json.Unmarshal(out.Value, v); err != nil {
			return reply{}, fmt.Errorf("server: %s: %w", name, err)
		}
	}
	return out, nil
}

func (c *remote) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", &NotRunningError{Dir: c.dir}, err)
}

func (c *remote) Status(ctx context.Context) (v Status, err error) {
	_, err = c.call(ctx, "status", request{}, &v)
	return v, err
}

func (c *remote) Sites(ctx context.Context) (v []Site, err error) {
	_, err = c.call(ctx, "sites", request{}, &v)
	return v, err
}

func (c *remote) Runs(ctx context.Context) (v []RunInfo, err error) {
	_, err = c.call(ctx, "runs", request{}, &v)
	return v, err
}

func (c *remote) Traffic(ctx context.Context) (v []SiteTraffic, err error) {
	_, err = c.call(ctx, "traffic", request{}, &v)
	return v, err
}

func (c *remote) Invite(ctx context.Context, org, site string, ttl time.Duration) (string, error) {
	out, err := c.call(ctx, "invite", request{Org: org, Site: site, TTL: ttl}, nil)
	return out.Text, err
}

func (c *remote) Propose(ctx context.Context, site, fingerprint string) (charter, roster, member []byte, err error) {
	out, err := c.call(ctx, "propose", request{Site: site, Fingerprint: fingerprint}, nil)
	return out.Charter, out.Bytes, out.Member, err
}

func (c *remote) Adopt(ctx context.Context, roster []byte) error {
	_, err := c.call(ctx, "adopt", request{Bytes: roster}, nil)
	return err
}

func (c *remote) Submit(ctx context.Context, canonical []byte) (run id.RunID, err error) {
	_, err = c.call(ctx, "submit", request{Bytes: canonical}, &run)
	return run, err
}

func (c *remote) Export(ctx context.Context, run id.RunID, recipients []string) ([]byte, error) {
	out, err := c.call(ctx, "export", request{Run: run, Recipients: recipients}, nil)
	return out.Bytes, err
}

func (c *remote) Evidence(ctx context.Context) ([]byte, error) {
	out, err := c.call(ctx, "evidence", request{}, nil)
	return out.Bytes, err
}

func (c *remote) Watch(ctx context.Context, run id.RunID, f func(Event) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://control/watch/"+run.String(), nil)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return c.lost(ctx, err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line watchLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("server: watch: %w", err)
		}
		switch {
		case line.Error != nil:
			return line.Error.err()
		case line.End:
			return nil
		case line.Event != nil:
			if err := f(*line.Event); err != nil {
				return err
			}
		}
	}
	return c.lost(ctx, io.ErrUnexpectedEOF)
}
