package main

import (
	"context"
	"fmt"
	"io"
)

type siteListCommand struct{ atServer }

func (x *siteListCommand) Run(ctx context.Context, c *console) error {
	ctl, err := x.control()
	if err != nil {
		return err
	}
	sites, err := ctl.Sites(ctx)
	if err != nil {
		return err
	}
	return c.result(sites, func(w io.Writer) {
		if len(sites) == 0 {
			fmt.Fprintln(w, "no sites yet: tacit site invite")
			return
		}
		rows := [][]string{{"SITE", "ORGANISATION", "STATE", "CONNECTED", "FINGERPRINT"}}
		for _, s := range sites {
			up := "no"
			if s.Connected {
				up = "yes"
			}
			rows = append(rows, []string{s.Site, s.Org, s.State, up, s.Fingerprint})
		}
		table(w, rows...)
	})
}
