package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"tacit/internal/crashpoint"
)

// A child is one process of the demo: this same program in another part. One that
// was told to die at a crash point is started again at once; one that dies
// unbidden ends the demo.
type child struct {
	name string   // "server", "hungarian"
	args []string // of this program
	log  string   // file that takes its output

	died func(c *child) // a bidden death, before the restart

	mu       sync.Mutex // guards what follows
	cmd      *exec.Cmd
	input    io.WriteCloser // its end tells the child that this process is gone
	stopping bool
	armed    string
	restarts int
	exited   chan struct{} // closed when the current process is gone
}

// household is all children of a demo.
type household struct {
	ctx   context.Context
	fail  context.CancelCauseFunc
	exe   string
	mu    sync.Mutex // guards children
	child []*child
}

func newHousehold(ctx context.Context, fail context.CancelCauseFunc) (*household, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &household{ctx: ctx, fail: fail, exe: exe}, nil
}

// start starts a child; crash, when not empty, is where its first process dies.
func (h *household) start(c *child, crash string) error {
	h.mu.Lock()
	h.child = append(h.child, c)
	h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return h.spawn(c, crash)
}

// command is this program with arguments and a clean environment.
func (h *household) command(crash string, args ...string) *exec.Cmd {
	cmd := exec.Command(h.exe, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, crashpoint.Env+"=") })
	if crash != "" {
		cmd.Env = append(cmd.Env, crashpoint.Env+"="+crash)
	}
	return cmd
}

// spawn starts c's next process; c.mu is held.
func (h *household) spawn(c *child, crash string) error {
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() // the child has its own
	cmd := h.command(crash, c.args...)
	cmd.Stdout, cmd.Stderr = out, out
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.cmd, c.input, c.armed, c.exited = cmd, input, crash, make(chan struct{})
	go h.wait(c, cmd)
	return nil
}

// wait sees a process die and decides what that means.
func (h *household) wait(c *child, cmd *exec.Cmd) {
	err := cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.exited)
	switch {
	case c.stopping || h.ctx.Err() != nil:
	case c.armed != "" && err != nil && (runtime.GOOS == "windows" || !cmd.ProcessState.Exited()): // killed, as it was bidden
		c.restarts++
		if c.died != nil {
			c.died(c)
		}
		if err := h.spawn(c, ""); err != nil {
			h.fail(err)
		}
	default:
		if err == nil {
			err = errors.New("exit status 0")
		}
		h.fail(fmt.Errorf("the process of %s ended unbidden: %w%s", c.name, err, tail(c.log)))
	}
}

// pid is the current process's number.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd.Process.Pid
}

// stop ends every child, the server last, and returns when they are gone.
func (h *household) stop() {
	h.mu.Lock()
	children := slices.Clone(h.child)
	h.mu.Unlock()
	slices.Reverse(children)
	for _, c := range children {
		c.mu.Lock()
		c.stopping = true
		if c.cmd != nil {
			c.input.Close()
			_ = c.cmd.Process.Signal(syscall.SIGTERM)
		}
		c.mu.Unlock()
	}
	deadline := time.After(3 * time.Second)
	for _, c := range children {
		c.mu.Lock()
		cmd, exited := c.cmd, c.exited
		c.mu.Unlock()
		if cmd == nil {
			continue
		}
		select {
		case <-exited:
		case <-deadline:
			_ = cmd.Process.Kill()
			<-exited
		}
	}
}

// tail is the end of a log, for an error message.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "\n  " + strings.Join(lines[max(0, len(lines)-6):], "\n  ")
}
