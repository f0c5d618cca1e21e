package server

import (
	"context"
	"sync"
	"time"

	"tacit/id"
)

// Event is one line of what happened in a run, for people and for metrics.jsonl.
type Event struct {
	Time      time.Time `json:"time"`
	Run       id.RunID  `json:"run"`
	Kind      string    `json:"kind"`
	Round     uint64    `json:"round"`
	R         uint64    `json:"r"`
	Task      string    `json:"task,omitempty"`
	Site      string    `json:"site,omitempty"` // whom it is about
	Members   int       `json:"members,omitempty"`
	Reported  int       `json:"reported,omitempty"`
	Voted     int       `json:"voted,omitempty"`
	Released  int       `json:"released,omitempty"`
	Dropped   []string  `json:"dropped,omitempty"` // sites outside the set, or waited for
	Recovered bool      `json:"recovered,omitempty"`
	Examples  uint64    `json:"examples,omitempty"`
	Loss      float64   `json:"loss"`
	Accuracy  float64   `json:"accuracy"`
	Bytes     uint64    `json:"bytes,omitempty"` // received from all branches so far
	Model     string    `json:"model,omitempty"`
	Code      string    `json:"code,omitempty"`
	Text      string    `json:"text,omitempty"`
}

// events keeps what happened in each run since the process started and wakes who
// watches. Earlier rounds are read from the log.
type events struct {
	mu   sync.Mutex
	runs map[id.RunID][]Event
	over map[id.RunID]bool
	wake chan struct{}
}

func newEvents() *events {
	return &events{runs: map[id.RunID][]Event{}, over: map[id.RunID]bool{}, wake: make(chan struct{})}
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runs[ev.Run] = append(e.runs[ev.Run], ev)
	if ev.Kind == "done" || ev.Kind == "stopped" {
		e.over[ev.Run] = true
	}
	close(e.wake)
	e.wake = make(chan struct{})
}

// preload puts the events of earlier processes before this one's.
func (e *events) preload(run id.RunID, past []Event, over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runs[run] = append(past, e.runs[run]...)
	e.over[run] = e.over[run] || over
}

// watch calls f for every event until the run is over or ctx ends.
func (e *events) watch(ctx context.Context, run id.RunID, f func(Event) error) error {
	for next := 0; ; {
		e.mu.Lock()
		fresh, over, wake := e.runs[run][next:], e.over[run], e.wake
		e.mu.Unlock()
		for _, ev := range fresh {
			if err := f(ev); err != nil {
				return err
			}
		}
		next += len(fresh)
		if over && len(fresh) == 0 {
			return nil
		}
		if len(fresh) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
	}
}

// of returns the events of a run so far.
func (e *events) of(run id.RunID) []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[run]
}
