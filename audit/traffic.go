package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"tacit/id"
)

// Class is what a kind of message can contain. Every message of the protocol is in
// exactly one class.
type Class uint8

// The classes, in the order in which the report lists them. No message of the
// protocol is in the first two.
const (
	ClassRows Class = iota + 1
	ClassPlaintextUpdates
	ClassMaskedUpdates
	ClassKeysAndShares
	ClassControl
)

// Classes lists every class.
func Classes() []Class {
	return []Class{ClassRows, ClassPlaintextUpdates, ClassMaskedUpdates, ClassKeysAndShares, ClassControl}
}

// String returns the class as result.json names it.
func (c Class) String() string {
	switch c {
	case ClassRows:
		return "rows"
	case ClassPlaintextUpdates:
		return "plaintext_updates"
	case ClassMaskedUpdates:
		return "masked_updates"
	case ClassKeysAndShares:
		return "keys_and_shares"
	case ClassControl:
		return "control"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Traffic counts the messages of one kind that one branch sent to the server. Bytes
// are counted before the inner channel encrypts them.
type Traffic struct {
	Agent    id.AgentID
	Kind     string
	Class    Class
	Messages uint64
	Bytes    uint64
}

func compareTraffic(a, b Traffic) int {
	if c := a.Agent.Compare(b.Agent); c != 0 {
		return c
	}
	return cmp.Compare(a.Kind, b.Kind)
}

// Tidy sorts counts, adds up those of one agent and kind, and leaves zeros out: the
// form that records take.
func Tidy(t []Traffic) []Traffic {
	t = slices.Clone(t)
	slices.SortStableFunc(t, compareTraffic)
	var out []Traffic
	for _, x := range t {
		if n := len(out); n > 0 && compareTraffic(out[n-1], x) == 0 {
			out[n-1].Messages += x.Messages
			out[n-1].Bytes += x.Bytes
		} else {
			out = append(out, x)
		}
	}
	return slices.DeleteFunc(out, func(x Traffic) bool { return x.Messages == 0 && x.Bytes == 0 })
}

const (
	maxKinds   = 128
	maxAgents  = 1 << 16
	maxMembers = 1 << 12
)

// traffic codes counts as a table of agents, a table of kinds and the matrix of both,
// because every branch sends the same kinds round after round.
func (c *codec) traffic(t *[]Traffic) {
	var agents []id.AgentID
	var kindNames []string
	var classes []Class
	cells := make(map[[2]int]Traffic)
	if c.w != nil {
		classOf := make(map[string]Class)
		for i, x := range *t {
			if i > 0 && compareTraffic((*t)[i-1], x) >= 0 || x.Messages == 0 && x.Bytes == 0 {
				c.fail("traffic is not tidy: see Tidy")
				return
			}
			if k, ok := classOf[x.Kind]; ok && k != x.Class {
				c.fail("message kind %q is in two classes", x.Kind)
				return
			}
			classOf[x.Kind] = x.Class
			if n := len(agents); n == 0 || agents[n-1] != x.Agent {
				agents = append(agents, x.Agent)
			}
		}
		for k := range classOf {
			kindNames = append(kindNames, k)
		}
		slices.Sort(kindNames)
		for _, k := range kindNames {
			classes = append(classes, classOf[k])
		}
		row := 0
		for _, x := range *t {
			for agents[row] != x.Agent {
				row++
			}
			col, _ := slices.BinarySearch(kindNames, x.Kind)
			cells[[2]int{row, col}] = x
		}
	}
	nKinds := c.count(len(kindNames), maxKinds, 3)
	if c.w == nil {
		kindNames, classes = make([]string, nKinds), make([]Class, nKinds)
	}
	for i := range nKinds {
		c.token(&kindNames[i])
		c.u8((*uint8)(&classes[i]))
		if c.err == nil && (classes[i] < ClassRows || classes[i] > ClassControl) {
			c.fail("unknown class %d", classes[i])
		}
		if c.err == nil && i > 0 && kindNames[i] <= kindNames[i-1] {
			c.fail("message kinds are not ascending")
		}
	}
	nAgents := c.count(len(agents), maxAgents, 16)
	if c.w == nil {
		agents = make([]id.AgentID, nAgents)
	}
	for i := range nAgents {
		c.fixed(agents[i][:])
		if c.err == nil && i > 0 && bytes.Compare(agents[i][:], agents[i-1][:]) <= 0 {
			c.fail("agents are not ascending")
		}
	}
	if c.err != nil {
		return
	}
	if (nKinds == 0) != (nAgents == 0) {
		c.fail("a traffic table without rows or columns")
		return
	}
	usedKinds, usedAgents := make([]bool, nKinds), make([]bool, nAgents)
	var out []Traffic
	for a := range nAgents {
		for k := range nKinds {
			x := cells[[2]int{a, k}]
			if x.Messages > math.MaxUint32 {
				c.fail("%d messages of one kind", x.Messages)
			}
			n := uint32(x.Messages)
			c.u32(&n)
			c.u64(&x.Bytes)
			if c.err != nil {
				return
			}
			if n == 0 && x.Bytes == 0 {
				continue
			}
			usedKinds[k], usedAgents[a] = true, true
			if c.w == nil {
				out = append(out, Traffic{agents[a], kindNames[k], classes[k], uint64(n), x.Bytes})
			}
		}
	}
	if slices.Contains(usedKinds, false) || slices.Contains(usedAgents, false) {
		c.fail("a traffic table with an empty row or column")
	}
	if c.w == nil {
		*t = out
	}
}
