package server

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"tacit/audit"
	"tacit/nn/model"
	"tacit/plan"
	heartdisease "tacit/testdata/heart-disease"
	"tacit/vault"
	"tacit/wire"
)

// TestStory is the main job: four hospitals join a server on disk, learn in two runs
// of different plans, and what is left is a model for its owner, counted traffic, and
// an archive that verifies.
func TestStory(t *testing.T) {
	f := newFederation(t, true)
	f.join()
	owner, err := vault.GenerateOwner()
	if err != nil {
		t.Fatal(err)
	}
	p := testPlan(t, 1, func(p *plan.Plan) { p.Outputs.Owner = []string{owner.Recipient()} })
	first, second := f.submit(p), f.submit(testPlan(t, 2))
	if got := f.info(second); got.State != stateQueued {
		t.Errorf("the second run is %s while the first runs", got.State)
	}
	info := f.finish(first)
	if info.Round != 4 || info.R != 4 || info.Accuracy < 0.5 || math.IsNaN(info.Loss) || info.Model.IsZero() {
		t.Errorf("%+v", info)
	}
	f.finish(second)

	s := f.current()
	sealed, err := s.Export(t.Context(), first, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := vault.OpenExport(bytes.NewReader(sealed), owner.IdentityFile())
	if err != nil {
		t.Fatal(err)
	}
	layout, err := p.Spec().Layout()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Parse(layout, payload)
	if err != nil || m.Metadata["model"] != info.Model.String() || m.Metadata["plan"] != info.Plan.String() {
		t.Fatalf("%+v, %v", m, err)
	}
	if len(m.Params) != p.NumParams() || len(m.Mean) != p.Spec().Inputs || len(m.Std) != len(m.Mean) {
		t.Errorf("%d parameters, %d means, %d deviations; the plan has %d parameters of %d inputs", len(m.Params), len(m.Mean), len(m.Std), p.NumParams(), p.Spec().Inputs)
	}

	archive, err := s.Evidence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(archive, VerifyOptions(s.LogKey())); err != nil {
		t.Error(err)
	}
	f.checkTraffic(nil)
}

// checkTraffic compares what the server received from each branch with what the
// branch says that it sent, after everything has come to rest; earlier is what was
// counted at an earlier look and may only grow.
func (f *federation) checkTraffic(earlier []SiteTraffic) []SiteTraffic {
	f.t.Helper()
	for _, b := range f.branches {
		b.stop()
	}
	f.connected(0)
	rows, err := f.current().Traffic(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	classOf := map[string]wire.Class{}
	for _, k := range wire.Kinds() {
		classOf[kindName(k)] = k.Class()
	}
	before := map[string]uint64{}
	for _, r := range earlier {
		before[r.Site] = r.Total
	}
	for _, r := range rows {
		var kinds, classes uint64
		byClass := map[string]uint64{}
		for name, n := range r.Kinds {
			class, ok := classOf[name]
			if !ok {
				f.t.Errorf("%s: unknown kind %q", r.Site, name)
			}
			byClass[class.String()] += n
			kinds += n
		}
		for name, n := range r.Classes {
			classes += n
			if byClass[name] != n {
				f.t.Errorf("%s: class %s has %d bytes, its kinds %d", r.Site, name, n, byClass[name])
			}
		}
		if kinds != r.Total || classes != r.Total || r.Total < before[r.Site] {
			f.t.Errorf("%s: kinds %d, classes %d, total %d, earlier %d", r.Site, kinds, classes, r.Total, before[r.Site])
		}
		if r.Classes[wire.ClassRows.String()] != 0 || r.Classes[wire.ClassPlaintextUpdates.String()] != 0 {
			f.t.Errorf("%s sent rows or updates: %v", r.Site, r.Classes)
		}
		for _, b := range f.branches {
			if b.site != r.Site {
				continue
			}
			// The agent of an application is another than the one that runs: it does
			// not count its Join.
			if b.sent != r.Total-r.Kinds[kindName(wire.KindJoin)] {
				f.t.Errorf("%s sent %d, the server counts %d and %d of joining", r.Site, b.sent, r.Total, r.Kinds[kindName(wire.KindJoin)])
			}
		}
	}
	if len(rows) != len(heartdisease.Sites()) {
		f.t.Errorf("%d sites", len(rows))
	}
	return rows
}

func TestExportRefusals(t *testing.T) {
	f := newFederation(t, false)
	f.join()
	f.branches[0].stop() // so that the run waits
	run := f.submit(testPlan(t, 1))
	s := f.current()
	var denied *DeniedError
	if _, err := s.Export(t.Context(), run, nil); !errors.As(err, &denied) || denied.Hint() == "" {
		t.Errorf("a run in progress: %v", err)
	}
	var missing *NotFoundError
	if _, err := s.Export(t.Context(), [16]byte{9}, nil); !errors.As(err, &missing) {
		t.Errorf("no such run: %v", err)
	}
	f.branches[0].start()
	f.finish(run)
	size := func() int64 {
		st, err := s.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.LogSize
	}
	before := size()
	if _, err := s.Export(t.Context(), run, nil); !errors.As(err, &denied) {
		t.Errorf("nobody to export to: %v", err)
	}
	if _, err := s.Export(t.Context(), run, []string{"age1abc"}); !errors.As(err, &denied) {
		t.Errorf("a bad recipient: %v", err)
	}
	if size() != before {
		t.Error("a refused export is in the log")
	}
	owner, err := vault.GenerateOwner()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Export(t.Context(), run, []string{owner.Recipient()}); err != nil {
		t.Error(err)
	}
	if size() != before+1 {
		t.Error("an export is not in the log")
	}
}

// TestWhoWasAwayHearsOfTheEnd: a branch that connects after a run's end is told of it,
// also by another process, whatever the reason's words.
func TestWhoWasAwayHearsOfTheEnd(t *testing.T) {
	f := newFederation(t, true)
	f.join()
	run := f.submit(testPlan(t, 1))
	model := f.finish(run).Model
	f.enrolKey("south", seededKey(1))
	hears := func() {
		t.Helper()
		x := knock(t, f.current())
		x.auth(seededKey(1))
		x.receive()
		m, ok := x.receive().(*wire.RunDone)
		if !ok || m.Run != run || m.State != wire.RunDoneState || m.Model != model {
			t.Errorf("%+v", m)
		}
		x.ch.Close()
	}
	hears()
	f.stop()
	f.start()
	hears()
	for _, reason := range []string{"", "short", "two\nlines\x00\xff", string(bytes.Repeat([]byte("ä"), 5000))} {
		got := sendable(reason)
		if len(got) > 400 || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
			t.Errorf("%.20q became %q", reason, got)
		}
	}
}
