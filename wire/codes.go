package wire

import (
	"fmt"
	"slices"
)

// JoinState is how far an application for membership has come.
type JoinState string

// The states of an application.
const (
	JoinPending  JoinState = "pending"
	JoinApproved JoinState = "approved"
	JoinRefused  JoinState = "refused"
)

func (s JoinState) check() error {
	return oneOf("state", s, []JoinState{JoinPending, JoinApproved, JoinRefused})
}

// RunState is how a run ended.
type RunState string

// The ends of a run.
const (
	RunDoneState    RunState = "done"
	RunStoppedState RunState = "stopped" // with a reason
)

func (s RunState) check() error {
	return oneOf("state", s, []RunState{RunDoneState, RunStoppedState})
}

// Refusal is why a branch does not take part in a run. The list is closed: a code
// tells nothing else about the branch.
type Refusal string

// The reasons. The empty one goes with an acceptance.
const (
	RefusalNone            Refusal = ""
	RefusalPlanNotAllowed  Refusal = "plan-not-allowed"
	RefusalModelFamily     Refusal = "model-family"
	RefusalMinCohort       Refusal = "min-cohort"
	RefusalMaxRounds       Refusal = "max-rounds"
	RefusalPrivacy         Refusal = "privacy"
	RefusalEpsilon         Refusal = "epsilon"
	RefusalHours           Refusal = "hours"
	RefusalResources       Refusal = "resources"
	RefusalExternalTrainer Refusal = "external-trainer"
	RefusalSchemaMismatch  Refusal = "schema-mismatch"
	RefusalPlanVersion     Refusal = "plan-version"
	RefusalPlanInvalid     Refusal = "plan-invalid"
	RefusalCharterMismatch Refusal = "charter-mismatch"
	RefusalProofInvalid    Refusal = "proof-invalid"
)

// Refusals lists every reason to refuse.
func Refusals() []Refusal {
	return []Refusal{RefusalPlanNotAllowed, RefusalModelFamily, RefusalMinCohort, RefusalMaxRounds, RefusalPrivacy,
		RefusalEpsilon, RefusalHours, RefusalResources, RefusalExternalTrainer, RefusalSchemaMismatch,
		RefusalPlanVersion, RefusalPlanInvalid, RefusalCharterMismatch, RefusalProofInvalid}
}

func (r Refusal) check() error {
	if r == RefusalNone {
		return nil
	}
	return oneOf("code", r, Refusals())
}

// ErrorCode is why one side ends a channel.
type ErrorCode string

// The codes. Retry after busy, shutting-down and internal; on the others a person
// has something to do.
const (
	CodeVersion      ErrorCode = "version"
	CodeTokenUnknown ErrorCode = "token-unknown"
	CodeTokenUsed    ErrorCode = "token-used"
	CodeTokenExpired ErrorCode = "token-expired"
	CodeNotApproved  ErrorCode = "not-approved"
	CodeUnknownAgent ErrorCode = "unknown-agent"
	CodeRevoked      ErrorCode = "revoked"
	CodeBadSignature ErrorCode = "bad-signature"
	CodeProtocol     ErrorCode = "protocol"
	CodeLimit        ErrorCode = "limit"
	CodeBusy         ErrorCode = "busy"
	CodeSuperseded   ErrorCode = "superseded" // the same agent has a newer channel
	CodeShuttingDown ErrorCode = "shutting-down"
	CodeInternal     ErrorCode = "internal"
)

// ErrorCodes lists every code.
func ErrorCodes() []ErrorCode {
	return []ErrorCode{CodeVersion, CodeTokenUnknown, CodeTokenUsed, CodeTokenExpired, CodeNotApproved, CodeUnknownAgent,
		CodeRevoked, CodeBadSignature, CodeProtocol, CodeLimit, CodeBusy, CodeSuperseded, CodeShuttingDown, CodeInternal}
}

func (c ErrorCode) check() error { return oneOf("code", c, ErrorCodes()) }

// Temporary reports whether the same request may succeed later without a person.
func (c ErrorCode) Temporary() bool {
	return c == CodeBusy || c == CodeShuttingDown || c == CodeInternal
}

func oneOf[T ~string](field string, v T, all []T) error {
	if !slices.Contains(all, v) {
		return fmt.Errorf("%s has no value %q", field, string(v[:min(len(v), 32)]))
	}
	return nil
}

// Error tells the peer why its sender ends the channel. It is a Go error.
type Error struct {
	Code    ErrorCode `cbor:"code"`
	Message string    `cbor:"message"` // what and where
	Hint    string    `cbor:"hint"`    // what to do
}

// Kind returns [KindError].
func (*Error) Kind() Kind { return KindError }

func (e *Error) check() error {
	for _, err := range []error{e.Code.check(), checkText("message", e.Message, maxText), checkText("hint", e.Hint, maxText)} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Error returns the message with its code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Code) }

// Ping asks the peer's program, not only its socket, for a sign of life.
type Ping struct {
	Nonce uint64 `cbor:"nonce"`
}

// Kind returns [KindPing].
func (*Ping) Kind() Kind   { return KindPing }
func (*Ping) check() error { return nil }

// Pong answers [Ping] with its nonce.
type Pong struct {
	Nonce uint64 `cbor:"nonce"`
}

// Kind returns [KindPong].
func (*Pong) Kind() Kind   { return KindPong }
func (*Pong) check() error { return nil }
