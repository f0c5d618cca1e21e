package vault

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"tacit/internal/crashpoint"
	"tacit/internal/durable"
)

var (
	pointValue     = crashpoint.Register("journal.value")     // a large value is durable, its record is not
	pointAppended  = crashpoint.Register("journal.appended")  // the record is durable, the caller does not know yet
	pointCompacted = crashpoint.Register("journal.compacted") // the new log is in place, the old key is not yet erased
)

const (
	journalLog  = "journal.log"
	valuePrefix = "value-"

	maxKeyBytes    = 1024
	maxInlineBytes = 64 << 10
	maxValueBytes  = 1 << 30
)

// A Record is one change: a new value, or with a nil Value the end of a key. An
// empty, non-nil Value is a value.
type Record struct {
	Key   string
	Value []byte
}

// A Journal is a sealed map from keys to values in a directory of its own, made
// for an agent's protocol secrets: what Apply returned nil for survives kill -9,
// all of one Apply or none of it, in order.
//
// # Layout
//
// journal.log is append-only and begins with
//
//	"tacit-journal/1\n" ‖ len32 ‖ sealed data key ‖ crc32c over all before
//
// (the data key as [Vault.Seal] seals it, for purpose "journal/" ‖ name: one age
// file for the whole log, since an age header per record would cost 2 KB and
// 0.2 ms each), then one frame per Apply:
//
//	len32 ‖ sequence64 ‖ crc32c(payload) ‖ crc32c(these 16 bytes) ‖ payload
//	payload = nonce[24] ‖ XChaCha20-Poly1305(data key, records)
//	associated data = "tacit-journal/1" ‖ sequence64 ‖ name
//
// so that a frame cannot be moved, dropped or repeated inside the log. Values
// above 64 KiB lie in files value-<random> beside it, each sealed under a key of
// its own that stands in its record.
//
// # Crashes and damage
//
// Opening drops the torn tail of an Apply that never returned: a last frame that
// is shorter than its length says, or ends in zero bytes that were never
// written. Any other difference, in the middle or in the last frame, is damage
// and refused with a [*DamagedError] that names the file. A log that was cut at
// a frame's end, or replaced by an older copy, opens: the agent notices it by
// its counters against the audit log.
//
// # Deleting
//
// A deleted or replaced value is out of reach at once, but its sealed bytes
// stay in the log until [Journal.Compact], which writes the live values under a
// fresh data key and erases the old key. Compact at the end of each round;
// Apply does it by itself when most of a log is dead.
type Journal struct {
	vault *Vault
	dir   string
	name  string
	lock  *durable.DirLock

	mu     sync.Mutex // owns what follows
	log    *durable.Appender
	aead   cipher.AEAD
	seq    uint64 // of the next frame
	values map[string]*value
	live   int64 // approximate bytes that a compacted log would have
	broken error // sticky: memory and disk may differ, open again
}

// A value is what a live key holds: inline bytes, or a reference to a file.
type value struct {
	inline []byte
	file   *valueFile
}

// A valueFile is the part of a record that stands for a large value.
type valueFile struct {
	name string // 16 random bytes in hex
	key  []byte // 32 bytes, for this file only
	size int64  // of the plaintext
}

// Journal opens the journal of that name in dir, or makes it. The directory is
// locked until Close: a second opener gets a *durable.LockedError.
func (v *Vault) Journal(dir, name string) (*Journal, error) {
	if err := v.disk.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := durable.Lock(dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{vault: v, dir: dir, name: name, lock: lock}
	if err := j.open(); err != nil {
		lock.Unlock()
		return nil, err
	}
	return j, nil
}

func (j *Journal) open() error {
	// A compaction that never took over: the log in place is the one that counts.
	staged, err := j.vault.disk.Leftovers(j.dir)
	if err != nil {
		return err
	}
	for _, path := range staged {
		if err := j.vault.disk.Discard(path); err != nil {
			return err
		}
	}
	path := j.path(journalLog)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if files, _ := filepath.Glob(j.path(valuePrefix + "*")); len(files) > 0 {
			return &DamagedError{Path: path, What: "it is missing, but its values are there"}
		}
		return j.rewrite(map[string]*value{})
	}
	if err != nil {
		return err
	}
	good, err := j.replay(b)
	if err != nil {
		return err
	}
	if err := j.checkFiles(); err != nil {
		return err
	}
	j.log, err = j.vault.disk.OpenAppender(path, good)
	return err
}

// checkFiles finds every large value's file and sheds files that no record names.
func (j *Journal) checkFiles() error {
	want := map[string]bool{}
	for _, v := range j.values {
		if v.file == nil {
			continue
		}
		want[valuePrefix+v.file.name] = true
		st, err := os.Stat(j.path(valuePrefix + v.file.name))
		if err != nil || st.Size() != v.file.size+chacha20poly1305.Overhead {
			return &DamagedError{Path: j.path(valuePrefix + v.file.name), What: "missing or of another length"}
		}
	}
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), valuePrefix) && !want[e.Name()] {
			if err := j.vault.disk.Shred(j.path(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }

// Put is Apply of one value. A nil value is stored as an empty one.
func (j *Journal) Put(key string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return j.Apply(Record{key, value})
}

// Delete is Apply of deletions. A key that is not there is no error.
func (j *Journal) Delete(keys ...string) error {
	records := make([]Record, len(keys))
	for i, k := range keys {
		records[i].Key = k
	}
	return j.Apply(records...)
}

// Apply makes the records durable, in order, all or none, before it returns. It
// keeps no reference to the values. After an error the state is as before,
// unless the error repeats on every call: then the disk's state is unknown
// (a failed fsync), and the journal must be opened again.
func (j *Journal) Apply(records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	for _, r := range records {
		if len(r.Key) == 0 || len(r.Key) > maxKeyBytes || len(r.Value) > maxValueBytes {
			return fmt.Errorf("journal: key of %d bytes and value of %d bytes: at most %d and %d",
				len(r.Key), len(r.Value), maxKeyBytes, maxValueBytes)
		}
	}
	changes := make([]change, len(records))
	undo := func() {
		for _, c := range changes {
			if c.value != nil && c.value.file != nil {
				os.Remove(j.path(valuePrefix + c.value.file.name))
			}
		}
	}
	for i, r := range records {
		v, err := j.newValue(r.Value)
		if err != nil {
			undo()
			return err
		}
		changes[i] = change{r.Key, v}
	}
	plain := appendChanges(nil, changes)
	err := j.log.Append(j.frame(nil, j.seq, plain))
	clear(plain)
	if err != nil {
		if j.log.Err() == nil {
			undo()
		} // else the frame may yet be there: the next open keeps its files or sheds them
		return err
	}
	pointAppended.Hit()
	j.seq++
	dead := j.take(changes)
	for _, f := range dead {
		// The record is gone, and the file's key with it; a file that cannot be
		// removed now is shed at the next open.
		j.vault.disk.Shred(j.path(valuePrefix + f.name))
	}
	if j.log.Size() > 4*j.live+1<<20 {
		// The change is durable whatever becomes of the compaction: an error
		// that matters is sticky and the next call returns it.
		_ = j.compact()
	}
	return nil
}

func (j *Journal) usable() error {
	if j.log == nil && j.broken == nil {
		return errors.New("journal is closed")
	}
	return j.broken
}

// newValue prepares a record's value; a large one is durable when it returns.
func (j *Journal) newValue(b []byte) (*value, error) {
	switch {
	case b == nil:
		return nil, nil
	case len(b) <= maxInlineBytes:
		return &value{inline: append([]byte{}, b...)}, nil
	}
	var name [16]byte
	rand.Read(name[:])
	f := &valueFile{name: hex.EncodeToString(name[:]), key: make([]byte, chacha20poly1305.KeySize), size: int64(len(b))}
	rand.Read(f.key)
	// The key seals this one message, so the nonce may be constant.
	sealed := newAEAD(f.key).Seal(nil, make([]byte, chacha20poly1305.NonceSizeX), b, []byte(f.name))
	if err := j.vault.disk.WriteFile(j.path(valuePrefix+f.name), sealed, 0o600); err != nil {
		os.Remove(j.path(valuePrefix + f.name))
		return nil, err
	}
	pointValue.Hit()
	return &value{file: f}, nil
}

// take applies changes to memory and returns the files that no key names any more.
func (j *Journal) take(changes []change) (dead []*valueFile) {
	for _, c := range changes {
		if old := j.values[c.key]; old != nil {
			j.live -= old.cost(c.key)
			if old.file != nil {
				dead = append(dead, old.file)
			}
			clear(old.inline)
			delete(j.values, c.key)
		}
		if c.value != nil {
			j.values[c.key] = c.value
			j.live += c.value.cost(c.key)
		}
	}
	return dead
}

// cost is about what a value takes in a compacted log.
func (v *value) cost(key string) int64 { return int64(len(key) + len(v.inline) + 64) }

// Get returns a copy of the value under key. ok is false when there is none. The
// error is a *DamagedError when a large value's file does not open.
func (j *Journal) Get(key string) (b []byte, ok bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return nil, false, err
	}
	v := j.values[key]
	switch {
	case v == nil:
		return nil, false, nil
	case v.file == nil:
		return append([]byte{}, v.inline...), true, nil
	}
	path := j.path(valuePrefix + v.file.name)
	sealed, err := os.ReadFile(path)
	if err != nil {
		return nil, false, err
	}
	b, err = newAEAD(v.file.key).Open(sealed[:0], make([]byte, chacha20poly1305.NonceSizeX), sealed, []byte(v.file.name))
	if err != nil {
		return nil, false, &DamagedError{Path: path, What: "its seal does not hold"}
	}
	return b, true, nil
}

// Keys returns the keys that begin with prefix, sorted.
func (j *Journal) Keys(prefix string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for k := range j.values {
		if strings.HasPrefix(k, prefix) {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

// Compact writes the live values to a new log under a fresh data key and erases
// the old log's key: what was deleted before is gone from the log for good.
func (j *Journal) Compact() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	return j.compact()
}

func (j *Journal) compact() error {
	var old *os.File
	if runtime.GOOS != "windows" { // where a file that is open cannot be replaced
		var err error
		if old, err = os.OpenFile(j.path(journalLog), os.O_WRONLY, 0); err != nil {
			return err
		}
		defer old.Close()
	}
	if err := j.rewrite(j.values); err != nil {
		return err
	}
	pointCompacted.Hit()
	if old == nil {
		return nil
	}
	return eraseHead(old)
}

// eraseHead overwrites the sealed data key in a log that has lost its name.
func eraseHead(old *os.File) error {
	st, err := old.Stat()
	if err != nil {
		return err
	}
	if _, err := old.WriteAt(make([]byte, min(st.Size(), 8192)), 0); err != nil {
		return err
	}
	return old.Sync()
}

// rewrite puts a new log with these values in place of the old one and appends
// to it from here on.
func (j *Journal) rewrite(values map[string]*value) error {
	key := randomSecret()
	defer key.Wipe()
	sealed, err := j.vault.Seal("journal/"+j.name, key.Bytes())
	if err != nil {
		return err
	}
	next := &Journal{vault: j.vault, dir: j.dir, name: j.name, aead: newAEAD(key.Bytes())}
	b := appendHead(nil, sealed)
	for k, v := range values { // a frame each keeps frames small; their order does not matter
		plain := appendChanges(nil, []change{{k, v}})
		b = next.frame(b, next.seq, plain)
		clear(plain)
		next.seq++
		next.live += v.cost(k)
	}
	disk := j.vault.disk
	// Stage first: until the rename a failure leaves the old log in charge. A
	// failure of the rename or after it leaves that open until the next start.
	s, err := disk.Stage(j.path(journalLog), 0o600)
	if err != nil {
		return err
	}
	if _, err = s.Write(b); err == nil {
		err = s.Sync()
	}
	if err != nil {
		s.Discard()
		return err
	}
	if j.log != nil {
		j.log.Close()
	}
	if err := s.Publish(); err != nil {
		j.broken = fmt.Errorf("journal %s must be opened again: %w", j.dir, err)
		return err
	}
	log, err := disk.OpenAppender(j.path(journalLog), int64(len(b)))
	if err != nil {
		j.broken = fmt.Errorf("journal %s must be opened again: %w", j.dir, err)
		return err
	}
	j.log, j.aead, j.seq, j.live, j.values = log, next.aead, next.seq, next.live, values
	return nil
}

// Close closes the journal and releases its directory. Nothing is lost: every
// Apply was durable.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if j.log != nil {
		err = j.log.Close()
		j.log = nil
	}
	for _, v := range j.values {
		clear(v.inline)
		if v.file != nil {
			clear(v.file.key)
		}
	}
	j.values, j.aead = nil, nil
	return errors.Join(err, j.lock.Unlock())
}

func (j *Journal) String() string             { return "journal(" + j.dir + ")" }
func (j *Journal) Format(f fmt.State, _ rune) { io.WriteString(f, j.String()) }

// zeroTail reports whether b ends in at least a seal's length of zero bytes:
// blocks that a file system allotted but never wrote. A seal ends so once in 2^128.
func zeroTail(b []byte) bool {
	n := chacha20poly1305.Overhead
	return len(b) > 0 && len(bytes.TrimRight(b[max(0, len(b)-n):], "\x00")) == 0
}
