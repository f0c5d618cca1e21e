package id

// Label is the purpose of a signature. A signature covers label ‖ 0x00 ‖ body, so
// that bytes signed for one purpose mean nothing for another.
type Label string

// The labels of every signed thing. Those of the protocol begin with tacit-sa1/,
// those of membership and documents with tacit-id1/.
const (
	// Hybrid: both Ed25519 and ML-DSA-65 must verify.

	LabelCharter    Label = "tacit-id1/charter"    // an administrator, over a charter's body
	LabelRoster     Label = "tacit-id1/roster"     // an administrator, over a roster's body
	LabelJoin       Label = "tacit-id1/join"       // an agent, proof of possession over the join request
	LabelModel      Label = "tacit-id1/model"      // the server, over a model's manifest
	LabelEpochKey   Label = "tacit-sa1/epochkey"   // an agent, over its epoch key (E1)
	LabelCtList     Label = "tacit-sa1/ctlist"     // an agent, over the root of its ciphertexts (E3)
	LabelReady      Label = "tacit-sa1/ready"      // an agent, over what it agreed on (E4)
	LabelRosterE    Label = "tacit-sa1/roster"     // the server, over an epoch's roster (E2)
	LabelProposal   Label = "tacit-sa1/proposal"   // the server, over an epoch's proposal (E0)
	LabelRevocation Label = "tacit-id1/revocation" // an administrator, over a revoked agent

	// Ed25519 alone.

	LabelAuth       Label = "tacit-id1/auth"       // an agent, over a channel's binding
	LabelRoundStart Label = "tacit-sa1/roundstart" // the server (R0)
	LabelReport     Label = "tacit-sa1/report"     // an agent (R1)
	LabelVote       Label = "tacit-sa1/vote"       // an agent (R2)
	LabelRelease    Label = "tacit-sa1/release"    // an agent (R3)
	LabelClose      Label = "tacit-sa1/close"      // an agent, giving an attempt up
	LabelComplaint  Label = "tacit-sa1/complaint"  // an agent, over a blob that does not open
	LabelManifest   Label = "tacit-sa1/manifest"   // an agent, over the cohorts' manifest
	LabelReentry    Label = "tacit-sa1/reentry"    // an agent that restarted
	LabelFloor      Label = "tacit-sa1/floor"      // an agent, over what it saw of another
	LabelRekey      Label = "tacit-sa1/rekey"      // an agent that cannot rejoin its epoch
	LabelReceipt    Label = "tacit-id1/receipt"    // an agent, over a committed round
	LabelAck        Label = "tacit-id1/ack"        // the server, over a report it holds
)

// Labels lists every label, for the test of their uniqueness and for
// implementers.
func Labels() []Label {
	return []Label{
		LabelCharter, LabelRoster, LabelJoin, LabelModel, LabelEpochKey, LabelCtList, LabelReady,
		LabelRosterE, LabelProposal, LabelRevocation, LabelAuth, LabelRoundStart, LabelReport, LabelVote,
		LabelRelease, LabelClose, LabelComplaint, LabelManifest, LabelReentry, LabelFloor,
		LabelRekey, LabelReceipt, LabelAck,
	}
}

// message returns what a signature with label l over body covers.
func (l Label) message(body []byte) []byte {
	m := make([]byte, 0, len(l)+1+len(body))
	m = append(m, l...)
	m = append(m, 0)
	return append(m, body...)
}
