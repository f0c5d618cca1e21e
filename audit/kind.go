package audit

import "fmt"

// Kind says which transition an entry records. The numbers are part of the format:
// they are never reused.
type Kind uint8

// The kinds of entries. Witness changes, revocations, key rotations, grants and
// shredding take the next numbers.
const (
	KindGenesis Kind = iota + 1
	KindCharterAdopted
	KindRosterChanged
	KindTokenIssued
	KindTokenRedeemed
	KindIdentityEnrolled
	KindPlanApproved
	KindPlanRefused
	KindRunStarted
	KindEpochOpened
	KindRoundOpened
	KindSetCertified
	KindRoundCommitted
	KindRoundAborted
	KindRunFinished
	KindModelExported
	KindConfigurationChanged
	KindSoftwareRecorded
	KindServerStarted
	KindReportMade
)

// scope says which of an entry's run, round and r are set.
type scope uint8

const (
	ofFederation scope = iota // none
	ofRun                     // the run
	ofAttempt                 // run and r; the round may be 0 (statistics)
)

type kindRule struct {
	name   string
	scope  scope
	digest bool    // the entry stands for a document and carries its digest
	record string  // the archive's name for the record, if the document is one
	empty  Payload // decodes the payload
}

var kinds = map[Kind]kindRule{
	KindGenesis:              {"genesis", ofFederation, true, "", Genesis{}},
	KindCharterAdopted:       {"charter adopted", ofFederation, true, "", CharterAdopted{}},
	KindRosterChanged:        {"roster changed", ofFederation, true, "", RosterChanged{}},
	KindTokenIssued:          {"token issued", ofFederation, false, "", TokenIssued{}},
	KindTokenRedeemed:        {"token redeemed", ofFederation, false, "", TokenRedeemed{}},
	KindIdentityEnrolled:     {"identity enrolled", ofFederation, false, "", IdentityEnrolled{}},
	KindPlanApproved:         {"plan approved", ofFederation, false, "", PlanApproved{}},
	KindPlanRefused:          {"plan refused", ofFederation, false, "", PlanRefused{}},
	KindRunStarted:           {"run started", ofRun, true, "run", RunStarted{}},
	KindEpochOpened:          {"epoch opened", ofRun, true, "epoch", EpochOpened{}},
	KindRoundOpened:          {"round opened", ofAttempt, false, "", RoundOpened{}},
	KindSetCertified:         {"set certified", ofAttempt, true, "", SetCertified{}},
	KindRoundCommitted:       {"round committed", ofAttempt, true, "round", RoundCommitted{}},
	KindRoundAborted:         {"round aborted", ofAttempt, true, "round", RoundAborted{}},
	KindRunFinished:          {"run finished", ofRun, true, "finish", RunFinished{}},
	KindModelExported:        {"model exported", ofFederation, false, "", ModelExported{}},
	KindConfigurationChanged: {"configuration changed", ofFederation, false, "", ConfigurationChanged{}},
	KindSoftwareRecorded:     {"software recorded", ofFederation, false, "", SoftwareRecorded{}},
	KindServerStarted:        {"server started", ofFederation, false, "", ServerStarted{}},
	KindReportMade:           {"report made", ofFederation, true, "", ReportMade{}},
}

// String returns the kind in words, as the report prints it.
func (k Kind) String() string {
	if r, ok := kinds[k]; ok {
		return r.name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Task says what an attempt computes.
type Task uint8

// The tasks of an attempt.
const (
	Statistics Task = iota + 1 // round 0: sums that standardise the features
	Train
	Evaluate // metrics of the last model; the model does not change
)

// String returns the task's name in plans.
func (t Task) String() string {
	switch t {
	case Statistics:
		return "statistics"
	case Train:
		return "train"
	case Evaluate:
		return "evaluate"
	}
	return fmt.Sprintf("task %d", uint8(t))
}

// AbortStage says how far an attempt came before it was given up.
type AbortStage uint8

// The stages of an attempt, in order. Once a set is certified only StageUnmask can
// end an attempt without a commit: the opened sum did not match its commitments.
const (
	StageCollection AbortStage = iota + 1
	StageVote
	StageShares
	StageUnmask
)

// String returns the stage in words.
func (s AbortStage) String() string {
	switch s {
	case StageCollection:
		return "collection"
	case StageVote:
		return "vote"
	case StageShares:
		return "shares"
	case StageUnmask:
		return "unmask"
	}
	return fmt.Sprintf("stage %d", uint8(s))
}

// Checks names what the maker of a report checked with functions that this package
// does not have itself.
type Checks uint8

// The checks that depend on other packages.
const (
	CheckedCertificates Checks = 1 << iota
	CheckedPlans
	allChecks = CheckedCertificates | CheckedPlans
)

func (c *codec) task(t *Task) {
	c.u8((*uint8)(t))
	if c.err == nil && (*t < Statistics || *t > Evaluate) {
		c.fail("unknown task %d", *t)
	}
}

func (c *codec) stage(s *AbortStage) {
	c.u8((*uint8)(s))
	if c.err == nil && (*s < StageCollection || *s > StageUnmask) {
		c.fail("unknown stage %d", *s)
	}
}
