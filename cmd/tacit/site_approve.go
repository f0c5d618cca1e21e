package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"tacit/server"
)

type siteApproveCommand struct {
	atServer
	Site        string `arg:"" help:"The branch that waits."`
	AdminKey    string `required:"" type:"path" help:"The administrator's key file."`
	Fingerprint string `help:"The fingerprint that the branch reads out; without it a person is asked to compare."`
}

func (x *siteApproveCommand) Run(ctx context.Context, c *console) error {
	admin, err := server.ReadAdministrator(x.AdminKey)
	if err != nil {
		return misconfigured("tacit init server wrote it; --admin-key says where it is", "%w", err)
	}
	ctl, err := x.control()
	if err != nil {
		return err
	}
	sites, err := ctl.Sites(ctx)
	if err != nil {
		return err
	}
	var found *server.Site
	var waiting []string
	for i := range sites {
		if sites[i].Site != x.Site {
			continue
		}
		if sites[i].State == "member" {
			return &failure{exit: exitDenied, code: "denied", err: fmt.Errorf("site %q is a member already", x.Site), hint: "tacit site list shows the members"}
		}
		waiting = append(waiting, sites[i].Fingerprint)
		if x.Fingerprint == "" || sites[i].Fingerprint == x.Fingerprint || found == nil {
			found = &sites[i]
		}
	}
	if found == nil {
		return &failure{exit: exitDenied, code: "denied", err: fmt.Errorf("no branch asks to join as site %q", x.Site),
			hint: "the branch runs: tacit agent join STRING"}
	}
	switch {
	case x.Fingerprint == "" && len(waiting) > 1:
		return &failure{exit: exitDenied, code: "denied", err: fmt.Errorf("%d keys ask to join as %q: %s", len(waiting), x.Site, strings.Join(waiting, ", ")),
			hint: "say which one is the branch's, as it reads it out: --fingerprint F"}
	case x.Fingerprint != "" && x.Fingerprint != found.Fingerprint:
		return &failure{exit: exitDenied, code: "denied", err: fmt.Errorf("the key that asks to join as %q has fingerprint %s, not %s", x.Site, found.Fingerprint, x.Fingerprint),
			hint: "do not approve it; invite the branch again"}
	case x.Fingerprint == "" && !c.Yes:
		if !c.terminal {
			return misused("--fingerprint F, as the branch reads it out", "site %s waits with fingerprint %s: nobody is here to compare it", x.Site, found.Fingerprint)
		}
		fmt.Fprintf(c.progress(), "%s (%s) asks to join with fingerprint\n  %s\nDoes the branch read out the same? [y/N] ", found.Site, found.Org, c.paint(bold, found.Fingerprint))
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
			return &failure{exit: exitDenied, code: "denied", err: fmt.Errorf("site %q was not approved", x.Site), hint: "if the fingerprints differ, invite the branch again"}
		}
	}
	if err := admin.Approve(ctx, ctl, x.Site, found.Fingerprint); err != nil {
		return err
	}
	found.State = "member"
	return c.result(found, func(w io.Writer) { fmt.Fprintf(w, "%s is a member · %s\n", found.Site, found.Fingerprint) })
}
