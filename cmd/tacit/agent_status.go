package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/dustin/go-humanize"

	"tacit/client"
	"tacit/wire"
)

type agentStatusCommand struct{ atBranch }

func (x *agentStatusCommand) Run(c *console) error {
	cfg, err := x.load()
	if err != nil {
		return err
	}
	s, err := client.ReadStatus(cfg.State)
	if errors.Is(err, fs.ErrNotExist) {
		return misconfigured("start it: tacit agent run", "the agent of %s has not run yet", cfg.Site)
	}
	if err != nil {
		return err
	}
	return c.result(s, func(w io.Writer) {
		state := "not running"
		switch {
		case s.Connected:
			state = "connected"
		case s.Running:
			state = "running, not connected"
		}
		rows := [][]string{
			{"site", s.Site}, {"fingerprint", s.Fingerprint}, {"server", s.Server}, {"state", state}, {"policy", s.Policy},
		}
		if !s.Run.IsZero() {
			rows = append(rows, []string{"run", fmt.Sprintf("%s · %s · round %d · %s", s.Run.Short(), s.Plan, s.Round, s.Stage)})
		}
		for _, class := range wire.Classes() {
			rows = append(rows, []string{"sent, " + class.String(), humanize.Comma(int64(s.Sent[class.String()])) + " bytes"})
		}
		if s.Refused != nil {
			rows = append(rows, []string{"last refusal", fmt.Sprintf("%s at %s UTC", s.Refused.Code, s.Refused.Time.UTC().Format("2006-01-02 15:04"))})
			for _, line := range strings.Split(s.Refused.Reason, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					rows = append(rows, []string{"", line})
				}
			}
		}
		if s.Error != "" {
			rows = append(rows, []string{"last error", s.Error})
		}
		table(w, rows...)
	})
}
