package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"tacit/internal/crashpoint"
	"tacit/server"
)

// atServer is the flag of every command that speaks to a server on this machine.
type atServer struct {
	Config string `default:"tacit-server/server.yaml" type:"path" help:"The server's file."`
}

// load reads server.yaml.
func (x *atServer) load() (*server.Config, error) {
	src, err := os.ReadFile(x.Config)
	if err != nil {
		return nil, misconfigured("tacit init server makes one; --config says where it is", "%w", err)
	}
	cfg, err := server.ParseConfig(src, x.Config)
	if err != nil {
		return nil, misconfigured("", "%w", err)
	}
	return cfg, nil
}

// control reaches the server that runs on the file's directory.
func (x *atServer) control() (server.Control, error) {
	cfg, err := x.load()
	if err != nil {
		return nil, err
	}
	return server.DialControl(cfg.Data)
}

type serverRunCommand struct {
	atServer
	withParent
}

// withParent ties a process to the one that started it.
type withParent struct {
	UntilInputEnds bool `hidden:"" help:"Stop when standard input ends, as it does when the parent process dies."`
}

// bind ends the context when standard input ends.
func (x withParent) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if x.UntilInputEnds {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	return ctx, cancel
}

func (x *serverRunCommand) Run(ctx context.Context, c *console) error {
	crashpoint.SetScope("server")
	cfg, err := x.load()
	if err != nil {
		return err
	}
	s, err := server.Open(cfg, server.Options{Logger: c.logger(slog.LevelInfo)})
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := x.bind(ctx)
	defer cancel()
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if err := c.stream(st, fmt.Sprintf("federation %s · %d members · log of %d entries\nlog key %s\nopening %s (interrupt to stop)", st.Name, st.Members, st.LogSize, st.LogKey, cfg.URL)); err != nil {
		return err
	}
	return s.Run(ctx)
}
