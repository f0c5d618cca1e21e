package evil

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"tacit/id"
	"tacit/secureagg"
)

// wire is a stage message of one cohort, of at most eight members, taken apart into the
// fields of docs/PROTOCOL.md in their order. The adversary reads and writes messages
// with it alone.
type wire struct {
	n      int
	fields []field
	rest   []byte // not yet taken
}

type field struct {
	name string
	b    []byte
}

const (
	headerSize   = 2 + 16 + 8 + 8 + 4 + 32
	epochKeySize = headerSize + 16 + 3*32 + 1216 + id.HybridSignatureSize
	startSize    = headerSize + 32 + 8 + 1 + 4*32 + 4 + 4 + id.SignatureSize
)

// set is a set of members, member i at bit i.
type set byte

func setOf(members ...int) (s set) {
	for _, i := range members {
		s |= 1 << i
	}
	return s
}

func (s set) has(i int) bool { return s&(1<<i) != 0 }
func (s set) size() int      { return bits.OnesCount8(uint8(s)) }

func (s set) members() (m []int) {
	for i := range 8 {
		if s.has(i) {
			m = append(m, i)
		}
	}
	return m
}

func blobSize(n int) int { return 32 + 32*n + 16 }

// take removes the next field.
func (w *wire) take(name string, size int) []byte {
	if len(w.rest) < size {
		panic(fmt.Sprintf("evil: no %s in the message", name))
	}
	b := bytes.Clone(w.rest[:size])
	w.rest = w.rest[size:]
	w.fields = append(w.fields, field{name, b})
	return b
}

func (w *wire) one(name string) int { return int(w.take(name, 1)[0]) }

// digests takes fields of 32 bytes.
func (w *wire) digests(names ...string) {
	for _, n := range names {
		w.take(n, 32)
	}
}

// open takes a message of a cohort of n apart.
func open(msg []byte, n int) *wire {
	w := &wire{n: n, rest: msg}
	kind := secureagg.MessageKind(w.one("kind"))
	w.take("version", 1)
	w.take("run", 16)
	w.take("epoch", 8)
	w.take("r", 8)
	w.take("cohort", 4)
	w.take("ctx", 32)
	switch kind {
	case secureagg.KindProposal:
		w.digests("charter", "roster")
		w.take("start", 8)
		w.take("cohorts", 4)
		w.take("agents", 16*w.one("count"))
		w.take("sig", id.HybridSignatureSize)
	case secureagg.KindEpochKey:
		w.take("agent", 16)
		w.digests("charter", "proposal", "rho")
		w.take("key", 1216)
		w.take("sig", id.HybridSignatureSize)
	case secureagg.KindRoster:
		w.digests("root")
		for i := range w.one("count") {
			w.take(at("key", i), epochKeySize)
		}
		w.take("sig", id.HybridSignatureSize)
	case secureagg.KindCtList:
		w.take("n", 1)
		w.take("member", 1)
		w.digests("root")
		for i := range n - 1 {
			w.take(at("ct", i), 1120)
		}
		w.take("sig", id.HybridSignatureSize)
	case secureagg.KindCtDelivery:
		w.take("n", 1)
		to := w.one("to")
		w.digests("root")
		for i := range n - 1 {
			w.take(at("ct", i), 1120)
			w.take(at("path", i), 32*depth(n, to))
			w.take(at("sig", i), id.HybridSignatureSize)
		}
	case secureagg.KindConfirm, secureagg.KindConfirmSet:
		w.take("n", 1)
		w.take("member", 1)
		w.digests("root")
		w.take("tags", 16*(n-1))
	case secureagg.KindReady:
		w.take("n", 1)
		w.take("member", 1)
		w.digests("proposal", "charter", "root", "rho", "list")
		w.take("sig", id.HybridSignatureSize)
	case secureagg.KindReadySet:
		w.take("n", 1)
		w.digests("root")
		for i := range w.one("count") {
			w.take(at("member", i), 1)
			w.digests(at("list", i))
			w.take(at("sig", i), id.HybridSignatureSize)
		}
	case secureagg.KindRoundStart:
		w.digests("root")
		w.take("round", 8)
		w.take("task", 1)
		w.digests("plan", "model", "config", "charter")
		w.take("cohorts", 4)
		w.take("dim", 4)
		w.take("sig", id.SignatureSize)
	case secureagg.KindReport:
		w.take("n", 1)
		w.take("member", 1)
		w.digests("salt", "vector")
		w.take("coms", 32*n)
		for i := range n {
			w.digests(at("shares", i), at("keyhash", i))
		}
		for i := range n {
			w.take(at("blob", i), blobSize(n))
		}
		w.take("sig", id.SignatureSize)
	case secureagg.KindOnlineSet:
		w.take("n", 1)
		to := w.one("to")
		for _, i := range set(w.one("online")).members() {
			w.digests(at("vector", i), at("blobs", i), at("coms", i), at("root", i), at("salt", i))
			w.take(at("sig", i), id.SignatureSize)
			w.digests(at("shares", i), at("keyhash", i))
			w.take(at("path", i), 32*depth(n, to))
			w.take(at("blob", i), blobSize(n))
		}
	case secureagg.KindVote:
		w.take("n", 1)
		w.take("member", 1)
		w.digests("set", "digests")
		w.take("sig", id.SignatureSize)
		for i := range w.one("count") {
			w.take(at("dealer", i), 1)
			w.take(at("key", i), 32)
			w.take(at("sig", i), id.SignatureSize)
		}
	case secureagg.KindCertificate:
		w.take("n", 1)
		w.take("online", 1)
		w.digests("digests")
		w.sigs()
	case secureagg.KindShares:
		w.take("n", 1)
		w.take("member", 1)
		online := set(w.one("online"))
		w.digests("digests")
		w.released(online, set(w.one("dealers")))
		w.take("sig", id.SignatureSize)
	case secureagg.KindCloseRequest:
		w.take("start", startSize)
	case secureagg.KindClose:
		w.take("n", 1)
		w.take("member", 1)
		w.take("sig", id.SignatureSize)
	case secureagg.KindAbortCert:
		w.take("n", 1)
		w.sigs()
	case secureagg.KindReentry:
		w.take("agent", 16)
		w.digests("nonce")
		w.take("sig", id.SignatureSize)
	case secureagg.KindFloor:
		w.take("asker", 16)
		w.digests("nonce")
		w.take("from", 16)
		w.take("seen", 8)
		w.take("role", 1)
		w.take("open", 8)
		w.take("sig", id.SignatureSize)
	default:
		panic("evil: no layout of " + kind.String())
	}
	if len(w.rest) > 0 {
		panic(fmt.Sprintf("evil: %d bytes behind %s", len(w.rest), kind))
	}
	return w
}

func (w *wire) sigs() {
	for i := range w.one("count") {
		w.take(at("member", i), 1)
		w.take(at("sig", i), id.SignatureSize)
	}
}

// opened are the secrets of dealer j that shares for a set open: its self seed, and the
// seeds of its pairs with members outside.
func opened(j, n int, online set) set {
	return setOf(j) | ^online&(1<<n-1)
}

// released takes the shares of the dealers. A member without the rule of one secret
// opens all of them.
func (w *wire) released(online, dealers set) {
	size := 0
	for _, j := range dealers.members() {
		want := opened(j, w.n, online)
		size += 64*want.size() + 32*len(proof(make([]digest, w.n), want))
	}
	all := len(w.rest) != size+id.SignatureSize
	for _, j := range dealers.members() {
		want := opened(j, w.n, online)
		if all {
			want = 1<<w.n - 1
		}
		for _, k := range want.members() {
			w.digests(at(at("share", j), k), at(at("salt", j), k))
		}
		w.take(at("proof", j), 32*len(proof(make([]digest, w.n), want)))
	}
}

// at names the field of a member or of an element.
func at(name string, i int) string { return fmt.Sprintf("%s.%d", name, i) }

func (w *wire) find(name string) int {
	return slices.IndexFunc(w.fields, func(f field) bool { return f.name == name })
}

// get returns a field.
func (w *wire) get(name string) []byte {
	i := w.find(name)
	if i < 0 {
		panic("evil: no field " + name)
	}
	return w.fields[i].b
}

func (w *wire) has(name string) bool { return w.find(name) >= 0 }

func (w *wire) digest(name string) digest { return digest(w.get(name)) }
func (w *wire) byte(name string) int      { return int(w.get(name)[0]) }

// set replaces a field.
func (w *wire) set(name string, b []byte) *wire {
	i := w.find(name)
	if i < 0 {
		panic("evil: no field " + name)
	}
	w.fields[i].b = bytes.Clone(b)
	return w
}

func (w *wire) setByte(name string, b int) *wire { return w.set(name, []byte{byte(b)}) }

// flip changes a bit of a field.
func (w *wire) flip(name string) *wire {
	w.get(name)[0] ^= 1
	return w
}

// drop removes the fields of a member or of an element.
func (w *wire) drop(i int) *wire {
	w.fields = slices.DeleteFunc(w.fields, func(f field) bool { return strings.HasSuffix(f.name, fmt.Sprintf(".%d", i)) })
	return w
}

// bytes puts the message together.
func (w *wire) bytes() []byte {
	var b []byte
	for _, f := range w.fields {
		b = append(b, f.b...)
	}
	return b
}

// unsigned is the message without its last field, a signature.
func (w *wire) unsigned() []byte {
	b := w.bytes()
	return b[:len(b)-len(w.fields[len(w.fields)-1].b)]
}

// header is the message's header under another kind.
func (w *wire) header(kind secureagg.MessageKind) []byte {
	b := w.bytes()[:headerSize]
	b[0] = byte(kind)
	return b
}

// join puts bytes together.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
