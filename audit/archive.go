package audit

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Limits of an archive.
const (
	maxArchive      = 2 << 30
	maxArchiveFiles = 1 << 20
)

// The files of an archive. Charters and rosters are numbered by version, records by
// the entry that carries their digest, cosigned checkpoints by size.
const (
	fileCheckpoint = "checkpoint"        // of the whole log, with entry N
	fileReportAsOf = "checkpoint-report" // of size N, what the report is of
	fileEntries    = "entries.bin"       // each behind its 16-bit length
	fileHashes     = "hashes.bin"        // the leaves' hashes, to name a damaged entry
	fileHTML       = "report.html"
	fileJSON       = "report.json"
)

func charterFile(version uint32) string { return fmt.Sprintf("charters/%08d.bin", version) }
func rosterFile(version uint64) string  { return fmt.Sprintf("rosters/%08d.bin", version) }
func cosignedFile(size uint64, part int) string {
	return fmt.Sprintf("cosigned/%010d-%02d.note", size, part)
}
func recordFile(e Entry) string {
	return fmt.Sprintf("records/%010d-%s.bin", e.Sequence, kinds[e.Kind()].record)
}

// archiveName stands for the archive itself where no file of it can be named.
const archiveName = "evidence.zip"

// Refuted says why evidence does not hold, and where. It is the only error that is
// about the archive; any other is about the caller's options.
type Refuted struct {
	Entry  int64  // the entry that does not hold, or -1
	File   string // the file that does not hold, or empty
	Reason string
}

// Error names the entry or file.
func (r *Refuted) Error() string {
	switch {
	case r.Entry >= 0 && r.File != "":
		return fmt.Sprintf("audit: refuted: entry %d (%s): %s", r.Entry, r.File, r.Reason)
	case r.Entry >= 0:
		return fmt.Sprintf("audit: refuted: entry %d: %s", r.Entry, r.Reason)
	}
	return fmt.Sprintf("audit: refuted: file %s: %s", r.File, r.Reason)
}

func refuteFile(name, format string, a ...any) *Refuted {
	return &Refuted{Entry: -1, File: name, Reason: plainReason(fmt.Sprintf(format, a...))}
}

func refuteEntry(seq uint64, format string, a ...any) *Refuted {
	return &Refuted{Entry: int64(seq), Reason: plainReason(fmt.Sprintf(format, a...))}
}

// plainReason takes package prefixes off an error's text and makes it one line.
func plainReason(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, "audit: ", ""), "id: ", ""), "\n", " ")
}

// files is an archive's content by name.
type files map[string][]byte

func (f files) names() []string {
	names := make([]string, 0, len(f))
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// write writes the one encoding of f: names ascending, stored, no times, no flags, no
// extra fields, sizes in the local headers.
func (f files) write(w io.Writer) error {
	z := zip.NewWriter(w)
	for _, name := range f.names() {
		data := f[name]
		h := &zip.FileHeader{
			Name: name, Method: zip.Store, ReaderVersion: 20, CRC32: crc32.ChecksumIEEE(data),
			CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data)),
			//lint:ignore SA1019 CreateRaw writes this field as it is, and Modified not at all
			ModifiedDate: 1<<5 | 1, // 1980-01-01, the earliest that the format knows
		}
		e, err := z.CreateRaw(h)
		if err != nil {
			return err
		}
		if _, err := e.Write(data); err != nil {
			return err
		}
	}
	return z.Close()
}

func (f files) encode() ([]byte, error) {
	size := 64
	for name, data := range f {
		size += len(data) + 2*len(name) + 76
	}
	if size > maxArchive {
		return nil, fmt.Errorf("audit: an archive of %d bytes, at most %d", size, maxArchive)
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	if err := f.write(b); err != nil {
		return nil, fmt.Errorf("audit: write archive: %w", err)
	}
	return b.Bytes(), nil
}

// comparer is a writer that notes the first byte that differs from want.
type comparer struct {
	want []byte
	at   int
}

var errDiffers = errors.New("differs")

func (c *comparer) Write(p []byte) (int, error) {
	rest := c.want[c.at:]
	n := min(len(p), len(rest))
	if !bytes.Equal(p[:n], rest[:n]) {
		for p[0] == rest[0] {
			p, rest = p[1:], rest[1:]
			c.at++
		}
		return 0, errDiffers
	}
	c.at += n
	if n < len(p) {
		return n, errDiffers
	}
	return n, nil
}

// parseArchive reads an archive in its one encoding. The files share its memory.
func parseArchive(archive []byte) (files, error) {
	if len(archive) > maxArchive {
		return nil, refuteFile(archiveName, "%d bytes, at most %d", len(archive), maxArchive)
	}
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, refuteFile(archiveName, "not a readable archive: %v", err)
	}
	if len(z.File) > maxArchiveFiles {
		return nil, refuteFile(archiveName, "%d files, at most %d", len(z.File), maxArchiveFiles)
	}
	f := make(files, len(z.File))
	spans := make([]span, 0, len(z.File))
	for _, h := range z.File {
		name := printable(h.Name)
		if _, twice := f[h.Name]; twice {
			return nil, refuteFile(name, "it is in the archive twice")
		}
		start, err := h.DataOffset()
		size := int64(h.UncompressedSize64)
		if err != nil || h.Method != zip.Store || h.CompressedSize64 != h.UncompressedSize64 ||
			size < 0 || size > int64(len(archive)) || start < 0 || start > int64(len(archive))-size {
			return nil, refuteFile(name, "its header is damaged")
		}
		data := archive[start : start+size : start+size]
		if crc32.ChecksumIEEE(data) != h.CRC32 {
			return nil, refuteFile(name, "its bytes do not match its checksum")
		}
		f[h.Name] = data
		spans = append(spans, span{name, int(start + size)})
	}
	c := &comparer{want: archive}
	if err := f.write(c); err != nil || c.at != len(archive) {
		for _, s := range spans {
			if c.at < s.end {
				return nil, refuteFile(s.name, "the archive is not in its canonical form at byte %d", c.at)
			}
		}
		return nil, refuteFile(archiveName, "not in its canonical form at byte %d", c.at)
	}
	return f, nil
}

type span struct {
	name string
	end  int
}

// printable keeps a damaged name from reaching a terminal as it is.
func printable(name string) string {
	if len(name) > 200 {
		name = name[:200]
	}
	for _, r := range name {
		if r < ' ' || r > '~' {
			return fmt.Sprintf("%q", name)
		}
	}
	if name == "" {
		return archiveName
	}
	return name
}

func joinEntries(entries [][]byte) []byte {
	n := 0
	for _, e := range entries {
		n += 2 + len(e)
	}
	b := make([]byte, 0, n)
	for _, e := range entries {
		b = append(b, byte(len(e)>>8), byte(len(e)))
		b = append(b, e...)
	}
	return b
}

func splitEntries(b []byte) ([][]byte, error) {
	var out [][]byte
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, refuteEntry(uint64(len(out)), "%s ends in the middle of its length", fileEntries)
		}
		n := int(b[0])<<8 | int(b[1])
		if n > MaxEntryBytes || n > len(b)-2 {
			return nil, refuteEntry(uint64(len(out)), "a length of %d bytes in %s", n, fileEntries)
		}
		out = append(out, b[2:2+n:2+n])
		b = b[2+n:]
	}
	return out, nil
}

func joinHashes(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

func leafHashes(entries [][]byte) []tlog.Hash {
	out := make([]tlog.Hash, len(entries))
	for i, e := range entries {
		out[i] = tlog.RecordHash(e)
	}
	return out
}
