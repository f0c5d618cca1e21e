package blob

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"tacit/internal/durable"
)

// A Dir is a directory of blobs. It is safe for concurrent use as long as no two
// goroutines write one name.
type Dir struct {
	disk *durable.Disk
	root string
}

// Info describes a blob that was written.
type Info struct {
	Name   string
	Size   int64    // of the plaintext
	Digest [32]byte // SHA-256 of the plaintext
}

// A NameError says that a name cannot be a blob's.
type NameError struct{ Name string }

func (e *NameError) Error() string { return fmt.Sprintf("blob name %.80q is not allowed", e.Name) }

const (
	maxDepth = 5
	maxPart  = 100
)

// checkName holds names to a form that means the same on every file system and
// cannot leave the directory: 1 to 5 parts of a-z, 0-9, '.', '_', '-', each
// beginning with a letter or digit.
func checkName(name string) error {
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return &NameError{name}
	}
	for _, p := range parts {
		if p == "" || len(p) > maxPart || strings.HasSuffix(p, ".") { // Windows drops a dot at the end
			return &NameError{name}
		}
		for i, c := range []byte(p) {
			alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
			if !alnum && (i == 0 || c != '.' && c != '_' && c != '-') {
				return &NameError{name}
			}
		}
	}
	return nil
}

// Open opens a directory of blobs, made if missing, and removes unfinished
// files. The caller holds the lock of a directory above it.
func Open(dir string) (*Dir, error) { return OpenOn(nil, dir) }

// OpenOn is Open on a given disk.
func OpenOn(disk *durable.Disk, dir string) (*Dir, error) {
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &Dir{disk: disk, root: dir}
	_, err := disk.Leftovers(dir)
	return d, err
}

// path checks a name and makes its directory if asked.
func (d *Dir) path(name string, mkdir bool) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	p := filepath.Join(d.root, filepath.FromSlash(name))
	if mkdir {
		return p, d.disk.MkdirAll(filepath.Dir(p), 0o700)
	}
	return p, nil
}

// PutSealed copies r into a blob sealed under k, replacing an earlier one. When it
// returns nil the blob is durable and visible; after an error the earlier
// content, if any, stands.
func (d *Dir) PutSealed(name string, k *Key, r io.Reader) (Info, error) {
	p, err := d.path(name, true)
	if err != nil {
		return Info{}, err
	}
	s, err := d.disk.Stage(p, 0o600)
	if err != nil {
		return Info{}, err
	}
	h := sha256.New()
	count := &counter{r: io.TeeReader(r, h)}
	if err = seal(s, k, name, count); err == nil {
		err = s.Publish()
	}
	if err != nil {
		s.Discard()
		return Info{}, err
	}
	info := Info{Name: name, Size: count.n}
	h.Sum(info.Digest[:0])
	return info, nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// OpenSealed reads a blob that PutSealed wrote. What it yields is authenticated
// chunk by chunk, but only io.EOF says that nothing is missing: on any other
// error, ErrSealed for damage, discard what was read.
func (d *Dir) OpenSealed(name string, k *Key) (io.ReadCloser, error) {
	p, err := d.path(name, false)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	o, err := newOpener(f, k, name)
	if err != nil {
		f.Close()
		return nil, err
	}
	return o, nil
}

// Put writes bytes that are already sealed, replacing an earlier blob.
func (d *Dir) Put(name string, data []byte) error {
	p, err := d.path(name, true)
	if err != nil {
		return err
	}
	return d.disk.WriteFile(p, data, 0o600)
}

// Stage makes bytes that are already sealed durable but invisible.
func (d *Dir) Stage(name string, data []byte) error {
	p, err := d.path(name, true)
	if err != nil {
		return err
	}
	s, err := d.disk.Stage(p, 0o600)
	if err != nil {
		return err
	}
	if _, err = s.Write(data); err == nil {
		err = s.Sync()
	}
	if err != nil {
		s.Discard()
	}
	return err
}

// Publish makes a staged blob visible. It may be repeated. Nothing staged and
// nothing published is fs.ErrNotExist.
func (d *Dir) Publish(name string) error {
	p, err := d.path(name, false)
	if err != nil {
		return err
	}
	return d.disk.Publish(p)
}

// Discard forgets a staged blob; nothing staged is no error.
func (d *Dir) Discard(name string) error {
	p, err := d.path(name, false)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(p)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return d.disk.Discard(p)
}

// Staged returns the names of blobs that were staged and neither published nor
// discarded. Call it at start, before anything is written.
func (d *Dir) Staged() ([]string, error) {
	paths, err := d.disk.Leftovers(d.root)
	if err != nil {
		return nil, err
	}
	return d.names(paths)
}

func (d *Dir) names(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		rel, err := filepath.Rel(d.root, p)
		if err != nil {
			return nil, err
		}
		out = append(out, filepath.ToSlash(rel))
	}
	sort.Strings(out)
	return out, nil
}

// Get reads a whole blob as it lies there, sealed.
func (d *Dir) Get(name string) ([]byte, error) {
	p, err := d.path(name, false)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(p)
}

// Delete removes a blob; a missing one is no error.
func (d *Dir) Delete(name string) error {
	p, err := d.path(name, false)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(p)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return d.disk.Remove(p)
}

// Shred overwrites and removes a blob or all blobs below a prefix; nothing there
// is no error. The promise is the erased key, see durable.
func (d *Dir) Shred(prefix string) error {
	p, err := d.path(prefix, false)
	if err != nil {
		return err
	}
	return d.disk.Shred(p)
}

// List returns the published names at or below a prefix, sorted; "" lists all.
func (d *Dir) List(prefix string) ([]string, error) {
	start := d.root
	if prefix != "" {
		var err error
		if start, err = d.path(path.Clean(prefix), false); err != nil {
			return nil, err
		}
	}
	var paths []string
	err := filepath.WalkDir(start, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Type().IsRegular() && !durable.IsHidden(e.Name()) {
			paths = append(paths, p)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d.names(paths)
}
