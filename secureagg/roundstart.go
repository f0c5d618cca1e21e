package secureagg

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// RoundInputs are the values that ctx binds. The server announces them; an agent
// passes its own, computed from the plan and the model it holds.
type RoundInputs struct {
	Run     id.RunID
	Plan    id.PlanHash
	R       uint64 // attempt
	Round   uint64 // index of the model that a commit makes
	Task    uint8
	Model   id.ModelHash
	Config  id.ConfigHash
	Charter id.CharterHash
	Cohorts uint32
	Cohort  uint32 // 0: an attempt is opened in all cohorts at once
	Dim     int    // words of the vector
}

// MaxDim bounds the words of a vector.
const MaxDim = 1 << 28

func (in *RoundInputs) validate() error {
	if in.R == 0 || in.Cohorts == 0 || in.Cohorts > MaxCohorts || in.Cohort != 0 || in.Dim < 1 || in.Dim > MaxDim {
		return fmt.Errorf("secureagg: attempt %d, cohort %d of %d, dimension %d is out of range", in.R, in.Cohort, in.Cohorts, in.Dim)
	}
	return nil
}

// ctx binds every key and signature of an attempt to its inputs (SECAGG 2.5).
func (in *RoundInputs) ctx(epoch uint64, root *digest) id.Ctx {
	b := newBuilder(256)
	b.AddBytes([]byte("tacit-sa1/ctx"))
	b.AddUint8(0)
	b.AddBytes(in.Run[:])
	b.AddUint64(epoch)
	b.AddBytes(root[:])
	bound := *in
	if !guard.ContextBindsModel {
		bound.Model = id.ModelHash{}
	}
	bound.add(b)
	b.AddUint64(in.R)
	b.AddUint32(in.Cohort)
	return id.Ctx(hashBytes(b.BytesOrPanic()))
}

// Ctx returns the context that an epoch with that root gives to the inputs, for whoever
// holds a certificate of it against what an attempt is said to have been.
func (in *RoundInputs) Ctx(epoch uint64, root id.EpochRoot) id.Ctx {
	return in.ctx(epoch, (*digest)(&root))
}

// add appends what is not in a header.
func (in *RoundInputs) add(b *cryptobyte.Builder) {
	b.AddUint64(in.Round)
	b.AddUint8(in.Task)
	b.AddBytes(in.Plan[:])
	b.AddBytes(in.Model[:])
	b.AddBytes(in.Config[:])
	b.AddBytes(in.Charter[:])
	b.AddUint32(in.Cohorts)
	b.AddUint32(uint32(in.Dim))
}

// consumed names what an attempt uses up: the model under plan and task, and the
// round under plan and task. The second holds where a server makes models that
// differ in a bit: two sums over the same rows and other sets would tell what their
// difference is.
type consumed [2]digest

func (in *RoundInputs) consumes() consumed {
	var round [8]byte
	binary.BigEndian.PutUint64(round[:], in.Round)
	return consumed{
		hashParts("trained", in.Plan[:], []byte{in.Task}, in.Model[:]),
		hashParts("trained round", in.Plan[:], []byte{in.Task}, round[:]),
	}
}

// roundStart is R0.
type roundStart struct {
	header
	Root   digest
	Inputs RoundInputs
	Sig    []byte // Ed25519, by the server
}

const roundStartSize = headerSize + 32 + 8 + 1 + 4*32 + 4 + 4 + id.SignatureSize

func (r *roundStart) body() []byte {
	b := newBuilder(roundStartSize)
	r.add(b, KindRoundStart)
	b.AddBytes(r.Root[:])
	r.Inputs.add(b)
	return b.BytesOrPanic()
}

func (r *roundStart) encode() []byte { return append(r.body(), r.Sig...) }

// parseRoundStart also checks that ctx belongs to the inputs.
func parseRoundStart(b []byte) (*roundStart, bool) {
	s := cryptobyte.String(b)
	r := new(roundStart)
	in := &r.Inputs
	var dim uint32
	if !r.readGlobal(&s, KindRoundStart, true) || !readDigest(&s, &r.Root) || !s.ReadUint64(&in.Round) || !s.ReadUint8(&in.Task) ||
		!readDigest(&s, (*[32]byte)(&in.Plan)) || !readDigest(&s, (*[32]byte)(&in.Model)) ||
		!readDigest(&s, (*[32]byte)(&in.Config)) || !readDigest(&s, (*[32]byte)(&in.Charter)) ||
		!s.ReadUint32(&in.Cohorts) || !s.ReadUint32(&dim) || !s.ReadBytes(&r.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	in.Run, in.R, in.Cohort, in.Dim = r.Run, r.R, r.Cohort, int(dim)
	if dim > MaxDim || in.validate() != nil || in.ctx(r.Epoch, &r.Root) != r.Ctx {
		return nil, false
	}
	return r, true
}

// checkStart verifies a RoundStart against this member's epoch, apart from the
// inputs that only the caller knows.
func (m *Member) checkStart(start []byte) (*roundStart, error) {
	rs, ok := parseRoundStart(start)
	if !ok {
		return nil, errMalformed
	}
	refuse := func(r Reason, detail string) (*roundStart, error) {
		return nil, &Abort{Stage: StageRoundStart, Reason: r, Epoch: rs.Epoch, R: rs.R, Detail: detail}
	}
	ep := m.ep
	if ep == nil || ep.stage != StageLive || rs.Epoch != ep.number || rs.Run != m.cfg.Run {
		return nil, ErrStale
	}
	if guard.StartSignature && m.server.Verify(id.LabelRoundStart, rs.body(), rs.Sig) != nil {
		return refuse(ReasonSignature, "the server's signature does not verify")
	}
	if rs.Root != ep.root {
		return refuse(ReasonMismatch, "another roster of this epoch")
	}
	if int(rs.Inputs.Cohorts) != len(m.f.sizes) {
		return refuse(ReasonMismatch, "another number of cohorts")
	}
	if rs.Inputs.Charter != m.c.charter {
		return refuse(ReasonCharter, "another charter")
	}
	if rs.R < ep.start || guard.AttemptsPerEpoch && rs.R-ep.start >= m.c.maxRounds {
		return refuse(ReasonCharter, "the epoch's attempts are used up")
	}
	return rs, nil
}

// Open takes a RoundStart and the agent's own values of what it announces. A
// difference is an *Abort that names it. Accepting ratchets the chain keys forward
// and erases those of earlier attempts. Opening the same attempt again returns
// *Masked with the stored bytes, or *Opened with Again.
func (m *Member) Open(start []byte, in RoundInputs) (Output, error) {
	if m.out != nil {
		return Output{}, ErrOut
	}
	rs, err := m.checkStart(start)
	if err != nil {
		return Output{}, err
	}
	if what := rs.Inputs.difference(&in); guard.OwnInputs && what != "" {
		return Output{}, &Abort{Stage: StageRoundStart, Reason: ReasonMismatch, Epoch: rs.Epoch, R: rs.R,
			Detail: "the server announces another " + what + " than this agent holds"}
	}
	if rd := m.rd; guard.AttemptsRise && rd != nil && rd.h.Epoch == rs.Epoch && rs.R <= rd.h.R {
		return m.openAgain(rs, start)
	}
	if err := m.checkConsumed(&in); err != nil {
		return Output{}, err
	}
	mayReport := !guard.FreshReport || rs.R > m.noReport
	var out Output
	m.enterRound(&out, rs, start, mayReport)
	out.Event = &Opened{R: rs.R, Ctx: rs.Ctx, MayReport: mayReport}
	return out, nil
}

// openAgain answers a RoundStart of the current attempt, or refuses one of the past.
func (m *Member) openAgain(rs *roundStart, start []byte) (Output, error) {
	rd := m.rd
	if rs.R < rd.h.R {
		return Output{}, ErrStale
	}
	if !bytes.Equal(rd.start, start) {
		return Output{}, &Abort{Stage: StageRoundStart, Reason: ReasonSecond, Epoch: rs.Epoch, R: rs.R,
			Detail: "two RoundStarts of one attempt", Evidence: [][]byte{rd.start, bytes.Clone(start)}}
	}
	if rd.report != nil {
		return Output{Send: [][]byte{rd.report},
			Event: &Masked{R: rs.R, Report: rd.report, Vector: append([]uint32(nil), rd.vector...), Again: true}}, nil
	}
	return Output{Event: &Opened{R: rs.R, Ctx: rs.Ctx, MayReport: rd.mayReport(), Again: true}}, nil
}

// difference names the first value on which the two disagree.
func (in *RoundInputs) difference(own *RoundInputs) string {
	switch {
	case in.Run != own.Run:
		return "run"
	case in.R != own.R:
		return "attempt"
	case in.Round != own.Round:
		return "round"
	case in.Task != own.Task:
		return "task"
	case in.Plan != own.Plan:
		return "plan"
	case in.Model != own.Model:
		return "model"
	case in.Config != own.Config:
		return "configuration"
	case in.Charter != own.Charter:
		return "charter"
	case in.Cohorts != own.Cohorts || in.Cohort != own.Cohort:
		return "cohort"
	case in.Dim != own.Dim:
		return "dimension"
	}
	return ""
}

// enterRound makes rs the current attempt and drops what was kept of the last.
func (m *Member) enterRound(out *Output, rs *roundStart, start []byte, mayReport bool) {
	m.leaveRound(out)
	m.ep.chain.advance(rs.R - m.ep.start)
	m.rd = &memberRound{h: m.c.attempt(rs.header), all: rs.Ctx, inputs: rs.Inputs, start: bytes.Clone(start), open: true, canReport: mayReport}
	m.highR = rs.R
	out.put(keySeen, m.seenRecord())
	out.put(keyChain, m.chainRecord())
	out.put(keyRound, m.roundRecord())
}

// maxAttempts is how often one model, or one round, may be reported on: once and two
// retries.
const maxAttempts = 3

// checkConsumed holds the rules of aborted rounds (SECAGG, Hardening 2): the last
// reported attempt has a known outcome, and a model or a round is reported on again
// only after a quorum gave its attempt up.
func (m *Member) checkConsumed(in *RoundInputs) error {
	if l := m.last; guard.OutcomeFirst && l != nil && l.outcome == outcomeUnknown && l.roster == m.f.roster && l.run == in.Run {
		return ErrOutcome
	}
	return m.checkUnused(in)
}

func (m *Member) checkUnused(in *RoundInputs) error {
	for i, key := range in.consumes() {
		once := guard.ModelOnce && i == 0 || guard.RoundOnce && i == 1
		if t := m.trained(key); once && t.count > 0 && !t.aborted || guard.Retries && t.count >= maxAttempts {
			return ErrConsumed
		}
	}
	return nil
}
