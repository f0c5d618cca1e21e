package main

import (
	"context"
	"fmt"
	"log/slog"

	"tacit/client"
	"tacit/internal/crashpoint"
)

type agentRunCommand struct {
	atBranch
	withParent
}

func (x *agentRunCommand) Run(ctx context.Context, c *console) error {
	cfg, err := x.load()
	if err != nil {
		return err
	}
	crashpoint.SetScope("agent/" + cfg.Site)
	agent, err := client.Open(cfg, client.Options{Logger: c.logger(slog.LevelInfo)})
	if err != nil {
		return err
	}
	defer agent.Close()
	ctx, cancel := x.bind(ctx)
	defer cancel()
	st := agent.Status()
	if err := c.stream(st, fmt.Sprintf("agent of %s · policy: %s\nserving %s (interrupt to stop)", st.Site, st.Policy, st.Server)); err != nil {
		return err
	}
	return agent.Run(ctx)
}
