package client

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tacit/dataset"
	"tacit/id"
	"tacit/internal/crashpoint"
	"tacit/internal/durable"
	"tacit/plan"
)

// rows are a site's own, linearly separable with some noise.
func rows(site int) string {
	var b strings.Builder
	b.WriteString("a,b,y\n")
	for i := range 20 {
		a, x := (i*7+site*3)%10, (i*3+site)%10
		y := 0
		if a+x > 9 {
			y = 1
		}
		fmt.Fprintf(&b, "%d,%d,%d\n", a, x, y)
	}
	return b.String()
}

// branch is one agent under test, over its restarts.
type branch struct {
	t    *testing.T
	c    *coordinator
	site string
	cfg  *Config
	opt  Options
	disk *durable.Disk

	agent   *Agent
	cancel  context.CancelFunc
	ended   chan struct{} // Run returned, or its goroutine was killed
	err     error
	routine string // of Run, to tell agents apart in crash hooks
	killed  bool
}

func newBranch(t *testing.T, c *coordinator, n int, files bool) *branch {
	b := &branch{t: t, c: c, site: fmt.Sprintf("site%d", n)}
	b.cfg = &Config{Site: b.site, Policy: Policy{Allow: []string{"logreg"}}}
	b.opt = Options{Dial: c.dial, Logger: slog.New(slog.NewTextHandler(testWriter{t, b.site}, nil)),
		Load: func(p *plan.Plan) (*dataset.Data, error) {
			return dataset.Read(p, dataset.Files{Name: b.site + ".csv", Rows: strings.NewReader(rows(n))})
		}}
	if files {
		b.cfg.State = filepath.Join(t.TempDir(), "state")
		b.disk = &durable.Disk{}
		b.opt.disk = b.disk
	} else {
		b.opt.Memory = NewMemory()
	}
	return b
}

func (b *branch) join() {
	b.t.Helper()
	var key id.PublicKey
	j, err := Join(context.Background(), JoinOptions{Config: b.cfg, Memory: b.opt.Memory, JoinString: b.c.joinString(b.site), Dial: b.c.dial, disk: b.disk})
	if err != nil || !j.Pending {
		b.t.Fatalf("first join: %+v, %v", j, err)
	}
	st, err := openState(b.cfg.State, b.disk, nil, b.opt.Memory)
	if err != nil {
		b.t.Fatal(err)
	}
	key = st.key.Public()
	st.close()
	b.c.approve("org "+b.site, b.site, key)
	if j, err = Join(context.Background(), JoinOptions{Config: b.cfg, Memory: b.opt.Memory, JoinString: b.c.joinString(b.site), Dial: b.c.dial, Wait: true, disk: b.disk}); err != nil || j.Pending {
		b.t.Fatalf("second join: %+v, %v", j, err)
	}
}

func (b *branch) start() {
	b.t.Helper()
	a, err := Open(b.cfg, b.opt)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.agent, b.cancel, b.ended, b.err, b.killed = a, cancel, make(chan struct{}), nil, true
	started := make(chan struct{})
	go func() {
		defer close(b.ended)
		b.routine = goroutine()
		close(started)
		b.err = a.Run(ctx)
		b.killed = false
	}()
	<-started
	b.t.Cleanup(b.stop)
}

func (b *branch) stop() {
	if b.cancel != nil {
		b.cancel()
		<-b.ended
	}
}

// failed waits for Run to end by itself.
func (b *branch) failed() error {
	b.t.Helper()
	select {
	case <-b.ended:
		return b.err
	case <-time.After(10 * time.Second):
		b.t.Fatal("the agent did not stop")
		return nil
	}
}

// goroutine names the calling goroutine.
func goroutine() string {
	var buf [64]byte
	s := string(buf[:runtime.Stack(buf[:], false)])
	return strings.Fields(s)[1]
}

// killAt ends the agent's goroutine at the n-th hit of a crash point, as a kill would:
// nothing after the point runs. It restarts the agent when restart is set.
func (b *branch) killAt(point string, n int, restart bool) {
	var mu sync.Mutex
	left := n
	routine := b.routine
	undo := crashpoint.SetHook(func(name string) {
		if name != point || goroutine() != routine {
			return
		}
		mu.Lock()
		left--
		hit := left == 0
		mu.Unlock()
		if hit {
			if restart {
				ended := b.ended
				go func() {
					<-ended
					b.start()
				}()
			}
			runtime.Goexit()
		}
	})
	b.t.Cleanup(undo)
}

type testWriter struct {
	t    *testing.T
	site string
}

func (w testWriter) Write(p []byte) (int, error) {
	if testing.Verbose() {
		fmt.Printf("%s %s", w.site, p)
	}
	return len(p), nil
}

// federation starts a coordinator and four branches that have joined.
func federation(t *testing.T, files bool) (*coordinator, []*branch) {
	t.Helper()
	c := newCoordinator(t)
	var all []*branch
	for i := range 4 {
		b := newBranch(t, c, i, files && i == 0)
		b.join()
		all = append(all, b)
	}
	return c, all
}

func startAll(all []*branch) {
	for _, b := range all {
		b.start()
	}
}
