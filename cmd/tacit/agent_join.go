package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"tacit/client"
	"tacit/internal/crashpoint"
)

// atBranch is the flag of every command that concerns one branch's agent.
type atBranch struct {
	Config string `default:"agent.yaml" type:"path" help:"The agent's file."`
}

func (x *atBranch) load() (*client.Config, error) {
	src, err := os.ReadFile(x.Config)
	if err != nil {
		return nil, misconfigured("tacit init agent writes one; --config says where it is", "%w", err)
	}
	cfg, err := client.ParseConfig(src, x.Config)
	if err != nil {
		return nil, misconfigured("", "%w", err)
	}
	return cfg, nil
}

type agentJoinCommand struct {
	atBranch
	String string `arg:"" name:"string" help:"The joining string, or - to read it from standard input, where no process list shows it."`
	Wait   bool   `help:"Stay until an administrator has approved."`
}

type agentJoinData struct {
	Site        string `json:"site"`
	Org         string `json:"org"`
	Agent       string `json:"agent"`
	Fingerprint string `json:"fingerprint"`
	State       string `json:"state"` // pending, member
}

func (x *agentJoinCommand) Run(ctx context.Context, c *console) error {
	cfg, err := x.load()
	if err != nil {
		return err
	}
	crashpoint.SetScope("agent/" + cfg.Site)
	text := x.String
	if text == "-" {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return misused("tacit site invite prints one, at the server", "no joining string on standard input")
		}
		text = line
	}
	joined, err := client.Join(ctx, client.JoinOptions{
		Config: cfg, JoinString: strings.TrimSpace(text), Wait: x.Wait, Logger: c.logger(slog.LevelWarn),
		OnPending: func(fingerprint string) {
			if x.Wait {
				_ = c.stream(agentJoinData{Site: cfg.Site, Fingerprint: fingerprint, State: "pending"},
					"waiting for an administrator; read out this fingerprint:\n  "+fingerprint)
			}
		},
	})
	if err != nil {
		return err
	}
	data := agentJoinData{Site: joined.Site, Org: joined.Org, Agent: joined.Agent.String(), Fingerprint: joined.Fingerprint, State: "member"}
	if joined.Pending {
		data.State = "pending"
	}
	return c.result(data, func(w io.Writer) {
		if joined.Pending {
			fmt.Fprintf(w, "%s asks to join; read this fingerprint out to the administrator:\n  %s\nonce it is approved: this command again, then tacit agent run --config %s\n", data.Site, data.Fingerprint, x.Config)
			return
		}
		fmt.Fprintf(w, "%s is a member\nnext: tacit agent run --config %s\n", data.Site, x.Config)
	})
}
