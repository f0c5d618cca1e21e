package server

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"tacit/audit"
	"tacit/client"
	"tacit/id"
	"tacit/internal/crashpoint"
	"tacit/server/blob"
)

func TestRestartKeepsWhatWasTold(t *testing.T) {
	f := newFederation(t, true)
	f.join()
	run := f.submit(testPlan(t, 1))
	before := f.finish(run)
	watch := func() (out []Event) {
		if err := f.current().Watch(t.Context(), run, func(ev Event) error {
			if ev.Kind == "committed" {
				ev.Bytes = 0 // as of the moment
				ev.Time = ev.Time.Truncate(1e9)
				out = append(out, ev)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	told := watch()
	counted := f.checkTraffic(nil)
	var fence uint64
	for range 2 {
		st, err := f.current().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Fence <= fence || st.Members != 4 || !st.ActiveRun.IsZero() {
			t.Errorf("%+v after fence %d", st, fence)
		}
		fence = st.Fence
		f.stop()
		f.start()
		if after := f.info(run); !reflect.DeepEqual(after, before) {
			t.Errorf("the run was\n%+v, is\n%+v", before, after)
		}
		again := watch()
		for i := range min(len(again), len(told)) {
			again[i].Time = told[i].Time // the log's clock and the event's differ by a moment
			if !reflect.DeepEqual(again[i], told[i]) {
				t.Errorf("round %d was\n%+v, is\n%+v", i, told[i], again[i])
			}
		}
		if len(again) != len(told) || len(told) != 4 {
			t.Errorf("%d commits, were %d", len(again), len(told))
		}
		rows, err := f.current().Traffic(t.Context())
		if err != nil || !reflect.DeepEqual(rows, counted) {
			t.Errorf("traffic was\n%+v, is\n%+v; %v", counted, rows, err)
		}
	}
	for _, b := range f.branches {
		b.start()
	}
	f.finish(f.submit(testPlan(t, 2)))
	f.checkTraffic(counted)
}

// TestServerDiesInARound ends the server at a named point of a run, as a kill would:
// from there on nothing becomes durable. Another server goes on, and the run ends with
// the model of the undisturbed one.
func TestServerDiesInARound(t *testing.T) {
	undisturbed := func() id.ModelHash {
		f := newFederation(t, false)
		f.join()
		return f.finish(f.submit(testPlan(t, 1))).Model
	}()
	for i, tt := range []struct {
		point string
		hit   int
	}{
		{"server.model.staged", 3}, // staged and not committed: discarded
		{"server.commit.done", 24}, // somewhere in the rounds
		{"server.report.spooled", 6},
		{"server.report.acked", 5},
		{"server.set.persisted", 2},
		{"server.certificate.persisted", 2},
		{"server.sum.opened", 2},
		{"server.model.published", 2},
	} {
		if testing.Short() && i%3 != 0 {
			continue
		}
		t.Run(tt.point, func(t *testing.T) {
			f := newFederation(t, true)
			f.join()
			killed := f.killAt(tt.point, tt.hit)
			run := f.submit(testPlan(t, 1))
			<-killed
			f.stop()
			f.start()
			if got := f.finish(run); got.Model != undisturbed {
				t.Errorf("the model is %s, undisturbed %s", got.Model.Short(), undisturbed.Short())
			}
			f.checkDisk(run)
			f.checkEvidence()
		})
	}
}

// killAt ends the server at the n-th hit of a crash point: its store is closed, so
// that nothing after the point becomes durable, and the goroutine ends there.
func (f *federation) killAt(point string, n int) (killed chan struct{}) {
	killed = make(chan struct{})
	s := f.current()
	var mu sync.Mutex
	left := n
	undo := crashpoint.SetHook(func(name string) {
		if name != point {
			return
		}
		mu.Lock()
		left--
		hit := left == 0
		mu.Unlock()
		if hit {
			s.store.Close()
			close(killed)
			runtime.Goexit()
		}
	})
	f.t.Cleanup(undo)
	return killed
}

// checkDisk looks for files that belong to nothing: staged models, spooled inputs,
// sums of a run that is over.
func (f *federation) checkDisk(run id.RunID) {
	f.t.Helper()
	models := 0
	err := filepath.WalkDir(filepath.Join(f.config().Data, "blobs"), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // shredded meanwhile
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if strings.Contains(path, "/models/") && strings.HasSuffix(path, ".age") {
			models++
			return nil
		}
		f.t.Errorf("left over: %s", path)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	rows, err := f.current().store.Models(f.t.Context(), run)
	if err != nil || len(rows) != models {
		f.t.Errorf("%d model files, %d rows, %v", models, len(rows), err)
	}
}

func (f *federation) checkEvidence() []byte {
	f.t.Helper()
	s := f.current()
	archive, err := s.Evidence(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := audit.Verify(archive, VerifyOptions(s.LogKey())); err != nil {
		f.t.Error(err)
	}
	return archive
}

// TestStagedModelsAreSettled: a model that was staged is published if its round was
// committed, and forgotten if it was not.
func TestStagedModelsAreSettled(t *testing.T) {
	f := newFederation(t, true)
	f.join()
	run := f.submit(testPlan(t, 1))
	f.finish(run)
	f.stop()
	dir, err := blob.Open(filepath.Join(f.config().Data, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	committed, orphan := "models/"+run.String()+"/3.age", "models/"+run.String()+"/9.age"
	data, err := dir.Get(committed)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{committed, orphan} {
		if err := dir.Delete(name); err != nil {
			t.Fatal(err)
		}
		if err := dir.Stage(name, data); err != nil {
			t.Fatal(err)
		}
	}
	// And of a run that is over nothing else stays.
	for _, name := range []string{"sums/" + run.String() + "/4.age", "spool/" + run.String() + "/4/input"} {
		if err := dir.Put(name, data); err != nil {
			t.Fatal(err)
		}
	}
	f.start()
	if got, err := dir.Get(committed); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a committed model: %v", err)
	}
	if _, err := dir.Get(orphan); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a model of no round: %v", err)
	}
	f.checkDisk(run)
}

// TestEveryBranchCosigns: the archive's checkpoints carry each branch's newest
// cosignature, also after a restart, and a branch's older word changes nothing.
func TestEveryBranchCosigns(t *testing.T) {
	f := newFederation(t, true)
	f.join()
	f.finish(f.submit(testPlan(t, 1)))
	cosigners := func() map[string]bool {
		s := f.current()
		members := s.members()
		s.commitMu.Lock()
		defer s.commitMu.Unlock()
		list, err := s.cosignedCheckpoints(t.Context(), members)
		if err != nil {
			t.Fatal(err)
		}
		who := map[string]bool{}
		for _, c := range list {
			for i := range members {
				if cosignature(c, members[i].Agent()) != nil {
					who[members[i].Site] = true
				}
			}
		}
		return who
	}
	f.until(func() bool { return len(cosigners()) == 4 }, "not every branch has cosigned")
	for _, b := range f.branches {
		b.stop()
	}
	f.connected(0)
	before := maps.Clone(f.current().cosigned)
	f.stop()
	f.start()
	if len(cosigners()) != 4 || !maps.Equal(before, f.current().cosigned) {
		t.Errorf("after a restart: %v, cosigned %v, before %v", cosigners(), f.current().cosigned, before)
	}
	for agent, size := range before {
		if err := f.current().keepCosigned(agent, size-1, []byte("older")); err != nil {
			t.Error(err)
		}
	}
	if !maps.Equal(before, f.current().cosigned) {
		t.Error("an older cosignature took the place of a newer one")
	}
}

// TestEvidenceAtAnyTime: twice in a row, after a restart, and in the middle of runs.
func TestEvidenceAtAnyTime(t *testing.T) {
	f := newFederation(t, true)
	f.checkEvidence() // of nothing yet
	f.join()
	run := f.submit(testPlan(t, 1))
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.finish(run)
	}()
	for {
		f.checkEvidence()
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	first, second := f.checkEvidence(), f.checkEvidence()
	if bytes.Equal(first, second) {
		t.Error("the second archive does not hold that the first was made")
	}
	if _, err := audit.Verify(first, VerifyOptions("tacit/0+00000000+AA")); err == nil {
		t.Error("it verifies under another key")
	}
	f.stop()
	f.start()
	f.checkEvidence()
}

// TestRollback restores yesterday's directory under a server whose branches have seen
// today's log: a branch notices before it trains, and keeps the proof.
func TestRollback(t *testing.T) {
	f := newFederation(t, true)
	f.join()
	f.finish(f.submit(testPlan(t, 1)))
	f.stop()
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(f.config().Data)); err != nil {
		t.Fatal(err)
	}
	f.start()
	f.finish(f.submit(testPlan(t, 2)))
	f.stop()
	data := f.config().Data
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(data, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	os.Chmod(data, 0o700)
	os.Chmod(filepath.Join(data, "root.key"), 0o600)
	f.start()
	for _, b := range f.branches {
		var contra *client.Contradiction
		var violation *audit.Violation
		if err := b.failed(); !errors.As(err, &contra) && !errors.As(err, &violation) {
			t.Errorf("%s: %v", b.site, err)
		}
	}
}

// TestNothingIsLeftBehind: nothing of a server, its sessions and its runs is left when it
// is closed, and no file is open.
func TestNothingIsLeftBehind(t *testing.T) {
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no list of open files here")
		}
		return len(list)
	}
	ours := func() string {
		buf := make([]byte, 1<<20)
		var left []string
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "tacit/server.") && !strings.Contains(g, "testing.") || strings.Contains(g, "tacit/wire.") {
				left = append(left, g)
			}
		}
		return strings.Join(left, "\n\n")
	}
	before := files()
	for _, disk := range []bool{false, true} {
		f := newFederation(t, disk)
		f.join()
		f.submit(testPlan(t, 1))
		f.finish(f.submit(testPlan(t, 2)))
		f.submit(testPlan(t, 3)) // ends in the middle
		x := knock(t, f.current())
		x.join(f.invite("south"), seededKey(9))
		x.receive()
		f.stop()
		for _, b := range f.branches {
			b.stop()
		}
		f.until(func() bool { return ours() == "" }, "goroutines are left:\n"+ours())
	}
	f := &federation{t: t}
	f.until(func() bool { return files() <= before }, "files are open that were not")
}
