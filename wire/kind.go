package wire

import "fmt"

// Kind names a type of message; it is the first byte of every message.
type Kind uint8

// The kinds. Numbers are never reused.
const (
	KindJoin       Kind = 0x01
	KindAuth       Kind = 0x02
	KindPlanReply  Kind = 0x03
	KindCosign     Kind = 0x05
	KindStageUp    Kind = 0x06
	KindReport     Kind = 0x07
	KindVector     Kind = 0x08
	KindAgentState Kind = 0x09

	KindJoinStatus   Kind = 0x41
	KindWelcome      Kind = 0x42
	KindPlanOffer    Kind = 0x43
	KindRoundOpen    Kind = 0x44
	KindStageDown    Kind = 0x46
	KindReportAck    Kind = 0x47
	KindCommitted    Kind = 0x48
	KindRoundAborted Kind = 0x49
	KindRunDone      Kind = 0x4a

	KindError Kind = 0x81
	KindPing  Kind = 0x82
	KindPong  Kind = 0x83
)

// Direction says who may send a kind.
type Direction uint8

// The directions.
const (
	Up   Direction = 1 << iota // agent to server
	Down                       // server to agent
	Both = Up | Down
)

// phase says when a kind may pass: the channel opens with its Welcome.
type phase uint8

const (
	early    phase = 1 << iota // before the Welcome: the peer is not yet admitted
	late                       // after it
	anyPhase = early | late
)

// Body limits in bytes. An agent that has not been admitted can make the server
// hold maxEarly; the larger limits are those of 128 agents and 10⁸ coordinates.
const (
	maxEarly = 16 << 10  // two hybrid keys or signatures, and names
	maxSmall = 128 << 10 // a cosigned checkpoint among ids
	maxEntry = 1 << 20   // a log entry with its proof
	maxPlan  = 4 << 20   // a resolved plan with its data schema
	maxLists = 16 << 20  // charter and roster
	maxStage = 32 << 20  // 128 agents' share blobs, with a Merkle path for each share
	maxBulk  = 512 << 20 // 2²⁷ words, less the head
)

type kindInfo struct {
	name  string
	dir   Direction
	class Class
	phase phase
	limit int
	empty func() Msg
}

// kinds is the whole protocol in one table.
var kinds = [256]kindInfo{
	KindJoin:       {"Join", Up, ClassControl, early, maxEarly, func() Msg { return new(Join) }},
	KindAuth:       {"Auth", Up, ClassControl, early, maxEarly, func() Msg { return new(Auth) }},
	KindPlanReply:  {"PlanReply", Up, ClassControl, late, 4 << 10, func() Msg { return new(PlanReply) }},
	KindCosign:     {"Cosign", Up, ClassControl, late, maxSmall, func() Msg { return new(Cosign) }},
	KindAgentState: {"AgentState", Up, ClassControl, late, 1 << 10, func() Msg { return new(AgentState) }},
	KindStageUp:    {"StageUp", Up, ClassKeysAndShares, late, maxStage, func() Msg { return new(StageUp) }},
	KindReport:     {"Report", Up, ClassKeysAndShares, late, maxStage, func() Msg { return new(Report) }},
	KindVector:     {"Vector", Up, ClassMaskedUpdates, late, maxBulk, func() Msg { return new(Vector) }},

	KindJoinStatus:   {"JoinStatus", Down, ClassControl, early, maxEarly, func() Msg { return new(JoinStatus) }},
	KindWelcome:      {"Welcome", Down, ClassControl, early, maxLists, func() Msg { return new(Welcome) }},
	KindPlanOffer:    {"PlanOffer", Down, ClassControl, late, maxPlan, func() Msg { return new(PlanOffer) }},
	KindRoundOpen:    {"RoundOpen", Down, ClassControl, late, maxEntry, func() Msg { return new(RoundOpen) }},
	KindStageDown:    {"StageDown", Down, ClassKeysAndShares, late, maxStage, func() Msg { return new(StageDown) }},
	KindReportAck:    {"ReportAck", Down, ClassControl, late, 1 << 10, func() Msg { return new(ReportAck) }},
	KindCommitted:    {"Committed", Down, ClassControl, late, maxBulk, func() Msg { return new(Committed) }},
	KindRoundAborted: {"RoundAborted", Down, ClassControl, late, maxEntry, func() Msg { return new(RoundAborted) }},
	KindRunDone:      {"RunDone", Down, ClassControl, late, 4 << 10, func() Msg { return new(RunDone) }},

	KindError: {"Error", Both, ClassControl, anyPhase, 4 << 10, func() Msg { return new(Error) }},
	KindPing:  {"Ping", Both, ClassControl, late, 64, func() Msg { return new(Ping) }},
	KindPong:  {"Pong", Both, ClassControl, late, 64, func() Msg { return new(Pong) }},
}

// Kinds lists every kind in ascending order.
func Kinds() []Kind {
	var all []Kind
	for k := range kinds {
		if kinds[k].empty != nil {
			all = append(all, Kind(k))
		}
	}
	return all
}

// Known reports whether this version has the kind.
func (k Kind) Known() bool { return kinds[k].empty != nil }

// String returns the kind's name, or its number.
func (k Kind) String() string {
	if !k.Known() {
		return fmt.Sprintf("kind 0x%02x", uint8(k))
	}
	return kinds[k].name
}

// Class returns what the kind carries. Unknown kinds do not pass; theirs is control.
func (k Kind) Class() Class {
	if !k.Known() {
		return ClassControl
	}
	return kinds[k].class
}

// Direction returns who may send the kind; 0 for an unknown one.
func (k Kind) Direction() Direction { return kinds[k].dir }

// Limit returns the largest body of the kind, in bytes; 0 for an unknown one.
func (k Kind) Limit() int { return kinds[k].limit }
