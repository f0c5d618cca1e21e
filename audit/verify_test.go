package audit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tacit/id"
)

func TestVerify(t *testing.T) {
	s := fullSample(t)
	archive := s.archive(checkAll(Options{}))
	r, err := Verify(archive, checkAll(Options{LogKey: s.logKey}))
	if err != nil {
		t.Fatal(err)
	}
	if r.LogKeyState != "pinned" || r.Certificates != "checked" || r.PlanText != "checked" || r.Report != "recomputed" || len(r.Warnings) != 0 {
		t.Errorf("got %+v", r)
	}
	if r.Runs != 2 || r.Rounds != 34 || r.Aborts != 1 || r.Starts != 2 || r.Members != 4 || r.Witnesses != 4 || r.Size != uint64(len(s.entries)+1) {
		t.Errorf("got %+v", r)
	}
	if again := fullSample(t).archive(checkAll(Options{})); !bytes.Equal(again, archive) {
		t.Error("the same log gives two archives")
	}
	r, err = Verify(archive, Options{})
	if err != nil || r.LogKeyState != "unpinned" || r.Certificates != "digest only" || len(r.Warnings) != 2 {
		t.Errorf("without options: %+v, %v", r, err)
	}
	if _, err := Verify(archive, Options{LogKey: "no key"}); err == nil || errors.As(err, new(*Refuted)) {
		t.Errorf("a log key that is none: %v", err)
	}
	_, stranger := fixedLogKey(t, s.signer.Name(), 99)
	mustRefute(t, archive, Options{LogKey: stranger})

	bad := checkAll(Options{LogKey: s.logKey})
	bad.CheckCertificate = func(c Certificate) error {
		if c.R == 5 {
			return errors.New("two votes do not verify")
		}
		return nil
	}
	if r := mustRefute(t, archive, bad); !strings.Contains(r.File, "-round.bin") || r.Entry < 0 {
		t.Errorf("a bad certificate: %v", r)
	}
}

func mustRefute(t *testing.T, archive []byte, opt Options) *Refuted {
	t.Helper()
	res, err := Verify(archive, opt)
	var r *Refuted
	if !errors.As(err, &r) {
		t.Fatalf("not refuted: %v", err)
	}
	if r.Entry < 0 && r.File == "" || r.Reason == "" {
		t.Fatalf("refuted without a place: %+v", r)
	}
	if res.Size != 0 {
		t.Fatal("a result beside a refutation")
	}
	return r
}

// TestEveryByte flips a bit of every byte of an archive.
func TestEveryByte(t *testing.T) {
	s := smallSample(t)
	archive := s.archive(Options{})
	opt := Options{LogKey: s.logKey}
	step := 1
	if testing.Short() {
		step = 97
	}
	for i := 0; i < len(archive); i += step {
		archive[i] ^= 1 << (i % 8)
		mustRefute(t, archive, opt)
		if i%64 == 0 {
			mustRefute(t, archive, Options{})
		}
		archive[i] ^= 1 << (i % 8)
	}
	if _, err := Verify(archive, opt); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 21, 22, 100, len(archive) - 1} {
		mustRefute(t, archive[:n], opt)
	}
	mustRefute(t, append(bytes.Clone(archive), 0), opt)
	mustRefute(t, append([]byte{0}, archive...), opt)
}

// TestEveryFile changes bytes of every file and repairs the archive's own checksums,
// so that only what the log says can tell.
func TestEveryFile(t *testing.T) {
	s := smallSample(t)
	archive := s.archive(Options{})
	opt := Options{LogKey: s.logKey}
	f, err := parseArchive(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range f.names() {
		points := 40
		if name == fileCheckpoint || name == fileReportAsOf || strings.HasPrefix(name, "cosigned/") {
			points = 400
		}
		for k := range min(points, len(f[name])) {
			i := k * len(f[name]) / min(points, len(f[name]))
			g := maps.Clone(f)
			g[name] = bytes.Clone(f[name])
			g[name][i] ^= 1 << (k % 8)
			bad, err := g.encode()
			if err != nil {
				t.Fatal(err)
			}
			r := mustRefute(t, bad, opt)
			if name == fileEntries && r.Entry < 0 {
				t.Errorf("byte %d of the entries: no entry is named: %v", i, r)
			}
			if name != fileEntries && name != fileHashes && r.File == "" {
				t.Errorf("byte %d of %s: no file is named: %v", i, name, r)
			}
			mustRefute(t, bad, Options{})
		}
		g := maps.Clone(f)
		delete(g, name)
		bad, _ := g.encode()
		mustRefute(t, bad, opt)
		g = maps.Clone(f)
		g[name+".more"] = []byte("x")
		bad, _ = g.encode()
		mustRefute(t, bad, opt)
	}
}

// TestForgedReport repairs everything that the operator can sign again: only the
// report itself is a lie.
func TestForgedReport(t *testing.T) {
	s := smallSample(t)
	d, err := Build(s.source(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func(){
		fileHTML: func() {
			d.html = bytes.Replace(d.html, []byte("Server restarts</dt><dd>0"), []byte("Server restarts</dt><dd>7"), 1)
		},
		fileJSON: func() {
			d.json = bytes.Replace(d.json, []byte(`"server_restarts":0`), []byte(`"server_restarts":7`), 1)
		},
	} {
		html, json := d.html, d.json
		forge()
		e := d.Entry(s.now)
		raw, _ := e.AppendBinary(nil)
		x, err := Extend(s.stored, d.Size(), [][]byte{raw})
		if err != nil {
			t.Fatal(err)
		}
		msg, _ := SignCheckpoint(s.signer, x.Size, x.Root)
		_, err = d.Assemble(raw, msg)
		var r *Refuted
		if !errors.As(err, &r) || r.File != name {
			t.Errorf("a forged %s: %v", name, err)
		}
		d.html, d.json = html, json
	}
}

// TestSince compares the archive with what a branch kept.
func TestSince(t *testing.T) {
	s := newSample(t)
	kept := s.checkpoint()
	rewritten := newSample(t)
	rewritten.add(ServerStarted{2}, id.Digest{})
	fork := rewritten.checkpoint()
	s.add(ServerStarted{3}, id.Digest{})
	s.add(ServerStarted{4}, id.Digest{})
	archive := s.archive(Options{})
	r, err := Verify(archive, Options{LogKey: s.logKey, OldCheckpoint: kept})
	if err != nil || r.Since == nil || *r.Since != 20 {
		t.Errorf("since %v, %v", r.Since, err)
	}
	if r := mustRefute(t, archive, Options{LogKey: s.logKey, OldCheckpoint: fork}); !strings.Contains(r.Reason, "rewritten") {
		t.Error(r)
	}
	for range 4 {
		rewritten.add(ServerStarted{uint64(len(rewritten.entries))}, id.Digest{})
	}
	if r := mustRefute(t, archive, Options{LogKey: s.logKey, OldCheckpoint: rewritten.checkpoint()}); !strings.Contains(r.Reason, "rolled back") {
		t.Error(r)
	}
	if _, err := Verify(archive, Options{LogKey: s.logKey, OldCheckpoint: []byte("x")}); err == nil || errors.As(err, new(*Refuted)) {
		t.Errorf("a checkpoint that is none: %v", err)
	}
}

// TestRecordSwapped gives an entry the record of another attempt.
func TestRecordSwapped(t *testing.T) {
	s := smallSample(t)
	src := s.source()
	for d := range s.records {
		other := src
		other.Record = func(want id.Digest) ([]byte, error) {
			if want == d {
				return s.records[want][:len(s.records[want])-1], nil
			}
			return s.records[want], nil
		}
		if _, err := Build(other, Options{}); !errors.As(err, new(*Refuted)) {
			t.Errorf("a cut record: %v", err)
		}
	}
}

// TestRecordReplaced gives an entry a record that is whole, well formed and another.
func TestRecordReplaced(t *testing.T) {
	s := smallSample(t)
	for d, raw := range s.records {
		rec, err := ParseRoundRecord(raw)
		if err != nil {
			continue
		}
		rec.Seconds++
		other, _ := rec.AppendBinary(nil)
		src := s.source()
		src.Record = func(want id.Digest) ([]byte, error) {
			if want == d {
				return other, nil
			}
			return s.records[want], nil
		}
		var r *Refuted
		if _, err := Build(src, Options{}); !errors.As(err, &r) || r.Entry < 0 || r.File == "" || !strings.Contains(r.Reason, "digest") {
			t.Errorf("a record replaced: %v", err)
		}
	}
}

// TestReportEntry ends the log with an entry that is not the report's.
func TestReportEntry(t *testing.T) {
	s := smallSample(t)
	d, err := Build(s.source(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	page, content := d.html, d.json
	for name, forge := range map[string]func(e *Entry){
		"another page's digest": func(e *Entry) { e.Digest[0] ^= 1 },
		"another JSON's digest": func(e *Entry) { p := e.Payload.(ReportMade); p.JSON[0] ^= 1; e.Payload = p },
		"a longer page": func(e *Entry) {
			d.html = append(bytes.Clone(page), "<p>And more.</p>"...)
			e.Digest = id.SumDigest(d.html)
		},
		"longer JSON": func(e *Entry) {
			d.json = append(bytes.Clone(content), '\n')
			e.Payload = ReportMade{Renderer, 0, id.SumDigest(d.json)}
		},
		"checks that were not made": func(e *Entry) { p := e.Payload.(ReportMade); p.Checks = CheckedCertificates; e.Payload = p },
		"another kind":              func(e *Entry) { *e = Entry{Sequence: e.Sequence, Payload: ServerStarted{99}} },
	} {
		d.html, d.json = page, content
		e := d.Entry(s.now)
		forge(&e)
		raw, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		x, err := Extend(s.stored, d.Size(), [][]byte{raw})
		if err != nil {
			t.Fatal(err)
		}
		msg, _ := SignCheckpoint(s.signer, x.Size, x.Root)
		if _, err := d.Assemble(raw, msg); !errors.As(err, new(*Refuted)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An older renderer's report is judged by its digest alone, and said to be.
	d.html, d.json = []byte("<p>An older form."), content
	e := d.Entry(s.now)
	e.Payload = ReportMade{Renderer + 1, 0, id.SumDigest(content)}
	raw, _ := e.AppendBinary(nil)
	x, _ := Extend(s.stored, d.Size(), [][]byte{raw})
	msg, _ := SignCheckpoint(s.signer, x.Size, x.Root)
	archive, err := d.Assemble(raw, msg)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(archive, Options{LogKey: s.logKey}); err != nil || r.Report != "digest only" {
		t.Errorf("report %q, %v", r.Report, err)
	}
}

// TestTwoHistories puts checkpoints into the archive that the log signed, and branches
// vouched for, but of another history.
func TestTwoHistories(t *testing.T) {
	s := smallSample(t)
	f, err := parseArchive(s.archive(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(len(s.entries))
	fork := func(size uint64) []byte {
		msg, err := SignCheckpoint(s.signer, size, [32]byte{1})
		s.must(err)
		return msg
	}
	vouched := func(msg []byte) []byte {
		line, err := Cosign(msg, s.agent(1), s.agents[1].Ed25519(), 1)
		s.must(err)
		msg, err = AddCosignature(msg, line)
		s.must(err)
		return msg
	}
	for name, change := range map[string]struct {
		file string
		note []byte
	}{
		"as of N":                {fileReportAsOf, fork(n)},
		"as of N+1":              {fileCheckpoint, fork(n + 1)},
		"cosigned":               {cosignedFile(5, 0), vouched(fork(5))},
		"cosigned by nobody":     {cosignedFile(n, 0), s.checkpoint()},
		"cosigned, beyond":       {cosignedFile(n+7, 0), vouched(fork(n + 7))},
		"cosigned, misnamed":     {cosignedFile(5, 0), vouched(s.checkpoint())},
		"cosigned in place":      {fileReportAsOf, vouched(s.checkpoint())},
		"of another size":        {fileReportAsOf, fork(n - 1)},
		"cosigned by a stranger": {cosignedFile(n, 0), bytes.ReplaceAll(vouched(s.checkpoint()), []byte(s.agent(1).String()), []byte(s.agent(2).String()))},
	} {
		g := maps.Clone(f)
		g[change.file] = change.note
		bad, err := g.encode()
		if err != nil {
			t.Fatal(err)
		}
		if r := mustRefute(t, bad, Options{LogKey: s.logKey}); r.File != change.file && r.File != fileEntries {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// TestNamesTheFile damages the archive where its own checksums tell.
func TestNamesTheFile(t *testing.T) {
	s := smallSample(t)
	archive := s.archive(Options{})
	f, err := parseArchive(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range f.names() {
		at := bytes.Index(archive, f[name])
		bad := bytes.Clone(archive)
		bad[at+len(f[name])/2] ^= 4
		if r := mustRefute(t, bad, Options{}); r.File != name || !strings.Contains(r.Reason, "checksum") {
			t.Errorf("damage in %s: %v", name, r)
		}
	}
}

// TestArchiveVector holds the archive's bytes against the one in testdata/audit.
func TestArchiveVector(t *testing.T) {
	s := smallSample(t)
	archive := s.archive(Options{})
	path := filepath.Join(folder, "evidence.zip")
	if *update {
		if err := os.WriteFile(path, archive, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "evidence.logkey"), []byte(s.logKey+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(kept, Options{LogKey: s.logKey}); err != nil {
		t.Errorf("the archive that was kept: %v", err)
	}
	if !bytes.Equal(kept, archive) {
		t.Error("the archive's bytes changed: if that was meant, raise Renderer or the format's version and run with -update")
	}
}

func FuzzVerify(f *testing.F) {
	s := newSample(f)
	archive := s.archive(Options{})
	f.Add(archive)
	f.Add(archive[:len(archive)/2])
	f.Add([]byte("PK\x05\x06"))
	empty, _ := files{}.encode()
	f.Add(empty)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := Verify(b, Options{})
		if err == nil && !bytes.Equal(b, archive) {
			// Another archive that holds is possible only with another log key.
			_, err = Verify(b, Options{LogKey: s.logKey})
			if err == nil {
				t.Fatal("another archive of the same log key verifies")
			}
		}
		if err != nil && !errors.As(err, new(*Refuted)) {
			t.Fatalf("damage reported as something else: %v", err)
		}
	})
}

// BenchmarkVerify verifies 10,000 rounds of four branches.
func BenchmarkVerify(b *testing.B) {
	s := longSample(b, 10_000)
	archive := s.archive(Options{})
	b.ReportMetric(float64(len(archive))/1e6, "MB")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(archive, Options{LogKey: s.logKey}); err != nil {
			b.Fatal(err)
		}
	}
}

func longSample(tb testing.TB, rounds int) *sample {
	s := newSample(tb)
	s.startRun("heart-logreg", "", "logistic-regression", 21, uint32(rounds), fmt.Sprintf("rounds: %d\n", rounds))
	s.openEpoch()
	for k := 1; k <= rounds; k++ {
		s.openRound(Train, uint64(k))
		s.commit(Train, all, metrics(k, rounds, 0.8, 4))
	}
	s.finish(uint32(rounds), "completed")
	return s
}
