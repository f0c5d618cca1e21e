package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"tacit/internal/crashpoint"
	"tacit/internal/durable"
)

var (
	pointSigned    = crashpoint.Register("checkpoint.signed") // in the transaction, before it is durable
	pointApplied   = crashpoint.Register("commit.applied")    // everything written, not yet committed
	pointCommitted = crashpoint.Register("commit.durable")    // durable, the caller does not know yet
)

// schemaVersion is the layout that this program writes.
const schemaVersion = 1

// databaseName is the database in a server's directory.
const databaseName = "tacit.db"

// SQLite is the store of one directory.
type SQLite struct {
	reads
	log  Log
	path string
	lock *durable.DirLock

	mu     sync.Mutex // one writer at a time; owns closed
	closed bool
	writer *sql.DB // one connection; every transaction takes the write lock at once
	reader *sql.DB
}

// Open opens the store in an existing directory, or makes it, and locks the
// directory until Close: a *durable.LockedError names who has it. A database of
// a newer program is a *SchemaError, a broken one a *DamagedError; neither is
// touched.
func Open(dir string, log Log) (*SQLite, error) {
	lock, err := durable.Lock(dir)
	if err != nil {
		return nil, err
	}
	s := &SQLite{log: log, path: filepath.Join(dir, databaseName), lock: lock}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	s.reads.view = s.view
	return s, nil
}

func (s *SQLite) open() error {
	_, err := os.Lstat(s.path)
	fresh := errors.Is(err, os.ErrNotExist)
	if fresh {
		// Made here so that nobody else can read it, not even before the first write.
		f, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return durable.Full(s.path, err)
		}
		f.Close()
	}
	if s.writer, err = s.connect("_txlock=immediate", "journal_mode(WAL)"); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := s.prepare(); err != nil {
		return err
	}
	if s.reader, err = s.connect("", "query_only(1)"); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(4)
	return s.verify()
}

func (s *SQLite) connect(extra string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{}
	for _, p := range append([]string{"busy_timeout(5000)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)", "trusted_schema(0)"}, pragmas...) {
		q.Add("_pragma", p)
	}
	dsn := "file:" + (&url.URL{Path: s.path}).EscapedPath() + "?" + q.Encode()
	if extra != "" {
		dsn += "&" + extra
	}
	db, err := sql.Open("sqlite", dsn)
	return db, s.explain(err)
}

// prepare checks the schema's version, or creates it in a new database.
func (s *SQLite) prepare() error {
	var version, objects int
	if err := s.writer.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return s.explain(err)
	}
	if version > schemaVersion {
		return &SchemaError{Path: s.path, Have: version, Known: schemaVersion}
	}
	if version == schemaVersion {
		return nil
	}
	if err := s.writer.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&objects); err != nil {
		return s.explain(err)
	}
	if version != 0 || objects != 0 {
		return &DamagedError{Path: s.path, What: fmt.Sprintf("it has tables but schema version %d", version)}
	}
	tx, err := s.writer.Begin()
	if err != nil {
		return s.explain(err)
	}
	defer tx.Rollback()
	for _, t := range tables {
		if _, err := tx.Exec(t.create()); err != nil {
			return s.explain(err)
		}
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return s.explain(err)
	}
	return s.explain(tx.Commit())
}

// verifyAllBelow is the size up to which opening reads every row. In a larger
// database the long tables (see their definition) are left to their readers.
const verifyAllBelow = 32 << 20

// verify looks for damage that would otherwise show only later: broken pages,
// rows that do not match their checksum (a damaged key hides its row from a
// search), and a log whose entries do not end where its checkpoint says.
func (s *SQLite) verify() error {
	var word string
	if err := s.reader.QueryRow("PRAGMA quick_check(1)").Scan(&word); err != nil {
		return s.explain(err)
	}
	if word != "ok" {
		return &DamagedError{Path: s.path, What: word}
	}
	st, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	return s.view(context.Background(), func(r rows) error {
		for _, t := range tables {
			if t.long && st.Size() > verifyAllBelow {
				continue
			}
			if _, err := r.scan(t); err != nil {
				return err
			}
		}
		head, err := headOf(r)
		if err != nil {
			return err
		}
		last, err := r.last(tEntries)
		if err != nil {
			return err
		}
		var size int64
		if last != nil {
			size = last[0].(int64) + 1
		}
		hashes, err := r.last(tHashes)
		if err != nil {
			return err
		}
		if size != head.Size || (size > 0 && (hashes == nil || hashes[0].(int64)+1 != tlog.StoredHashCount(size))) {
			return &DamagedError{What: fmt.Sprintf("the log ends at entry %d, its checkpoint at %d", size, head.Size)}
		}
		return nil
	})
}

// explain gives the database's errors the types that callers know.
func (s *SQLite) explain(err error) error {
	var damaged *DamagedError
	if errors.As(err, &damaged) && damaged.Path == "" {
		damaged.Path = s.path
		return err
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return &durable.FullError{Path: s.path, Err: err}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return &DamagedError{Path: s.path, What: e.Error()}
	}
	return fmt.Errorf("%s: %w", s.path, err)
}

// Acquire raises the fencing epoch.
func (s *SQLite) Acquire(ctx context.Context, holder string) (f Fence, err error) {
	err = s.change(ctx, func(r rows) error {
		f, err = acquire(r, holder)
		return err
	})
	return f, err
}

// Commit applies a batch in one transaction.
func (s *SQLite) Commit(ctx context.Context, f Fence, b *Batch) (head Head, err error) {
	err = s.change(ctx, func(r rows) error {
		head, err = apply(r, s.log, f, b)
		return err
	})
	if err != nil {
		return Head{}, err
	}
	if b.shreds() {
		// The log of earlier writes still has what was erased. Emptying it is
		// best effort: a reader may hold it open, and the next one will do.
		s.mu.Lock()
		if !s.closed {
			_, _ = s.writer.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
		}
		s.mu.Unlock()
	}
	return head, nil
}

// change runs fn in a transaction that holds the write lock from its start.
func (s *SQLite) change(ctx context.Context, fn func(rows) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	defer tx.Rollback()
	if err := fn(sqlRows{ctx, tx}); err != nil {
		return s.explain(err)
	}
	pointApplied.Hit()
	if err := tx.Commit(); err != nil {
		return s.explain(err)
	}
	pointCommitted.Hit()
	return nil
}

// view runs fn on one snapshot.
func (s *SQLite) view(ctx context.Context, fn func(rows) error) error {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		if strings.Contains(err.Error(), "database is closed") {
			return errClosed
		}
		return s.explain(err)
	}
	defer tx.Rollback()
	return s.explain(fn(sqlRows{ctx, tx}))
}

// Close waits for the writer, folds the write-ahead log into the database and
// releases the directory.
func (s *SQLite) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Unlock())...)
}

var _ Store = (*SQLite)(nil)
