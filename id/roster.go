package id

import (
	"errors"
	"fmt"
	"sort"

	"golang.org/x/crypto/cryptobyte"
)

// MaxMembers bounds a roster.
const MaxMembers = 100_000

// Member is one branch's entry of the roster. Its agent's name follows from its
// key, so nobody can hold another's name.
type Member struct {
	Org, Site string
	Key       PublicKey
	NotBefore int64 // Unix seconds, UTC
	NotAfter  int64 // Unix seconds, UTC
}

// Agent returns the member's agent id.
func (m *Member) Agent() AgentID { return m.Key.AgentID() }

// Validate reports why m can be no member.
func (m *Member) Validate() error {
	if err := CheckName(m.Org); err != nil {
		return fmt.Errorf("organisation: %w", err)
	}
	if err := CheckName(m.Site); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if m.Key.IsZero() {
		return errors.New("no key")
	}
	if m.NotBefore < 0 || m.NotAfter <= m.NotBefore {
		return errors.New("the validity ends before it begins")
	}
	return nil
}

// AppendBinary appends the canonical bytes of m.
func (m *Member) AppendBinary(b []byte) []byte {
	w := cryptobyte.NewBuilder(b)
	addString(w, m.Org)
	addString(w, m.Site)
	w.AddBytes(m.Key.AppendBinary(nil))
	w.AddUint64(uint64(m.NotBefore))
	w.AddUint64(uint64(m.NotAfter))
	return w.BytesOrPanic()
}

func readMember(s *cryptobyte.String, m *Member) bool {
	var from, to uint64
	if !readName(s, &m.Org) || !readName(s, &m.Site) || !readKey(s, &m.Key) ||
		!s.ReadUint64(&from) || !s.ReadUint64(&to) || from >= 1<<63 || to >= 1<<63 {
		return false
	}
	m.NotBefore, m.NotAfter = int64(from), int64(to)
	return true
}

// ParseMember reads exactly the bytes that [Member.AppendBinary] writes and checks
// the rules of [Member.Validate].
func ParseMember(b []byte) (*Member, error) {
	s := cryptobyte.String(b)
	m := new(Member)
	if !readMember(&s, m) || !s.Empty() {
		return nil, errors.New("id: member: truncated, too long or not canonical")
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("id: member: %w", err)
	}
	return m, nil
}

// Roster is the list of a federation's members, signed as a whole by its
// administrators: a server that leaves a member out or adds one has no signature
// for it.
type Roster struct {
	Federation FederationID
	Version    uint64     // rises with every change; 1 first
	Previous   RosterHash // hash of version-1; zero for version 1
	Members    []Member   // ascending by agent id; no agent and no site twice
	Signatures []AdminSignature
}

const rosterVersion = 1

// Lookup returns the member with the agent id, or nil.
func (r *Roster) Lookup(a AgentID) *Member {
	for i := range r.Members {
		if r.Members[i].Agent() == a {
			return &r.Members[i]
		}
	}
	return nil
}

// Site returns the member with the site's name, or nil.
func (r *Roster) Site(name string) *Member {
	for i := range r.Members {
		if r.Members[i].Site == name {
			return &r.Members[i]
		}
	}
	return nil
}

// With returns the next version of r with m added, unsigned.
func (r *Roster) With(m Member) (*Roster, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("id: roster: %w", err)
	}
	if r.Lookup(m.Agent()) != nil {
		return nil, fmt.Errorf("id: roster: agent %s is a member already", m.Agent())
	}
	if r.Site(m.Site) != nil {
		return nil, fmt.Errorf("id: roster: site %q is a member already", m.Site)
	}
	next := &Roster{Federation: r.Federation, Version: r.Version + 1}
	if r.Version > 0 {
		next.Previous = r.Hash()
	}
	next.Members = append(append(next.Members, r.Members...), m)
	sort.Slice(next.Members, func(i, j int) bool {
		return next.Members[i].Agent().Compare(next.Members[j].Agent()) < 0
	})
	return next, nil
}

func (r *Roster) body() []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddBytes([]byte("tacit roster"))
	b.AddUint8(rosterVersion)
	b.AddBytes(r.Federation[:])
	b.AddUint64(r.Version)
	b.AddBytes(r.Previous[:])
	b.AddUint32(uint32(len(r.Members)))
	for i := range r.Members {
		b.AddBytes(r.Members[i].AppendBinary(nil))
	}
	return b.BytesOrPanic()
}

// Hash returns the digest of the roster's body.
func (r *Roster) Hash() RosterHash { return Sum[rosterKind]("tacit-id1/roster", r.body()) }

// Sign adds, or replaces, the signature of an administrator of c.
func (r *Roster) Sign(c *Charter, key *PrivateKey) error {
	return addSignature(c.Administrators, key, LabelRoster, r.body(), &r.Signatures)
}

// Verify checks that r is c's federation's roster and that enough of c's
// administrators signed it.
func (r *Roster) Verify(c *Charter) error {
	if r.Federation != c.Federation {
		return errors.New("id: roster: of another federation")
	}
	if err := verifySignatures(c.Administrators, c.Threshold, LabelRoster, r.body(), r.Signatures); err != nil {
		return fmt.Errorf("id: roster: %w", err)
	}
	return nil
}

// Validate reports the first reason why r is no roster, signatures apart.
func (r *Roster) Validate() error {
	if r.Federation.IsZero() || r.Version == 0 {
		return errors.New("id: roster: no federation or version")
	}
	if (r.Version == 1) != r.Previous.IsZero() {
		return errors.New("id: roster: only version 1 has no predecessor")
	}
	if len(r.Members) > MaxMembers {
		return fmt.Errorf("id: roster: %d members, at most %d", len(r.Members), MaxMembers)
	}
	sites := make(map[string]bool, len(r.Members))
	var last AgentID
	for i := range r.Members {
		m := &r.Members[i]
		if err := m.Validate(); err != nil {
			return fmt.Errorf("id: roster: member %d: %w", i, err)
		}
		a := m.Agent()
		if i > 0 && a.Compare(last) <= 0 {
			return fmt.Errorf("id: roster: member %d is not in ascending order", i)
		}
		if sites[m.Site] {
			return fmt.Errorf("id: roster: site %q twice", m.Site)
		}
		sites[m.Site] = true
		last = a
	}
	return nil
}

// AppendBinary appends the canonical bytes of r: its body, then its signatures.
func (r *Roster) AppendBinary(b []byte) []byte {
	w := cryptobyte.NewBuilder(b)
	w.AddBytes(r.body())
	addSignatures(w, r.Signatures)
	return w.BytesOrPanic()
}

// ParseRoster reads exactly the bytes that [Roster.AppendBinary] writes and checks
// the rules of [Roster.Validate], not the signatures.
func ParseRoster(b []byte) (*Roster, error) {
	s := cryptobyte.String(b)
	r := new(Roster)
	var version uint8
	var n uint32
	if !readMagic(&s, "tacit roster") || !s.ReadUint8(&version) {
		return nil, errors.New("id: not a roster")
	}
	if version != rosterVersion {
		return nil, fmt.Errorf("id: roster: format %d; this build reads %d", version, rosterVersion)
	}
	ok := s.CopyBytes(r.Federation[:]) && s.ReadUint64(&r.Version) && s.CopyBytes(r.Previous[:]) && s.ReadUint32(&n)
	for i := uint32(0); ok && i < n; i++ {
		var m Member
		ok = readMember(&s, &m)
		r.Members = append(r.Members, m)
	}
	if !ok || !readSignatures(&s, &r.Signatures) || !s.Empty() {
		return nil, errors.New("id: roster: truncated, too long or not canonical")
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	return r, nil
}
