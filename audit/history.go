package audit

import (
	"crypto/ed25519"

	"tacit/id"
)

// history is what a log says happened, once every rule held. The report reads
// nothing else.
type history struct {
	entries  []Entry
	genesis  Genesis
	charters []*charterVersion // in order; the last one is in force
	rosters  []*rosterVersion  // in order; the last one is in force
	runs     []*runHistory
	charges  int // attempts that were opened

	members map[id.AgentID][]id.PublicKey // every key that a roster ever named
	exports []exported
	changes []int // entries that changed configuration, software or the charter
	starts  []int // server starts
	reports []int // reports made before
	admits  []int // tokens, enrolments, roster changes
	answers []int // plans approved and refused
	jumps   int   // entries whose clock was behind that of the entry before
	vouched []*cosigned
	sent    map[sentKey]*Traffic // what every record counts, added up
}

type sentKey struct {
	agent id.AgentID
	kind  string
	class Class
}

// count adds a record's traffic to the whole and returns nothing to keep: the counts
// of ten thousand rounds are most of their records' size.
func (h *history) count(list []Traffic) []Traffic {
	for _, t := range list {
		k := sentKey{t.Agent, t.Kind, t.Class}
		sum := h.sent[k]
		if sum == nil {
			sum = &Traffic{Agent: t.Agent, Kind: t.Kind, Class: t.Class}
			h.sent[k] = sum
		}
		sum.Messages += t.Messages
		sum.Bytes += t.Bytes
	}
	return nil
}

type charterVersion struct {
	entry   uint64
	charter *id.Charter
	raw     []byte
}

type rosterVersion struct {
	entry  uint64
	roster *id.Roster
	hash   id.RosterHash
	raw    []byte
	index  map[id.AgentID]int
}

type runHistory struct {
	start    uint64
	payload  RunStarted
	record   *RunRecord
	epochs   []*epochHistory
	attempts []*attemptHistory
	finish   uint64 // entry, if finished
	finished *RunFinished
	closing  *FinishRecord

	model   id.ModelHash // current
	lastR   uint64
	trained uint64 // last training round committed
	stats   bool   // the statistics round was committed
	judged  bool   // the evaluate round was committed
}

// open returns the attempt that is not closed yet, or nil.
func (r *runHistory) open() *attemptHistory {
	if n := len(r.attempts); n > 0 && r.attempts[n-1].end == 0 {
		return r.attempts[n-1]
	}
	return nil
}

type epochHistory struct {
	entry   uint64
	payload EpochOpened
	record  *EpochRecord
	roster  *rosterVersion
	charter *charterVersion
}

type attemptHistory struct {
	epoch     *epochHistory
	round, r  uint64
	start     uint64 // entry of RoundOpened
	opened    RoundOpened
	certEntry uint64 // 0 until certified
	certified SetCertified
	cert      id.Digest
	end       uint64 // 0 while open
	record    *RoundRecord
	committed *RoundCommitted
	aborted   *RoundAborted
}

type exported struct {
	entry   uint64
	payload ModelExported
}

func (h *history) charter() *charterVersion { return h.charters[len(h.charters)-1] }

// cosignerKeys returns the Ed25519 keys under which an agent may have cosigned.
func (h *history) cosignerKeys(a id.AgentID) []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for i := range h.members[a] {
		keys = append(keys, h.members[a][i].Ed25519())
	}
	return keys
}

// site returns an agent's organisation and site by the newest roster that has it.
func (h *history) site(a id.AgentID) (org, site string) {
	for i := len(h.rosters) - 1; i >= 0; i-- {
		if m, ok := h.rosters[i].index[a]; ok {
			e := h.rosters[i].roster.Members[m]
			return e.Org, e.Site
		}
	}
	return "", ""
}
