package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// A table's shape. Both stores derive their layout from it: SQLite its CREATE
// TABLE and statements, memory its ordered keys. A column is written
// "name kind", with kinds i (integer), s (text) and b (bytes).
type table struct {
	name string
	keys []column // primary key, in order
	cols []column
	// long tables grow with every message or entry. What is missing in one of them
	// shows without a search for damage: entries and hashes by their count and the
	// signed root, messages and reports by the protocol's own signatures.
	long bool
}

type column struct {
	name string
	kind byte
}

func newTable(name string, keys, cols []string) *table {
	t := &table{name: name}
	parse := func(in []string) (out []column) {
		for _, c := range in {
			out = append(out, column{c[:len(c)-2], c[len(c)-1]})
		}
		return out
	}
	t.keys, t.cols = parse(keys), parse(cols)
	tables = append(tables, t)
	return t
}

// tables lists every table, in order of definition.
var tables []*table

// The schema, version 1. Changing it needs a new schemaVersion and a migration.
var (
	tCounters = newTable("counters", []string{"name s"}, []string{"value i"})
	tLease    = newTable("lease", []string{"one i"}, []string{"fence i", "holder s"})

	tEntries     = newTable("entries", []string{"idx i"}, []string{"body b"})
	tHashes      = newTable("hashes", []string{"idx i"}, []string{"hash b"})
	tCheckpoints = newTable("checkpoints", []string{"size i"}, []string{"root b", "note b"})

	tSettings = newTable("settings", []string{"name s"}, []string{"value b"})
	tCharters = newTable("charters", []string{"seq i"}, []string{"hash b", "body b"})
	tRosters  = newTable("rosters", []string{"version i"}, []string{"body b"})

	tRuns = newTable("runs", []string{"run b"}, []string{"plan_hash b", "plan b", "created i",
		"state s", "epoch i", "round i", "r i", "model b", "strategy b", "reason s"})
	tEpochs   = newTable("epochs", []string{"run b", "number i"}, []string{"e0 b", "phase s", "root b"})
	tAttempts = newTable("attempts", []string{"run b", "r i", "cohort i", "slice i"}, []string{"epoch i", "task i", "round i", "model b", "start b",
		"phase s", "reason s", "online_set b", "certificate b", "abort_certificate b", "spool_key b", "shredded i"})
	tMessages = newTable("messages", []string{"run b", "epoch i", "r i", "seq i"}, []string{"cohort i", "slice i", "stage i", "agent b", "body b"})
	tReports  = newTable("reports", []string{"run b", "r i", "cohort i", "slice i", "agent b"}, []string{"seq i", "body b", "blob s", "vector b", "at i"})
	tModels   = newTable("models", []string{"run b", "round i"}, []string{"hash b", "file s", "wrapped b", "manifest b", "log_index i", "forgotten i"})
	tRecords  = newTable("records", []string{"digest b"}, []string{"body b"})

	tTokens       = newTable("tokens", []string{"token s"}, []string{"hash b", "org s", "site s", "expires i", "tries i", "redeemed i", "agent b"})
	tCandidates   = newTable("candidates", []string{"agent b"}, []string{"org s", "site s", "body b", "token s", "at i"})
	tReceipts     = newTable("receipts", []string{"run b", "r i", "cohort i", "slice i", "agent b"}, []string{"body b"})
	tCosignatures = newTable("cosignatures", []string{"size i", "agent b"}, []string{"body b"})
	tBytes        = newTable("bytes_out", []string{"agent b", "class s", "kind s"}, []string{"bytes i", "messages i"})
)

func init() {
	for _, t := range []*table{tEntries, tHashes, tMessages, tReports} {
		t.long = true
	}
}

// A row holds a table's keys and then its columns, each an int64, a string or a
// []byte (nil when empty).
type row []any

// rows is the storage that the rules in apply.go and the typed reads stand on.
// Both stores implement it; inside a commit it reads what the commit wrote.
type rows interface {
	get(t *table, key ...any) (row, error)       // nil when there is none
	put(t *table, r row) error                   // inserts or replaces by key
	remove(t *table, key ...any) error           // a missing row is no error
	scan(t *table, prefix ...any) ([]row, error) // rows whose key begins so, by key
	last(t *table, prefix ...any) (row, error)   // the one with the largest key, or nil
	span(t *table, from, to int64) ([]row, error)
}

// sum is the row's check: what a flipped bit cannot leave intact.
func (t *table) sum(r row) []byte {
	h := sha256.New()
	h.Write([]byte(t.name))
	var head [9]byte
	for _, v := range r {
		switch v := v.(type) {
		case int64:
			head[0] = 'i'
			binary.BigEndian.PutUint64(head[1:], uint64(v))
			h.Write(head[:])
		case string:
			head[0] = 's'
			binary.BigEndian.PutUint64(head[1:], uint64(len(v)))
			h.Write(head[:])
			h.Write([]byte(v))
		case []byte:
			head[0] = 'b'
			binary.BigEndian.PutUint64(head[1:], uint64(len(v)))
			h.Write(head[:])
			h.Write(v)
		default:
			panic(fmt.Sprintf("store: table %s: a value of type %T", t.name, v))
		}
	}
	return h.Sum(nil)[:8]
}

// build makes a row of Go values: unsigned numbers, byte arrays and times
// become the three kinds. Numbers beyond int64 do not occur in a federation's
// life and are refused.
func build(values ...any) (row, error) {
	r := make(row, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case uint64:
			if v > math.MaxInt64 {
				return nil, fmt.Errorf("store: number %d is out of range", v)
			}
			r[i] = int64(v)
		case uint32:
			r[i] = int64(v)
		case uint8:
			r[i] = int64(v)
		case int:
			r[i] = int64(v)
		case int64:
			r[i] = v
		case bool:
			r[i] = int64(0)
			if v {
				r[i] = int64(1)
			}
		case string:
			r[i] = v
		case []byte:
			if len(v) == 0 {
				v = nil
			}
			r[i] = v
		case time.Time:
			r[i] = fromTime(v)
		default:
			panic(fmt.Sprintf("store: build: a value of type %T", v))
		}
	}
	return r, nil
}

// A reader takes a row apart. The first value that does not fit spoils it.
type reader struct {
	t   *table
	r   row
	err error
}

func (t *table) read(r row) *reader { return &reader{t: t, r: r} }

func next[T any](d *reader) (v T) {
	if d.err == nil && len(d.r) == 0 {
		d.err = &DamagedError{What: "a row of table " + d.t.name + " is short"}
	}
	if d.err != nil {
		return v
	}
	v, ok := d.r[0].(T)
	if !ok {
		d.err = &DamagedError{What: "a row of table " + d.t.name + " has a value of the wrong type"}
	}
	d.r = d.r[1:]
	return v
}

func (d *reader) uint(v *uint64)    { *v = uint64(next[int64](d)) }
func (d *reader) uint32(v *uint32)  { *v = uint32(next[int64](d)) }
func (d *reader) uint8(v *uint8)    { *v = uint8(next[int64](d)) }
func (d *reader) int(v *int)        { *v = int(next[int64](d)) }
func (d *reader) int64(v *int64)    { *v = next[int64](d) }
func (d *reader) bool(v *bool)      { *v = next[int64](d) != 0 }
func (d *reader) text(v *string)    { *v = next[string](d) }
func (d *reader) bytes(v *[]byte)   { *v = next[[]byte](d) }
func (d *reader) time(v *time.Time) { *v = toTime(next[int64](d)) }

// array fills a fixed-size array.
func (d *reader) array(dst []byte) {
	b := next[[]byte](d)
	if d.err == nil && len(b) != len(dst) {
		d.err = &DamagedError{What: "a row of table " + d.t.name + " has a digest or ID of the wrong length"}
		return
	}
	copy(dst, b)
}

// noTime stands for the zero time.Time, whose nanoseconds do not fit.
const noTime = math.MinInt64

func fromTime(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func toTime(n int64) time.Time {
	if n == noTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
