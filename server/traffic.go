package server

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"tacit/audit"
	"tacit/id"
	"tacit/server/store"
	"tacit/wire"
)

// trafficKey is what received bytes are counted by.
type trafficKey struct {
	agent id.AgentID
	kind  string
}

type trafficCount struct {
	class           string
	messages, bytes uint64
}

// traffic counts what every branch sent, message by message, before the inner
// channel. Counts become durable with the next commit; the bytes that a killed
// server had received since its last commit are not in them.
type traffic struct {
	mu       sync.Mutex
	pending  map[trafficKey]trafficCount // since the last commit
	recorded map[trafficKey]trafficCount // in the records of the log so far
	total    map[trafficKey]trafficCount // durable and pending
}

func newTraffic() *traffic {
	return &traffic{pending: map[trafficKey]trafficCount{}, recorded: map[trafficKey]trafficCount{}, total: map[trafficKey]trafficCount{}}
}

func bump(m map[trafficKey]trafficCount, k trafficKey, c trafficCount) {
	old := m[k]
	m[k] = trafficCount{class: c.class, messages: old.messages + c.messages, bytes: old.bytes + c.bytes}
}

// received counts one message.
func (t *traffic) received(agent id.AgentID, kind wire.Kind, bytes uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := trafficKey{agent, kindName(kind)}
	c := trafficCount{kind.Class().String(), 1, bytes}
	bump(t.pending, k, c)
	bump(t.total, k, c)
}

// kindName is a kind as records and reports write it: StageUp is stage-up.
func kindName(k wire.Kind) string {
	var b strings.Builder
	for i, r := range k.String() {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// take empties what is pending into rows.
func (t *traffic) take() []store.ByteCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := make([]store.ByteCount, 0, len(t.pending))
	for k, c := range t.pending {
		rows = append(rows, store.ByteCount{Agent: k.agent, Class: c.class, Kind: k.kind, Bytes: c.bytes, Messages: c.messages})
	}
	clear(t.pending)
	slices.SortFunc(rows, func(a, b store.ByteCount) int {
		return cmp.Or(a.Agent.Compare(b.Agent), cmp.Compare(a.Kind, b.Kind))
	})
	return rows
}

func (t *traffic) putBack(rows []store.ByteCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rows {
		bump(t.pending, trafficKey{r.Agent, r.Kind}, trafficCount{r.Class, r.Messages, r.Bytes})
	}
}

// load takes the durable totals of an earlier process.
func (t *traffic) load(rows []store.ByteCount, recorded []audit.Traffic) {
	for _, r := range rows {
		bump(t.total, trafficKey{r.Agent, r.Kind}, trafficCount{r.Class, r.Messages, r.Bytes})
	}
	for _, r := range recorded {
		bump(t.recorded, trafficKey{r.Agent, r.Kind}, trafficCount{r.Class.String(), r.Messages, r.Bytes})
	}
}

// sinceRecord returns what members sent since the last record and counts it as
// recorded.
func (t *traffic) sinceRecord(roster *id.Roster) []audit.Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []audit.Traffic
	for k, c := range t.total {
		done := t.recorded[k]
		if c.bytes == done.bytes || roster.Lookup(k.agent) == nil {
			continue
		}
		row := audit.Traffic{Agent: k.agent, Kind: k.kind, Class: classOf(c.class), Messages: c.messages - done.messages, Bytes: c.bytes - done.bytes}
		out = append(out, row)
		t.recorded[k] = c
	}
	return audit.Tidy(out)
}

// bySite adds the totals up by site.
func (t *traffic) bySite(roster *id.Roster) []SiteTraffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []SiteTraffic
	for i := range roster.Members {
		m := &roster.Members[i]
		row := SiteTraffic{Site: m.Site, Agent: m.Agent(), Classes: map[string]uint64{}, Kinds: map[string]uint64{}}
		for _, c := range wire.Classes() {
			row.Classes[c.String()] = 0
		}
		for k, c := range t.total {
			if k.agent == row.Agent {
				row.Classes[c.class] += c.bytes
				row.Kinds[k.kind] += c.bytes
				row.Total += c.bytes
			}
		}
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b SiteTraffic) int { return cmp.Compare(a.Site, b.Site) })
	return out
}

func classOf(name string) audit.Class {
	for _, c := range []audit.Class{audit.ClassRows, audit.ClassPlaintextUpdates, audit.ClassMaskedUpdates, audit.ClassKeysAndShares, audit.ClassControl} {
		if c.String() == name {
			return c
		}
	}
	return audit.ClassControl
}

// sum is what all branches have sent.
func (t *traffic) sum() (n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.total {
		n += c.bytes
	}
	return n
}
