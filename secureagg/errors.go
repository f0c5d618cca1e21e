package secureagg

import (
	"errors"
	"fmt"

	"tacit/id"
)

// Stage names a stage of the protocol in the paper's words.
type Stage string

// The stages, in order, and those beside them.
const (
	StageProposal    Stage = "Proposal"
	StageEpochKey    Stage = "EpochKey"
	StageCommitments Stage = "Commitments"
	StageCoin        Stage = "Coin"
	StageRoster      Stage = "Roster"
	StageCtList      Stage = "CtList"
	StageConfirm     Stage = "Confirm"
	StageReady       Stage = "Ready"
	StageLive        Stage = "Live"
	StageRoundStart  Stage = "RoundStart"
	StageReport      Stage = "Report"
	StageVote        Stage = "Vote"
	StageManifest    Stage = "Manifest"
	StageCertificate Stage = "Certificate"
	StageShares      Stage = "Shares"
	StageUnmask      Stage = "Unmask"
	StageClose       Stage = "Close"
	StageReentry     Stage = "Reentry"
	StageRekey       Stage = "Rekey"
)

// Reason says why something was refused or given up, in a word that programs may
// branch on.
type Reason string

// The reasons.
const (
	ReasonMalformed    Reason = "malformed"               // not a canonical message of the expected kind
	ReasonSignature    Reason = "signature"               // a signature does not verify
	ReasonMismatch     Reason = "mismatch"                // a value differs from the receiver's own
	ReasonCharter      Reason = "charter"                 // the charter forbids it
	ReasonRoster       Reason = "roster"                  // not the administrators' roster
	ReasonSecond       Reason = "second version"          // two different messages where one is allowed
	ReasonUnconfirmed  Reason = "missing or unconfirmed"  // a pairwise key is missing or unconfirmed
	ReasonQuorum       Reason = "no quorum"               // too few Readys, votes or closes
	ReasonBelowMinimum Reason = "below the minimum set"   // |O| < U_min
	ReasonComplaints   Reason = "complaints"              // too many members cannot open a dealer's blob
	ReasonThreshold    Reason = "below the threshold"     // too few shares
	ReasonShare        Reason = "wrong share"             // a share differs from its dealer's commitment
	ReasonCommitment   Reason = "commitment"              // good shares open to something else than was committed
	ReasonPair         Reason = "pair commitment"         // two reports commit to different seeds of one pair
	ReasonReplay       Reason = "replay"                  // an old epoch, attempt or model again
	ReasonClosed       Reason = "closed"                  // the attempt was given up
	ReasonConflict     Reason = "conflicting certificate" // certified and aborted, or two sets
)

// Abort ends an attempt, or the epoch when R is zero. Culprit is the agent to
// blame, zero when it is the server or nobody: a member that is shown something forged
// in another's name blames the server, which should have refused it, and names the
// other in Detail. Accuser is the agent whose word it
// rests on where that matters.
type Abort struct {
	Stage    Stage
	Reason   Reason
	Epoch, R uint64
	Culprit  id.AgentID
	Accuser  id.AgentID
	Detail   string
	Evidence [][]byte // messages from which [Faults] tells anyone the same; nil where nothing proves it
}

func (a *Abort) Error() string {
	what := fmt.Sprintf("epoch %d", a.Epoch)
	if a.R != 0 {
		what = fmt.Sprintf("attempt %d", a.R)
	}
	return "secureagg: " + what + " aborted at " + string(a.Stage) + ": " + string(a.Reason) + blame(a.Culprit) + detail(a.Detail)
}

// Drop refuses one message, and its sender for this stage; the attempt goes on. Agent is
// zero for what a member is shown that is forged in another's name.
type Drop struct {
	Stage  Stage
	Reason Reason
	Agent  id.AgentID
	Detail string

	Evidence [][]byte // as an Abort's
}

func (d *Drop) Error() string {
	return "secureagg: " + string(d.Stage) + " refused: " + string(d.Reason) + blame(d.Agent) + detail(d.Detail)
}

func blame(a id.AgentID) string {
	if a.IsZero() {
		return ""
	}
	return " (agent " + a.Short() + ")"
}

func detail(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// What a caller must tell apart. All leave the state as it was.
var (
	// ErrStale: the message belongs to another epoch or attempt, or to a stage that
	// is over. Ignore it.
	ErrStale = errors.New("secureagg: message of another epoch, attempt or stage")
	// ErrOut: this process restarted and is not readmitted yet. Retry after
	// *Readmitted.
	ErrOut = errors.New("secureagg: out until readmitted")
	// ErrNotOpen: the message needs an earlier one of its attempt that this member
	// has not got. The server sends that one first.
	ErrNotOpen = errors.New("secureagg: an earlier message of the attempt is missing")
	// ErrMayNotReport: the attempt was open when this process started, or its set
	// is fixed. Stay out of it as a reporter.
	ErrMayNotReport = errors.New("secureagg: no fresh report for this attempt")
	// ErrOutcome: the outcome (certificate or abort certificate) of the attempt in
	// which this agent last reported must come first.
	ErrOutcome = errors.New("secureagg: the outcome of the last reported attempt is missing")
	// ErrConsumed: this agent's report for the same plan, task and model or round was not
	// given up by a quorum, or was given up too often.
	ErrConsumed = errors.New("secureagg: the model was reported on already")
)
