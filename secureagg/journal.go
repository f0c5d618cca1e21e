package secureagg

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/secureagg/internal/guard"
)

// Keys of the journal. The values are read back by RestoreMember only; all but the
// marks hold secrets or tell of them.
const (
	keySeen     = "epoch/seen"     // lowest epoch to accept, highest attempt of the run
	keyEpoch    = "epoch/state"    // what was agreed in the epoch's setup
	keyChain    = "epoch/chain"    // chain keys at their index
	keyMark     = "epoch/mark"     // own highest (r, role)
	keyMarks    = "epoch/marks"    // highest (r, role) seen of every member
	keyRound    = "round/state"    // the current attempt
	keyReport   = "round/report"   // its report,
	keyVector   = "round/vector"   // and masked vector
	keyVote     = "round/vote"     // vote and opened shares
	keyManifest = "round/manifest" // vote for the sets of all cohorts
	keyShares   = "round/shares"   // what was released
	keyClose    = "round/close"    // the sent Close
	keyLast     = "round/last"     // last reported attempt and its outcome
)

const journalVersion = 1

func trainedKey(d digest) string { return "trained/" + hex.EncodeToString(d[:]) }

// outcome of a reported attempt.
type outcome uint8

const (
	outcomeUnknown outcome = iota
	outcomeCertified
	outcomeAborted
)

// lastReport is the latest attempt that this agent reported in, across epochs.
type lastReport struct {
	run     id.RunID
	epoch   uint64
	r       uint64
	ctx     id.Ctx
	used    consumed
	roster  id.RosterHash
	outcome outcome
}

func (l *lastReport) bytes() []byte {
	b := newBuilder(192)
	b.AddUint8(journalVersion)
	b.AddBytes(l.run[:])
	b.AddUint64(l.epoch)
	b.AddUint64(l.r)
	b.AddBytes(l.ctx[:])
	addDigests(b, l.used[:])
	b.AddBytes(l.roster[:])
	b.AddUint8(uint8(l.outcome))
	return b.BytesOrPanic()
}

func (l *lastReport) parse(b []byte) bool {
	s := cryptobyte.String(b)
	return readVersion(&s) && s.CopyBytes(l.run[:]) && s.ReadUint64(&l.epoch) && s.ReadUint64(&l.r) && s.CopyBytes(l.ctx[:]) &&
		readDigest(&s, &l.used[0]) && readDigest(&s, &l.used[1]) && s.CopyBytes(l.roster[:]) && s.ReadUint8((*uint8)(&l.outcome)) && l.outcome <= outcomeAborted && s.Empty()
}

// trainedMark counts the reports on one model or round under a plan and task, and
// tells whether the latest was given up by a quorum.
type trainedMark struct {
	count   uint8
	aborted bool
}

func (t trainedMark) bytes() []byte { return []byte{journalVersion, t.count, byte(b2i(t.aborted))} }

// trained returns the mark of key. The journal's counts where it knows of more
// reports than this member made: the members of an agent's runs share these records.
func (m *Member) trained(key digest) trainedMark {
	own, made := m.counts[key]
	b, ok := m.get(trainedKey(key))
	switch {
	case !ok:
		return own
	case len(b) != 3 || b[0] != journalVersion || b[2] > 1:
		return trainedMark{count: maxAttempts} // unreadable: no more of this model
	case made && own.count >= b[1]:
		return own
	}
	return trainedMark{count: b[1], aborted: b[2] == 1}
}

// mark changes the marks of what an attempt uses up.
func (m *Member) mark(out *Output, used consumed, change func(*trainedMark)) {
	for _, key := range used {
		t := m.trained(key)
		change(&t)
		m.counts[key] = t
		out.put(trainedKey(key), t.bytes())
	}
}

// settle records the outcome of the last reported attempt when h is its header.
func (m *Member) settle(h *header, o outcome, verify func() error) (Output, error) {
	l := m.last
	if l == nil || l.run != h.Run || l.epoch != h.Epoch || l.r != h.R || l.ctx != h.Ctx || l.roster != m.f.roster || l.outcome != outcomeUnknown {
		return Output{}, ErrStale
	}
	if err := verify(); err != nil {
		return Output{}, err
	}
	var out Output
	m.settleLast(&out, h, o)
	return out, nil
}

func (m *Member) settleLast(out *Output, h *header, o outcome) {
	l := m.last
	if l == nil || l.run != h.Run || l.epoch != h.Epoch || l.r != h.R || l.outcome != outcomeUnknown {
		return
	}
	l.outcome = o
	out.put(keyLast, l.bytes())
	if o == outcomeAborted {
		m.mark(out, l.used, func(t *trainedMark) { t.aborted = true })
	}
}

func (m *Member) seenRecord() []byte {
	b := newBuilder(40)
	b.AddUint8(journalVersion)
	b.AddBytes(m.cfg.Run[:])
	b.AddUint64(m.lowest)
	b.AddUint64(m.highR)
	return b.BytesOrPanic()
}

var stageCodes = map[Stage]uint8{StageConfirm: 1, StageReady: 2, StageLive: 3}

func (m *Member) epochRecord() []byte {
	ep := m.ep
	b := newBuilder(512 + 32*m.c.params.N + len(ep.confirm) + len(ep.ready))
	b.AddUint8(journalVersion)
	b.AddBytes(m.cfg.Run[:])
	b.AddUint64(ep.number)
	b.AddUint64(ep.start)
	b.AddUint8(stageCodes[ep.stage])
	b.AddBytes(m.c.roster[:])
	b.AddBytes(m.c.charter[:])
	b.AddBytes(ep.proposal[:])
	b.AddBytes(ep.root[:])
	if m.f.several() {
		b.AddBytes(ep.keysRoot[:])
		b.AddBytes(ep.rho[:])
	}
	b.AddUint8(uint8(len(ep.listRoots)))
	addDigests(b, ep.listRoots)
	b.AddUint24LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(ep.confirm) })
	b.AddUint24LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes(ep.ready) })
	return b.BytesOrPanic()
}

func (m *Member) chainRecord() []byte {
	b := newBuilder(32 + 32*m.c.params.N)
	b.AddUint8(journalVersion)
	b.AddUint64(m.ep.number)
	b.AddUint64(m.ep.chain.index)
	b.AddBytes(m.ep.chain.bytes())
	return b.BytesOrPanic()
}

func (m *Member) markRecord() []byte {
	b := newBuilder(32)
	b.AddUint8(journalVersion)
	b.AddUint64(m.ep.number)
	b.AddUint64(m.own.R)
	b.AddUint8(uint8(m.own.Role))
	return b.BytesOrPanic()
}

func (m *Member) marksRecord() []byte {
	b := newBuilder(32 + 9*len(m.ep.marks))
	b.AddUint8(journalVersion)
	b.AddUint64(m.ep.number)
	for _, k := range m.ep.marks {
		b.AddUint64(k.R)
		b.AddUint8(uint8(k.Role))
	}
	return b.BytesOrPanic()
}

func (m *Member) roundRecord() []byte {
	rd := m.rd
	b := newBuilder(8 + roundStartSize)
	b.AddUint8(journalVersion)
	b.AddUint8(uint8(b2i(rd.open) | b2i(rd.canReport)<<1 | b2i(rd.over)<<2))
	b.AddBytes(rd.start)
	return b.BytesOrPanic()
}

func (v *castVote) bytes(c *cohort) []byte {
	n := c.params.N
	b := newBuilder(128 + len(v.msg) + v.online.count()*plainSize(maxSlots))
	b.AddUint8(journalVersion)
	addBitmap(b, &v.online, n)
	b.AddBytes(v.digests[:])
	var opened bitmap
	for i, p := range v.opened {
		if p != nil {
			opened.add(i)
		}
	}
	addBitmap(b, &opened, n)
	for _, i := range opened.members() {
		b.AddBytes(v.opened[i])
	}
	b.AddBytes(v.msg)
	return b.BytesOrPanic()
}

func (v *castVote) parse(b []byte, c *cohort) bool {
	s := cryptobyte.String(b)
	n := c.params.N
	var opened bitmap
	if !readVersion(&s) || !readBitmap(&s, &v.online, n) || !readDigest(&s, &v.digests) || !readBitmap(&s, &opened, n) {
		return false
	}
	v.opened = make([][]byte, n)
	for _, i := range opened.members() {
		v.opened[i] = make([]byte, plainSize(c.slots(i)))
		if !s.CopyBytes(v.opened[i]) {
			return false
		}
	}
	v.msg = bytes.Clone(s)
	msg, ok := parseVote(v.msg)
	return ok && msg.N == n
}

func readVersion(s *cryptobyte.String) bool {
	var v uint8
	return s.ReadUint8(&v) && v == journalVersion
}

// RestoreMember starts an agent process from its journal. With an epoch in it the
// member is out until the others answer (see Reenter); with an epoch whose keys
// never became durable, or that cannot be read, it asks for a new one. An empty
// journal gives a new member.
func RestoreMember(cfg MemberConfig, get func(key string) ([]byte, bool)) (*Member, error) {
	m, err := newMember(cfg, get)
	if err != nil {
		return nil, err
	}
	if b, ok := get(keyLast); ok {
		m.last = new(lastReport)
		if !m.last.parse(b) {
			return nil, fmt.Errorf("secureagg: journal: %s cannot be read", keyLast)
		}
	}
	seen, ok := get(keySeen)
	if !ok {
		return m, nil
	}
	s := cryptobyte.String(seen)
	var run id.RunID
	var lowest, highR uint64
	if !readVersion(&s) || !s.CopyBytes(run[:]) || !s.ReadUint64(&lowest) || !s.ReadUint64(&highR) || !s.Empty() || lowest < 2 {
		return nil, fmt.Errorf("secureagg: journal: %s cannot be read", keySeen)
	}
	m.lowest = max(m.lowest, lowest)
	if run != cfg.Run {
		return m, nil // an epoch of another run
	}
	m.highR = highR
	if m.lowest > lowest || !m.restoreEpoch(lowest-1) || !m.restoreRound() {
		m.ep, m.rd, m.own = nil, nil, mark{}
		r := &rekey{header: header{Run: cfg.Run, Epoch: m.lowest - 1}, Agent: m.f.ids[m.index], Cause: rekeyKeysLost}
		r.Sig = cfg.Key.Sign(id.LabelRekey, r.body())
		m.out = &reentering{rekey: r.encode()}
		return m, nil
	}
	if m.rd != nil {
		m.noReport = m.rd.h.R
	}
	if !guard.OutAfterRestart {
		return m, nil
	}
	return m, m.beginReentry()
}

// restoreEpoch reads the epoch's records and reports whether they are whole.
func (m *Member) restoreEpoch(number uint64) bool {
	state, ok1 := m.get(keyEpoch)
	keys, ok2 := m.get(keyChain)
	if !ok1 || !ok2 {
		return false
	}
	ep := new(memberEpoch)
	s := cryptobyte.String(state)
	var run id.RunID
	var roster id.RosterHash
	var charter id.CharterHash
	var stage uint8
	var count uint8
	var conf, rdy cryptobyte.String
	if !readVersion(&s) || !s.CopyBytes(run[:]) || run != m.cfg.Run || !s.ReadUint64(&ep.number) || ep.number != number ||
		!s.ReadUint64(&ep.start) || !s.ReadUint8(&stage) ||
		!s.CopyBytes(roster[:]) || roster != m.f.roster || !s.CopyBytes(charter[:]) || charter != m.f.charter ||
		!readDigest(&s, &ep.proposal) || !readDigest(&s, &ep.root) {
		return false
	}
	if m.f.several() {
		if !readDigest(&s, &ep.keysRoot) || !readDigest(&s, &ep.rho) || coinRoot(&ep.keysRoot, &ep.rho) != ep.root {
			return false
		}
		m.enter(m.f.arrange(&ep.rho))
	}
	n := m.c.slots(m.self)
	ep.marks, ep.chain.keys = make([]mark, m.c.params.N), make([]secret, n)
	if !s.ReadUint8(&count) || int(count) != n || !readDigests(&s, &ep.listRoots, n) ||
		!s.ReadUint24LengthPrefixed(&conf) || !s.ReadUint24LengthPrefixed(&rdy) || !s.Empty() {
		return false
	}
	for name, code := range stageCodes {
		if code == stage {
			ep.stage = name
		}
	}
	ep.confirm = bytes.Clone(conf)
	if len(rdy) > 0 {
		ep.ready = bytes.Clone(rdy)
	}
	c := cryptobyte.String(keys)
	var number2 uint64
	if ep.stage == "" || !readVersion(&c) || !c.ReadUint64(&number2) || number2 != number || !c.ReadUint64(&ep.chain.index) {
		return false
	}
	for i := range ep.chain.keys {
		if !c.CopyBytes(ep.chain.keys[i][:]) {
			return false
		}
	}
	if !c.Empty() {
		return false
	}
	m.ep = ep
	if ep.stage == StageConfirm {
		m.expectTags()
	}
	return m.restoreMarks(number)
}

func (m *Member) restoreMarks(number uint64) bool {
	read := func(s *cryptobyte.String, k *mark) bool {
		return s.ReadUint64(&k.R) && s.ReadUint8((*uint8)(&k.Role)) && k.Role < roleEnd
	}
	var e uint64
	if b, ok := m.get(keyMark); ok {
		s := cryptobyte.String(b)
		if !readVersion(&s) || !s.ReadUint64(&e) || e != number || !read(&s, &m.own) || !s.Empty() {
			return false
		}
	}
	if b, ok := m.get(keyMarks); ok {
		s := cryptobyte.String(b)
		if !readVersion(&s) || !s.ReadUint64(&e) || e != number {
			return false
		}
		for i := range m.ep.marks {
			if !read(&s, &m.ep.marks[i]) {
				return false
			}
		}
		return s.Empty()
	}
	return true
}

// restoreRound reads the current attempt, if there is one.
func (m *Member) restoreRound() bool {
	b, ok := m.get(keyRound)
	if !ok {
		return m.own == mark{}
	}
	s := cryptobyte.String(b)
	var flags uint8
	var start []byte
	if !readVersion(&s) || !s.ReadUint8(&flags) || flags > 7 || !s.ReadBytes(&start, roundStartSize) || !s.Empty() {
		return false
	}
	rs, ok := parseRoundStart(start)
	if !ok || rs.Epoch != m.ep.number || rs.Root != m.ep.root || rs.R < m.ep.start {
		return false
	}
	rd := &memberRound{h: m.c.attempt(rs.header), all: rs.Ctx, inputs: rs.Inputs, start: bytes.Clone(start),
		open: flags&1 != 0, canReport: false, over: flags&4 != 0}
	if at := rs.R - m.ep.start; m.ep.chain.index != at && m.ep.chain.index != at+1 {
		return false
	}
	if b, ok := m.get(keyReport); ok {
		v, ok := m.get(keyVector)
		if r, good := parseReport(b); !ok || !good || r.header != rd.h || len(v) != 4*rd.inputs.Dim {
			return false
		}
		rd.report, rd.vector = bytes.Clone(b), parseVector(v)
	}
	if b, ok := m.get(keyVote); ok {
		rd.vote = new(castVote)
		if !rd.vote.parse(b, m.c) {
			return false
		}
	}
	if b, ok := m.get(keyManifest); ok {
		rd.manifest = new(castManifest)
		if !rd.manifest.parse(b) {
			return false
		}
	}
	if b, ok := m.get(keyShares); ok {
		if r, good := parseShares(b); !good || r.header != rd.h {
			return false
		}
		rd.shares = bytes.Clone(b)
	}
	if b, ok := m.get(keyClose); ok {
		if r, good := parseClose(b); !good || r.header != rd.h {
			return false
		}
		rd.close = bytes.Clone(b)
	}
	m.rd = rd
	return true
}
