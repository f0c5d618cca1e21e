package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/cryptobyte"

	"tacit/dataset"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
	"tacit/vault"
	"tacit/wire"
)

// Journal keys of one run. Those of secureagg stand behind keyProtocol.
const (
	keyRuns     = "run/"
	keyPlan     = "/plan"     // canonical bytes of the plan accepted
	keyModel    = "/model"    // newest global model held
	keyViolated = "/violated" // why this agent takes no further part
	keyProtocol = "/sa/"

	// These outlive the run.
	keyEpochs  = "epoch/"   // + run: highest epoch entered
	keyFinal   = "final/"   // + run: its last model
	keyEnded   = "ended/"   // + run: it ended here and is not taken up again
	keyTrained = "trained/" // secureagg's counts of reports per plan, task and model or round, across runs
)

func runKey(run id.RunID, key string) string { return keyRuns + run.String() + key }

// protocolKey is where a record of secureagg stands. What was reported on counts for
// every run of the agent, also after the run (SECAGG, Hardening 2): two sums over the
// same rows and model and other sets would open their difference.
func protocolKey(run id.RunID, key string) string {
	if strings.HasPrefix(key, keyTrained) {
		return key
	}
	return runKey(run, keyProtocol+key)
}

// run is one training run as this agent sees it: what was accepted, the protocol's
// member, the newest model and the attempt in progress.
type run struct {
	id        id.RunID
	plan      *plan.Plan
	hash      id.PlanHash
	canonical []byte
	data      *dataset.Data
	trainer   Trainer
	training  sync.WaitGroup // who reads data
	first     id.ModelHash   // as the log has it

	member  *secureagg.Member
	roster  id.RosterHash // that member was made for
	rosterB []byte
	epoch   uint64        // highest entered, as journaled
	reread  id.Digest     // the epoch proposal that a newer roster was fetched for
	small   id.RosterHash // the roster that was too small for the protocol, when a newer one was fetched

	model   held
	attempt *attempt

	active  bool      // this session: the plan is accepted
	told    *standing // this session: what AgentState last said
	stalled bool      // the journal failed; the member is to be restored
	paused  bool      // refused for the hours of the policy
	kept    bool      // the plan is in the journal
}

type standing struct {
	epoch uint64
	out   bool
}

// held is a global model that this agent derived itself: the plan's first one, or
// what replaying every round since then led to.
type held struct {
	hash  id.ModelHash
	rec   *strategy.Record
	state strategy.State
	next  uint64 // the round that begins with this model
	r     uint64 // the attempt that led to it, 0 for the first model
}

// bytes is next 8 ‖ r 8 ‖ length 4 ‖ state ‖ record.
func (h *held) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, h.next)
	b = binary.BigEndian.AppendUint64(b, h.r)
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.state)))
	b = append(b, h.state...)
	return h.rec.AppendBinary(b)
}

func parseHeld(b []byte) (h held, err error) {
	s := cryptobyte.String(b)
	var n uint32
	var state []byte
	if !s.ReadUint64(&h.next) || !s.ReadUint64(&h.r) || !s.ReadUint32(&n) || !s.ReadBytes(&state, int(n)) {
		return held{}, errors.New("journal: the model cannot be read")
	}
	if h.rec, err = strategy.ParseRecord(s); err != nil {
		return held{}, fmt.Errorf("journal: %w", err)
	}
	h.state = state
	h.hash = h.rec.Hash()
	return h, nil
}

// attempt is one try of one round.
type attempt struct {
	r, round  uint64
	task      plan.Task
	model     id.ModelHash
	ctx       id.Ctx
	live      bool               // its RoundOpen came in this session
	mayReport bool               // what the member said while behind
	behind    bool               // a commit before it was missed: no training until it is replayed
	cancel    context.CancelFunc // of the training; nil before it
	stopped   bool               // the training must not be reported
	result    *trained           // of a training that ended while there was no session
	report    id.Digest          // of the report and vector sent, for the receipt
	vector    id.Digest
	evidence  Evidence
}

// stopTraining stops the attempt's training, if there is one; nothing of it will be
// reported.
func (r *run) stopTraining() {
	if at := r.attempt; at != nil {
		at.stopped, at.result = true, nil
		if at.cancel != nil {
			at.cancel()
		}
	}
}

// giveUp stops the attempt's training and forgets the attempt.
func (r *run) giveUp() {
	r.stopTraining()
	r.attempt = nil
}

// leave closes the rows of a run that is over, once no training reads them.
func (r *run) leave() {
	if r.data == nil {
		return
	}
	go func() {
		r.training.Wait()
		r.data.Close()
	}()
}

// active returns the run if its plan was accepted in this session and its member is
// there.
func (a *Agent) active(run id.RunID) *run {
	r := a.runs[run]
	if r == nil || !r.active || r.member == nil {
		return nil
	}
	return r
}

// keySeenEpochs is secureagg's record of the epochs that its journal knows.
const keySeenEpochs = "epoch/seen"

// minEpoch is the lowest epoch that a run may enter: above every epoch that this
// agent entered, but for those that the run's own protocol records speak of.
func (a *Agent) minEpoch(run id.RunID) (uint64, error) {
	_, resumed, err := a.st.Get(protocolKey(run, keySeenEpochs))
	if err != nil {
		return 0, err
	}
	least := uint64(1)
	for _, key := range a.st.Keys(keyEpochs) {
		if strings.TrimPrefix(key, keyEpochs) == run.String() && resumed {
			continue // the protocol's own records know
		}
		b, _, err := a.st.Get(key)
		if err != nil {
			return 0, err
		}
		if len(b) != 8 {
			return 0, errors.New("journal: an epoch number cannot be read")
		}
		least = max(least, binary.BigEndian.Uint64(b)+1)
	}
	return least, nil
}

// restore makes the run's member from the journal.
func (a *Agent) restore(r *run) error {
	least, err := a.minEpoch(r.id)
	if err != nil {
		return err
	}
	var readErr error
	get := func(key string) ([]byte, bool) {
		b, ok, err := a.st.Get(protocolKey(r.id, key))
		if err != nil && readErr == nil {
			readErr = err
		}
		return b, ok && err == nil
	}
	m, err := secureagg.RestoreMember(secureagg.MemberConfig{
		Key: a.st.key, Server: a.trust.charter.Server, Charter: a.trust.charter, Roster: a.trust.roster,
		Run: r.id, MinEpoch: least, Rand: rand.Reader,
	}, get)
	if readErr != nil {
		return readErr
	}
	if err != nil {
		return err
	}
	r.member, r.epoch = m, m.Epoch()
	r.roster, r.rosterB = a.trust.roster.Hash(), a.trust.rosterBytes
	return nil
}

// enter takes the run's protocol up: a member that was restored asks to be readmitted
// and the server learns where this agent stands.
func (a *Agent) enter(r *run) error {
	if r.member == nil {
		if err := a.restore(r); err != nil {
			return err
		}
	}
	out, err := r.member.Reenter()
	if err != nil {
		return err
	}
	if err := a.act(r, out); err != nil {
		return err
	}
	return a.tell(r)
}

// tell sends where this agent stands, if the server has not heard that yet.
func (a *Agent) tell(r *run) error {
	if r.member == nil {
		return nil
	}
	now := standing{epoch: r.member.Epoch(), out: r.member.Out()}
	if r.told != nil && r.told.out == now.out {
		return nil
	}
	r.told = &now
	return a.ch.Send(&wire.AgentState{Run: r.id, Epoch: now.epoch, Round: r.model.next, Out: now.out})
}

// records gives the protocol's records their place in the journal, and adds the
// epoch's number when it is new.
func (r *run) records(in []secureagg.Record) []vault.Record {
	out := make([]vault.Record, 0, len(in)+1)
	for _, rec := range in {
		out = append(out, vault.Record{Key: protocolKey(r.id, rec.Key), Value: rec.Value})
	}
	if e := r.member.Epoch(); e > r.epoch {
		out = append(out, vault.Record{Key: keyEpochs + r.id.String(), Value: binary.BigEndian.AppendUint64(nil, e)})
		r.epoch = e
	}
	return out
}

// act does what the protocol asks for, in its order: journal, send, event.
func (a *Agent) act(r *run, out secureagg.Output) error {
	if err := a.persist(r.records(out.Journal)...); err != nil {
		a.stall(r, err)
		return nil
	}
	if m, ok := out.Event.(*secureagg.Masked); ok && !m.Again {
		pointPersisted.Hit()
	}
	var sendErr error
	for _, msg := range out.Send {
		if sendErr = a.sendStage(r, msg); sendErr != nil {
			break
		}
	}
	// The event counts even when the connection broke: what it tells is in the journal.
	if err := a.onEvent(r, out.Event, sendErr == nil); err != nil {
		return err
	}
	if sendErr != nil {
		return sendErr
	}
	return a.tell(r)
}

// sendStage sends one message of the protocol; a Report travels with its vector,
// see [Agent.sendReport].
func (a *Agent) sendStage(r *run, msg []byte) error {
	kind, _ := secureagg.Kind(msg)
	if kind == secureagg.KindReport {
		return nil
	}
	if err := a.ch.Send(&wire.StageUp{Run: r.id, Stage: msg}); err != nil {
		return err
	}
	switch kind {
	case secureagg.KindVote:
		pointVoted.Hit()
	case secureagg.KindShares:
		pointReleased.Hit()
	}
	return nil
}
