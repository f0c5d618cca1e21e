// Package crashpoint names the places in the code where a crash would hurt most,
// so that a test can die at each of them.
//
//	var pointSpooled = crashpoint.Register("report.spooled")
//	…
//	pointSpooled.Hit() // after the report is durable, before it is acknowledged
//
// Unarmed, a Hit is one atomic load. The environment arms it:
//
//	TACIT_CRASH=report.spooled            die at the first hit
//	TACIT_CRASH=report.spooled:3          die at the third
//	TACIT_CRASH=server@report.spooled:3   only in the process that called SetScope("server")
//	TACIT_CRASH=a,b:2                     whichever comes first
//
// Death is SIGKILL (TerminateProcess on Windows): no deferred function runs, no
// buffer is flushed, exactly as when the machine loses the process.
package crashpoint

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Env is the environment variable that arms crash points.
const Env = "TACIT_CRASH"

// A Point is a registered name.
type Point struct{ name string }

// An arm kills at one point.
type arm struct {
	scope string // empty: any
	name  string
	left  atomic.Int64
}

// armed is what a Hit consults; nil means that nothing is armed anywhere.
type armed struct {
	arms []*arm
	hook func(name string)
}

var (
	current atomic.Pointer[armed]
	scope   atomic.Pointer[string]

	mu     sync.Mutex // owns what follows
	names  = map[string]bool{}
	envErr error
)

func init() {
	arms, err := parse(os.Getenv(Env))
	envErr = err
	if len(arms) > 0 {
		current.Store(&armed{arms: arms})
	}
}

// Register names a point. It is meant for package variables; a name registered
// twice panics at start.
func Register(name string) Point {
	mu.Lock()
	defer mu.Unlock()
	if name == "" || strings.ContainsAny(name, ":,@ ") || names[name] {
		panic("crashpoint: bad or duplicate name " + strconv.Quote(name))
	}
	names[name] = true
	return Point{name}
}

// Hit dies here if this point is armed.
func (p Point) Hit() {
	if a := current.Load(); a != nil {
		a.hit(p.name)
	}
}

// String is the point's name.
func (p Point) String() string { return p.name }

// Hit is Point.Hit by name. The name should be registered.
func Hit(name string) {
	if a := current.Load(); a != nil {
		a.hit(name)
	}
}

func (a *armed) hit(name string) {
	if a.hook != nil {
		a.hook(name)
	}
	for _, arm := range a.arms {
		if arm.name != name {
			continue
		}
		if s := scope.Load(); arm.scope != "" && (s == nil || *s != arm.scope) {
			continue
		}
		if arm.left.Add(-1) == 0 {
			die()
		}
	}
}

// die is a variable for this package's own test.
var die = func() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		p.Kill()
	}
	select {} // the signal is on its way; nothing after the point may run
}

// Names returns every registered name, sorted.
func Names() []string {
	mu.Lock()
	defer mu.Unlock()
	out := make([]string, 0, len(names))
	for n := range names {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// SetScope says what this process is ("server", "agent/cleveland"), so that one
// environment can aim at one process of several.
func SetScope(s string) { scope.Store(&s) }

// Check reports a TACIT_CRASH that cannot be read or names no registered point:
// a test that arms a misspelt point would otherwise pass by never crashing.
func Check() error {
	mu.Lock()
	defer mu.Unlock()
	if envErr != nil {
		return envErr
	}
	a := current.Load()
	if a == nil {
		return nil
	}
	for _, arm := range a.arms {
		if !names[arm.name] {
			return fmt.Errorf("%s names %q, which is no crash point", Env, arm.name)
		}
	}
	return nil
}

// SetHook calls fn at every hit until restore is called. For tests inside the
// process: fn may panic, cut a connection, or count. Hooks do not nest across
// goroutines; one test at a time uses them.
func SetHook(fn func(name string)) (restore func()) {
	old := current.Load()
	next := &armed{hook: fn}
	if old != nil {
		next.arms = old.arms
	}
	current.Store(next)
	return func() { current.Store(old) }
}

func parse(s string) ([]*arm, error) {
	if s == "" {
		return nil, nil
	}
	var arms []*arm
	for _, item := range strings.Split(s, ",") {
		a := &arm{}
		n := int64(1)
		rest := item
		if before, after, ok := strings.Cut(rest, "@"); ok {
			a.scope, rest = before, after
		}
		if before, after, ok := strings.Cut(rest, ":"); ok {
			v, err := strconv.ParseInt(after, 10, 32)
			if err != nil || v < 1 {
				return nil, fmt.Errorf("%s: %q: the count after the colon must be 1 or more", Env, item)
			}
			rest, n = before, v
		}
		if rest == "" {
			return nil, fmt.Errorf("%s: %q names no point", Env, item)
		}
		a.name = rest
		a.left.Store(n)
		arms = append(arms, a)
	}
	return arms, nil
}
