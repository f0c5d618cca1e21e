package engine

import (
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/server/store"
	"tacit/strategy"
	"tacit/wire"
)

// An Effect is something that the shell has to do. Effects are executed in order.
type Effect interface{ effect() }

// TimerName names one of a run's timers; each runs at most once at a time.
type TimerName string

// The timers.
const (
	TimerGrace   TimerName = "grace"   // members that are expected back
	TimerCollect TimerName = "collect" // reports
	TimerPhase   TimerName = "phase"   // every other answer
	TimerDay     TimerName = "day"     // over which the charter counts epochs
)

// Entry is one log entry of a [Write]; the shell adds sequence and time.
type Entry struct {
	Name     EntryName // under which [Send.Entry] finds it again; may be empty
	Payload  audit.Payload
	Round, R uint64
	Federal  bool      // no entry of this run
	Digest   id.Digest // of the document it stands for; the shell fills in that of Write.Document
	Document bool      // Digest is that of Write.Document
}

// EntryName names the log entries that messages carry a proof of.
type EntryName struct {
	What string // "run", "open", "end"
	R    uint64
}

type (
	// Write commits a batch and log entries in one transaction.
	Write struct {
		Batch    store.Batch
		Log      []Entry
		Document Document // nil, or a record to complete (traffic, time), store and digest
		Model    *Model   // nil, or the model record that this transaction makes current
		Sum      []byte   // nil, or the opened sum that members away will need
		Opened   uint64   // r of an attempt that begins (the shell keeps its spool key and its time)
	}
	// Send hands a message to a member if it is connected; to all members when To is zero.
	Send struct {
		To    id.AgentID
		Msg   wire.Msg
		Entry EntryName // whose bytes and proof the shell puts into Msg
	}
	// SetTimer starts or restarts a timer.
	SetTimer struct {
		Name   TimerName
		After  time.Duration
		Number uint64 // comes back in the Timer event
	}
	// Sum adds up the spooled vectors of the attempt's set and comes back as Summed.
	Sum struct {
		R     uint64
		Dim   int
		Blobs []string
	}
	// CatchUp tells a member of every commit from a round on.
	CatchUp struct {
		To    id.AgentID
		Round uint64
	}
	// ForgetSums destroys the opened sums that are kept for members who missed them.
	ForgetSums struct{}
	// Shred destroys the spooled inputs of an attempt.
	Shred struct{ R uint64 }
	// Notice tells people what happened.
	Notice struct{ Notice NoticeText }
	// Finish ends the run.
	Finish struct {
		Done   bool
		Reason string
	}
)

func (*Write) effect()      {}
func (*Send) effect()       {}
func (*SetTimer) effect()   {}
func (*Sum) effect()        {}
func (*CatchUp) effect()    {}
func (*ForgetSums) effect() {}
func (*Shred) effect()      {}
func (*Notice) effect()     {}
func (*Finish) effect()     {}

// Document is a record whose traffic the shell fills in: *audit.EpochRecord,
// *audit.RoundRecord, *audit.FinishRecord or *audit.RunRecord.
type Document interface {
	AppendBinary([]byte) ([]byte, error)
}

// Model is a new current model: sealed and staged before the transaction,
// published after it.
type Model struct {
	Round  uint64
	Hash   id.ModelHash
	Record *strategy.Record
	State  strategy.State
}

// NoticeText is what happened, in numbers that the shell turns into a line.
type NoticeText struct {
	Kind      string // one of the kinds of server.Event
	Round, R  uint64
	Task      plan.Task
	Agent     id.AgentID
	Members   int
	Reported  int
	Voted     int
	Released  int
	Dropped   []id.AgentID
	Metrics   *strategy.Metrics
	Model     id.ModelHash
	Code      string
	Text      string
	Recovered bool // a member's pair seeds were reconstructed
}
