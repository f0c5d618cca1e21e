package dataset

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// stamp is what a file looked like when it was first read.
type stamp struct {
	size int64
	time time.Time
}

func stampOf(info os.FileInfo) stamp { return stamp{info.Size(), info.ModTime()} }

// file is a branch's file, which must stay as it was.
type file struct {
	path string
	was  stamp
}

// newFile notes what the file at path looks like.
func newFile(path string) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if info.IsDir() {
		return nil, fail(path, "a folder, not a file", "")
	}
	return &file{path: path, was: stampOf(info)}, nil
}

// open opens the file, or fails where it is not what it was.
func (f *file) open() (*os.File, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	info, err := in.Stat()
	if err == nil && stampOf(info) != f.was {
		err = changed(f.path)
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// check reports a file that is not what it was.
func (f *file) check() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	if stampOf(info) != f.was {
		return changed(f.path)
	}
	return nil
}

func changed(name string) error {
	return fail(name, "the file was changed while it is in use", "keep a copy that stays as it is, and begin again")
}

// plain is a file's contents, decompressed where they are gzip.
type plain struct {
	io.Reader
	in         *os.File // nil: somebody else's
	compressed bool
	ctx        context.Context // ends the reading; may be nil
}

func (p *plain) Read(b []byte) (int, error) {
	if p.ctx != nil && p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	return p.Reader.Read(b)
}

func (p *plain) Close() error {
	if p.in == nil {
		return nil
	}
	return p.in.Close()
}

// reader opens the file's contents.
func (f *file) reader() (*plain, error) {
	in, err := f.open()
	if err != nil {
		return nil, err
	}
	p, err := decompress(f.path, in)
	if err != nil {
		in.Close()
		return nil, err
	}
	p.in = in
	return p, nil
}

// decompress returns what a gzip stream holds, or the stream itself where it is
// none. Nothing is decompressed ahead of the reader: whoever reads sets the bounds.
func decompress(name string, in io.Reader) (*plain, error) {
	b := bufio.NewReaderSize(in, 1<<16)
	if magic, err := b.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return &plain{Reader: b}, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, damaged(name, err)
	}
	return &plain{Reader: z, compressed: true}, nil
}

// damaged is an error in reading bytes: a fault of the file where its compression
// is broken, else of the disk.
func damaged(name string, err error) error {
	var known *Error
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return fail(name, "the compressed data is damaged", "copy the file again")
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		return fail(name, "the file ends too early", "copy the file again")
	}
	return fmt.Errorf("dataset: %s: %w", name, err)
}
