package wire

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// Proof ties one entry of the transparency log to a checkpoint, and that
// checkpoint to an older one. Its verification is audit's.
type Proof struct {
	Index       uint64     `cbor:"index"`
	TreeSize    uint64     `cbor:"tree_size"`
	Inclusion   [][32]byte `cbor:"inclusion"` // of entry Index in the tree of TreeSize
	OldSize     uint64     `cbor:"old_size"`  // 0: no consistency is claimed
	Consistency [][32]byte `cbor:"consistency"`
	Checkpoint  []byte     `cbor:"checkpoint"` // C2SP signed note of the tree of TreeSize
}

// maxCheckpoint fits a note with a few hundred cosignatures.
const maxCheckpoint = 64 << 10

func (p *Proof) check() error {
	if p.OldSize > p.TreeSize {
		return errors.New("proof: old_size is beyond tree_size")
	}
	if p.Index >= p.TreeSize && len(p.Inclusion) > 0 {
		return errors.New("proof: index is beyond tree_size")
	}
	return checkMax("proof: checkpoint", p.Checkpoint, maxCheckpoint)
}

// PlanOffer asks an agent to take part in a run.
type PlanOffer struct {
	Run     id.RunID       `cbor:"run"`
	Plan    []byte         `cbor:"plan"` // canonical bytes of the resolved plan
	Charter id.CharterHash `cbor:"charter"`
	Entry   []byte         `cbor:"entry"` // of the plan's approval
	Proof   Proof          `cbor:"proof"`
}

// Kind returns [KindPlanOffer].
func (*PlanOffer) Kind() Kind     { return KindPlanOffer }
func (m *PlanOffer) check() error { return m.Proof.check() }

// PlanReply accepts an offer or refuses it. Detail tells no private matter: only
// what the plan asks for, never what the policy or the data hold.
type PlanReply struct {
	Run    id.RunID    `cbor:"run"`
	Plan   id.PlanHash `cbor:"plan"`
	Accept bool        `cbor:"accept"`
	Code   Refusal     `cbor:"code"` // empty when accepted
	Detail string      `cbor:"detail"`
}

// Kind returns [KindPlanReply].
func (*PlanReply) Kind() Kind { return KindPlanReply }

func (m *PlanReply) check() error {
	if m.Accept != (m.Code == "") {
		return errors.New("a refusal has a code and an acceptance has none")
	}
	return errors.Join(m.Code.check(), checkText("detail", m.Detail, maxText))
}

// RoundOpen opens attempt R for every member at once.
type RoundOpen struct {
	Run   id.RunID     `cbor:"run"`
	R     uint64       `cbor:"r"`
	Round uint64       `cbor:"round"`
	Task  uint8        `cbor:"task"`
	Model id.ModelHash `cbor:"model"`
	Start []byte       `cbor:"start"` // secureagg's RoundStart
	Entry []byte       `cbor:"entry"`
	Proof Proof        `cbor:"proof"`
}

// Kind returns [KindRoundOpen].
func (*RoundOpen) Kind() Kind     { return KindRoundOpen }
func (m *RoundOpen) check() error { return m.Proof.check() }

// StageUp carries a message of secure aggregation from an agent.
type StageUp struct {
	Run   id.RunID `cbor:"run"`
	Stage []byte   `cbor:"stage"`
}

// Kind returns [KindStageUp].
func (*StageUp) Kind() Kind   { return KindStageUp }
func (*StageUp) check() error { return nil }

// StageDown carries a message of secure aggregation to an agent.
type StageDown struct {
	Run   id.RunID `cbor:"run"`
	Stage []byte   `cbor:"stage"`
}

// Kind returns [KindStageDown].
func (*StageDown) Kind() Kind   { return KindStageDown }
func (*StageDown) check() error { return nil }

// Report carries secureagg's Report of attempt R. Its [Vector] follows.
type Report struct {
	Run    id.RunID `cbor:"run"`
	R      uint64   `cbor:"r"`
	Report []byte   `cbor:"report"`
}

// Kind returns [KindReport].
func (*Report) Kind() Kind   { return KindReport }
func (*Report) check() error { return nil }

// Vector carries the masked vector that belongs to a [Report]: little-endian words
// of the ring, see [AppendWords].
type Vector struct {
	Run   id.RunID `cbor:"run"`
	R     uint64   `cbor:"r"`
	Words []byte   `cbor:"-"` // bulk
}

// Kind returns [KindVector].
func (*Vector) Kind() Kind { return KindVector }

func (m *Vector) check() error {
	if len(m.Words)%4 != 0 {
		return errors.New("the vector ends within a word")
	}
	return nil
}
func (m *Vector) bulk() *[]byte { return &m.Words }

// ReportAck is the server's signed promise: the report and the vector with these
// digests are on its disk, and the attempt they belong to will be logged, committed
// or aborted, behind the first TreeSize entries.
type ReportAck struct {
	Run      id.RunID `cbor:"run"`
	R        uint64   `cbor:"r"`
	Report   [32]byte `cbor:"report"` // SHA-256 of secureagg's Report
	Vector   [32]byte `cbor:"vector"` // SHA-256 of the words
	TreeSize uint64   `cbor:"tree_size"`
	Receipt  []byte   `cbor:"receipt"` // Ed25519, id.LabelAck, over the agent and all of the above
}

// Kind returns [KindReportAck].
func (*ReportAck) Kind() Kind { return KindReportAck }

func (m *ReportAck) check() error { return checkSize("receipt", m.Receipt, id.SignatureSize) }

// body is what Receipt signs: agent ‖ run ‖ r ‖ report ‖ vector ‖ tree_size.
func (m *ReportAck) body(agent id.AgentID) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddBytes(agent[:])
	b.AddBytes(m.Run[:])
	b.AddUint64(m.R)
	b.AddBytes(m.Report[:])
	b.AddBytes(m.Vector[:])
	b.AddUint64(m.TreeSize)
	return b.BytesOrPanic()
}

// Sign fills Receipt with the server's signature for one agent.
func (m *ReportAck) Sign(server *id.PrivateKey, agent id.AgentID) {
	m.Receipt = server.Sign(id.LabelAck, m.body(agent))
}

// Verify checks the server's signature for this agent.
func (m *ReportAck) Verify(server id.PublicKey, agent id.AgentID) error {
	return server.Verify(id.LabelAck, m.body(agent), m.Receipt)
}

// Committed tells the outcome of attempt R, once it is logged: the sum over the
// certified set, with which an agent recomputes the next model.
type Committed struct {
	Run         id.RunID     `cbor:"run"`
	R           uint64       `cbor:"r"`
	Round       uint64       `cbor:"round"`
	Task        uint8        `cbor:"task"`
	Set         []byte       `cbor:"set"` // bitmap over the epoch's roster
	Record      []byte       `cbor:"record"`
	Certificate []byte       `cbor:"certificate"`
	Entry       []byte       `cbor:"entry"`
	Proof       Proof        `cbor:"proof"`
	Next        id.ModelHash `cbor:"next"` // of the model after this round
	Done        bool         `cbor:"done"` // no round follows
	Sum         []byte       `cbor:"-"`    // bulk: the opened sum, words as in Vector
}

// Kind returns [KindCommitted].
func (*Committed) Kind() Kind { return KindCommitted }

func (m *Committed) check() error {
	if len(m.Sum)%4 != 0 {
		return errors.New("the sum ends within a word")
	}
	return errors.Join(checkMax("set", m.Set, 1<<10), m.Proof.check())
}
func (m *Committed) bulk() *[]byte { return &m.Sum }

// RoundAborted tells that attempt R ended without a sum, and that the log says so.
type RoundAborted struct {
	Run    id.RunID `cbor:"run"`
	R      uint64   `cbor:"r"`
	Round  uint64   `cbor:"round"`
	Reason string   `cbor:"reason"`
	Entry  []byte   `cbor:"entry"`
	Proof  Proof    `cbor:"proof"`
}

// Kind returns [KindRoundAborted].
func (*RoundAborted) Kind() Kind { return KindRoundAborted }

func (m *RoundAborted) check() error {
	return errors.Join(checkText("reason", m.Reason, maxText), m.Proof.check())
}

// RunDone tells that a run has ended.
type RunDone struct {
	Run    id.RunID     `cbor:"run"`
	State  RunState     `cbor:"state"`
	Reason string       `cbor:"reason"`
	Model  id.ModelHash `cbor:"model"` // the last committed one
}

// Kind returns [KindRunDone].
func (*RunDone) Kind() Kind { return KindRunDone }

func (m *RunDone) check() error {
	return errors.Join(m.State.check(), checkText("reason", m.Reason, maxText))
}

// Cosign carries an agent's cosignature of a checkpoint.
type Cosign struct {
	Checkpoint []byte `cbor:"checkpoint"` // the note with the agent's signature line
}

// Kind returns [KindCosign].
func (*Cosign) Kind() Kind     { return KindCosign }
func (m *Cosign) check() error { return checkMax("checkpoint", m.Checkpoint, maxCheckpoint) }

// AgentState says whether the agent takes part in the epoch that it knows, or is
// out until the others have vouched for it (SECAGG, Hardening 6), and which round it
// holds the model of: a server tells it of every commit from that round on before it
// expects a report.
type AgentState struct {
	Run   id.RunID `cbor:"run"`
	Epoch uint64   `cbor:"epoch"` // the latest it knows; 0: none
	Round uint64   `cbor:"round"` // the one that begins with the model it holds
	Out   bool     `cbor:"out"`
}

// Kind returns [KindAgentState].
func (*AgentState) Kind() Kind { return KindAgentState }

func (m *AgentState) check() error { return nil }
