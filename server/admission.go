package server

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"tacit/audit"
	"tacit/id"
	"tacit/server/engine"
	"tacit/server/store"
	"tacit/wire"
)

// tokenLifetimeMax bounds an invitation.
const tokenLifetimeMax = 30 * 24 * time.Hour

// admit brings a new channel to the point where a member is on its other end: the
// member's Auth, or a candidate's Join and its approval first. A stranger has little
// time for either.
func (ss *session) admit() error {
	var next chan arrival // a message that is being read already
	for {
		var a arrival
		if next != nil {
			a, next = <-next, nil
		} else {
			a = ss.receive()
		}
		if a.err != nil {
			return a.err
		}
		switch m := a.msg.(type) {
		case *wire.Join:
			var err error
			if next, err = ss.join(m, a); err != nil {
				return err
			}
		case *wire.Auth:
			if err := ss.auth(m); err != nil {
				return err
			}
			ss.patience.Stop()
			ss.count(m.Agent, a)
			return nil
		default:
			return &wire.Error{Code: wire.CodeProtocol, Message: "neither Join nor Auth came first"}
		}
	}
}

// join checks a candidate's token and keys and answers where it stands; then it
// waits with the candidate until an administrator has decided. It returns where the
// candidate's next message will come from.
func (ss *session) join(m *wire.Join, a arrival) (next chan arrival, err error) {
	key, err := m.Verify(ss.ch.Binding())
	if err != nil {
		return nil, &wire.Error{Code: wire.CodeBadSignature, Message: "the joining branch does not prove that it holds its key"}
	}
	agent := key.AgentID()
	if err := ss.s.enrol(m, key); err != nil {
		return nil, err
	}
	ss.count(agent, a)
	ss.patience.Reset(joinPatience)
	defer ss.patience.Reset(strangerPatience)
	ss.s.await(agent, ss)
	defer ss.s.awaited(agent, ss)
	for {
		changed := ss.s.rosterChanges()
		status := &wire.JoinStatus{State: wire.JoinPending, Agent: agent, Fingerprint: key.Fingerprint()}
		if ss.s.member(agent) != nil {
			status.State = wire.JoinApproved
		}
		if err := ss.ch.Send(status); err != nil {
			return nil, err
		}
		if status.State == wire.JoinApproved {
			return next, nil
		}
		if next == nil { // a candidate says nothing while it waits, but it may go
			came := make(chan arrival, 1) // not next itself: a return sets that
			go func() { came <- ss.receive() }()
			next = came
		}
		select {
		case <-ss.ctx.Done():
			return nil, ss.ctx.Err()
		case a := <-next:
			if a.err != nil {
				return nil, a.err
			}
			return nil, &wire.Error{Code: wire.CodeProtocol, Message: "a candidate waits for its approval"}
		case <-changed:
		}
	}
}

// enrol redeems the token and keeps the candidate. The same token and key again
// change nothing.
func (s *Server) enrol(m *wire.Join, key id.PublicKey) error {
	agent := key.AgentID()
	if s.member(agent) != nil {
		return nil
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	ctx := context.Background()
	tokens, err := s.store.Tokens(ctx)
	if err != nil {
		return err
	}
	hash := id.Token(m.Token).Hash()
	var token *store.Token
	now := time.Now()
	b := &store.Batch{}
	for i := range tokens {
		t := &tokens[i]
		if t.Site != m.Site || t.Org != m.Org {
			continue
		}
		if subtle.ConstantTimeCompare(t.Hash[:], hash[:]) == 1 {
			token = t
		} else if t.Redeemed.IsZero() && t.Tries < store.MaxTries && now.Before(t.Expires) {
			b.WrongTries = append(b.WrongTries, t.ID)
		}
	}
	switch {
	case token == nil:
		if len(b.WrongTries) > 0 {
			if _, err := s.commit(b); err != nil {
				return err
			}
		}
		return &wire.Error{Code: wire.CodeTokenUnknown, Message: "the token is unknown for this site", Hint: "ask the operator for a new joining string"}
	case !token.Redeemed.IsZero() && token.Agent == agent:
		return nil
	case !token.Redeemed.IsZero():
		return &wire.Error{Code: wire.CodeTokenUsed, Message: "the token has been used", Hint: "a joining string works once; ask the operator for a new one"}
	case token.Tries >= store.MaxTries:
		return &wire.Error{Code: wire.CodeTokenUnknown, Message: "the token is burnt after too many wrong tries", Hint: "ask the operator for a new joining string"}
	case now.After(token.Expires):
		return &wire.Error{Code: wire.CodeTokenExpired, Message: "the token has expired", Hint: "ask the operator for a new joining string"}
	}
	member := id.Member{Org: m.Org, Site: m.Site, Key: key, NotBefore: now.Add(-time.Hour).Unix(), NotAfter: now.Add(5 * 365 * 24 * time.Hour).Unix()}
	if err := member.Validate(); err != nil {
		return &wire.Error{Code: wire.CodeProtocol, Message: err.Error()}
	}
	keyDigest := id.SumDigest(key.AppendBinary(nil))
	_, err = s.commit(&store.Batch{
		Redeem: []store.Redemption{{ID: token.ID, Agent: agent, At: now}},
		Candidates: []store.Candidate{{
			Agent: agent, Org: m.Org, Site: m.Site, Body: member.AppendBinary(nil), Token: token.ID, At: now,
		}},
	}, entry(id.RunID{}, 0, 0, id.Digest{}, audit.TokenRedeemed{Commitment: commitment(token.ID)}),
		entry(id.RunID{}, 0, 0, id.Digest{}, audit.IdentityEnrolled{Agent: agent, Key: keyDigest}))
	if err == nil {
		s.log.Info("a branch asks to join", "site", m.Site, "org", m.Org, "fingerprint", key.Fingerprint())
	}
	return err
}

// auth admits a member: the roster knows its key, the key signs this channel, and
// the branch learns what it needs to judge the server.
func (ss *session) auth(m *wire.Auth) error {
	member := ss.s.member(m.Agent)
	if member == nil {
		return &wire.Error{Code: wire.CodeUnknownAgent, Message: "this agent is no member of the federation", Hint: "join first: tacit agent join STRING"}
	}
	if err := m.Verify(member.Key, ss.ch.Binding()); err != nil {
		return &wire.Error{Code: wire.CodeBadSignature, Message: "the agent does not prove that it holds its key"}
	}
	if now := time.Now().Unix(); now < member.NotBefore || now > member.NotAfter {
		return &wire.Error{Code: wire.CodeRevoked, Message: "the membership is not valid today", Hint: "check the clock, or ask an administrator to renew it"}
	}
	ss.agent, ss.notAfter = m.Agent, time.Unix(member.NotAfter, 0)
	charter, roster, version := ss.s.documents()
	ss.roster = version
	proof, size, err := ss.s.prove(logged{}, m.TreeSize)
	if err != nil {
		return err
	}
	ss.seen = size
	key := ss.s.keys.sign.Public()
	return ss.ch.Send(&wire.Welcome{
		Software: Version, Federation: ss.s.charter.Federation, Charter: charter, Roster: roster,
		ServerKey: key.AppendBinary(nil), LogKey: ss.s.charter.LogKey, Proof: proof,
	})
}

// cosigned keeps a checkpoint that a branch has cosigned. One that covers the end of
// the latest attempt says that the branch has verified it.
func (ss *session) cosigned(m *wire.Cosign) error {
	s := ss.s
	head, err := s.checkpointFor(ss.agent, m.Checkpoint, s.member(ss.agent))
	if err != nil {
		s.log.Warn("a cosignature does not verify", "agent", ss.agent.Short(), "error", err)
		return nil
	}
	if err := s.keepCosigned(ss.agent, int64(head.Size), m.Checkpoint); err != nil {
		return err
	}
	if run := s.active(); run != nil {
		run.mu.Lock()
		covers := head.Size > run.end
		run.mu.Unlock()
		if covers {
			ss.post(engine.Acknowledged{Agent: ss.agent})
		}
	}
	return nil
}

// Invite makes a one-time joining string.
func (s *Server) Invite(ctx context.Context, org, site string, ttl time.Duration) (string, error) {
	if err := id.CheckName(org); err != nil {
		return "", fmt.Errorf("organisation: %w", err)
	}
	if err := id.CheckName(site); err != nil {
		return "", fmt.Errorf("site: %w", err)
	}
	if ttl <= 0 || ttl > tokenLifetimeMax {
		return "", fmt.Errorf("an invitation lasts up to %s, not %s", tokenLifetimeMax, ttl)
	}
	s.rosterMu.Lock()
	taken := s.roster.Site(site) != nil
	s.rosterMu.Unlock()
	if taken {
		return "", &DeniedError{Reason: fmt.Sprintf("site %q is a member already", site)}
	}
	var token id.Token
	if _, err := rand.Read(token[:]); err != nil {
		return "", err
	}
	salt, err := newSalt()
	if err != nil {
		return "", err
	}
	hash := token.Hash()
	tokenID := hex.EncodeToString(salt[:])
	expires := time.Now().Add(ttl)
	err = s.write(&store.Batch{Tokens: []store.Token{{ID: tokenID, Hash: hash, Org: org, Site: site, Expires: expires}}},
		entry(id.RunID{}, 0, 0, id.Digest{}, audit.TokenIssued{Commitment: commitment(tokenID), NotAfter: expires.UnixMilli()}))
	if err != nil {
		return "", err
	}
	j := id.JoinString{URL: s.cfg.URL, Org: org, Site: site, Token: token, TLS: s.tlsPin, Channel: s.charter.Channel, Charter: s.charter.Hash()}
	return j.Encode(), nil
}

// commitment is what the log says of a token: salted by the name of its row, so
// that deleting the row leaves nothing to link.
func commitment(tokenID string) id.Digest {
	salt, err := id.ParseHash[struct{}](tokenID)
	if err != nil {
		return id.Digest{}
	}
	return audit.Commit(salt, []byte("token"))
}

func newSalt() (salt [32]byte, err error) {
	_, err = rand.Read(salt[:])
	return salt, err
}

// Sites lists members and candidates.
func (s *Server) Sites(ctx context.Context) ([]Site, error) {
	s.rosterMu.Lock()
	roster := s.roster
	s.rosterMu.Unlock()
	var out []Site
	for i := range roster.Members {
		m := &roster.Members[i]
		out = append(out, Site{Site: m.Site, Org: m.Org, Agent: m.Agent(), Fingerprint: m.Key.Fingerprint(),
			State: "member", Connected: s.connected(m.Agent()), NotAfter: time.Unix(m.NotAfter, 0).UTC()})
	}
	candidates, err := s.store.Candidates(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		m, err := id.ParseMember(c.Body)
		if err != nil {
			return nil, err
		}
		out = append(out, Site{Site: c.Site, Org: c.Org, Agent: c.Agent, Fingerprint: m.Key.Fingerprint(), State: "pending"})
	}
	return out, nil
}

// Propose returns the charter, the roster in force (empty before the first) and the
// entry of the key with that fingerprint that asks to join as the site: several may,
// and whoever asks first must not keep the right one out. The administrator makes the next roster of the two, and signs
// that: no other entry than the one that was compared can come in with it.
func (s *Server) Propose(ctx context.Context, site, fingerprint string) (charter, roster, member []byte, err error) {
	candidates, err := s.store.Candidates(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	asked := false
	for _, c := range candidates {
		if c.Site != site {
			continue
		}
		asked = true
		m, err := id.ParseMember(c.Body)
		if err != nil {
			return nil, nil, nil, err
		}
		if m.Key.Fingerprint() != fingerprint {
			continue
		}
		s.rosterMu.Lock()
		defer s.rosterMu.Unlock()
		if s.roster.Version > 0 {
			roster = s.roster.AppendBinary(nil)
		}
		return s.charter.AppendBinary(nil), roster, c.Body, nil
	}
	if asked {
		return nil, nil, nil, &DeniedError{Reason: fmt.Sprintf("no key with fingerprint %s asks to join as site %q", fingerprint, site), Advice: "tacit site list shows the fingerprints that wait; if the branch reads out another one, invite it again"}
	}
	return nil, nil, nil, &DeniedError{Reason: fmt.Sprintf("no branch asks to join as site %q", site)}
}

// Adopt puts a roster into force that the administrators signed.
func (s *Server) Adopt(ctx context.Context, body []byte) error {
	next, err := id.ParseRoster(body)
	if err != nil {
		return err
	}
	if err := next.Verify(s.charter); err != nil {
		return &DeniedError{Reason: err.Error()}
	}
	s.rosterMu.Lock()
	defer s.rosterMu.Unlock()
	if run, busy, err := s.underway(ctx); err != nil {
		return err
	} else if busy {
		return &DeniedError{Reason: fmt.Sprintf("run %s is in progress; its roster is fixed until it ends", run.Short()), Advice: "sign and bring the roster again when the run is over"}
	}
	if next.Version != s.roster.Version+1 || s.roster.Version > 0 && next.Previous != s.roster.Hash() {
		return &DeniedError{Reason: fmt.Sprintf("roster version %d does not follow version %d; propose it again", next.Version, s.roster.Version), Advice: "tacit site approve makes the next version"}
	}
	b := &store.Batch{Rosters: []store.Roster{{Version: next.Version, Body: body}}}
	// Whoever else asked for a site that is taken now will not get it.
	taken := map[string]bool{}
	for i := range next.Members {
		taken[next.Members[i].Site] = true
		b.DropCandidates = append(b.DropCandidates, next.Members[i].Agent())
	}
	candidates, err := s.store.Candidates(ctx)
	if err != nil {
		return err
	}
	for _, c := range candidates {
		if taken[c.Site] && !slices.Contains(b.DropCandidates, c.Agent) {
			b.DropCandidates = append(b.DropCandidates, c.Agent)
		}
	}
	err = s.write(b, entry(id.RunID{}, 0, 0, id.SumDigest(body),
		audit.RosterChanged{Version: next.Version, Roster: next.Hash(), Members: uint32(len(next.Members))}))
	if err != nil {
		return err
	}
	s.roster = next
	close(s.rosterWake)
	s.rosterWake = make(chan struct{})
	// Members learn the roster in their Welcome, so they are asked to come again.
	s.hangUp(rosterChanged)
	s.log.Info("roster changed", "version", next.Version, "members", len(next.Members))
	return nil
}
