package secureagg

import (
	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// complaint says that a dealer's blob does not open to what the dealer committed.
// It reveals the blob's single-use key, so that whoever holds the signed report can
// check it (SECAGG, Hardening 4).
type complaint struct {
	Dealer int
	Key    secret
	Sig    []byte
}

const complaintSize = 1 + 32 + id.SignatureSize

func complaintBody(h *header, accuser, dealer int, root *digest, key *secret) []byte {
	b := newBuilder(headerSize + 66)
	h.add(b, KindVote)
	b.AddUint8(uint8(accuser))
	b.AddUint8(uint8(dealer))
	b.AddBytes(root[:])
	b.AddBytes(key[:])
	return b.BytesOrPanic()
}

func (m *Member) complain(h *header, dealer int, root *digest, key *secret) complaint {
	return complaint{Dealer: dealer, Key: *key,
		Sig: m.cfg.Key.Sign(id.LabelComplaint, complaintBody(h, m.self, dealer, root, key))}
}

// verdict on a complaint.
type verdict int

const (
	complaintFalse    verdict = iota // the blob opens under the revealed key: the accuser lies
	complaintProven                  // the committed key does not open the blob: the dealer cheated
	complaintUnproven                // the revealed key is not the committed one: either may lie
)

// judge checks a complaint against the dealer's report.
func (p *part) judge(accuser int, c *complaint) (verdict, error) {
	rep := p.reports[c.Dealer]
	if !p.set.has(c.Dealer) ||
		guard.ComplaintSignature && p.c.keys[accuser].Verify(id.LabelComplaint, complaintBody(&p.h, accuser, c.Dealer, &rep.digest.Root, &c.Key), c.Sig) != nil {
		return 0, &Drop{Stage: StageVote, Reason: ReasonSignature, Agent: p.c.ids[accuser], Detail: "a complaint does not verify"}
	}
	leaf := &rep.report.Leaves[accuser]
	if hashParts("blobkey", c.Key[:]) != leaf.KeyHash {
		return complaintUnproven, nil
	}
	if openBlob(&p.h, c.Dealer, accuser, rep.report.Slots, &c.Key, leaf, rep.report.Blobs[accuser]) != nil {
		return complaintFalse, nil
	}
	return complaintProven, nil
}
