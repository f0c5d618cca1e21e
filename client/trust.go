package client

import (
	"errors"
	"fmt"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/vault"
	"tacit/wire"
)

// Journal keys of what the agent knows of the federation. They hold nothing secret.
const (
	keyWitness = "witness" // pinned log key and last checkpoint
	keyRoster  = "roster"  // last roster accepted
	keyCharter = "charter"
)

// trust is what the agent believes of its federation, and why: the charter is the
// pinned one, everything else follows from it.
type trust struct {
	charter      *id.Charter
	charterBytes []byte
	roster       *id.Roster
	rosterBytes  []byte
	witness      *audit.Witness
	dirty        bool // witness moved since it was last written
}

// load reads what an earlier process accepted.
func (t *trust) load(st *state, pinned id.CharterHash) error {
	if b, ok, err := st.Get(keyCharter); err != nil {
		return err
	} else if ok {
		if t.charter, err = id.ParseCharter(b); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		t.charterBytes = b
		if t.charter.Hash() != pinned {
			return errors.New("journal: the charter is not the pinned one")
		}
	}
	if b, ok, err := st.Get(keyRoster); err != nil {
		return err
	} else if ok {
		if t.roster, err = id.ParseRoster(b); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		t.rosterBytes = b
	}
	if b, ok, err := st.Get(keyWitness); err != nil {
		return err
	} else if ok {
		if t.witness, err = audit.ParseWitness(b); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// treeSize is the size of the log as last seen.
func (t *trust) treeSize() uint64 {
	if t.witness == nil {
		return 0
	}
	head, _ := t.witness.Head()
	return head.Size
}

// welcome checks what the server says of the federation: the charter is the pinned
// one and names the server's keys, the roster is signed under it, holds this agent
// and is never older than one seen, and the log extends the last checkpoint.
func (t *trust) welcome(w *wire.Welcome, ref ServerRef, self id.AgentID, now time.Time) ([]vault.Record, error) {
	untrusted := func(what string, err error) error {
		return &StopError{What: what, Err: err, Do: "the server cannot speak for the federation that this branch joined: ask its administrators"}
	}
	charter, err := id.ParseCharter(w.Charter)
	if err != nil {
		return nil, untrusted("the server's charter cannot be read", err)
	}
	if charter.Hash() != ref.Charter {
		return nil, untrusted("the server's charter is not the one that the joining string pinned", nil)
	}
	if err := charter.Verify(); err != nil {
		return nil, untrusted("the charter is not signed", err)
	}
	server, err := id.ParsePublicKey(w.ServerKey)
	switch {
	case err != nil || !server.Equal(&charter.Server):
		return nil, untrusted("the server's signing key is not the charter's", err)
	case w.LogKey != charter.LogKey:
		return nil, untrusted("the log's key is not the charter's", nil)
	case w.Federation != charter.Federation:
		return nil, untrusted("the server speaks for another federation", nil)
	case charter.Channel != ref.Channel:
		return nil, untrusted("the channel's key is not the charter's", nil)
	}
	roster, err := id.ParseRoster(w.Roster)
	if err != nil {
		return nil, untrusted("the roster cannot be read", err)
	}
	if err := roster.Verify(charter); err != nil {
		return nil, untrusted("the roster is not signed by the administrators", err)
	}
	if old := t.roster; old != nil {
		switch {
		case roster.Version < old.Version:
			return nil, untrusted(fmt.Sprintf("the server shows roster version %d after version %d", roster.Version, old.Version), nil)
		case roster.Version == old.Version && roster.Hash() != old.Hash():
			return nil, untrusted(fmt.Sprintf("there are two rosters of version %d", roster.Version), nil)
		}
	}
	member := roster.Lookup(self)
	switch {
	case member == nil:
		return nil, &StopError{What: "this agent is not on the federation's roster", Do: "ask the administrator to approve this site: tacit site approve"}
	case now.Unix() > member.NotAfter:
		return nil, &StopError{What: "this agent's membership ended on " + time.Unix(member.NotAfter, 0).UTC().Format(time.DateOnly), Do: "ask the administrator to renew it"}
	}
	witness := t.witness
	if witness == nil {
		if witness, err = audit.NewWitness(charter.LogKey); err != nil {
			return nil, untrusted("the log's key cannot be read", err)
		}
	} else if witness.LogKey() != charter.LogKey {
		return nil, untrusted("the log's key has changed", nil)
	}
	next := &trust{charter: charter, charterBytes: w.Charter, roster: roster, rosterBytes: w.Roster, witness: witness}
	if err := next.advance(&w.Proof); err != nil {
		return nil, err
	}
	*t = *next
	return []vault.Record{{Key: keyCharter, Value: t.charterBytes}, {Key: keyRoster, Value: t.rosterBytes}}, nil
}

// errOtherProof is a consistency proof from another size than this agent's. It says
// nothing of the log; the next connection begins with this agent's size.
var errOtherProof = errors.New("a proof that was made for another checkpoint")

// advance moves the witness to the proof's checkpoint. A *audit.Violation convicts
// the log.
func (t *trust) advance(p *wire.Proof) error {
	head, seen := t.witness.Head()
	if seen && p.TreeSize > head.Size && p.OldSize != head.Size {
		// Not the proof that was asked for, so its failure would say nothing of the log.
		return fmt.Errorf("%w: it is from size %d, the last checkpoint seen has %d", errOtherProof, p.OldSize, head.Size)
	}
	proof := make(audit.Proof, len(p.Consistency))
	for i, h := range p.Consistency {
		proof[i] = h
	}
	if !seen {
		proof = nil
	}
	if err := t.witness.Advance(p.Checkpoint, proof); err != nil {
		return err
	}
	now, _ := t.witness.Head()
	if now.Size != p.TreeSize {
		return fmt.Errorf("client: a proof for a log of %d with a checkpoint of %d", p.TreeSize, now.Size)
	}
	t.dirty = t.dirty || !seen || now.Size != head.Size
	return nil
}

// entry checks that the log holds entry, as the proof's checkpoint shows, and
// returns it.
func (t *trust) entry(entry []byte, p *wire.Proof) (audit.Entry, error) {
	if err := t.advance(p); err != nil {
		return audit.Entry{}, err
	}
	return t.witness.CheckEntry(entry, p.Index, inclusion(p))
}

func inclusion(p *wire.Proof) audit.Proof {
	proof := make(audit.Proof, len(p.Inclusion))
	for i, h := range p.Inclusion {
		proof[i] = h
	}
	return proof
}
