package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tacit/internal/durable"
)

type demoCommand struct {
	Out  string `default:"./tacit-demo" type:"path" help:"New directory for what the demo leaves."`
	Keep bool   `help:"Keep the server's and the branches' directories instead of shredding them."`
	Seed uint64 `default:"42" help:"Seed of both runs. The same seed gives the same models."`
}

// Run plays the story and prints what it came to.
func (x *demoCommand) Run(ctx context.Context, c *console) (err error) {
	start := time.Now()
	if err := emptyDirectory(x.Out); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	home, err := newHousehold(ctx, cancel)
	if err != nil {
		return err
	}
	s := &story{c: c, ctx: ctx, dir: x.Out, seed: x.Seed, home: home, seen: map[string]bool{}}
	err = s.play()
	home.stop()
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause // a child's death explains whatever failed after it
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			_ = durable.Shred(x.Out)
			return err
		}
		return &failure{exit: explain(err).exit, code: explain(err).code, err: fmt.Errorf("demo: %w", err),
			hint: "logs of every process are in " + relative(x.Out) + "; remove it before the next try"}
	}
	if !x.Keep {
		for _, name := range s.transient() {
			if err := durable.Shred(name); err != nil {
				return err
			}
		}
	}
	s.result.Seconds = float64(time.Since(start).Round(100*time.Millisecond)) / float64(time.Second)
	if err := s.writeResult(); err != nil {
		return err
	}
	return c.result(s.result, func(w io.Writer) { s.epilogue(w, x.Keep) })
}

// emptyDirectory makes dir, or fails if there is anything in it.
func emptyDirectory(dir string) error {
	names, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return durable.MkdirAll(dir, 0o700)
	case err != nil:
		return misconfigured("choose another directory: --out DIR", "%w", err)
	case len(names) > 0:
		return misconfigured("choose another one with --out DIR, or remove it", "%s is not empty", relative(dir))
	}
	return nil
}
