// Package team lets a fixed number of goroutines do one task together, many times:
// each does its share and they meet where one needs what the others have made. A task
// costs no allocation, and members that wait look for some hundred microseconds and
// then sleep.
package team

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Task is what a team does: each member its share, at the same time.
type Task interface{ Share(member int) }

// Team is members 0 … n−1; member 0 is whoever calls Run. It is not safe for
// concurrent use. Its goroutines begin with the first Run and end when the Team is
// garbage.
type Team struct{ *core }

// core is what the goroutines hold, so that they do not keep the Team alive.
type core struct {
	n       int
	looks   int
	running bool
	task    Task // between start and the last Meet of a Run
	start   gate
	meet    gate
	arrived atomic.Int32
	quit    atomic.Bool
}

// New returns a Team of n ≥ 1 members.
func New(n int) *Team {
	c := &core{n: n}
	if n <= runtime.GOMAXPROCS(0) { // else whoever looks keeps another from working
		c.looks = looks
	}
	c.start.cond.L, c.meet.cond.L = &c.start.mu, &c.meet.mu
	return &Team{c}
}

// Size returns the number of members.
func (t *Team) Size() int { return t.n }

// Run has every member do its share and returns when all have.
func (t *Team) Run(task Task) {
	if t.n == 1 {
		task.Share(0)
		return
	}
	if !t.running {
		t.running = true
		for i := 1; i < t.n; i++ {
			go t.core.member(i, t.start.phase.Load())
		}
		runtime.AddCleanup(t, func(c *core) {
			c.quit.Store(true)
			c.start.open()
		}, t.core)
	}
	t.task = task
	t.start.open()
	task.Share(0)
	t.Meet()
	t.task = nil
	runtime.KeepAlive(t)
}

func (c *core) member(i int, phase uint32) {
	for ; ; phase++ {
		c.start.wait(phase, c.looks)
		if c.quit.Load() {
			return
		}
		c.task.Share(i)
		c.Meet()
	}
}

// Meet returns when every member has called it as often as this one. It is called
// inside Share, by all or none.
func (c *core) Meet() {
	if c.n == 1 {
		return
	}
	phase := c.meet.phase.Load()
	if int(c.arrived.Add(1)) == c.n {
		c.arrived.Store(0)
		c.meet.open()
		return
	}
	c.meet.wait(phase, c.looks)
}

// gate is a door that opens once a phase.
type gate struct {
	phase atomic.Uint32
	mu    sync.Mutex
	cond  sync.Cond
}

func (g *gate) open() {
	g.mu.Lock()
	g.phase.Add(1)
	g.mu.Unlock()
	g.cond.Broadcast()
}

// looks is how often a waiting member looks before it sleeps: some hundred microseconds,
// about twice what being woken takes where the core has gone to sleep too.
const looks = 200_000

// wait returns when the phase is no longer the one given; it sleeps after most looks.
func (g *gate) wait(phase uint32, most int) {
	for i := range most {
		if g.phase.Load() != phase {
			return
		}
		if i%(looks/10) == looks/10-1 {
			yield()
		}
	}
	g.mu.Lock()
	for g.phase.Load() == phase {
		g.cond.Wait()
	}
	g.mu.Unlock()
}
