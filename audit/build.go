package audit

import (
	"bytes"
	"fmt"

	"tacit/id"
)

// Source is where evidence is made from: a log as of its checkpoint and the documents
// behind its entries.
type Source struct {
	LogKey     string   // the log's verifier key
	Entries    [][]byte // 0 … N−1
	Checkpoint []byte   // of size N

	Record   func(id.Digest) ([]byte, error) // a record by the digest in its entry
	Charters [][]byte                        // every version in the log
	Rosters  [][]byte                        // every version in the log
	Cosigned [][]byte                        // checkpoints of at most N entries with agents' lines
}

// Draft is a report as of N entries that is not logged yet.
type Draft struct {
	v      *verification
	files  files
	checks Checks
	html   []byte
	json   []byte
}

// Build verifies the log of src and renders its report. opt.LogKey and
// opt.OldCheckpoint are ignored: the key is src's own. A *[Refuted] error says what in
// the log does not hold; no report is made of such a log.
func Build(src Source, opt Options) (*Draft, error) {
	d := &Draft{files: make(files)}
	v := &verification{opt: opt}
	v.opt.LogKey, v.opt.OldCheckpoint = src.LogKey, nil
	if err := v.options(); err != nil {
		return nil, err
	}
	if v.pinned == nil {
		return nil, fmt.Errorf("audit: build: the log's key is missing")
	}
	d.v = v
	if err := d.collect(src); err != nil {
		return nil, err
	}
	n, err := v.loadEntries(d.files, fileReportAsOf)
	if err != nil {
		return nil, err
	}
	asOf, err := v.events(d.files, n)
	if err != nil {
		return nil, err
	}
	if opt.CheckCertificate != nil {
		d.checks |= CheckedCertificates
	}
	if opt.CheckPlan != nil {
		d.checks |= CheckedPlans
	}
	var content, html bytes.Buffer
	if err := render(v.replay.h, asOf, src.LogKey, d.checks, &content, &html); err != nil {
		return nil, err
	}
	d.json, d.html = content.Bytes(), html.Bytes()
	return d, nil
}

// collect gathers the archive's files as of N.
func (d *Draft) collect(src Source) error {
	f := d.files
	f[fileEntries] = joinEntries(src.Entries)
	f[fileHashes] = joinHashes(leafHashes(src.Entries))
	f[fileReportAsOf] = src.Checkpoint
	for _, raw := range src.Charters {
		c, err := id.ParseCharter(raw)
		if err != nil {
			return fmt.Errorf("audit: build: %w", err)
		}
		f[charterFile(c.Version)] = raw
	}
	for _, raw := range src.Rosters {
		r, err := id.ParseRoster(raw)
		if err != nil {
			return fmt.Errorf("audit: build: %w", err)
		}
		f[rosterFile(r.Version)] = raw
	}
	parts := make(map[uint64]int)
	for _, msg := range src.Cosigned {
		h, _, err := openCheckpoint(msg, d.v.pinned)
		if err != nil {
			return fmt.Errorf("audit: build: cosigned checkpoint: %w", err)
		}
		f[cosignedFile(h.Size, parts[h.Size])] = msg
		parts[h.Size]++
	}
	for i, raw := range src.Entries {
		e, err := ParseEntry(raw)
		if err != nil {
			return refuteEntry(uint64(i), "%v", err)
		}
		if !e.HasRecord() {
			continue
		}
		if f[recordFile(e)], err = src.Record(e.Digest); err != nil {
			return fmt.Errorf("audit: build: record of entry %d: %w", i, err)
		}
	}
	return nil
}

// Size returns N, the index that the report's own entry must get.
func (d *Draft) Size() uint64 { return uint64(len(d.v.raw)) }

// HTML returns the report for people.
func (d *Draft) HTML() []byte { return d.html }

// JSON returns the report's content for programs.
func (d *Draft) JSON() []byte { return d.json }

// Entry returns entry N, "report made". Append it with no other entry before it; if
// the log has grown since, build again.
func (d *Draft) Entry(unixMilli int64) Entry {
	return Entry{
		Sequence: d.Size(), Time: unixMilli, Digest: id.SumDigest(d.html),
		Payload: ReportMade{Renderer: Renderer, Checks: d.checks, JSON: id.SumDigest(d.json)},
	}
}

// Assemble returns the archive, given the bytes of entry N as logged and the
// checkpoint of size N+1, after verifying it as its receiver would.
func (d *Draft) Assemble(entry, checkpoint []byte) ([]byte, error) {
	entries := append(d.v.raw[:len(d.v.raw):len(d.v.raw)], entry)
	f := make(files, len(d.files)+3)
	for name, data := range d.files {
		f[name] = data
	}
	f[fileEntries] = joinEntries(entries)
	f[fileHashes] = joinHashes(leafHashes(entries))
	f[fileCheckpoint] = checkpoint
	f[fileHTML], f[fileJSON] = d.html, d.json
	archive, err := f.encode()
	if err != nil {
		return nil, err
	}
	if _, err := Verify(archive, d.v.opt); err != nil {
		return nil, fmt.Errorf("audit: the archive does not hold: %w", err)
	}
	return archive, nil
}
