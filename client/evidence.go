package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"tacit/audit"
	"tacit/id"
	"tacit/wire"
)

// Evidence is what an agent keeps of one attempt: enough to hold the server to its
// word, nothing of the branch's own. It stays below 20 KB.
type Evidence struct {
	Run         id.RunID
	R, Round    uint64
	Task        uint8
	Opened      *Proved  // entry "round opened"; nil where this agent was away
	Receipt     *Receipt // nil where none came
	Certificate []byte   // secureagg's; empty where none was seen
	Closed      *Proved  // entry "round committed" or "round aborted"
}

// Proved is a log entry with its proof.
type Proved struct {
	Entry      []byte
	Index      uint64
	Inclusion  audit.Proof
	Checkpoint []byte // signed note
}

// Receipt is the server's signed acknowledgement; see [wire.ReportAck].
type Receipt struct {
	Report, Vector [32]byte
	TreeSize       uint64
	Signature      []byte
}

const (
	evidenceMagic = "tacit evidence\x01"
	maxEvidence   = 64 << 10
)

var errEvidence = errors.New("client: evidence: truncated, too long or not canonical")

func proved(entry []byte, p *wire.Proof) *Proved {
	return &Proved{Entry: entry, Index: p.Index, Inclusion: inclusion(p), Checkpoint: p.Checkpoint}
}

func addBytes(b *cryptobyte.Builder, p []byte) {
	b.AddUint24LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(p) })
}

func addProved(b *cryptobyte.Builder, p *Proved) {
	if p == nil {
		b.AddUint8(0)
		return
	}
	b.AddUint8(1)
	addBytes(b, p.Entry)
	b.AddUint64(p.Index)
	b.AddUint16LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(p.Inclusion.AppendBinary(nil)) })
	addBytes(b, p.Checkpoint)
}

// AppendBinary appends the canonical bytes: magic ‖ run ‖ r ‖ round ‖ task ‖ opened ‖
// receipt ‖ certificate ‖ closed; what may be missing stands behind a byte 0 or 1,
// what has no fixed size behind its length.
func (e *Evidence) AppendBinary(dst []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(dst)
	b.AddBytes([]byte(evidenceMagic))
	b.AddBytes(e.Run[:])
	b.AddUint64(e.R)
	b.AddUint64(e.Round)
	b.AddUint8(e.Task)
	addProved(b, e.Opened)
	if r := e.Receipt; r == nil {
		b.AddUint8(0)
	} else {
		b.AddUint8(1)
		b.AddBytes(r.Report[:])
		b.AddBytes(r.Vector[:])
		b.AddUint64(r.TreeSize)
		b.AddBytes(r.Signature)
	}
	addBytes(b, e.Certificate)
	addProved(b, e.Closed)
	return b.Bytes()
}

func readProved(s *cryptobyte.String, p **Proved) bool {
	var has uint8
	if !s.ReadUint8(&has) || has > 1 {
		return false
	}
	if has == 0 {
		return true
	}
	q := new(Proved)
	var entry, checkpoint, raw cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&entry) || !s.ReadUint64(&q.Index) || !s.ReadUint16LengthPrefixed(&raw) || !s.ReadUint24LengthPrefixed(&checkpoint) {
		return false
	}
	proof, err := audit.ParseProof(raw)
	if err != nil {
		return false
	}
	q.Entry, q.Inclusion, q.Checkpoint = entry, proof, checkpoint
	*p = q
	return true
}

// ParseEvidence reads exactly the bytes that [Evidence.AppendBinary] writes. It
// checks no signature.
func ParseEvidence(b []byte) (*Evidence, error) {
	if len(b) > maxEvidence {
		return nil, errEvidence
	}
	s := cryptobyte.String(b)
	e := new(Evidence)
	var magic []byte
	var has uint8
	if !s.ReadBytes(&magic, len(evidenceMagic)) || string(magic) != evidenceMagic || !s.CopyBytes(e.Run[:]) ||
		!s.ReadUint64(&e.R) || !s.ReadUint64(&e.Round) || !s.ReadUint8(&e.Task) || !readProved(&s, &e.Opened) ||
		!s.ReadUint8(&has) || has > 1 {
		return nil, errEvidence
	}
	if has == 1 {
		r := new(Receipt)
		if !s.CopyBytes(r.Report[:]) || !s.CopyBytes(r.Vector[:]) || !s.ReadUint64(&r.TreeSize) || !s.ReadBytes(&r.Signature, id.SignatureSize) {
			return nil, errEvidence
		}
		e.Receipt = r
	}
	var certificate cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&certificate) || !readProved(&s, &e.Closed) || !s.Empty() {
		return nil, errEvidence
	}
	if len(certificate) > 0 {
		e.Certificate = certificate
	}
	return e, nil
}

func evidenceName(run id.RunID, r uint64) string {
	return fmt.Sprintf("%s/%s/%06d", evidenceDir, run, r)
}

// evidence returns what is kept of an attempt already, for instance by the process
// before this one.
func (a *Agent) evidence(run id.RunID, r uint64) Evidence {
	if b := a.st.kept(evidenceName(run, r)); b != nil {
		if e, err := ParseEvidence(b); err == nil && e.Run == run && e.R == r {
			return *e
		}
	}
	return Evidence{Run: run, R: r}
}

// evidenceOf returns what this agent holds of an attempt, in progress or past.
func (a *Agent) evidenceOf(r *run, attempt uint64) Evidence {
	if at := r.attempt; at != nil && at.r == attempt {
		return at.evidence
	}
	return a.evidence(r.id, attempt)
}

func (a *Agent) keepEvidence(run id.RunID, r uint64, e *Evidence) error {
	b, err := e.AppendBinary(nil)
	if err != nil {
		return err
	}
	_, err = a.st.keep(evidenceName(run, r), b)
	return err
}

// part is one statement of a contradiction.
type part struct {
	name string
	data []byte
}

// contradict keeps the statements that do not fit together and returns the error
// that stops the agent.
func (a *Agent) contradict(what string, run id.RunID, parts ...part) error {
	c := &Contradiction{What: what}
	file := struct {
		What  string            `json:"what"`
		Run   string            `json:"run"`
		Agent string            `json:"agent"`
		Time  time.Time         `json:"time"`
		Log   string            `json:"log_key"`
		Parts map[string][]byte `json:"statements"` // base64
	}{what, run.String(), a.self.String(), time.Now().UTC(), a.trust.charter.LogKey, map[string][]byte{}}
	for _, p := range parts {
		file.Parts[p.name] = p.data
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err == nil {
		c.File, err = a.st.keep(fmt.Sprintf("%s/%s-%s.json", violationsDir, file.Time.Format("20060102T150405.000"), run.Short()), append(b, '\n'))
	}
	if err != nil {
		a.log.Error("the evidence was not kept", "error", err)
	}
	return c
}

// distrust judges an error of a log proof: the error that stops the agent, when the
// log is convicted; one that ends the session, when the proof was made for another
// checkpoint; nil, when what came with the proof is to be refused.
func (a *Agent) distrust(err error) error {
	err = a.convict(err)
	if final(err) != nil || errors.Is(err, errOtherProof) {
		return err
	}
	return nil
}

// convict keeps a violation of the log, which anyone with the log's key can check,
// and returns the error that stops the agent; other errors pass through.
func (a *Agent) convict(err error) error {
	var v *audit.Violation
	if !errors.As(err, &v) {
		return err
	}
	c := &Contradiction{What: "its log", Err: v}
	b, encodeErr := v.AppendBinary(nil)
	if encodeErr == nil {
		c.File, encodeErr = a.st.keep(fmt.Sprintf("%s/%s-%s.violation", violationsDir, time.Now().UTC().Format("20060102T150405.000"), v.Kind), b)
	}
	if encodeErr != nil {
		a.log.Error("the evidence was not kept", "error", encodeErr)
	}
	return c
}
