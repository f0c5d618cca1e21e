package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"

	"tacit/id"
)

// MaxRecordBytes bounds a record.
const MaxRecordBytes = 8 << 20

const (
	maxPlan        = 1 << 20
	maxCertificate = 4 << 20
	maxValues      = 256
)

// The type bytes of records.
const (
	recordVersion = 1
	recordRun     = 1
	recordEpoch   = 2
	recordRound   = 3
	recordFinish  = 4
)

// Value is a named number: a value of a plan that the report shows, or a sum that a
// round opened.
type Value struct {
	Name  string
	Value float64
}

// Metrics that the report knows. Each is a sum over the certified set; other names
// are listed as they are.
const (
	MetricExamples = "examples" // examples that the metrics are of
	MetricLoss     = "loss"     // sum of the examples' losses
	MetricCorrect  = "correct"  // examples classified correctly
	MetricClamped  = "clamped"  // coordinates that met the bound of the encoding
)

func (c *codec) values(v *[]Value) {
	n := c.count(len(*v), maxValues, 11)
	if c.w == nil && n > 0 {
		*v = make([]Value, n)
	}
	for i := range n {
		c.token(&(*v)[i].Name)
		c.f64(&(*v)[i].Value)
		if c.err == nil && i > 0 && (*v)[i].Name <= (*v)[i-1].Name {
			c.fail("values are not ascending at %q", (*v)[i].Name)
		}
	}
}

func lookup(v []Value, name string) (float64, bool) {
	for _, x := range v {
		if x.Name == name {
			return x.Value, true
		}
	}
	return 0, false
}

func (c *codec) header(kind uint8) {
	c.magic("tacit record")
	version, k := uint8(recordVersion), kind
	c.u8(&version)
	c.u8(&k)
	if c.err == nil && version != recordVersion {
		c.fail("format %d; this build reads %d", version, recordVersion)
	}
	if c.err == nil && k != kind {
		c.fail("type %d where %d is wanted", k, kind)
	}
}

// RunRecord is what a run set out to do.
type RunRecord struct {
	Run     id.RunID
	Plan    id.PlanHash
	Name    string
	Purpose string // in the operator's words; may be empty
	Family  string // model family
	Privacy string // output privacy: "none"

	Canonical []byte  // the resolved plan; opaque here, Plan is its hash
	Text      string  // the resolved plan for people, printed verbatim
	Values    []Value // the numbers of the plan that the report shows, ascending by name
}

func (r *RunRecord) code(c *codec) {
	c.header(recordRun)
	c.fixed(r.Run[:])
	c.fixed(r.Plan[:])
	c.name(&r.Name)
	c.text(&r.Purpose, 4096)
	c.name(&r.Family)
	c.token(&r.Privacy)
	c.bytes(&r.Canonical, maxPlan)
	c.text(&r.Text, maxPlan)
	c.values(&r.Values)
}

// EpochMember is a member of an epoch. Its full key is in the roster.
type EpochMember struct {
	Agent       id.AgentID
	Org, Site   string
	Fingerprint string
}

// EpochRecord is what a cohort agreed on.
type EpochRecord struct {
	Run           id.RunID
	Epoch         uint64
	Root          id.EpochRoot
	Charter       id.CharterHash
	Roster        id.RosterHash
	RosterVersion uint64

	// The parameters of SECAGG, Hardening 8: votes that certify a set, shares that
	// open it, the smallest set; how many may be absent, and how many may be corrupt.
	Quorum, Threshold, MinRelease, Live, Private uint16

	Members []EpochMember // ascending by agent
	Traffic []Traffic     // since the previous record
}

func (r *EpochRecord) code(c *codec) {
	c.header(recordEpoch)
	c.fixed(r.Run[:])
	c.u64(&r.Epoch)
	c.fixed(r.Root[:])
	c.fixed(r.Charter[:])
	c.fixed(r.Roster[:])
	c.u64(&r.RosterVersion)
	for _, v := range []*uint16{&r.Quorum, &r.Threshold, &r.MinRelease, &r.Live, &r.Private} {
		c.u16(v)
	}
	n := c.count(len(r.Members), maxMembers, 25)
	if c.w == nil && n > 0 {
		r.Members = make([]EpochMember, n)
	}
	for i := range n {
		m := &r.Members[i]
		c.fixed(m.Agent[:])
		c.name(&m.Org)
		c.name(&m.Site)
		c.token(&m.Fingerprint)
		if c.err == nil && i > 0 && bytes.Compare(m.Agent[:], r.Members[i-1].Agent[:]) <= 0 {
			c.fail("members are not ascending by agent")
		}
	}
	c.traffic(&r.Traffic)
}

// Outcome says how an attempt ended.
type Outcome uint8

// The outcomes of an attempt.
const (
	Committed Outcome = iota + 1
	Aborted
)

// String returns the outcome in words.
func (o Outcome) String() string {
	switch o {
	case Committed:
		return "committed"
	case Aborted:
		return "aborted"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// BranchState is what one member did in an attempt, as the server saw it.
type BranchState uint8

// The bits of a BranchState.
const (
	Opened    BranchState = 1 << iota // it took the attempt up
	Reported                          // its masked report arrived whole
	InSet                             // it is in the certified set
	Voted                             // it voted for the set
	Released                          // it released its shares of the set
	Dropped                           // its connection was lost during the attempt
	Closed                            // it signed that it gave the attempt up
	allStates = Opened | Reported | InSet | Voted | Released | Dropped | Closed
)

// RoundRecord is how one attempt went. It holds no time finer than whole seconds of
// the attempt as a whole: per-branch latencies would tell about the branch's rows.
type RoundRecord struct {
	Run                           id.RunID
	R                             uint64
	Round                         uint64
	Epoch                         uint64
	Task                          Task
	Outcome                       Outcome
	Ctx                           id.Ctx
	Set                           []byte        // certified set: member i of the epoch is bit i%8 of byte i/8; empty if none was certified
	Strip                         []BranchState // one per member of the epoch
	Seconds                       uint32        // from the opening to the end
	Metrics                       []Value       // sums over the set, ascending by name
	Sum                           id.Digest     // of the opened sum; zero if aborted
	Online                        id.Digest     // of the set that members voted for; zero if none was certified
	Certificate, AbortCertificate []byte        // opaque; empty if there is none
	Traffic                       []Traffic     // since the previous record
}

func (r *RoundRecord) code(c *codec) {
	c.header(recordRound)
	c.fixed(r.Run[:])
	c.u64(&r.R)
	c.u64(&r.Round)
	c.u64(&r.Epoch)
	c.task(&r.Task)
	c.u8((*uint8)(&r.Outcome))
	if c.err == nil && (r.Outcome < Committed || r.Outcome > Aborted) {
		c.fail("unknown outcome %d", r.Outcome)
	}
	c.fixed(r.Ctx[:])
	n := c.count(len(r.Strip), maxMembers, 1)
	if c.w == nil && n > 0 {
		r.Strip = make([]BranchState, n)
	}
	for i := range n {
		c.u8((*uint8)(&r.Strip[i]))
		if c.err == nil && r.Strip[i]&^allStates != 0 {
			c.fail("unknown branch state %#x", uint8(r.Strip[i]))
		}
	}
	c.bytes(&r.Set, maxMembers/8)
	if c.err == nil {
		if err := r.checkSet(); err != nil {
			c.fail("%w", err)
		}
	}
	c.u32(&r.Seconds)
	c.values(&r.Metrics)
	c.fixed(r.Sum[:])
	c.fixed(r.Online[:])
	c.bytes(&r.Certificate, maxCertificate)
	c.bytes(&r.AbortCertificate, maxCertificate)
	c.traffic(&r.Traffic)
}

// checkSet holds the bitmap against the strip.
func (r *RoundRecord) checkSet() error {
	if len(r.Set) != 0 && len(r.Set) != (len(r.Strip)+7)/8 {
		return fmt.Errorf("a set of %d bytes for %d members", len(r.Set), len(r.Strip))
	}
	for i := range 8 * len(r.Set) {
		in := r.has(i)
		if in && i >= len(r.Strip) {
			return errors.New("a set with a member beyond the last")
		}
		if in && r.Strip[i]&Reported == 0 {
			return fmt.Errorf("member %d is in the set without a report", i)
		}
	}
	for i, s := range r.Strip {
		if (s&InSet != 0) != r.has(i) {
			return fmt.Errorf("set and strip disagree on member %d", i)
		}
	}
	return nil
}

func (r *RoundRecord) has(i int) bool {
	return i/8 < len(r.Set) && r.Set[i/8]>>(i%8)&1 == 1
}

func (r *RoundRecord) setSize() int {
	n := 0
	for _, b := range r.Set {
		n += bits.OnesCount8(b)
	}
	return n
}

// FinishRecord closes a run's account.
type FinishRecord struct {
	Run     id.RunID
	Traffic []Traffic // since the previous record
}

func (r *FinishRecord) code(c *codec) {
	c.header(recordFinish)
	c.fixed(r.Run[:])
	c.traffic(&r.Traffic)
}

func appendRecord(b []byte, what string, fields func(*codec)) ([]byte, error) {
	out, err := encode(b, fields)
	if err == nil && len(out)-len(b) > MaxRecordBytes {
		err = fmt.Errorf("%d bytes, at most %d", len(out)-len(b), MaxRecordBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %s record: %w", what, err)
	}
	return out, nil
}

func parseRecord(b []byte, what string, fields func(*codec)) error {
	if len(b) > MaxRecordBytes {
		return fmt.Errorf("audit: %s record: %d bytes, at most %d", what, len(b), MaxRecordBytes)
	}
	if err := decode(b, fields); err != nil {
		return fmt.Errorf("audit: %s record: %w", what, err)
	}
	return nil
}

// AppendBinary appends the record's canonical bytes.
func (r *RunRecord) AppendBinary(b []byte) ([]byte, error) { return appendRecord(b, "run", r.code) }

// AppendBinary appends the record's canonical bytes.
func (r *EpochRecord) AppendBinary(b []byte) ([]byte, error) { return appendRecord(b, "epoch", r.code) }

// AppendBinary appends the record's canonical bytes.
func (r *RoundRecord) AppendBinary(b []byte) ([]byte, error) { return appendRecord(b, "round", r.code) }

// AppendBinary appends the record's canonical bytes.
func (r *FinishRecord) AppendBinary(b []byte) ([]byte, error) {
	return appendRecord(b, "finish", r.code)
}

// ParseRunRecord reads exactly the bytes that AppendBinary writes.
func ParseRunRecord(b []byte) (*RunRecord, error) {
	r := new(RunRecord)
	if err := parseRecord(b, "run", r.code); err != nil {
		return nil, err
	}
	return r, nil
}

// ParseEpochRecord reads exactly the bytes that AppendBinary writes.
func ParseEpochRecord(b []byte) (*EpochRecord, error) {
	r := new(EpochRecord)
	if err := parseRecord(b, "epoch", r.code); err != nil {
		return nil, err
	}
	return r, nil
}

// ParseRoundRecord reads exactly the bytes that AppendBinary writes.
func ParseRoundRecord(b []byte) (*RoundRecord, error) {
	r := new(RoundRecord)
	if err := parseRecord(b, "round", r.code); err != nil {
		return nil, err
	}
	return r, nil
}

// ParseFinishRecord reads exactly the bytes that AppendBinary writes.
func ParseFinishRecord(b []byte) (*FinishRecord, error) {
	r := new(FinishRecord)
	if err := parseRecord(b, "finish", r.code); err != nil {
		return nil, err
	}
	return r, nil
}
