package secureagg

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
)

// MaxMessage bounds every stage message: the largest, a Roster of 128 members, and
// an OnlineSet of as many reports, stay below it.
const MaxMessage = 2 << 20

// MessageKind is the first byte of a stage message.
type MessageKind byte

// The kinds, in the order of the protocol. S is the server, i an agent.
const (
	KindProposal     MessageKind = 1 + iota // S→i  E0
	KindEpochKey                            // i→S  E1
	KindRoster                              // S→i  E2
	KindCtList                              // i→S  E3
	KindCtDelivery                          // S→i  the partners' ciphertexts for i
	KindConfirm                             // i→S  E4
	KindConfirmSet                          // S→i  the partners' tags for i
	KindReady                               // i→S
	KindReadySet                            // S→i  at least Q Readys
	KindRoundStart                          // S→i  R0
	KindReport                              // i→S  R1
	KindOnlineSet                           // S→i  R2: set, digests and i's blobs
	KindVote                                // i→S  with Complaints
	KindCertificate                         // S→i  R3
	KindShares                              // i→S
	KindCloseRequest                        // S→i
	KindClose                               // i→S
	KindAbortCert                           // S→i
	KindReentry                             // i→S→j
	KindFloor                               // j→S→i
	KindRekey                               // i→S
	KindCommitments                         // S→i  E2 with several cohorts: the commitments of the coin
	KindCoin                                // i→S  its share, opened
	KindManifest                            // S→i  R2: the certificates of all cohorts
	KindManifestVote                        // i→S
	KindManifestCert                        // S→i  R3: the Certificate of several cohorts
	kindEnd
)

var kindNames = [...]string{
	"", "Proposal", "EpochKey", "Roster", "CtList", "CtDelivery", "Confirm", "ConfirmSet", "Ready", "ReadySet",
	"RoundStart", "Report", "OnlineSet", "Vote", "Certificate", "Shares", "CloseRequest", "Close", "AbortCert",
	"Reentry", "Floor", "Rekey", "Commitments", "Coin", "Manifest", "ManifestVote", "ManifestCert",
}

// String returns the stage's name.
func (k MessageKind) String() string {
	if k == 0 || k >= kindEnd {
		return "unknown"
	}
	return kindNames[k]
}

// Kind returns the kind of a stage message by its first bytes; the rest may still
// be malformed.
func Kind(msg []byte) (MessageKind, bool) {
	if len(msg) < headerSize || msg[0] == 0 || msg[0] >= byte(kindEnd) || msg[1] != version {
		return 0, false
	}
	return MessageKind(msg[0]), true
}

const (
	version    = 1
	headerSize = 2 + 16 + 8 + 8 + 4 + 32
)

// header begins every message, behind its kind and version. R and Ctx are zero
// outside attempts. Cohort is zero with one cohort and in messages of all cohorts.
type header struct {
	Run    id.RunID
	Epoch  uint64
	R      uint64
	Cohort uint32
	Ctx    id.Ctx
}

func (h *header) add(b *cryptobyte.Builder, k MessageKind) {
	b.AddUint8(uint8(k))
	b.AddUint8(version)
	b.AddBytes(h.Run[:])
	b.AddUint64(h.Epoch)
	b.AddUint64(h.R)
	b.AddUint32(h.Cohort)
	b.AddBytes(h.Ctx[:])
}

// read reads a header of kind k, of an attempt or not.
func (h *header) read(s *cryptobyte.String, k MessageKind, attempt bool) bool {
	var kind, v uint8
	return s.ReadUint8(&kind) && kind == uint8(k) && s.ReadUint8(&v) && v == version &&
		s.CopyBytes(h.Run[:]) && s.ReadUint64(&h.Epoch) && s.ReadUint64(&h.R) &&
		s.ReadUint32(&h.Cohort) && s.CopyBytes(h.Ctx[:]) &&
		h.Epoch != 0 && h.Cohort <= MaxCohorts && attempt == (h.R != 0) && attempt != h.Ctx.IsZero()
}

// readGlobal reads the header of a kind that is never one cohort's.
func (h *header) readGlobal(s *cryptobyte.String, k MessageKind, attempt bool) bool {
	return h.read(s, k, attempt) && h.Cohort == 0
}

// message is a stage message with one encoding.
type message interface {
	encode() []byte
}

var errMalformed = errors.New("secureagg: truncated, too long or not canonical")

// parseMessage reads any stage message of a federation of one cohort, in which there
// are neither cohorts' numbers nor a coin. The result aliases b.
func parseMessage(b []byte) (message, error) {
	v, err := parseAny(b)
	if err != nil {
		return nil, err
	}
	var coin digest
	switch v := v.(type) {
	case *epochKey:
		coin = v.Rho
	case *ready:
		coin = v.Rho
	}
	if cohortOf(b) != 0 || coin != (digest{}) {
		return nil, errMalformed
	}
	return v, nil
}

// cohortOf is the cohort in a message's header.
func cohortOf(b []byte) uint32 { return binary.BigEndian.Uint32(b[2+16+8+8:]) }

// parse reads any stage message of the federation.
func (f *membership) parse(b []byte) (message, error) {
	if f.several() {
		return parseAny(b)
	}
	return parseMessage(b)
}

func parseAny(b []byte) (message, error) {
	k, ok := Kind(b)
	if !ok || len(b) > MaxMessage {
		return nil, errMalformed
	}
	switch k {
	case KindProposal:
		return parsed(parseProposal(b))
	case KindEpochKey:
		return parsed(parseEpochKey(b))
	case KindRoster:
		return parsed(parseRoster(b))
	case KindCtList:
		return parsed(parseCtList(b))
	case KindCtDelivery:
		return parsed(parseCtDelivery(b))
	case KindConfirm, KindConfirmSet:
		return parsed(parseConfirm(b))
	case KindReady:
		return parsed(parseReady(b))
	case KindReadySet:
		return parsed(parseReadySet(b))
	case KindRoundStart:
		return parsed(parseRoundStart(b))
	case KindReport:
		return parsed(parseReport(b))
	case KindOnlineSet:
		return parsed(parseOnlineSet(b))
	case KindVote:
		return parsed(parseVote(b))
	case KindCertificate:
		return parsed(parseCertificate(b))
	case KindShares:
		return parsed(parseShares(b))
	case KindCloseRequest:
		return parsed(parseCloseRequest(b))
	case KindClose:
		return parsed(parseClose(b))
	case KindAbortCert:
		return parsed(parseAbortCert(b))
	case KindReentry:
		return parsed(parseReentry(b))
	case KindFloor:
		return parsed(parseFloor(b))
	case KindRekey:
		return parsed(parseRekey(b))
	case KindCommitments:
		return parsed(parseCommitments(b))
	case KindCoin:
		return parsed(parseCoin(b))
	case KindManifest:
		return parsed(parseManifest(b))
	case KindManifestVote:
		return parsed(parseManifestVote(b))
	case KindManifestCert:
		return parsed(parseManifestCert(b))
	}
	return nil, errMalformed
}

func parsed[M message](m M, ok bool) (message, error) {
	if !ok {
		return nil, errMalformed
	}
	return m, nil
}

// newBuilder returns a builder with room for size bytes.
func newBuilder(size int) *cryptobyte.Builder {
	return cryptobyte.NewBuilder(make([]byte, 0, size))
}

func readDigest(s *cryptobyte.String, d *[32]byte) bool { return s.CopyBytes(d[:]) }

// readDigests reads n digests; it checks that they are there before it allocates.
func readDigests(s *cryptobyte.String, d *[]digest, n int) bool {
	var raw []byte
	if !s.ReadBytes(&raw, 32*n) {
		return false
	}
	*d = make([]digest, n)
	for i := range *d {
		copy((*d)[i][:], raw[32*i:])
	}
	return true
}

func addDigests(b *cryptobyte.Builder, d []digest) {
	for i := range d {
		b.AddBytes(d[i][:])
	}
}

// readCount reads a cohort's size.
func readCount(s *cryptobyte.String, n *int) bool {
	var v uint8
	if !s.ReadUint8(&v) {
		return false
	}
	*n = int(v)
	return MinMembers <= v && v <= MaxMembers
}

// addMembers and readMembers carry the size of the federation: a byte with one cohort,
// two with several.
func addMembers(b *cryptobyte.Builder, several bool, n int) {
	if several {
		b.AddUint16(uint16(n))
		return
	}
	b.AddUint8(uint8(n))
}

func readMembers(s *cryptobyte.String, several bool, n *int) bool {
	if !several {
		return readCount(s, n)
	}
	var v uint16
	if !s.ReadUint16(&v) {
		return false
	}
	*n = int(v)
	return 2*MinMembers <= v && v <= MaxCohorts*MaxMembers
}

// readIndex reads the index of one of n members.
func readIndex(s *cryptobyte.String, i *int, n int) bool {
	var v uint8
	if !s.ReadUint8(&v) {
		return false
	}
	*i = int(v)
	return int(v) < n
}

// addSlots and readSlots carry the number of a member's slots: its cohort's n and, in
// messages of one of several cohorts, a byte for those beyond.
func addSlots(b *cryptobyte.Builder, h *header, n, slots int) {
	if h.Cohort != 0 {
		b.AddUint8(uint8(slots - n))
	}
}

func readSlots(s *cryptobyte.String, h *header, n int, slots *int) bool {
	var v uint8
	if h.Cohort != 0 && !s.ReadUint8(&v) {
		return false
	}
	*slots = n + int(v)
	return v <= maxCross
}

// readBitmap reads a set of n members: ⌈n/8⌉ bytes, member i at bit i%8 of byte
// i/8, no bit at or above n.
func readBitmap(s *cryptobyte.String, m *bitmap, n int) bool {
	var raw []byte
	if !s.ReadBytes(&raw, (n+7)/8) {
		return false
	}
	*m = bitmap{}
	copy(m[:], raw)
	return !m.any(n, maxSlots)
}

func addBitmap(b *cryptobyte.Builder, m *bitmap, n int) { b.AddBytes(m[:(n+7)/8]) }

// memberSig is a member's index and its signature of an agreed body.
type memberSig struct {
	Member int
	Sig    []byte
}

func addSigs(b *cryptobyte.Builder, sigs []memberSig) {
	b.AddUint8(uint8(len(sigs)))
	for _, v := range sigs {
		b.AddUint8(uint8(v.Member))
		b.AddBytes(v.Sig)
	}
}

// readSigs reads signatures in strictly ascending order of member.
func readSigs(s *cryptobyte.String, sigs *[]memberSig, n int) bool {
	var count uint8
	if !s.ReadUint8(&count) || int(count) > n || len(*s) < int(count)*(1+id.SignatureSize) {
		return false
	}
	last := -1
	*sigs = make([]memberSig, count)
	for i := range *sigs {
		v := &(*sigs)[i]
		if !readIndex(s, &v.Member, n) || v.Member <= last || !s.ReadBytes(&v.Sig, id.SignatureSize) {
			return false
		}
		last = v.Member
	}
	return true
}

func hashBytes(b []byte) digest { return sha256.Sum256(b) }

func hashParts(label string, parts ...[]byte) digest {
	h := sha256.New()
	h.Write([]byte{byte(len(label))})
	h.Write([]byte(label))
	for _, p := range parts {
		h.Write(p)
	}
	var d digest
	h.Sum(d[:0])
	return d
}
