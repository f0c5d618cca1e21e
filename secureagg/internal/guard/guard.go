//go:build !evil

// Package guard names the checks on which secure aggregation rests, so that each can
// be shown to be needed. A check reads
//
//	if guard.OneVote && second { refuse }
//
// In every build but one the names are constants: the compiler removes them, and
// nothing can switch a check off. Under the build tag evil they are variables, and
// package evil switches them off one at a time to see its attack succeed.
package guard

const (
	// Checks of a member, in an epoch's setup.

	ProposalSignature = true // the server signed the Proposal
	ProposalOnce      = true // an epoch has one Proposal
	EpochRises        = true // an epoch's number never comes again
	ProposalRoster    = true // a Proposal is for exactly the administrators' roster
	StartRises        = true // an epoch begins at an attempt that is not used
	RosterSignature   = true // the server signed the Roster
	EpochKeySignature = true // an EpochKey is signed by its member
	EpochKeyDistinct  = true // no two members offer one epoch key
	CtListSignature   = true // a delivered ciphertext is in its sender's signed list
	Confirmed         = true // every partner holds the same pairwise key
	ReadyQuorum       = true // a quorum is Ready
	ReadySignature    = true // a Ready is signed by its member
	ReadyList         = true // a Ready is of the list that its member's ciphertexts came from

	// Checks of a member, where an attempt opens and is reported on.

	StartSignature    = true // the server signed the RoundStart
	OwnInputs         = true // the announced inputs are those that the agent holds
	ContextBindsModel = true // ctx binds the model
	AttemptsRise      = true // an attempt opens once, in rising order
	AttemptsPerEpoch  = true // an epoch has no more attempts than the charter allows
	OutcomeFirst      = true // the outcome of the last reported attempt is known
	ModelOnce         = true // a model that was not given up is not reported on again
	RoundOnce         = true // a round that was not given up is not reported on again
	Retries           = true // a model is reported on at most three times
	WholeSeed         = true // all 256 bits of a seed make its mask

	// Checks of a member, in R2 and R3.

	OneVote              = true // a member votes for one set of an attempt
	SetMinimum           = true // a member votes for no set below the minimum
	SetReportSignature   = true // every report in a set is signed by its agent
	BlobPath             = true // a blob is the one that its dealer signed
	BlobShares           = true // a blob holds the shares that its dealer committed to
	VoteAfterClose       = true // no vote after Close
	CertificateContext   = true // a certificate is of the open attempt
	CertificateMinimum   = true // a certified set is not below the minimum
	CertificateQuorum    = true // a quorum voted
	CertificateSignature = true // every vote in a certificate is signed by its member
	CertifiedSet         = true // the certified set is the one that this member voted on
	ReleaseOnce          = true // shares are released once
	ReleaseAfterClose    = true // no release after Close
	OneSecret            = true // of a dealer, its self seed or its pair seeds are opened, never both
	Erase                = true // opened shares and chain keys are erased where an attempt ends
	CloseAfterRelease    = true // no Close after a release
	AbortQuorum          = true // a quorum gave the attempt up
	AbortSignature       = true // every Close in an abort certificate is signed by its member

	// Checks of a member whose process restarted.

	OutAfterRestart  = true // a restarted member is out until readmitted
	ReentrySignature = true // a Reentry is signed by its member
	FloorNonce       = true // a Floor answers this Reentry
	FloorSignature   = true // a Floor is signed by its member
	FloorMark        = true // no other member saw more than the journal knows
	FloorCount       = true // enough others answered
	FreshReport      = true // no fresh report for an attempt that was open before

	// Checks of the server.

	CtListReceived     = true // a CtList is signed by its sender
	ReportReceived     = true // a Report is signed by its sender
	ReportOnce         = true // an agent has one report in an attempt
	ReportVector       = true // the vector is the one that the report signs
	PairCommitments    = true // two ends of a pair commit to one seed
	VoteReceived       = true // a Vote is signed by its sender
	VoteSet            = true // a vote is for the set that was sent
	ComplaintSignature = true // a complaint is signed by its accuser
	ComplaintFalse     = true // the blob that is complained of does not open
	ComplaintLimit     = true // enough voters can open every dealer's blobs
	SharesReceived     = true // a release is signed by its sender
	ShareProof         = true // a released share is the one that was dealt
	SeedCommitment     = true // an opened seed is the one that its dealer committed to
	CloseReceived      = true // a Close is signed by its sender
	ReentryReceived    = true // a Reentry is signed by its sender
	FloorReceived      = true // a Floor is signed by its sender
)
