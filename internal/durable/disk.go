package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Op names a disk operation, for fault injection.
type Op string

// The operations that a Disk performs.
const (
	OpMkdir    Op = "mkdir"
	OpCreate   Op = "create"
	OpWrite    Op = "write"
	OpSync     Op = "sync"
	OpRename   Op = "rename"
	OpSyncDir  Op = "syncdir"
	OpRemove   Op = "remove"
	OpTruncate Op = "truncate"
)

// A Disk performs durable operations. Its zero value and a nil *Disk are the
// real disk. A Disk may be used by several goroutines when its Fault may be.
type Disk struct {
	// Fault is asked before each operation; an error makes the operation fail
	// without being performed, except that Torn cuts a write short.
	Fault func(op Op, path string) error
}

// Names of temporary and staged files. Both are hidden and neither is a name
// that a caller would choose.
const (
	tempPrefix  = ".tmp-"
	stagePrefix = ".staged-"
)

func (d *Disk) fault(op Op, path string) error {
	if d == nil || d.Fault == nil {
		return nil
	}
	if err := d.Fault(op, path); err != nil {
		return &fs.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}

// WriteFile replaces the content of path by data, atomically and durably.
func (d *Disk) WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := d.createTemp(filepath.Dir(path), tempPrefix, perm)
	if err != nil {
		return err
	}
	if err := d.finish(f, data); err != nil {
		os.Remove(f.Name())
		return err
	}
	return d.moveInto(f.Name(), path)
}

// finish writes data, syncs and closes f.
func (d *Disk) finish(f *os.File, data []byte) error {
	err := d.write(f, data)
	if err == nil {
		err = d.sync(f)
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = full(f.Name(), cerr)
	}
	return err
}

// moveInto renames a synced file to its final name and syncs the directory. If
// the rename fails the source is removed.
func (d *Disk) moveInto(from, to string) error {
	err := d.fault(OpRename, to)
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil {
		os.Remove(from)
		return full(to, err)
	}
	return d.SyncDir(filepath.Dir(to))
}

// createTemp makes a new file with an unpredictable name beside its later one.
func (d *Disk) createTemp(dir, prefix string, perm fs.FileMode) (*os.File, error) {
	if err := d.fault(OpCreate, dir); err != nil {
		return nil, full(dir, err)
	}
	f, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return nil, full(dir, err)
	}
	if err := f.Chmod(perm); err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

func (d *Disk) write(f *os.File, p []byte) error {
	if err := d.fault(OpWrite, f.Name()); err != nil {
		var torn Torn
		if errors.As(err, &torn) {
			f.Write(p[:min(int(torn), len(p))])
		}
		return full(f.Name(), err)
	}
	if _, err := f.Write(p); err != nil {
		return full(f.Name(), err)
	}
	return nil
}

func (d *Disk) sync(f *os.File) error {
	if err := d.fault(OpSync, f.Name()); err != nil {
		return full(f.Name(), err)
	}
	if err := f.Sync(); err != nil {
		return full(f.Name(), err)
	}
	return nil
}

// SyncDir makes the names in dir durable.
func (d *Disk) SyncDir(dir string) error {
	if err := d.fault(OpSyncDir, dir); err != nil {
		return full(dir, err)
	}
	return syncDir(dir)
}

// MkdirAll makes path and its missing parents, and makes their names durable.
func (d *Disk) MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s is a file, not a directory", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := d.MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := d.fault(OpMkdir, path); err != nil {
		return full(path, err)
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return full(path, err)
	}
	return d.SyncDir(parent)
}

// Remove removes one file durably; a missing one is no error.
func (d *Disk) Remove(path string) error {
	if err := d.fault(OpRemove, path); err != nil {
		return full(path, err)
	}
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

// A Staged file receives content that becomes visible only at Publish.
// It belongs to one goroutine.
type Staged struct {
	disk   *Disk
	f      *os.File
	path   string // final
	synced bool
	err    error // sticky: after a failed write or sync only Discard makes sense
}

// Stage begins a file that will be published as path. Until [Staged.Sync] it
// counts as unfinished, and a crash forgets it.
func (d *Disk) Stage(path string, perm fs.FileMode) (*Staged, error) {
	f, err := d.createTemp(filepath.Dir(path), tempPrefix, perm)
	if err != nil {
		return nil, err
	}
	return &Staged{disk: d, f: f, path: path}, nil
}

// Write appends p to the staged content.
func (s *Staged) Write(p []byte) (int, error) {
	if s.err == nil && s.synced {
		s.err = errors.New("write to a staged file after sync")
	}
	if s.err == nil {
		s.err = s.disk.write(s.f, p)
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// Sync makes the content durable under its staged name. From here on a restart
// finds it in Leftovers, and Publish can be repeated by name.
func (s *Staged) Sync() error {
	if s.err != nil || s.synced {
		return s.err
	}
	s.err = s.disk.sync(s.f)
	if err := s.f.Close(); s.err == nil && err != nil {
		s.err = full(s.path, err)
	}
	if s.err != nil {
		os.Remove(s.f.Name())
		return s.err
	}
	s.err = s.disk.moveInto(s.f.Name(), stageName(s.path))
	s.synced = s.err == nil
	return s.err
}

// Publish makes the content visible under its final name, durably.
func (s *Staged) Publish() error {
	if err := s.Sync(); err != nil {
		return err
	}
	return s.disk.Publish(s.path)
}

// Discard forgets the content.
func (s *Staged) Discard() error {
	if !s.synced {
		s.f.Close()
		os.Remove(s.f.Name())
		s.err = errors.New("staged file was discarded")
	}
	return s.disk.Discard(s.path)
}

func stageName(path string) string {
	return filepath.Join(filepath.Dir(path), stagePrefix+filepath.Base(path))
}

// Publish makes a staged file visible under path. It may be repeated: when
// nothing is staged and path exists, it was published before.
func (d *Disk) Publish(path string) error {
	err := d.fault(OpRename, path)
	if err == nil {
		err = os.Rename(stageName(path), path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, serr := os.Stat(path); serr == nil {
			return d.SyncDir(filepath.Dir(path)) // the earlier rename may not have been synced
		}
		return fmt.Errorf("publish %s: nothing is staged: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return full(path, err) // still staged: Publish again
	}
	return d.SyncDir(filepath.Dir(path))
}

// Discard forgets what is staged for path; nothing staged is no error.
func (d *Disk) Discard(path string) error { return d.Remove(stageName(path)) }

// Leftovers returns, sorted, the final paths at or below dir for which a
// complete staged file exists, and removes unfinished temporary files. Call it
// at start, under the directory's lock, before any writer runs.
func (d *Disk) Leftovers(dir string) ([]string, error) {
	var staged []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		switch {
		case !e.Type().IsRegular():
		case strings.HasPrefix(name, tempPrefix):
			return d.Remove(path)
		case strings.HasPrefix(name, stagePrefix):
			staged = append(staged, filepath.Join(filepath.Dir(path), strings.TrimPrefix(name, stagePrefix)))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	sort.Strings(staged)
	return staged, err
}

// IsHidden reports whether a base name is one of this package's temporary or
// staged names, which listings leave out.
func IsHidden(name string) bool {
	return strings.HasPrefix(name, tempPrefix) || strings.HasPrefix(name, stagePrefix)
}

// Shred overwrites and removes a file, or a directory and all below it; a
// missing path is no error. See the package comment for what it cannot promise.
// A symbolic link is removed, its target left alone.
func (d *Disk) Shred(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := d.Shred(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	} else if st.Mode().IsRegular() {
		if err := d.overwrite(path, st.Size()); err != nil {
			return err
		}
	}
	return d.Remove(path)
}

func (d *Disk) overwrite(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a read-only file can still be removed; the overwrite is best effort
	}
	if err != nil {
		return err
	}
	defer f.Close()
	zeros := make([]byte, min(size, 1<<20))
	for size > 0 {
		n := min(size, int64(len(zeros)))
		if err := d.write(f, zeros[:n]); err != nil {
			return err
		}
		size -= n
	}
	return d.sync(f)
}

// WriteFile is Disk.WriteFile on the real disk.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return (*Disk)(nil).WriteFile(path, data, perm)
}

// MkdirAll is Disk.MkdirAll on the real disk.
func MkdirAll(path string, perm fs.FileMode) error { return (*Disk)(nil).MkdirAll(path, perm) }

// Remove is Disk.Remove on the real disk.
func Remove(path string) error { return (*Disk)(nil).Remove(path) }

// Shred is Disk.Shred on the real disk.
func Shred(path string) error { return (*Disk)(nil).Shred(path) }

var _ io.Writer = (*Staged)(nil)
