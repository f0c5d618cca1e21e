package audit

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tacit/id"
)

// Options says what to hold an archive against.
type Options struct {
	// LogKey is the log's verifier key, obtained elsewhere than from the archive. If
	// it is empty, only self-consistency is checked, and the result says so.
	LogKey string
	// CheckCertificate checks the signatures of a certificate. If it is nil, only the
	// certificate's digest is checked, and the result says so.
	CheckCertificate func(Certificate) error
	// CheckPlan checks that text is the readable form of a plan's canonical bytes and
	// that the values are the plan's. If it is nil, only digests are checked.
	CheckPlan func(run *RunRecord) error
	// OldCheckpoint, if not empty, is a checkpoint of the same log that was kept
	// earlier; the archive's log must extend it.
	OldCheckpoint []byte
}

// Certificate is a quorum's statement about one attempt and everything needed to
// check it.
type Certificate struct {
	Abort bool // Bytes is an abort certificate
	Bytes []byte

	Set    []byte // bitmap over Members, as in RoundRecord; empty for an abort without one
	Online id.Digest

	Run                           id.RunID
	Plan                          id.PlanHash
	R, Round, Epoch               uint64
	Task                          Task
	Root                          id.EpochRoot
	Model                         id.ModelHash
	Config                        id.ConfigHash
	CharterHash                   id.CharterHash
	Ctx                           id.Ctx
	Cohorts, Cohort, Dim          uint32
	Quorum, Threshold, MinRelease int
	Live, Private                 int
	Members                       []id.PublicKey // in the order of the epoch
	Server                        id.PublicKey
	Roster, Charter               []byte // as signed
}

const (
	checked    = "checked"
	digestOnly = "digest only"
)

// Verify checks an archive, offline and against nothing but opt. A *[Refuted] error
// names the entry or file that does not hold; any other error is about opt. The
// Result is the zero value unless the error is nil.
func Verify(archive []byte, opt Options) (Result, error) {
	v := &verification{opt: opt}
	if err := v.options(); err != nil {
		return Result{}, err
	}
	f, err := parseArchive(archive)
	if err != nil {
		return Result{}, err
	}
	r, err := v.archive(f)
	if err != nil {
		return Result{}, err
	}
	return *r, nil
}

// verification is one check of one archive.
type verification struct {
	opt     Options
	pinned  note.Verifier // nil when unpinned
	logKey  string
	log     note.Verifier
	raw     [][]byte
	entries []Entry
	stored  hashStore
	replay  *replay
	old     *Head
}

// options checks what the caller passed, so that a typing error is not mistaken for
// damage.
func (v *verification) options() error {
	if v.opt.LogKey == "" {
		return nil
	}
	k, err := newVerifier(v.opt.LogKey)
	if err != nil {
		return err
	}
	v.pinned = k
	return v.oldCheckpoint(k)
}

func (v *verification) oldCheckpoint(k note.Verifier) error {
	if len(v.opt.OldCheckpoint) == 0 {
		return nil
	}
	h, _, err := openCheckpoint(v.opt.OldCheckpoint, k)
	if err != nil {
		return fmt.Errorf("audit: the earlier checkpoint: %w", err)
	}
	v.old = &h
	return nil
}

func (v *verification) archive(f files) (*Result, error) {
	n, err := v.load(f)
	if err != nil {
		return nil, err
	}
	last, ok := v.entries[n-1].Payload.(ReportMade)
	if !ok {
		return nil, refuteEntry(uint64(n-1), "the last entry is %q, not %q", v.entries[n-1].Kind(), KindReportMade)
	}
	asOf, err := v.events(f, n-1)
	if err != nil {
		return nil, err
	}
	if err := v.replay.step(v.entries[n-1]); err != nil {
		return nil, located(v.entries[n-1], err)
	}
	head, err := v.checkpoint(f, fileCheckpoint, uint64(n))
	if err != nil {
		return nil, err
	}
	if err := v.leftovers(f); err != nil {
		return nil, err
	}
	state, err := v.report(f, v.entries[n-1], last, asOf)
	if err != nil {
		return nil, err
	}
	return v.result(head, state), nil
}

// events checks everything of the first n entries: root, cosignatures, the grammar,
// the documents and the certificates. It returns the head of that size.
func (v *verification) events(f files, n int) (Head, error) {
	head, err := v.checkpoint(f, fileReportAsOf, uint64(n))
	if err != nil {
		return Head{}, err
	}
	if v.old != nil {
		if err := v.extends(*v.old); err != nil {
			return Head{}, err
		}
	}
	v.replay = newReplay(f, len(v.entries))
	v.replay.used[fileEntries], v.replay.used[fileHashes] = true, true
	for _, e := range v.entries[:n] {
		if err := v.replay.step(e); err != nil {
			return Head{}, located(e, err)
		}
	}
	if err := v.cosignatures(f, uint64(n)); err != nil {
		return Head{}, err
	}
	if err := v.callbacks(); err != nil {
		return Head{}, err
	}
	return head, nil
}

// load reads the entries and pins down which of them is damaged, if any is.
func (v *verification) load(f files) (int, error) {
	for _, name := range []string{fileEntries, fileHashes, fileCheckpoint, fileReportAsOf, fileHTML, fileJSON} {
		if _, ok := f[name]; !ok {
			return 0, refuteFile(name, "the file is missing")
		}
	}
	return v.loadEntries(f, fileCheckpoint)
}

func (v *verification) loadEntries(f files, checkpoint string) (int, error) {
	raw, err := splitEntries(f[fileEntries])
	if err != nil {
		return 0, err
	}
	if len(raw) == 0 {
		return 0, refuteFile(fileEntries, "no entries")
	}
	v.raw = raw
	leaves := leafHashes(raw)
	if err := v.chooseKey(f, checkpoint); err != nil {
		return 0, err
	}
	head, _, err := openCheckpoint(f[checkpoint], v.log)
	if err != nil {
		return 0, refuteFile(checkpoint, "%v", err)
	}
	if v.stored, err = storeLeaves(leaves); err != nil {
		return 0, refuteFile(fileEntries, "%v", err)
	}
	if err := v.compareHashes(f[fileHashes], leaves, head, checkpoint); err != nil {
		return 0, err
	}
	v.entries = make([]Entry, len(raw))
	for i, b := range raw {
		if v.entries[i], err = ParseEntry(b); err != nil {
			return 0, refuteEntry(uint64(i), "%v", err)
		}
	}
	return len(raw), nil
}

// chooseKey takes the pinned key, or, unpinned, the one that entry 0 names.
func (v *verification) chooseKey(f files, checkpoint string) error {
	if v.pinned != nil {
		v.log, v.logKey = v.pinned, v.opt.LogKey
		return nil
	}
	e, err := ParseEntry(v.raw[0])
	if err != nil {
		return refuteEntry(0, "%v", err)
	}
	g, ok := e.Payload.(Genesis)
	if !ok {
		return refuteEntry(0, "it is %q, not %q", e.Kind(), KindGenesis)
	}
	v.logKey = g.LogKey
	if v.log, err = newVerifier(g.LogKey); err != nil {
		return refuteEntry(0, "%v", err)
	}
	if err := v.oldCheckpoint(v.log); err != nil {
		return refuteFile(checkpoint, "%v", err)
	}
	return nil
}

// compareHashes compares the entries with the signed root and, when they differ,
// uses the list of leaf hashes to name the entry.
func (v *verification) compareHashes(listed []byte, leaves []tlog.Hash, head Head, checkpoint string) error {
	list := joinHashes(leaves)
	root, err := TreeRoot(v.stored, uint64(len(leaves)))
	if err != nil {
		return refuteFile(fileEntries, "%v", err)
	}
	rootHolds := head.Size == uint64(len(leaves)) && root == head.Root
	if rootHolds && bytes.Equal(list, listed) {
		return nil
	}
	if rootHolds {
		return refuteFile(fileHashes, "it does not list the hashes of the entries")
	}
	for i := range leaves {
		at := i * tlog.HashSize
		if len(listed) < at+tlog.HashSize || !bytes.Equal(list[at:at+tlog.HashSize], listed[at:at+tlog.HashSize]) {
			return refuteEntry(uint64(i), "it is not the entry that the log's root covers")
		}
	}
	if head.Size != uint64(len(leaves)) {
		return refuteFile(fileEntries, "%d entries, but %s is of %d", len(leaves), checkpoint, head.Size)
	}
	return refuteFile(fileEntries, "the root of the entries is not the one that the log signed")
}

// checkpoint checks one checkpoint of the archive against the entries.
func (v *verification) checkpoint(f files, name string, size uint64) (Head, error) {
	head, others, err := openCheckpoint(f[name], v.log)
	if err != nil {
		return Head{}, refuteFile(name, "%v", err)
	}
	if len(others) != 0 {
		return Head{}, refuteFile(name, "it carries signatures that belong under cosigned/")
	}
	if head.Size != size {
		return Head{}, refuteFile(name, "it is of %d entries, not %d", head.Size, size)
	}
	root, err := TreeRoot(v.stored, size)
	if err != nil || root != head.Root {
		return Head{}, refuteFile(name, "its root is not that of the first %d entries", size)
	}
	if v.replay != nil {
		v.replay.used[name] = true
	}
	return head, nil
}

// extends checks that the log contains what an earlier checkpoint signed.
func (v *verification) extends(old Head) error {
	if old.Size > uint64(len(v.raw)) {
		return refuteFile(fileEntries, "%d entries, but an earlier checkpoint was of %d: the log was rolled back", len(v.raw), old.Size)
	}
	root, err := TreeRoot(v.stored, old.Size)
	if err != nil || root != old.Root {
		return refuteFile(fileEntries, "the first %d entries are not those of the earlier checkpoint: the log was rewritten", old.Size)
	}
	return nil
}

func (v *verification) cosignatures(f files, size uint64) error {
	h := v.replay.h
	for _, name := range f.names() {
		var of uint64
		var part int
		if n, _ := fmt.Sscanf(name, "cosigned/%d-%d.note", &of, &part); n != 2 || name != cosignedFile(of, part) {
			continue
		}
		v.replay.used[name] = true
		c, err := openCosigned(f[name], v.log, h.cosignerKeys)
		if err != nil {
			return refuteFile(name, "%v", err)
		}
		if c.head.Size != of || of > size || len(c.by) == 0 {
			return refuteFile(name, "a checkpoint of %d entries with %d cosignatures", c.head.Size, len(c.by))
		}
		if root, err := TreeRoot(v.stored, of); err != nil || root != c.head.Root {
			return refuteFile(name, "its root is not that of the first %d entries", of)
		}
		h.vouched = append(h.vouched, c)
	}
	return nil
}

// callbacks runs the checks that other packages know how to do.
func (v *verification) callbacks() error {
	for _, run := range v.replay.h.runs {
		if v.opt.CheckPlan != nil {
			if err := v.opt.CheckPlan(run.record); err != nil {
				return &Refuted{Entry: int64(run.start), File: recordFile(v.entries[run.start]), Reason: plainReason(err.Error())}
			}
		}
		if v.opt.CheckCertificate == nil {
			continue
		}
		for _, a := range run.attempts {
			if a.record == nil {
				continue
			}
			at := v.entries[a.end]
			for _, c := range a.certificates(run) {
				if err := v.opt.CheckCertificate(c); err != nil {
					return &Refuted{Entry: int64(at.Sequence), File: recordFile(at), Reason: plainReason(err.Error())}
				}
			}
		}
	}
	return nil
}

// certificates returns the certificates of a closed attempt with their context.
func (a *attemptHistory) certificates(run *runHistory) []Certificate {
	rec, o, ep := a.record, a.opened, a.epoch
	base := Certificate{
		Set: rec.Set, Online: rec.Online, Run: rec.Run, Plan: o.Plan, R: a.r, Round: a.round,
		Epoch: o.Epoch, Task: o.Task, Root: o.Root, Model: o.Model, Config: o.Config, CharterHash: o.Charter,
		Ctx: o.Ctx, Cohorts: o.Cohorts, Cohort: o.Cohort, Dim: o.Dim,
		Quorum: int(ep.record.Quorum), Threshold: int(ep.record.Threshold), MinRelease: int(ep.record.MinRelease),
		Live: int(ep.record.Live), Private: int(ep.record.Private),
		Server: ep.charter.charter.Server, Roster: ep.roster.raw, Charter: ep.charter.raw,
	}
	for _, m := range ep.record.Members {
		base.Members = append(base.Members, ep.roster.roster.Members[ep.roster.index[m.Agent]].Key)
	}
	var out []Certificate
	if len(rec.Certificate) > 0 {
		c := base
		c.Bytes = rec.Certificate
		out = append(out, c)
	}
	if len(rec.AbortCertificate) > 0 {
		c := base
		c.Abort, c.Bytes = true, rec.AbortCertificate
		out = append(out, c)
	}
	return out
}

// leftovers refuses files that nothing in the log accounts for.
func (v *verification) leftovers(f files) error {
	used := v.replay.used
	for _, name := range []string{fileCheckpoint, fileReportAsOf, fileHTML, fileJSON} {
		used[name] = true
	}
	for _, name := range f.names() {
		if !used[name] {
			return refuteFile(printable(name), "nothing in the log accounts for it")
		}
	}
	return nil
}

// report compares the report's digests with entry N and, if this build has the same
// renderer, renders it again.
func (v *verification) report(f files, e Entry, made ReportMade, asOf Head) (string, error) {
	if id.SumDigest(f[fileHTML]) != e.Digest {
		return "", &Refuted{Entry: int64(e.Sequence), File: fileHTML, Reason: "its digest is not the one that the entry carries"}
	}
	if id.SumDigest(f[fileJSON]) != made.JSON {
		return "", &Refuted{Entry: int64(e.Sequence), File: fileJSON, Reason: "its digest is not the one that the entry carries"}
	}
	if made.Renderer != Renderer {
		return digestOnly, nil
	}
	content, html := &comparer{want: f[fileJSON]}, &comparer{want: f[fileHTML]}
	err := render(v.replay.hAsOf(), asOf, v.logKey, made.Checks, content, html)
	var failed *renderError
	switch {
	case errors.As(err, &failed):
		return "", refuteFile(failed.file, "it does not say what the entries say")
	case err != nil:
		return "", refuteFile(fileHTML, "%v", err)
	case content.at != len(content.want):
		return "", refuteFile(fileJSON, "it says more than the entries say")
	case html.at != len(html.want):
		return "", refuteFile(fileHTML, "it says more than the entries say")
	}
	return "recomputed", nil
}

// hAsOf returns the history without the entry of the archive's own report.
func (p *replay) hAsOf() *history {
	h := *p.h
	h.entries = h.entries[:len(h.entries)-1]
	h.reports = h.reports[:len(h.reports)-1]
	return &h
}

// located turns the grammar's error into a *Refuted.
func located(e Entry, err error) error {
	var r *Refuted
	if errors.As(err, &r) {
		if r.Entry < 0 {
			r.Entry = int64(e.Sequence)
		}
		return r
	}
	return refuteEntry(e.Sequence, "%s: %v", e.Kind(), err)
}
