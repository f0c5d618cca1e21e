package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
)

// sqlRows are the rows of a transaction. Statements are made from the tables'
// shapes; values are always parameters.
type sqlRows struct {
	ctx context.Context
	tx  *sql.Tx
}

var sqlTypes = map[byte]string{'i': "INTEGER", 's': "TEXT", 'b': "BLOB"}

// create is the table's definition. Integer keys need a rowid table to stay
// compact; the others are clustered by their key.
func (t *table) create() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE " + t.name + " (")
	for _, c := range append(t.keys[:len(t.keys):len(t.keys)], t.cols...) {
		b.WriteString(c.name + " " + sqlTypes[c.kind] + ", ")
	}
	b.WriteString("sum BLOB NOT NULL, PRIMARY KEY (" + t.keyNames(", ") + ")) STRICT, WITHOUT ROWID")
	return b.String()
}

func (t *table) keyNames(sep string) string {
	names := make([]string, len(t.keys))
	for i, c := range t.keys {
		names[i] = c.name
	}
	return strings.Join(names, sep)
}

// where restricts the first n keys.
func (t *table) where(n int) string {
	if n == 0 {
		return ""
	}
	terms := make([]string, n)
	for i := range n {
		terms[i] = t.keys[i].name + " = ?"
	}
	return " WHERE " + strings.Join(terms, " AND ")
}

func (r sqlRows) put(t *table, v row) error {
	n := len(t.keys) + len(t.cols) + 1
	_, err := r.tx.ExecContext(r.ctx, "INSERT OR REPLACE INTO "+t.name+" VALUES (?"+strings.Repeat(", ?", n-1)+")",
		append(v[:len(v):len(v)], t.sum(v))...)
	return err
}

func (r sqlRows) remove(t *table, key ...any) error {
	_, err := r.tx.ExecContext(r.ctx, "DELETE FROM "+t.name+t.where(len(t.keys)), key...)
	return err
}

func (r sqlRows) get(t *table, key ...any) (row, error) {
	return r.one(t, t.where(len(t.keys)), key)
}

func (r sqlRows) last(t *table, prefix ...any) (row, error) {
	return r.one(t, t.where(len(prefix))+" ORDER BY "+t.keyNames(" DESC, ")+" DESC LIMIT 1", prefix)
}

func (r sqlRows) scan(t *table, prefix ...any) ([]row, error) {
	return r.query(t, t.where(len(prefix))+" ORDER BY "+t.keyNames(", "), prefix)
}

func (r sqlRows) span(t *table, from, to int64) ([]row, error) {
	k := t.keys[0].name
	return r.query(t, " WHERE "+k+" >= ? AND "+k+" < ? ORDER BY "+k, []any{from, to})
}

func (r sqlRows) one(t *table, tail string, args []any) (row, error) {
	out, err := r.query(t, tail, args)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return out[0], nil
}

func (r sqlRows) query(t *table, tail string, args []any) (out []row, err error) {
	in, err := r.tx.QueryContext(r.ctx, "SELECT * FROM "+t.name+tail, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	cols := append(t.keys[:len(t.keys):len(t.keys)], t.cols...)
	for in.Next() {
		v := make(row, len(cols)+1)
		dst := make([]any, len(v))
		for i := range v {
			dst[i] = &v[i]
		}
		if err := in.Scan(dst...); err != nil {
			return nil, err
		}
		got, ok := v[len(cols)].([]byte)
		v = v[:len(cols)]
		for i, c := range cols {
			ok = ok && fits(&v[i], c.kind)
		}
		if !ok || !bytes.Equal(got, t.sum(v)) {
			return nil, &DamagedError{What: "a row of table " + t.name + " does not match its checksum"}
		}
		out = append(out, v)
	}
	return out, in.Err()
}

// fits brings a scanned value to its column's Go type.
func fits(v *any, kind byte) bool {
	switch x := (*v).(type) {
	case int64:
		return kind == 'i'
	case string:
		return kind == 's'
	case []byte:
		if len(x) == 0 {
			*v = []byte(nil)
		}
		return kind == 'b'
	case nil:
		*v = []byte(nil)
		return kind == 'b'
	}
	return false
}
