package client

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"tacit/id"
	"tacit/wire"
)

// Status is what an agent is doing. It holds no data of the branch.
type Status struct {
	Site        string            `json:"site"`
	Org         string            `json:"org"`
	Agent       id.AgentID        `json:"agent"`
	Fingerprint string            `json:"fingerprint"`
	Server      string            `json:"server"`
	Policy      string            `json:"policy"`
	PID         int               `json:"pid"`
	Running     bool              `json:"running"` // as seen by ReadStatus
	Connected   bool              `json:"connected"`
	Run         id.RunID          `json:"run"`
	Plan        string            `json:"plan"`
	Round       uint64            `json:"round"`
	R           uint64            `json:"r"`
	Task        string            `json:"task"`
	Stage       string            `json:"stage"` // of the attempt: training, reported, acknowledged, voted, released, committed …
	Model       id.ModelHash      `json:"model"` // the newest committed
	Committed   uint64            `json:"committed"`
	Sent        map[string]uint64 `json:"sent"` // bytes by class since the agent joined
	Refused     *Refused          `json:"refused,omitempty"`
	Error       string            `json:"error,omitempty"` // the last one, until it is over
	Updated     time.Time         `json:"updated"`
}

// Refused is the last refusal.
type Refused struct {
	Run    id.RunID    `json:"run"`
	Plan   id.PlanHash `json:"plan"`
	Code   string      `json:"code"`
	Reason string      `json:"reason,omitempty"` // for this side; only the code was sent
	Time   time.Time   `json:"time"`
}

// statusEvery spaces writes of status.json; changes of connection, refusals and
// errors are written at once.
const statusEvery = 250 * time.Millisecond

// statusBoard holds the status and mirrors it in the state directory. The file is
// for people: it is replaced whole, but not synced.
type statusBoard struct {
	path string // empty: no file

	mu      sync.Mutex // owns what follows
	s       Status
	past    wire.Bytes // of earlier connections
	written time.Time
}

func newStatusBoard(dir string, s Status) *statusBoard {
	b := &statusBoard{s: s}
	if dir != "" {
		b.path = filepath.Join(dir, statusName)
		if old, err := readStatus(b.path); err == nil && old.Agent == s.Agent {
			for _, c := range wire.Classes() {
				b.past[c] = old.Sent[c.String()]
			}
			b.s.Model, b.s.Committed = old.Model, old.Committed
		}
	}
	b.s.PID, b.s.Running = os.Getpid(), true
	b.s.Sent = b.past.Map()
	return b
}

func (b *statusBoard) get() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.s
	s.Sent = make(map[string]uint64, len(b.s.Sent))
	for k, v := range b.s.Sent {
		s.Sent[k] = v
	}
	if s.Refused != nil {
		r := *s.Refused
		s.Refused = &r
	}
	return s
}

func (b *statusBoard) update(now bool, f func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.s)
	b.s.Updated = time.Now().UTC()
	if b.path == "" || !now && b.s.Updated.Sub(b.written) < statusEvery {
		return
	}
	b.written = b.s.Updated
	data, err := json.MarshalIndent(&b.s, "", "  ")
	if err != nil {
		return
	}
	temp := b.path + ".new"
	if os.WriteFile(temp, append(data, '\n'), 0o600) == nil {
		os.Rename(temp, b.path)
	}
}

func (b *statusBoard) connected() {
	b.update(true, func(s *Status) { s.Connected, s.Error = true, "" })
}

func (b *statusBoard) disconnected() { b.update(true, func(s *Status) { s.Connected = false }) }

func (b *statusBoard) failed(err error) {
	if err != nil {
		b.update(true, func(s *Status) { s.Error = err.Error() })
	}
}

func (b *statusBoard) healed() { b.update(true, func(s *Status) { s.Error = "" }) }

func (b *statusBoard) refused(r Refused) {
	b.update(true, func(s *Status) { s.Refused, s.Stage = &r, "refused: "+r.Code })
}

func (b *statusBoard) run(r *run) {
	b.update(false, func(s *Status) { s.Run, s.Plan, s.Stage = r.id, r.plan.Name, "accepted" })
}

func (b *statusBoard) round(at *attempt) {
	b.update(false, func(s *Status) { s.Round, s.R, s.Task, s.Stage = at.round, at.r, at.task.String(), "opened" })
}

func (b *statusBoard) stage(stage string) { b.update(false, func(s *Status) { s.Stage = stage }) }

func (b *statusBoard) committed(round uint64, model id.ModelHash) {
	b.update(false, func(s *Status) {
		s.Round, s.Model, s.Stage = round, model, "committed"
		s.Committed++
	})
}

func (b *statusBoard) done(state string, model id.ModelHash) {
	b.update(true, func(s *Status) {
		s.Stage, s.Task = "run "+state, ""
		if !model.IsZero() {
			s.Model = model
		}
	})
}

// sent counts what left over the present connection; ended adds it to the past.
func (b *statusBoard) sent(n wire.Bytes, ended bool) {
	b.update(ended, func(s *Status) {
		total := b.past
		total.Add(n)
		s.Sent = total.Map()
		if ended {
			b.past = total
		}
	})
}

// ReadStatus reads what the agent of a state directory last said about itself.
// Running and Connected are false when its process is gone.
func ReadStatus(dir string) (Status, error) {
	s, err := readStatus(filepath.Join(dir, statusName))
	if err != nil {
		return Status{}, err
	}
	s.Running = alive(s.PID)
	s.Connected = s.Connected && s.Running
	return *s, nil
}

func readStatus(path string) (*Status, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStatusBytes))
	if err != nil {
		return nil, err
	}
	s := new(Status)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// alive reports whether a process with that number exists.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	// Signal 0 only asks; Windows does not know it, and there FindProcess has decided.
	err = p.Signal(syscall.Signal(0))
	return err == nil || os.IsPermission(err) || err.Error() == "not supported by windows"
}
