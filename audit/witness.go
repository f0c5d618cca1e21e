package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// Witness is what an agent remembers of the log: the pinned key and the last
// checkpoint. It only ever moves forward. Persist it after every change.
type Witness struct {
	logKey   string
	verifier note.Verifier
	head     Head
	seen     bool
}

// NewWitness returns a witness that pins the log's verifier key and has seen nothing.
func NewWitness(logKey string) (*Witness, error) {
	v, err := newVerifier(logKey)
	if err != nil {
		return nil, err
	}
	return &Witness{logKey: logKey, verifier: v}, nil
}

// LogKey returns the pinned verifier key.
func (w *Witness) LogKey() string { return w.logKey }

// Head returns the last checkpoint, if there is one.
func (w *Witness) Head() (Head, bool) { return w.head, w.seen }

// ViolationKind says what a log did.
type ViolationKind uint8

const (
	// Fork: two checkpoints of one size with different roots. Proof enough alone.
	Fork ViolationKind = iota + 1
	// Rollback: a checkpoint smaller than one that the log had already signed. The
	// log may once have been there; it may not go back.
	Rollback
	// Inconsistent: a larger checkpoint that came without a valid proof that it
	// extends the older one. It convicts the log unless the log can show that proof.
	Inconsistent
)

// String returns the kind in words.
func (k ViolationKind) String() string {
	switch k {
	case Fork:
		return "fork"
	case Rollback:
		return "rollback"
	case Inconsistent:
		return "inconsistent"
	}
	return fmt.Sprintf("violation %d", uint8(k))
}

// Violation holds two statements that the log signed and that do not fit together.
// Anyone with the log's key can check it.
type Violation struct {
	Kind     ViolationKind
	Old, New []byte // signed notes
	Proof    Proof  // what came with New, for Inconsistent
}

// Error names what the log did.
func (v *Violation) Error() string {
	switch v.Kind {
	case Fork:
		return "audit: the log shows two histories: two checkpoints of one size with different roots"
	case Rollback:
		return "audit: the log went back behind a checkpoint that it had signed"
	}
	return "audit: the log does not prove that its checkpoint extends the last one seen"
}

// judge returns the violation that two heads make, or nil.
func judge(old, head Head, p Proof) *Violation {
	v := &Violation{Old: old.Checkpoint, New: head.Checkpoint}
	switch {
	case head.Size < old.Size:
		v.Kind = Rollback
	case head.Size == old.Size && head.Root != old.Root:
		v.Kind = Fork
	case head.Size > old.Size && CheckConsistency(p, old, head) != nil:
		v.Kind = Inconsistent
		if len(p) <= maxProof {
			v.Proof = p
		}
	default:
		return nil
	}
	return v
}

// Advance accepts a checkpoint that extends the last one, as the proof must show;
// the first checkpoint needs none. On a *[Violation] the witness stays where it was:
// keep the violation and leave the server.
func (w *Witness) Advance(checkpoint []byte, consistency Proof) error {
	head, _, err := openCheckpoint(checkpoint, w.verifier)
	if err != nil {
		return err
	}
	if w.seen {
		if v := judge(w.head, head, consistency); v != nil {
			return v
		}
	}
	w.head, w.seen = head, true
	return nil
}

// CheckEntry checks that an entry is in the log as the last checkpoint has it, and
// returns it.
func (w *Witness) CheckEntry(entry []byte, index uint64, inclusion Proof) (Entry, error) {
	if !w.seen {
		return Entry{}, errors.New("audit: no checkpoint was seen yet")
	}
	if err := CheckInclusion(inclusion, w.head, index, entry); err != nil {
		return Entry{}, err
	}
	e, err := ParseEntry(entry)
	if err != nil {
		return Entry{}, err
	}
	if e.Sequence != index {
		return Entry{}, fmt.Errorf("audit: entry %d stands at index %d", e.Sequence, index)
	}
	return e, nil
}

const (
	witnessMagic   = "tacit witness\x01"
	violationMagic = "tacit violation\x01"
)

func (c *codec) magic(want string) {
	b := []byte(want)
	c.fixed(b)
	if c.err == nil && string(b) != want {
		c.fail("it does not begin with %q", want)
	}
}

func (w *Witness) code(c *codec) {
	c.magic(witnessMagic)
	c.logKey(&w.logKey)
	c.bytes(&w.head.Checkpoint, maxCheckpoint)
}

// AppendBinary appends the witness's state.
func (w *Witness) AppendBinary(b []byte) []byte {
	out, err := encode(b, w.code)
	if err != nil {
		panic(err) // its parts were checked when they came in
	}
	return out
}

// ParseWitness reads exactly the bytes that [Witness.AppendBinary] writes, and checks
// the checkpoint in it.
func ParseWitness(b []byte) (*Witness, error) {
	var raw Witness
	if err := decode(b, raw.code); err != nil {
		return nil, fmt.Errorf("audit: witness: %w", err)
	}
	w, err := NewWitness(raw.logKey)
	if err != nil {
		return nil, err
	}
	if len(raw.head.Checkpoint) > 0 {
		if err := w.Advance(raw.head.Checkpoint, nil); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (v *Violation) code(c *codec) {
	c.magic(violationMagic)
	c.u8((*uint8)(&v.Kind))
	if c.err == nil && (v.Kind < Fork || v.Kind > Inconsistent) {
		c.fail("unknown kind %d", v.Kind)
	}
	c.bytes(&v.Old, maxCheckpoint)
	c.bytes(&v.New, maxCheckpoint)
	raw := v.Proof.AppendBinary(nil)
	c.bytes(&raw, 1+maxProof*32)
	if c.err == nil {
		p, err := ParseProof(raw)
		if err != nil {
			c.fail("%w", err)
		}
		if len(p) > 0 {
			v.Proof = p
		}
	}
}

// AppendBinary appends the violation as a file that others can check.
func (v *Violation) AppendBinary(b []byte) ([]byte, error) { return encode(b, v.code) }

// ParseViolation reads exactly the bytes that [Violation.AppendBinary] writes.
func ParseViolation(b []byte) (*Violation, error) {
	v := new(Violation)
	if err := decode(b, v.code); err != nil {
		return nil, fmt.Errorf("audit: violation: %w", err)
	}
	return v, nil
}

// Check establishes the violation again, trusting nothing but the log's key.
func (v *Violation) Check(logKey string) error {
	verifier, err := newVerifier(logKey)
	if err != nil {
		return err
	}
	old, _, err := openCheckpoint(v.Old, verifier)
	if err != nil {
		return err
	}
	head, _, err := openCheckpoint(v.New, verifier)
	if err != nil {
		return err
	}
	if again := judge(old, head, v.Proof); again == nil || again.Kind != v.Kind {
		return fmt.Errorf("audit: the two checkpoints are no %s", v.Kind)
	}
	return nil
}
