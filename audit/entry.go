package audit

import (
	"errors"
	"fmt"

	"tacit/id"
)

// MaxEntryBytes bounds an entry.
const MaxEntryBytes = 512

const entryVersion = 1

// Entry is one committed transition, a leaf of the log. Its encoding, all integers
// big-endian, is
//
//	version 1 ‖ kind 1 ‖ sequence 8 ‖ time 8 ‖ run 16 ‖ round 8 ‖ r 8 ‖ digest 32 ‖ payload
//
// with the payload's fields in the order of its struct.
type Entry struct {
	Sequence uint64   // the entry's index in the log
	Time     int64    // UTC, Unix milliseconds, by the server's clock; order is by Sequence
	Run      id.RunID // zero for what concerns the federation
	Round, R uint64   // zero outside attempts; round 0 is the statistics round

	// Digest is the SHA-256 digest of the document that the entry stands for; see
	// the payload types. Zero where there is none.
	Digest  id.Digest
	Payload Payload
}

// Payload is the part of an entry that depends on its kind: one of the structs of
// this package, by value.
type Payload interface {
	Kind() Kind
	code(*codec) Payload // reads or writes the fields; returns the value read
}

// Kind returns the payload's kind, or 0 without one.
func (e Entry) Kind() Kind {
	if e.Payload == nil {
		return 0
	}
	return e.Payload.Kind()
}

// HasRecord reports whether Digest is that of a record, which an archive must hold.
func (e Entry) HasRecord() bool { return kinds[e.Kind()].record != "" }

func (e *Entry) code(c *codec) {
	version, kind := uint8(entryVersion), e.Kind()
	c.u8(&version)
	if c.err == nil && version != entryVersion {
		c.fail("format %d; this build reads %d", version, entryVersion)
	}
	c.u8((*uint8)(&kind))
	rule, ok := kinds[kind]
	if !ok {
		c.fail("unknown kind %d", uint8(kind))
		return
	}
	c.u64(&e.Sequence)
	c.i64(&e.Time)
	c.fixed(e.Run[:])
	c.u64(&e.Round)
	c.u64(&e.R)
	c.fixed(e.Digest[:])
	if c.err != nil {
		return
	}
	if err := rule.check(e); err != nil {
		c.fail("%s: %w", rule.name, err)
		return
	}
	if c.w == nil {
		e.Payload = rule.empty
	}
	e.Payload = e.Payload.code(c)
}

// check holds the header's fields against the kind.
func (k kindRule) check(e *Entry) error {
	switch {
	case (k.scope == ofFederation) != e.Run.IsZero():
		return errors.New("the run is set where it must not be, or missing")
	case k.scope == ofAttempt && e.R == 0:
		return errors.New("attempts are numbered from 1")
	case k.scope != ofAttempt && (e.R != 0 || e.Round != 0):
		return errors.New("a round or attempt where there is none")
	case k.digest == e.Digest.IsZero():
		return errors.New("the digest is set where there is no document, or missing")
	}
	return nil
}

// AppendBinary appends the canonical bytes of e, if it obeys the rules of its kind.
func (e Entry) AppendBinary(b []byte) ([]byte, error) {
	out, err := encode(b, e.code)
	if err != nil {
		return nil, fmt.Errorf("audit: entry %d: %w", e.Sequence, err)
	}
	if n := len(out) - len(b); n > MaxEntryBytes {
		return nil, fmt.Errorf("audit: entry %d: %d bytes, at most %d", e.Sequence, n, MaxEntryBytes)
	}
	return out, nil
}

// ParseEntry reads exactly the bytes that [Entry.AppendBinary] writes.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) > MaxEntryBytes {
		return Entry{}, fmt.Errorf("audit: entry: %d bytes, at most %d", len(b), MaxEntryBytes)
	}
	var e Entry
	if err := decode(b, e.code); err != nil {
		return Entry{}, fmt.Errorf("audit: entry: %w", err)
	}
	return e, nil
}
