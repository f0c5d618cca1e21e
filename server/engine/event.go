package engine

import (
	"tacit/id"
)

// An Event is something that happened to a run.
type Event interface{ event() }

type (
	// Connected says that a member's channel is up and authenticated.
	Connected struct{ Agent id.AgentID }
	// Gone says that a member's channel is lost.
	Gone struct{ Agent id.AgentID }
	// PlanAnswer is a member's answer to the plan offered.
	PlanAnswer struct {
		Agent  id.AgentID
		Accept bool
		Code   string // why not, from the closed list of wire.Refusal
	}
	// Standing says whether a member takes part in the epoch it knows, or is out
	// until others have vouched for it (SECAGG, Hardening 6).
	Standing struct {
		Agent id.AgentID
		Epoch uint64
		Round uint64 // the round that it holds the model of
		Out   bool
	}
	// Behind says that a member cannot be told of commits that it missed: the sums
	// are gone. It votes and releases, but does not report.
	Behind struct{ Agent id.AgentID }
	// Acknowledged says that a member has verified and cosigned the latest commit.
	Acknowledged struct{ Agent id.AgentID }
	// Stage is a protocol message of a member, reports apart.
	Stage struct {
		Agent id.AgentID
		Msg   []byte
	}
	// Report is a member's report with its vector already in the spool.
	Report struct {
		Agent  id.AgentID
		R      uint64
		Report []byte
		Vector [32]byte // digest of the vector
		Words  int      // length of the vector
		Blob   string   // name in the spool
	}
	// Timer says that the timer of that name, set with that number, has run down.
	Timer struct {
		Name   TimerName
		Number uint64
	}
	// Summed is the sum of the vectors of the certified set, or why there is none.
	Summed struct {
		R   uint64
		Acc []uint32
		Err error
	}
)

func (Connected) event()    {}
func (Gone) event()         {}
func (PlanAnswer) event()   {}
func (Standing) event()     {}
func (Behind) event()       {}
func (Acknowledged) event() {}
func (Stage) event()        {}
func (Report) event()       {}
func (Timer) event()        {}
func (Summed) event()       {}
