package secureagg

import (
	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// rekeyCause says why only a new epoch helps an agent.
type rekeyCause uint8

const (
	rekeyKeysLost    rekeyCause = 1 // the process stopped before its chain keys were durable, or the journal is gone
	rekeyRollback    rekeyCause = 2 // others saw more of this agent than its journal does
	rekeyUnconfirmed rekeyCause = 3 // a partner's key confirmation failed
)

func (c rekeyCause) String() string {
	switch c {
	case rekeyKeysLost:
		return "keys lost"
	case rekeyRollback:
		return "rollback"
	case rekeyUnconfirmed:
		return "unconfirmed key"
	}
	return "unknown"
}

// rekey asks the server for an epoch above Epoch.
type rekey struct {
	header
	Agent id.AgentID
	Cause rekeyCause
	Sig   []byte
}

func (r *rekey) body() []byte {
	b := newBuilder(headerSize + 32 + id.SignatureSize)
	r.add(b, KindRekey)
	b.AddBytes(r.Agent[:])
	b.AddUint8(uint8(r.Cause))
	return b.BytesOrPanic()
}

func (r *rekey) encode() []byte { return append(r.body(), r.Sig...) }

func parseRekey(b []byte) (*rekey, bool) {
	s := cryptobyte.String(b)
	r := new(rekey)
	var cause uint8
	if !r.readGlobal(&s, KindRekey, false) || !s.CopyBytes(r.Agent[:]) || !s.ReadUint8(&cause) || cause < 1 || cause > 3 ||
		!s.ReadBytes(&r.Sig, id.SignatureSize) || !s.Empty() {
		return nil, false
	}
	r.Cause = rekeyCause(cause)
	return r, true
}

// askRekey asks for a new epoch. A rollback also keeps this member out until then.
func (m *Member) askRekey(epoch uint64, cause rekeyCause) (Output, error) {
	r := &rekey{header: header{Run: m.cfg.Run, Epoch: epoch}, Agent: m.f.ids[m.index], Cause: cause}
	r.Sig = m.cfg.Key.Sign(id.LabelRekey, r.body())
	if cause == rekeyRollback {
		m.out.rekey = r.encode()
	}
	return Output{Send: [][]byte{r.encode()}, Event: &RekeyNeeded{Epoch: epoch, Reason: cause.String()}}, nil
}

// RekeyWanted verifies an agent's Rekey of this epoch and returns its reason. The
// server opens the next epoch at a boundary between attempts, when all members are
// connected.
func (e *Epoch) RekeyWanted(from id.AgentID, msg []byte) (reason string, err error) {
	r, ok := parseRekey(msg)
	i := e.f.index(from)
	if !ok || i < 0 || r.Agent != from {
		return "", &Drop{Stage: StageRekey, Reason: ReasonMalformed, Agent: from}
	}
	if r.header != e.h {
		return "", ErrStale
	}
	if e.f.keys[i].Verify(id.LabelRekey, r.body(), r.Sig) != nil {
		return "", &Drop{Stage: StageRekey, Reason: ReasonSignature, Agent: from}
	}
	return r.Cause.String(), nil
}
