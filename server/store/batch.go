package store

import (
	"time"

	"tacit/id"
)

// MaxTries is how many wrong tries burn a token.
const MaxTries = 5

// A Batch is one transition, written whole. Its parts are applied in the order
// of the fields.
type Batch struct {
	// ExpectSize, if set, is the log's size before Entries: it guards the index
	// that a manifest or record promises. Another size is ErrConflict.
	ExpectSize *int64
	Entries    [][]byte

	Settings []Setting
	Charters []Charter // the last one is current
	Rosters  []Roster  // versions rise

	Runs     []Run
	Epochs   []Epoch
	Attempts []Attempt
	Messages []Message
	Reports  []Report
	Models   []Model

	ForgetModels []ModelRef // erases the wrapped identity; the row stays
	ShredSpool   []Key      // erases the sealed spool key; the row stays

	Records []Record

	Tokens     []Token
	Redeem     []Redemption
	WrongTries []string // token IDs, one wrong try each

	Candidates     []Candidate // replaced by Agent
	DropCandidates []id.AgentID

	Receipts     []Receipt
	Cosignatures []Cosignature
	Bytes        []ByteCount // added to what is there
}

// A Key names one attempt of one cohort's slice.
type Key struct {
	Run           id.RunID
	R             uint64 // attempt number: rises within a run, never reused
	Cohort, Slice uint32
}

// A Run is one training run of one plan.
type Run struct {
	// Fixed at the first write.
	ID       id.RunID
	PlanHash id.PlanHash
	Plan     []byte
	Created  time.Time
	// Replaced at each write; Epoch, Round and R never fall.
	State    string
	Epoch    uint64
	Round    uint64 // index of the committed model
	R        uint64
	Model    id.ModelHash
	Strategy []byte // sealed
	Reason   string // why it stopped, or why the last attempt failed
}

// An Epoch is one key epoch. Its number rises per federation, across runs.
type Epoch struct {
	Run    id.RunID
	Number uint64
	E0     []byte // fixed at the first write
	Phase  string // replaced
	Root   []byte // write-once: nil leaves what is there
}

// An Attempt is one try at a round.
type Attempt struct {
	// Fixed at the first write.
	Key
	Epoch uint64
	Task  uint8
	Round uint64
	Model id.ModelHash
	Start []byte
	// Replaced at each write.
	Phase  string
	Reason string
	// Write-once: nil leaves what is there, other bytes are refused. The two
	// certificates exclude each other. A spool key that was shredded stays away.
	OnlineSet        []byte
	Certificate      []byte
	AbortCertificate []byte
	SpoolKey         []byte // sealed
}

// A Message is a protocol message as it arrived, kept for replay.
type Message struct {
	Seq           uint64 // given by the store: rises with arrival
	Run           id.RunID
	Epoch, R      uint64 // R = 0: one of the epoch's own stages
	Cohort, Slice uint32
	Stage         uint8
	From          id.AgentID
	Body          []byte
}

// A Report is one agent's report in one attempt: write-once per agent. Sending
// the same Body and Vector again changes nothing.
type Report struct {
	Key
	Agent  id.AgentID
	Body   []byte   // as signed
	Blob   string   // where the masked vector lies
	Vector [32]byte // its digest
	At     time.Time
}

// A Model is a committed model version: write-once per run and round.
type Model struct {
	Run      id.RunID
	Round    uint64
	Hash     id.ModelHash
	File     string // the sealed blob
	Wrapped  []byte // the version's identity, sealed; erased by ForgetModels
	Manifest []byte
	LogIndex uint64
}

// A ModelRef names a model version.
type ModelRef struct {
	Run   id.RunID
	Round uint64
}

// A Record is a document that a log entry names by its digest: write-once.
type Record struct {
	Digest [32]byte
	Body   []byte
}

// A Token admits one agent once. Only its hash is kept.
type Token struct {
	ID        string
	Hash      [32]byte
	Org, Site string
	Expires   time.Time
	Tries     int        // wrong ones so far
	Redeemed  time.Time  // zero: not yet
	Agent     id.AgentID // that redeemed it
}

// A Redemption uses a token up. It fails with a *TokenError when the token is
// unknown, redeemed, burnt, or expired at At.
type Redemption struct {
	ID    string
	Agent id.AgentID
	At    time.Time
}

// A Candidate is an agent that asked to join and awaits approval.
type Candidate struct {
	Agent     id.AgentID
	Org, Site string
	Body      []byte // the signed request
	Token     string
	At        time.Time
}

// A Roster is one version of the roster, a Charter one of the charter, as signed.
type (
	Roster struct {
		Version uint64
		Body    []byte
	}
	Charter struct {
		Hash [32]byte
		Body []byte
	}
)

// A Receipt is an agent's signed receipt of a committed attempt.
type Receipt struct {
	Key
	Agent id.AgentID
	Body  []byte
}

// A Cosignature is an agent's signature over the checkpoint of a size.
type Cosignature struct {
	Agent id.AgentID
	Size  int64
	Body  []byte
}

// A ByteCount is how much left an agent, by class and kind of message.
type ByteCount struct {
	Agent           id.AgentID
	Class, Kind     string
	Bytes, Messages uint64
}

// A Setting is a named value of the server's own.
type Setting struct {
	Name  string
	Value []byte
}
