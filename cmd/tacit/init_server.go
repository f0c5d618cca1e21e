package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tacit/id"
	"tacit/server"
	"tacit/wire/wsconn"
)

type initServerCommand struct {
	Dir        string   `default:"tacit-server" type:"path" help:"New directory for server.yaml, keys, log and sealed models."`
	Name       string   `default:"federation" help:"The federation's name."`
	Listen     string   `default:"127.0.0.1:8443" help:"Address to listen on, host:port."`
	URL        string   `help:"What branches dial; by default wss://LISTEN/tacit/v1."`
	AdminKey   string   `help:"New file for the administrator's key; by default DIR-admin-key.txt beside DIR."`
	MinCohort  uint32   `help:"Smallest cohort, n_min: 5 by default, at least 3."`
	MinRelease uint32   `help:"Smallest set whose sum is opened, U_min; 0 leaves it to the protocol."`
	AllowSmall bool     `help:"Allow cohorts of 3 or 4 branches, where a sum hides less."`
	Families   []string `name:"family" help:"Model family that plans may use; repeat for more. Any by default."`
}

// families are the model families that this program can train.
var families = []string{"logreg", "mlp", "linear"}

type initServerData struct {
	Config   string `json:"config"`
	AdminKey string `json:"admin_key"`
	LogKey   string `json:"log_key"`
	Charter  string `json:"charter"`
}

func (x *initServerCommand) Run(c *console) error {
	if _, _, err := net.SplitHostPort(x.Listen); err != nil {
		return misused("for example --listen 127.0.0.1:8443", "--listen %q is no host:port", x.Listen)
	}
	if port, err := strconv.ParseUint(x.Listen[strings.LastIndexByte(x.Listen, ':')+1:], 10, 16); err != nil || port == 0 {
		return misused("for example --listen 127.0.0.1:8443", "--listen %q has no port from 1 to 65535", x.Listen)
	}
	if err := id.CheckName(x.Name); err != nil {
		return misused("for example --name hearts", "--name: %w", err)
	}
	for _, f := range x.Families {
		if !slices.Contains(families, f) {
			return misused("one of "+strings.Join(families, ", "), "--family %q is no model family", f)
		}
	}
	if x.MinCohort != 0 && x.MinCohort < 3 {
		return misused("for example --min-cohort 5", "a smallest cohort of %d: three branches are the fewest whose sum hides each one", x.MinCohort)
	}
	if x.MinCohort != 0 && x.MinCohort < 5 && !x.AllowSmall {
		return misused("say --allow-small if you mean it", "a smallest cohort of %d is below 5", x.MinCohort)
	}
	if x.URL == "" {
		x.URL = "wss://" + x.Listen + wsconn.Path
	}
	if x.AdminKey == "" {
		x.AdminKey = filepath.Clean(x.Dir) + "-admin-key.txt"
	}
	if u, err := url.Parse(x.URL); err != nil || u.Scheme != "wss" || u.Hostname() == "" {
		return misused("for example --url wss://tacit.example.org:8443"+wsconn.Path, "--url %q is no wss:// address", x.URL)
	}
	// Before anything is made: half a federation would be in the way of the next try.
	if st, err := os.Stat(filepath.Dir(x.AdminKey)); x.AdminKey != filepath.Clean(x.Dir)+"-admin-key.txt" && (err != nil || !st.IsDir()) {
		return misconfigured("make that directory first", "--admin-key %s: its directory is not there", x.AdminKey)
	}
	made, err := server.Init(server.InitOptions{
		Dir: x.Dir, Listen: x.Listen, URL: x.URL, AdminKeyFile: x.AdminKey,
		Rules: server.Rules{Name: x.Name, MinCohort: x.MinCohort, MinRelease: x.MinRelease, AllowSmall: x.AllowSmall, Families: x.Families},
	})
	if errors.Is(err, fs.ErrExist) {
		return misconfigured("choose another directory with --dir, or move that one away; a federation's keys cannot be made again", "%w", err)
	}
	if err != nil {
		return err
	}
	data := initServerData{Config: made.Config, AdminKey: made.AdminKeyFile, LogKey: made.LogKey, Charter: made.Charter.String()}
	return c.result(data, func(w io.Writer) {
		table(w,
			[]string{"server file", data.Config},
			[]string{"administrator's key", data.AdminKey + "  (keep it on another machine; the server never reads it)"},
			[]string{"log key", data.LogKey},
			[]string{"charter", data.Charter})
		fmt.Fprintf(w, "next: tacit server run --config %s\n", data.Config)
	})
}
