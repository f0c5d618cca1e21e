package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file that carries a directory's lock.
const lockName = "LOCK"

// A LockedError says that another process holds a directory.
type LockedError struct {
	Dir string
	PID int // 0 when the holder could not be read
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("directory %s is in use by process %d", e.Dir, e.PID)
}

// Hint is the advice printed under the error.
func (e *LockedError) Hint() string {
	return "stop that process or choose another directory; the lock goes away with its holder"
}

// errHeld is what the system-specific tryLock returns for a lock held elsewhere.
var errHeld = errors.New("lock is held")

// A DirLock is a held lock on a directory.
type DirLock struct{ f *os.File }

// Lock takes the exclusive lock of an existing directory, or fails at once with
// a *LockedError. The kernel releases it when the process ends, however it
// ends. The file itself stays: removing it would let two processes lock two
// files of one name.
func Lock(dir string) (*DirLock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, full(path, err)
	}
	if err := tryLock(f); err != nil {
		held := &LockedError{Dir: dir, PID: readPID(f)}
		f.Close()
		if errors.Is(err, errHeld) {
			return nil, held
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The pid is for people; the lock is the kernel's.
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			f.Close()
			return nil, full(path, err)
		}
	}
	return &DirLock{f: f}, nil
}

func readPID(f *os.File) int {
	b, _ := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, 32), 32))
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// Unlock releases the lock. A second call does nothing.
func (l *DirLock) Unlock() error {
	if l == nil || l.f == nil {
		return nil
	}
	err := errors.Join(unlock(l.f), l.f.Close())
	l.f = nil
	return err
}
