package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

type siteInviteCommand struct {
	atServer
	Site string        `arg:"" help:"The branch's name."`
	Org  string        `help:"The organisation it belongs to; by default the site's name."`
	TTL  time.Duration `default:"24h" help:"How long the string may be used."`
}

type siteInviteData struct {
	Site    string    `json:"site"`
	Org     string    `json:"org"`
	Join    string    `json:"join"`
	Expires time.Time `json:"expires"`
}

func (x *siteInviteCommand) Run(ctx context.Context, c *console) error {
	if x.Org == "" {
		x.Org = x.Site
	}
	if x.TTL <= 0 {
		return misused("for example --ttl 24h", "an invitation cannot last %s", x.TTL)
	}
	ctl, err := x.control()
	if err != nil {
		return err
	}
	join, err := ctl.Invite(ctx, x.Org, x.Site, x.TTL)
	if err != nil {
		return err
	}
	data := siteInviteData{Site: x.Site, Org: x.Org, Join: join, Expires: time.Now().Add(x.TTL).UTC().Truncate(time.Second)}
	// The string alone on standard output, so that it can be piped.
	return c.result(data, func(w io.Writer) { fmt.Fprintln(w, join) })
}
