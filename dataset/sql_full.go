//go:build full

package dataset

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// connectTime bounds the making of a connection.
	connectTime = 10 * time.Second
	// maxMessageBytes bounds one row as a server sends it.
	maxMessageBytes = 16 << 20
)

func init() {
	connectors[formatPostgres] = newPostgres
	connectors[formatMySQL] = newMySQL
}

// database is what a query's rows come from. Every pass is a transaction of its own
// that only reads and sees one state of the database.
//
// Nothing that a driver or a server says is repeated in errors: it may hold
// credentials or values of rows. What they say with a code is told in our words.
type database struct {
	db      *sql.DB
	name    string // of the data set
	address string // host:port
	query   string
	silence time.Duration
	code    func(error) string // of a server's error; "" for none
}

func newDatabase(l *loading, db *sql.DB, address string, code func(error) string) *database {
	// An idle connection is kept between passes, and no longer: a branch's database
	// should not hold one for a run that takes days.
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(time.Minute)
	d := &database{db: db, name: l.name, address: address, query: l.src.Query, silence: l.src.Timeout, code: code}
	if d.silence == 0 {
		d.silence = DefaultTimeout
	}
	return d
}

func (d *database) Close() error { return d.db.Close() }

// sqlRecords is one pass over a query's rows.
type sqlRecords struct {
	d      *database
	ctx    context.Context
	stop   context.CancelCauseFunc
	timer  *time.Timer // ends ctx; it runs only while the server is waited for
	tx     *sql.Tx
	rows   *sql.Rows
	found  []column
	values []any
	into   []any // pointers to values
	cells  []cell
	line   int
}

var errSilent = errors.New("silent")

func (d *database) records(ctx context.Context) (records, error) {
	r := &sqlRecords{d: d}
	r.ctx, r.stop = context.WithCancelCause(ctx)
	r.timer = time.AfterFunc(d.silence, func() { r.stop(errSilent) })
	defer r.timer.Stop()
	var err error
	if r.tx, err = d.db.BeginTx(r.ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}); err != nil {
		return nil, r.failed(err)
	}
	if r.rows, err = r.tx.QueryContext(r.ctx, d.query); err != nil {
		return nil, r.failed(err)
	}
	types, err := r.rows.ColumnTypes()
	if err != nil {
		return nil, r.failed(err)
	}
	for _, t := range types {
		name := t.DatabaseTypeName()
		r.found = append(r.found, column{name: t.Name(), kinds: sqlKinds(name), found: name})
	}
	r.values, r.into, r.cells = make([]any, len(types)), make([]any, len(types)), make([]cell, len(types))
	for i := range r.into {
		r.into[i] = &r.values[i]
	}
	return r, nil
}

func (r *sqlRecords) columns() ([]column, error) { return r.found, nil }

func (r *sqlRecords) close() error {
	r.stop(errClosed) // before the rows are closed, so that the rest of them is not read
	if r.rows != nil {
		r.rows.Close()
	}
	if r.tx != nil {
		r.tx.Rollback()
	}
	return nil
}

func (r *sqlRecords) read() (int, []cell, error) {
	r.timer.Reset(r.d.silence)
	more := r.rows.Next()
	r.timer.Stop()
	if !more {
		if err := r.rows.Err(); err != nil {
			return 0, nil, r.failed(err)
		}
		return 0, nil, io.EOF
	}
	if err := r.rows.Scan(r.into...); err != nil {
		return 0, nil, r.failed(err)
	}
	r.line++
	for i, v := range r.values {
		switch v := v.(type) {
		case nil:
			r.cells[i] = cell{kind: isAbsent}
		case int64:
			r.cells[i] = integerCell(v)
		case uint64:
			r.cells[i] = naturalCell(v)
		case float64:
			r.cells[i] = numberCell(v)
		case float32:
			r.cells[i] = numberCell(float64(v))
		case bool:
			r.cells[i] = boolCell(v)
		case time.Time:
			r.cells[i] = instantCell(v)
		case string:
			r.cells[i] = textCell(v)
		case []byte:
			r.cells[i] = textCell(string(v))
		default:
			return 0, nil, &Error{File: r.d.name, Problems: []Problem{{Line: r.line, Column: r.found[i].name, Message: fmt.Sprintf("the value is a %T", v), Hint: "convert it in the query"}}}
		}
	}
	return r.line, r.cells, nil
}

// failed closes the pass and says in our words why it ended.
func (r *sqlRecords) failed(err error) error {
	defer r.close()
	d := r.d
	cause := context.Cause(r.ctx)
	if cause != nil && cause != errSilent {
		return cause
	}
	if cause == errSilent {
		return &unreachable{fmt.Sprintf("dataset: %s: the database at %s has been silent for %v", d.name, d.address, d.silence)}
	}
	if code := d.code(err); code != "" {
		return fail(d.name, fmt.Sprintf("the database at %s answers: %s", d.address, codeText(code)), "run the query there as this user; what the server says is not repeated here, since it may hold values of rows")
	}
	return &unreachable{fmt.Sprintf("dataset: %s: no database answers at %s: %s", d.name, d.address, networkReason(err))}
}

// codeText is what a server's error code means: PostgreSQL's by its class, MySQL's
// by its number.
func codeText(code string) string {
	for _, c := range []struct{ prefix, text string }{
		{"28", "the login is refused"}, {"mysql 1045", "the login is refused"}, {"mysql 1698", "the login is refused"},
		{"3D", "there is no such database"}, {"mysql 1049", "there is no such database"}, {"mysql 1044", "the user may not use this database"},
		{"42P01", "the query names a table that is not there"}, {"mysql 1146", "the query names a table that is not there"},
		{"42703", "the query names a column that is not there"}, {"mysql 1054", "the query names a column that is not there"},
		{"42501", "the user may not read what the query asks for"}, {"mysql 1142", "the user may not read what the query asks for"}, {"mysql 1143", "the user may not read what the query asks for"},
		{"42601", "the query is not one statement of SQL"}, {"mysql 1064", "the query is not one statement of SQL"},
		{"25006", "the query writes, and only reading is allowed"}, {"mysql 1792", "the query writes, and only reading is allowed"},
		{"53", "it has no resources left for the query"}, {"mysql 1040", "it has no resources left for the query"},
		{"57P", "it is starting, stopping or ended the connection"}, {"57014", "it ended the query, which took too long"}, {"mysql 3024", "it ended the query, which took too long"},
		{"40", "it ended the transaction because of another one"},
		{"22", "the query computes something that has no value"},
	} {
		if strings.HasPrefix(code, c.prefix) {
			return fmt.Sprintf("%s (%s)", c.text, codeName(code))
		}
	}
	return codeName(code)
}

func codeName(code string) string {
	if strings.HasPrefix(code, "mysql ") {
		return strings.Replace(code, "mysql ", "error ", 1)
	}
	return "SQLSTATE " + code
}

// networkReason is the innermost reason of a network error, which holds no
// credentials, or a word that says less.
func networkReason(err error) string {
	var dns *net.DNSError
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "the host's name is not known"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	case strings.Contains(err.Error(), "x509:"), strings.Contains(err.Error(), "tls"):
		return "the encryption of the connection was not agreed on: check the server's certificate and the connection string's TLS settings"
	}
	return "the connection failed"
}

// sqlKinds says what a type of PostgreSQL or MySQL holds.
func sqlKinds(name string) valueKinds {
	name = strings.TrimPrefix(strings.ToUpper(name), "UNSIGNED ")
	switch name {
	case "INT2", "INT4", "INT8", "FLOAT4", "FLOAT8", "NUMERIC", "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE", "YEAR":
		return numbers
	case "BOOL":
		return booleans
	case "DATE", "DATETIME", "TIMESTAMP", "TIMESTAMPTZ":
		return instants
	case "BYTEA", "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BINARY", "VARBINARY", "BIT", "GEOMETRY", "INTERVAL", "TIME", "TIMETZ", "POINT", "MONEY":
		return otherwise
	}
	if strings.HasPrefix(name, "_") {
		return otherwise // an array of PostgreSQL
	}
	return texts
}
