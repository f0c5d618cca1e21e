package client

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tacit/dataset"
	"tacit/id"
	"tacit/internal/strictyaml"
	"tacit/plan"
	"tacit/wire"
)

func TestConfigRoundTrip(t *testing.T) {
	for _, want := range []*Config{
		{Site: "cleveland", State: "/var/lib/tacit", Data: map[string]dataset.Source{"rows": {Path: "/data/rows.csv"}}},
		{Site: "va: 2 # east", State: "/s", Data: map[string]dataset.Source{
			"heart":     {Path: "/a b.csv", Split: "/split.csv", Center: "va"},
			"images":    {Format: "idx", Path: "/x-images.gz", Labels: "/x-labels.gz", Test: "/t-images", TestLabels: "/t-labels", Memory: 1 << 20},
			"warehouse": {Format: "postgres", DSN: "env:WAREHOUSE_DSN", Query: "select \"a\", b from t -- all"},
			"lake":      {Format: "mysql", DSN: "file:/etc/lake.dsn", Query: "select 1"},
		},
			Server: ServerRef{URL: "wss://h:1/tacit/v1", TLS: id.Digest{1}, Channel: id.Digest{2}, Charter: id.CharterHash{3}},
			Policy: Policy{Allow: []string{"logreg", id.PlanHash{4}.String()}, MinBranches: 4, MaxRounds: 20, Hours: "22:00-06:00"}},
	} {
		got, err := ParseConfig([]byte(want.YAML()), "/etc/agent.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, want.YAML())
		}
		if len(got.Policy.Allow) == 0 {
			got.Policy.Allow = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

func TestConfigPaths(t *testing.T) {
	c, err := ParseConfig([]byte("tacit: agent/v1\nsite: a\nstate: state\ndata:\n  one: {path: ../rows.csv, memory: 512MiB}\n  two: {format: mysql, query: q, dsn_file: dsn}\n"), "/etc/tacit/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	one := dataset.Source{Path: filepath.FromSlash("/etc/rows.csv"), Memory: 512 << 20}
	two := dataset.Source{Format: "mysql", Query: "q", DSN: "file:" + filepath.FromSlash("/etc/tacit/dsn")}
	if c.State != filepath.FromSlash("/etc/tacit/state") || c.Data["one"] != one || c.Data["two"] != two {
		t.Errorf("%+v", c)
	}
}

func TestConfigRejects(t *testing.T) {
	const good = "tacit: agent/v1\nsite: a\nstate: s\ndata:\n  rows: {path: r.csv}\n"
	for name, c := range map[string]struct{ src, want string }{
		"unknown key":          {good + "polcy: {}\n", `agent.yaml:6:1: unknown key "polcy"; did you mean "policy"?`},
		"nested key":           {good + "policy:\n  alow: []\n", `agent.yaml:7:3: unknown key "policy.alow"; did you mean "policy.allow"?`},
		"wrong type":           {good + "policy:\n  max_rounds: many\n", "agent.yaml:7:15: "},
		"not a list":           {good + "policy:\n  allow: logreg\n", "agent.yaml:7:10: "},
		"twice":                {good + "site: b\n", "agent.yaml:6:1: "},
		"another format":       {strings.Replace(good, "v1", "v2", 1), `tacit: "agent/v2"`},
		"no site":              {strings.Replace(good, "site: a\n", "", 1), "site: the name is empty"},
		"no state":             {strings.Replace(good, "state: s\n", "", 1), "state: no directory"},
		"no data":              {"tacit: agent/v1\nsite: a\nstate: s\n", "data: no data set; name one"},
		"a set without a name": {"tacit: agent/v1\nsite: a\nstate: s\ndata: {path: r.csv}\n", "agent.yaml:4:14: data sets have names: data: {rows: {path: …}}"},
		"unknown key of a set": {strings.Replace(good, "path:", "pth:", 1), `agent.yaml:5:10: unknown key "data.rows.pth"; did you mean "data.rows.path"?`},
		"a bad name":           {strings.Replace(good, "rows:", "\"\":", 1), "agent.yaml: data: : the name is empty"},
		"a set's wrong type":   {strings.Replace(good, "r.csv", "[r.csv]", 1), "agent.yaml:5:16: "},
		"unknown format":       {strings.Replace(good, "{path", "{format: cvs, path", 1), "data: rows: format is \"cvs\", want one of csv"},
		"no path":              {strings.Replace(good, "path: r.csv", "center: a", 1), "data: rows: no path"},
		"no connection string": {strings.Replace(good, "path: r.csv", "format: postgres, query: q", 1), "data: rows: postgres needs dsn_env"},
		"two of them":          {strings.Replace(good, "path: r.csv", "format: postgres, query: q, dsn_env: a, dsn_file: b", 1), "dsn_env and dsn_file"},
		"memory":               {strings.Replace(good, "r.csv", "r.csv, memory: lots", 1), `memory: "lots" is no size`},
		"bad hours":            {good + "policy: {hours: \"late\", allow: [x]}\n", `"late" is no span of the day`},
		"negative":             {good + "policy: {min_branches: -1, allow: [x]}\n", "min_branches: -1"},
		"unpinned server":      {good + "server:\n  url: wss://h/\n", "without it the server is not pinned"},
		"bad pin":              {good + "server:\n  url: wss://h/\n  channel: abc\n", "channel: "},
		"no wss":               {good + "server:\n  url: http://h/\n", "no wss:// address"},
	} {
		_, err := ParseConfig([]byte(c.src), "agent.yaml")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	_, err := ParseConfig([]byte(good+"a: 1\nb: 2\n"), "agent.yaml")
	var all *strictyaml.Error
	if !errors.As(err, &all) || len(all.Problems) != 2 {
		t.Errorf("two unknown keys: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	pl, err := plan.Parse([]byte(testPlan), "toy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	hash := pl.Hash()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	night := time.Date(2026, 3, 1, 23, 30, 0, 0, time.Local)
	for name, c := range map[string]struct {
		policy   Policy
		branches int
		now      time.Time
		want     wire.Refusal
	}{
		"nothing allowed":      {Policy{}, 0, noon, wire.RefusalPlanNotAllowed},
		"another plan":         {Policy{Allow: []string{id.PlanHash{1}.String()}}, 0, noon, wire.RefusalPlanNotAllowed},
		"another family":       {Policy{Allow: []string{"mlp"}}, 0, noon, wire.RefusalModelFamily},
		"this plan":            {Policy{Allow: []string{hash.String()}}, 0, noon, ""},
		"this family":          {Policy{Allow: []string{"mlp", "logreg"}}, 0, noon, ""},
		"plan of few branches": {Policy{Allow: []string{"logreg"}, MinBranches: 5}, 0, noon, wire.RefusalMinCohort},
		"epoch of enough":      {Policy{Allow: []string{"logreg"}, MinBranches: 5}, 6, noon, ""},
		"epoch below the plan": {Policy{Allow: []string{"logreg"}}, 3, noon, wire.RefusalMinCohort},
		"epoch above the plan": {Policy{Allow: []string{"logreg"}}, 9, noon, wire.RefusalMinCohort},
		"epoch of few":         {Policy{Allow: []string{"logreg"}, MinBranches: 5}, 4, noon, wire.RefusalMinCohort},
		"as many rounds":       {Policy{Allow: []string{"logreg"}, MaxRounds: 2}, 0, noon, ""},
		"too many rounds":      {Policy{Allow: []string{"logreg"}, MaxRounds: 1}, 0, noon, wire.RefusalMaxRounds},
		"by day":               {Policy{Allow: []string{"logreg"}, Hours: "22:00-06:00"}, 0, noon, wire.RefusalHours},
		"by night":             {Policy{Allow: []string{"logreg"}, Hours: "22:00-06:00"}, 0, night, ""},
		"unreadable hours":     {Policy{Allow: []string{"logreg"}, Hours: "always"}, 0, noon, wire.RefusalHours},
	} {
		if got := c.policy.judge(pl, hash, c.branches, c.now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestConfigSource(t *testing.T) {
	one := &Config{Data: map[string]dataset.Source{"rows": {Path: "r"}}}
	two := &Config{Data: map[string]dataset.Source{"b": {Path: "r"}, "a": {Path: "s"}}}
	for _, c := range []struct {
		cfg              *Config
		name, path, want string
	}{
		{one, "", "r", ""},
		{one, "rows", "r", ""},
		{two, "a", "s", ""},
		{one, "row", "", `there is no data set "row" here, only rows`},
		{two, "", "", "there are several data sets (a, b), and none of them is named"},
	} {
		s, err := c.cfg.Source(c.name)
		if c.want == "" && (err != nil || s.Path != c.path || c.name != "" && s.Name != c.name) {
			t.Errorf("%q: %+v, %v", c.name, s, err)
		}
		if c.want != "" && (err == nil || err.Error() != c.want || err.(*SourceError).Hint() == "") {
			t.Errorf("%q: %v, want %q", c.name, err, c.want)
		}
	}
}
