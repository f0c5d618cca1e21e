package secureagg

import (
	"bytes"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// rosterMsg is E2: every member's E1 in roster order, and the Merkle root over
// them, signed by the server so that two rosters of one epoch are evidence.
type rosterMsg struct {
	header
	Root digest
	Keys [][]byte // E1 messages
	Sig  []byte   // hybrid, by the server, over header and root
}

func (r *rosterMsg) body() []byte {
	b := newBuilder(headerSize + 32)
	r.add(b, KindRoster)
	b.AddBytes(r.Root[:])
	return b.BytesOrPanic()
}

func (r *rosterMsg) encode() []byte {
	b := newBuilder(headerSize + 64 + len(r.Keys)*epochKeySize + id.HybridSignatureSize)
	b.AddBytes(r.body())
	b.AddUint8(uint8(len(r.Keys)))
	for _, k := range r.Keys {
		b.AddBytes(k)
	}
	b.AddBytes(r.Sig)
	return b.BytesOrPanic()
}

func parseRoster(b []byte) (*rosterMsg, bool) {
	s := cryptobyte.String(b)
	r := new(rosterMsg)
	var n int
	if !r.read(&s, KindRoster, false) || !readDigest(&s, &r.Root) || !readCount(&s, &n) {
		return nil, false
	}
	for range n {
		var k []byte
		if !s.ReadBytes(&k, epochKeySize) {
			return nil, false
		}
		r.Keys = append(r.Keys, k)
	}
	if !s.ReadBytes(&r.Sig, id.HybridSignatureSize) || !s.Empty() {
		return nil, false
	}
	return r, true
}

// epochRoot is root_e, over the E1 messages with their signatures.
func epochRoot(keys [][]byte) digest {
	leaves := make([]digest, len(keys))
	for i, k := range keys {
		leaves[i] = leafHash("epochkey", k)
	}
	return merkleRoot(leaves)
}

// handleRoster checks every member's E1 and answers with the ciphertexts.
func (m *Member) handleRoster(r *rosterMsg) (Output, error) {
	refuse := func(why Reason, i int, detail string) (Output, error) {
		a := &Abort{Stage: StageRoster, Reason: why, Epoch: r.Epoch, Detail: detail}
		if i >= 0 {
			a.Culprit = m.c.ids[i]
		}
		return Output{}, a
	}
	ep := m.ep
	if ep.stage != StageRoster {
		return resend(ep.ctList)
	}
	if len(r.Keys) != m.c.params.N {
		return refuse(ReasonRoster, -1, "the roster leaves members out")
	}
	if m.server.VerifyHybrid(id.LabelRosterE, r.body(), r.Sig) != nil {
		return refuse(ReasonSignature, -1, "the server's signature of the roster does not verify")
	}
	eks := make([][]byte, len(r.Keys))
	for i, raw := range r.Keys {
		k, ok := parseEpochKey(raw)
		if !ok {
			return refuse(ReasonMalformed, i, "")
		}
		if why := k.check(m.c, i, m.epochHeader(), ep.proposal); why != "" {
			return refuse(why, i, "")
		}
		for j := range i {
			if bytes.Equal(eks[j], k.Key) {
				return refuse(ReasonMismatch, i, "two members offer one epoch key")
			}
		}
		eks[i] = bytes.Clone(k.Key)
	}
	if !bytes.Equal(r.Keys[m.self], ep.epochKey) {
		return refuse(ReasonMismatch, -1, "the roster holds another epoch key than this agent sent")
	}
	if epochRoot(r.Keys) != r.Root {
		return refuse(ReasonMismatch, -1, "the roster does not have its root")
	}
	return m.makeCtList(r.Root, eks)
}
