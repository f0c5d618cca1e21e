package secureagg

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"

	"tacit/id"
)

// cohort is one cohort of an epoch. A member's index in it + 1 is its Shamir x.
//
// A member shares a mask with every other of its cohort and, where there are several
// cohorts, with some of the others': its partners. Slot k of member i is partner k of
// its own cohort, or i itself, for k < N; slots from N on are cross[i] in order.
type cohort struct {
	*membership
	number  uint32 // in headers: 0 for the only cohort, else from 1
	ids     []id.AgentID
	keys    []id.PublicKey
	members []int   // their indices in the federation, ascending
	cross   [][]int // by member: partners in other cohorts, by index in the federation, ascending
	params  Params
}

// place is where a member of the federation stands.
type place struct{ cohort, member int }

// layout is an epoch's cohorts.
type layout struct {
	cohorts []*cohort
	places  []place // by index in the federation
}

// crossEdges is k_x: about how many mask partners outside its cohort a member has
// (SECAGG 2.6).
const crossEdges = 8

// maxCross bounds the partners outside: one in each other cohort.
const maxCross = MaxCohorts - 1

// maxSlots bounds the slots of a member.
const maxSlots = MaxMembers + maxCross

// arrange splits the federation by the epoch's public coin, of which a single cohort
// needs none: a Fisher–Yates shuffle of all members, dealt out to the cohorts in
// order; then, for each pair of cohorts, a matching of ⌈k_x·m/(C − 1)⌉ edges, at most
// one for each member, between members drawn anew from each side (SECAGG 2.6).
func (f *membership) arrange(rho *digest) *layout {
	l := &layout{places: make([]place, len(f.ids))}
	order := make([]int, len(f.ids))
	for i := range order {
		order[i] = i
	}
	var coin *publicCoin
	if f.several() {
		coin = newPublicCoin(rho)
		coin.shuffle(order)
	}
	for k, p := range f.sizes {
		c := &cohort{membership: f, params: p, members: slices.Clone(order[:p.N]), cross: make([][]int, p.N)}
		order = order[p.N:]
		slices.Sort(c.members)
		if f.several() {
			c.number = uint32(k + 1)
		}
		for i, g := range c.members {
			c.ids, c.keys = append(c.ids, f.ids[g]), append(c.keys, f.keys[g])
			l.places[g] = place{k, i}
		}
		l.cohorts = append(l.cohorts, c)
	}
	for a, ca := range l.cohorts {
		for _, cb := range l.cohorts[a+1:] {
			f.match(coin, ca, cb)
		}
	}
	for _, c := range l.cohorts {
		for i := range c.cross {
			slices.Sort(c.cross[i])
		}
	}
	return l
}

// match draws the edges between two cohorts.
func (f *membership) match(coin *publicCoin, a, b *cohort) {
	size := min(a.params.N, b.params.N)
	others := len(f.sizes) - 1
	edges := min(size, (crossEdges*size+others-1)/others)
	left, right := coin.permutation(a.params.N), coin.permutation(b.params.N)
	for k := range edges {
		i, j := left[k], right[k]
		a.cross[i] = append(a.cross[i], b.members[j])
		b.cross[j] = append(b.cross[j], a.members[i])
	}
}

// end is one end of a pair: a member and the slot at which it has the other.
type end struct {
	*cohort
	member, slot int
}

// place is the cohort's index in the layout.
func (c *cohort) place() int { return int(max(c.number, 1)) - 1 }

// opposite returns the other end.
func (l *layout) opposite(e end) end {
	if e.slot < e.params.N {
		return end{e.cohort, e.slot, e.member}
	}
	at := l.places[e.partner(e.member, e.slot)]
	c := l.cohorts[at.cohort]
	return end{c, at.member, c.slotOf(at.member, e.members[e.member])}
}

// index returns the index of agent a in the cohort, or −1.
func (c *cohort) index(a id.AgentID) int { return slices.Index(c.ids, a) }

// slots is the number of slots of member i.
func (c *cohort) slots(i int) int { return c.params.N + len(c.cross[i]) }

// partner is the partner of member i at a slot, by index in the federation.
func (c *cohort) partner(i, slot int) int {
	if slot < c.params.N {
		return c.members[slot]
	}
	return c.cross[i][slot-c.params.N]
}

// slotOf is the slot at which member i of the cohort has the partner g, −1 if it is
// none.
func (c *cohort) slotOf(i, g int) int {
	if k, ok := slices.BinarySearch(c.members, g); ok {
		return k
	}
	if k, ok := slices.BinarySearch(c.cross[i], g); ok {
		return c.params.N + k
	}
	return -1
}

// pairNames are how keys and commitments name the ends of the pair of member i and its
// slot: one byte each within a cohort, two across, from the index in cohort or
// federation.
func (c *cohort) pairNames(i, slot int) (own, other []byte) {
	if slot < c.params.N {
		return []byte{byte(i)}, []byte{byte(slot)}
	}
	return binary.BigEndian.AppendUint16(nil, uint16(c.members[i])), binary.BigEndian.AppendUint16(nil, uint16(c.partner(i, slot)))
}

// before reports whether member i is the end of the pair with the smaller index, which
// adds the mask that the other subtracts.
func (c *cohort) before(i, slot int) bool { return c.members[i] < c.partner(i, slot) }

// attempt is the header of the cohort's messages in an attempt whose RoundStart has
// the header h: with several cohorts its ctx is H(ctx ‖ cohort).
func (c *cohort) attempt(h header) header {
	if c.number != 0 {
		h.Cohort = c.number
		h.Ctx = id.Ctx(hashParts("cohort", h.Ctx[:], binary.BigEndian.AppendUint32(nil, c.number)))
	}
	return h
}

func (c *cohort) agents(s *bitmap) []id.AgentID {
	var out []id.AgentID
	for _, i := range s.members() {
		out = append(out, c.ids[i])
	}
	return out
}

// publicCoin draws from AES-256-CTR under rho.
type publicCoin struct{ s cipher.Stream }

func newPublicCoin(rho *digest) *publicCoin {
	block, err := aes.NewCipher(rho[:])
	if err != nil {
		panic(err)
	}
	var iv [aes.BlockSize]byte
	return &publicCoin{cipher.NewCTR(block, iv[:])}
}

// below draws a number below n without bias: 32-bit big-endian words, those at or
// above the largest multiple of n thrown away.
func (c *publicCoin) below(n int) int {
	most := 1<<32 - (1<<32)%uint64(n)
	for {
		var b [4]byte
		c.s.XORKeyStream(b[:], b[:])
		if v := uint64(binary.BigEndian.Uint32(b[:])); v < most {
			return int(v % uint64(n))
		}
	}
}

// shuffle is Fisher–Yates from the end: order[i] changes places with one of the first
// i + 1.
func (c *publicCoin) shuffle(order []int) {
	for i := len(order) - 1; i > 0; i-- {
		j := c.below(i + 1)
		order[i], order[j] = order[j], order[i]
	}
}

func (c *publicCoin) permutation(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	c.shuffle(p)
	return p
}
