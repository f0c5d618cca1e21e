package audit

import "tacit/id"

// Genesis is entry 0 of every log, and of no other place. Digest: the charter's bytes
// with their signatures.
type Genesis struct {
	Federation id.FederationID
	Name       string
	Charter    id.CharterHash
	LogKey     string // the log's verifier key, as the charter names it
}

// CharterAdopted puts a new version of the charter in force. Digest: its bytes with
// their signatures.
type CharterAdopted struct {
	Version uint32
	Charter id.CharterHash
}

// RosterChanged puts the next version of the roster in force. Digest: its bytes with
// their signatures.
type RosterChanged struct {
	Version uint64
	Roster  id.RosterHash
	Members uint32
}

// TokenIssued says that a one-time token exists. Commitment is [Commit] of its hash.
type TokenIssued struct {
	Commitment id.Digest
	NotAfter   int64 // Unix seconds
}

// TokenRedeemed says that a token was used up.
type TokenRedeemed struct{ Commitment id.Digest }

// IdentityEnrolled says that an agent proved that it holds its key. It becomes a
// member with the roster that names it.
type IdentityEnrolled struct {
	Agent id.AgentID
	Key   id.Digest // SHA-256 of the public key's bytes
}

// PlanApproved says that a branch's policy, or with the zero agent the coordinator,
// accepted a plan.
type PlanApproved struct {
	Plan  id.PlanHash
	Agent id.AgentID
}

// PlanRefused is the opposite of PlanApproved. The policy itself never leaves the
// branch; the code does.
type PlanRefused struct {
	Plan  id.PlanHash
	Agent id.AgentID
	Code  string
}

// RunStarted opens a run. Digest: its [RunRecord].
type RunStarted struct {
	Plan   id.PlanHash
	Model  id.ModelHash // the initial model record
	Rounds uint32       // training rounds that the plan asks for
}

// EpochOpened says that a cohort agreed on keys. Digest: its [EpochRecord].
type EpochOpened struct {
	Epoch                                  uint64
	Root                                   id.EpochRoot
	Members, Quorum, Threshold, MinRelease uint16
}

// RoundOpened says what an attempt computes, before any branch trains.
type RoundOpened struct {
	Epoch                uint64
	Task                 Task
	Plan                 id.PlanHash
	Model                id.ModelHash
	Ctx                  id.Ctx
	Config               id.ConfigHash
	Charter              id.CharterHash
	Root                 id.EpochRoot
	Cohorts, Cohort, Dim uint32
}

// SetCertified says that a quorum voted for one set. Digest: the certificate's bytes.
type SetCertified struct {
	Size   uint16
	Online id.Digest // the digest of the set that members voted for
}

// RoundCommitted closes an attempt with a new model. Digest: its [RoundRecord].
type RoundCommitted struct {
	Task          Task
	Size          uint16
	Sum           id.Digest // digest of the opened sum
	Before, After id.ModelHash
}

// RoundAborted closes an attempt without one. Digest: its [RoundRecord].
type RoundAborted struct {
	Task        Task
	Stage       AbortStage
	Reason      string
	Culprit     id.AgentID // zero when nobody is blamed
	Certificate id.Digest  // of the quorum's abort certificate; zero without one
}

// RunFinished closes a run. Digest: its [FinishRecord].
type RunFinished struct {
	Model   id.ModelHash
	Rounds  uint32 // training rounds committed
	Outcome string // "completed", "stopped" or "cancelled"
}

// ModelExported says that a model left the vault.
type ModelExported struct {
	Model     id.ModelHash
	Recipient id.Digest // [Commit] of the recipient; zero for a plaintext export
	Plaintext bool
}

// ConfigurationChanged says that the file called Name changed.
type ConfigurationChanged struct {
	Name          string
	Before, After id.Digest // Before is zero the first time
}

// SoftwareRecorded says which program serves from here on.
type SoftwareRecorded struct {
	Version string
	Binary  id.Digest // SHA-256 of the executable
}

// ServerStarted marks every start of a server process.
type ServerStarted struct{ Fence uint64 } // the fencing epoch, strictly rising

// ReportMade is the last entry of every archive. Digest: report.html.
type ReportMade struct {
	Renderer uint32
	Checks   Checks    // what the maker checked beyond this package
	JSON     id.Digest // report.json
}

func (Genesis) Kind() Kind              { return KindGenesis }
func (CharterAdopted) Kind() Kind       { return KindCharterAdopted }
func (RosterChanged) Kind() Kind        { return KindRosterChanged }
func (TokenIssued) Kind() Kind          { return KindTokenIssued }
func (TokenRedeemed) Kind() Kind        { return KindTokenRedeemed }
func (IdentityEnrolled) Kind() Kind     { return KindIdentityEnrolled }
func (PlanApproved) Kind() Kind         { return KindPlanApproved }
func (PlanRefused) Kind() Kind          { return KindPlanRefused }
func (RunStarted) Kind() Kind           { return KindRunStarted }
func (EpochOpened) Kind() Kind          { return KindEpochOpened }
func (RoundOpened) Kind() Kind          { return KindRoundOpened }
func (SetCertified) Kind() Kind         { return KindSetCertified }
func (RoundCommitted) Kind() Kind       { return KindRoundCommitted }
func (RoundAborted) Kind() Kind         { return KindRoundAborted }
func (RunFinished) Kind() Kind          { return KindRunFinished }
func (ModelExported) Kind() Kind        { return KindModelExported }
func (ConfigurationChanged) Kind() Kind { return KindConfigurationChanged }
func (SoftwareRecorded) Kind() Kind     { return KindSoftwareRecorded }
func (ServerStarted) Kind() Kind        { return KindServerStarted }
func (ReportMade) Kind() Kind           { return KindReportMade }

func (p Genesis) code(c *codec) Payload {
	c.fixed(p.Federation[:])
	c.name(&p.Name)
	c.fixed(p.Charter[:])
	c.logKey(&p.LogKey)
	return p
}

func (p CharterAdopted) code(c *codec) Payload {
	c.u32(&p.Version)
	c.fixed(p.Charter[:])
	return p
}

func (p RosterChanged) code(c *codec) Payload {
	c.u64(&p.Version)
	c.fixed(p.Roster[:])
	c.u32(&p.Members)
	return p
}

func (p TokenIssued) code(c *codec) Payload {
	c.fixed(p.Commitment[:])
	c.i64(&p.NotAfter)
	return p
}

func (p TokenRedeemed) code(c *codec) Payload {
	c.fixed(p.Commitment[:])
	return p
}

func (p IdentityEnrolled) code(c *codec) Payload {
	c.fixed(p.Agent[:])
	c.fixed(p.Key[:])
	return p
}

func (p PlanApproved) code(c *codec) Payload {
	c.fixed(p.Plan[:])
	c.fixed(p.Agent[:])
	return p
}

func (p PlanRefused) code(c *codec) Payload {
	c.fixed(p.Plan[:])
	c.fixed(p.Agent[:])
	c.token(&p.Code)
	return p
}

func (p RunStarted) code(c *codec) Payload {
	c.fixed(p.Plan[:])
	c.fixed(p.Model[:])
	c.u32(&p.Rounds)
	return p
}

func (p EpochOpened) code(c *codec) Payload {
	c.u64(&p.Epoch)
	c.fixed(p.Root[:])
	c.u16(&p.Members)
	c.u16(&p.Quorum)
	c.u16(&p.Threshold)
	c.u16(&p.MinRelease)
	return p
}

func (p RoundOpened) code(c *codec) Payload {
	c.u64(&p.Epoch)
	c.task(&p.Task)
	c.fixed(p.Plan[:])
	c.fixed(p.Model[:])
	c.fixed(p.Ctx[:])
	c.fixed(p.Config[:])
	c.fixed(p.Charter[:])
	c.fixed(p.Root[:])
	c.u32(&p.Cohorts)
	c.u32(&p.Cohort)
	c.u32(&p.Dim)
	return p
}

func (p SetCertified) code(c *codec) Payload {
	c.u16(&p.Size)
	c.fixed(p.Online[:])
	return p
}

func (p RoundCommitted) code(c *codec) Payload {
	c.task(&p.Task)
	c.u16(&p.Size)
	c.fixed(p.Sum[:])
	c.fixed(p.Before[:])
	c.fixed(p.After[:])
	return p
}

func (p RoundAborted) code(c *codec) Payload {
	c.task(&p.Task)
	c.stage(&p.Stage)
	c.token(&p.Reason)
	c.fixed(p.Culprit[:])
	c.fixed(p.Certificate[:])
	return p
}

func (p RunFinished) code(c *codec) Payload {
	c.fixed(p.Model[:])
	c.u32(&p.Rounds)
	c.token(&p.Outcome)
	return p
}

func (p ModelExported) code(c *codec) Payload {
	c.fixed(p.Model[:])
	c.fixed(p.Recipient[:])
	c.boolean(&p.Plaintext)
	if c.err == nil && p.Plaintext != p.Recipient.IsZero() {
		c.fail("a sealed export has a recipient and a plaintext export has none")
	}
	return p
}

func (p ConfigurationChanged) code(c *codec) Payload {
	c.token(&p.Name)
	c.fixed(p.Before[:])
	c.fixed(p.After[:])
	return p
}

func (p SoftwareRecorded) code(c *codec) Payload {
	c.name(&p.Version)
	c.fixed(p.Binary[:])
	return p
}

func (p ServerStarted) code(c *codec) Payload {
	c.u64(&p.Fence)
	return p
}

func (p ReportMade) code(c *codec) Payload {
	c.u32(&p.Renderer)
	c.u8((*uint8)(&p.Checks))
	c.fixed(p.JSON[:])
	if c.err == nil && p.Checks&^allChecks != 0 {
		c.fail("unknown checks %#x", uint8(p.Checks))
	}
	return p
}

// Commit hides value, which may be personal or sensitive to business, behind a salt.
// Whoever holds the salt can show what was committed to; erasing the salt erases the
// value and leaves every proof as it was.
func Commit(salt [32]byte, value []byte) id.Digest {
	return id.Digest(id.Sum[struct{}]("tacit-audit1/commitment", salt[:], value))
}
