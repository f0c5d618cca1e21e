package durable

import (
	"fmt"
	"io"
	"os"
)

// An Appender is a file that grows by whole, durable pieces: the append-only
// half of a journal. It belongs to one goroutine or one mutex.
type Appender struct {
	disk   *Disk
	f      *os.File
	size   int64
	broken error
}

// OpenAppender opens an existing file for appending after its first size bytes;
// what lies beyond (the torn tail of an append that was never acknowledged) is
// cut off.
func (d *Disk) OpenAppender(path string, size int64) (*Appender, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	a := &Appender{disk: d, f: f, size: size}
	st, err := f.Stat()
	if err == nil && st.Size() < size {
		err = fmt.Errorf("%s: %d bytes, expected at least %d", path, st.Size(), size)
	}
	if err == nil && st.Size() > size {
		err = a.cut()
	}
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// Append writes p at the end and syncs. On an error nothing was appended: the
// file is cut back, and if even that fails, or a sync failed so that the page
// cache no longer tells the truth, every later Append repeats the error until
// the file is opened again.
func (a *Appender) Append(p []byte) error {
	if a.broken != nil {
		return a.broken
	}
	if err := a.disk.write(a.f, p); err != nil {
		if cerr := a.cut(); cerr != nil {
			a.broken = fmt.Errorf("%s: a failed append could not be undone, open it again: %w", a.f.Name(), cerr)
		}
		return err
	}
	if err := a.disk.sync(a.f); err != nil {
		a.broken = err
		a.cut() // best effort: recovery also knows what to do with an unacknowledged tail
		return err
	}
	a.size += int64(len(p))
	return nil
}

func (a *Appender) cut() error {
	if err := a.disk.fault(OpTruncate, a.f.Name()); err != nil {
		return full(a.f.Name(), err)
	}
	if err := a.f.Truncate(a.size); err != nil {
		return err
	}
	if _, err := a.f.Seek(a.size, io.SeekStart); err != nil {
		return err
	}
	return a.disk.sync(a.f)
}

// Err is the error that every later Append will return, or nil. After an Append
// that failed while Err stays nil, the file certainly lacks the piece.
func (a *Appender) Err() error { return a.broken }

// Size is the number of durable bytes.
func (a *Appender) Size() int64 { return a.size }

// Close closes the file. Nothing is lost: every Append was synced.
func (a *Appender) Close() error { return a.f.Close() }
