package evil

import (
	"errors"
	"fmt"
	"strings"

	"tacit/id"
	"tacit/secureagg"
)

// Party is who misbehaves.
type Party string

// The parties. The server may have corrupt members on its side, as many as the cohort's
// numbers allow; an agent that misbehaves faces an honest server.
const (
	Server Party = "server"
	Agent  Party = "agent"
)

// Attack is one misbehaviour.
type Attack struct {
	Name  string // unique, short
	By    Party
	Does  string // the misbehaviour
	Wants string // what the adversary has when it succeeds, and the control checks
	Item  string // of the specification: its table 2.8, Hardening (H), or Flower's fault
	// Guards are the checks in its way, in the order in which it meets them. With all
	// of them switched off the attack succeeds; any one of them alone stops it.
	Guards []string
	Shape  string              // instead of checks, what of the protocol is in its way
	Stop   Stop                // how it ends with all checks on
	Proves secureagg.FaultKind // what the kept messages prove of the adversary, or
	Silent string              // why they prove nothing
	run    func(*scene) error
}

// Run plays the attack. The error is that of the honest party that stopped it, nil if
// the adversary got what it wants. The evidence is what the honest and a third party
// hold in the end, traffic every message that was sent.
func (a *Attack) Run() (*Outcome, error) {
	s, err := newScene(a)
	if err != nil {
		return nil, err
	}
	err = a.run(s)
	var broken *setupError
	if errors.As(err, &broken) {
		return nil, fmt.Errorf("%s: the stage of the attack cannot be set: %w", a.Name, err)
	}
	var abort *secureagg.Abort
	var drop *secureagg.Drop
	switch {
	case errors.As(err, &abort):
		s.keep(abort.Evidence...)
	case errors.As(err, &drop):
		s.keep(drop.Evidence...)
	}
	return &Outcome{Err: err, Evidence: s.evidence, Traffic: s.traffic, Evil: s.evilIDs(),
		Roster: s.roster.AppendBinary(nil), Charter: s.charter.AppendBinary(nil)}, nil
}

// Outcome is how an attack ended.
type Outcome struct {
	Err      error // nil: it succeeded
	Evidence [][]byte
	Traffic  [][]byte
	Evil     []id.AgentID // the corrupt agents
	Roster   []byte
	Charter  []byte
}

// Stop is the typed end of a failed attack.
type Stop struct {
	Stage  secureagg.Stage
	Reason secureagg.Reason
	Drop   bool // only the message is refused
	Names  Blame
	Err    error // instead: a plain refusal
}

// Blame says whom the error names.
type Blame string

// Whom an error names. One that names nobody among the agents is a member's word
// against the server, or against nobody.
const (
	NoAgent  Blame = "no agent"
	Culprit  Blame = "the adversary"
	OneOfTwo Blame = "the adversary or another agent"
)

func aborts(stage secureagg.Stage, why secureagg.Reason) Stop {
	return Stop{Stage: stage, Reason: why, Names: NoAgent}
}

func abortsNaming(stage secureagg.Stage, why secureagg.Reason) Stop {
	return Stop{Stage: stage, Reason: why, Names: Culprit}
}

func drops(stage secureagg.Stage, why secureagg.Reason) Stop {
	return Stop{Stage: stage, Reason: why, Names: Culprit, Drop: true}
}

func refuses(err error) Stop { return Stop{Err: err, Names: NoAgent} }

// Check reports how err differs from the expected end.
func (s Stop) Check(err error, evil []id.AgentID) error {
	if s.Err != nil {
		if !errors.Is(err, s.Err) {
			return fmt.Errorf("stopped by %v, want %v", err, s.Err)
		}
		return nil
	}
	var culprit, other id.AgentID
	var stage secureagg.Stage
	var why secureagg.Reason
	var abort *secureagg.Abort
	var drop *secureagg.Drop
	switch {
	case !s.Drop && errors.As(err, &abort):
		stage, why, culprit, other = abort.Stage, abort.Reason, abort.Culprit, abort.Accuser
	case s.Drop && errors.As(err, &drop):
		stage, why, culprit = drop.Stage, drop.Reason, drop.Agent
	}
	if stage != s.Stage || why != s.Reason {
		return fmt.Errorf("stopped by %v, want %s: %s", err, s.Stage, s.Reason)
	}
	isEvil := func(a id.AgentID) bool {
		for _, e := range evil {
			if e == a {
				return true
			}
		}
		return false
	}
	ok := false
	switch s.Names {
	case NoAgent:
		ok = culprit.IsZero()
	case Culprit:
		ok = isEvil(culprit)
	case OneOfTwo:
		ok = isEvil(culprit) || isEvil(other)
	}
	if !ok {
		return fmt.Errorf("%v names agent %s, want %s", err, culprit.Short(), s.Names)
	}
	return nil
}

// String says how the attack ends.
func (s Stop) String() string {
	switch {
	case s.Err != nil:
		return "refused: " + trim(s.Err)
	case s.Drop:
		return fmt.Sprintf("dropped at %s: %s", s.Stage, s.Reason)
	}
	return fmt.Sprintf("aborted at %s: %s", s.Stage, s.Reason)
}

// trim leaves the package's name out.
func trim(err error) string {
	_, what, _ := strings.Cut(err.Error(), ": ")
	return what
}

// setupError says that something broke before the adversary did anything.
type setupError struct{ err error }

func (e *setupError) Error() string { return e.err.Error() }
func (e *setupError) Unwrap() error { return e.err }

// errMissed: nobody stopped the adversary, but it does not have what it wants.
var errMissed = errors.New("evil: the adversary gets nothing of use")

// got is nil if the adversary has what it wants.
func got(ok bool) error {
	if ok {
		return nil
	}
	return errMissed
}

// Catalogue lists all attacks.
func Catalogue() []*Attack {
	var all []*Attack
	for _, part := range [][]*Attack{setupAttacks, openingAttacks, setAttacks, closeAttacks, restartAttacks, agentAttacks, shapes} {
		all = append(all, part...)
	}
	return all
}
