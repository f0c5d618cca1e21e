package client

import (
	"tacit/audit"
	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
	"tacit/wire"
)

func (c *coordinator) stageUp(from id.AgentID, b []byte) {
	kind, _ := secureagg.Kind(b)
	switch kind {
	case secureagg.KindReentry, secureagg.KindFloor:
		out, err := c.epoch.Relay(from, b)
		if err != nil {
			c.t.Logf("relay: %v", err)
		}
		for _, o := range out {
			if o.To != from {
				c.stages([]secureagg.Outgoing{o})
			}
		}
	case secureagg.KindVote:
		cert, out, err := c.round.Vote(from, b)
		if err != nil {
			c.t.Logf("vote: %v", err)
			return
		}
		if cert != nil {
			c.phase, c.outcomes[c.r] = "releasing", cert
		}
		c.stages(out)
	case secureagg.KindShares:
		done, err := c.round.Shares(from, b)
		if err != nil {
			c.t.Logf("shares: %v", err)
			return
		}
		if done && c.phase == "releasing" {
			c.commit()
		}
	case secureagg.KindRekey:
	default:
		out, err := c.epoch.Handle(from, b)
		if err != nil {
			c.t.Logf("epoch %v from %s: %v", kind, from.Short(), err)
		}
		c.stages(out)
		if c.phase == "keying" && c.epoch.Phase() == secureagg.StageLive {
			for _, a := range c.members() {
				c.live[a] = true
			}
			c.openRound()
		}
	}
}

func (c *coordinator) openIfBack() {
	for _, a := range c.members() {
		if !c.live[a] {
			return
		}
	}
	c.openRound()
}

func (c *coordinator) openRound() {
	task, ok := c.plan.Task(c.index)
	if !ok {
		c.finish()
		return
	}
	c.r++
	in := secureagg.RoundInputs{Run: c.run, Plan: c.plan.Hash(), R: c.r, Round: c.index, Task: uint8(task), Model: c.rec.Hash(),
		Config: c.plan.Config(task), Charter: c.charter.Hash(), Cohorts: 1, Dim: c.plan.Dim(task)}
	round, err := c.epoch.NewRound(in)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.round, c.phase = round, "collecting"
	c.vectors, c.out = map[id.AgentID][]uint32{}, map[id.AgentID]bool{}
	opened := audit.RoundOpened{
		Epoch: c.number, Task: audit.Task(task), Plan: in.Plan, Model: in.Model, Ctx: round.Ctx(), Config: in.Config, Charter: in.Charter,
		Root: c.epoch.Root(), Cohorts: 1, Dim: uint32(in.Dim)}
	if c.logged != nil {
		c.logged(&opened)
	}
	c.openedAt = c.log.append(c.t, audit.Entry{Run: c.run, Round: c.index, R: c.r, Payload: opened})
	for _, a := range c.members() {
		c.sendOpen(a)
	}
}

func (c *coordinator) sendOpen(to id.AgentID) {
	if c.skip[to] {
		return
	}
	in := c.round.Inputs()
	c.send(to, func(p *peer) wire.Msg {
		m := &wire.RoundOpen{Run: c.run, R: in.R, Round: in.Round, Task: in.Task, Model: in.Model, Start: c.round.Start(),
			Entry: c.log.entries[c.openedAt], Proof: c.proofFor(p, c.openedAt)}
		if c.open != nil {
			c.open(to, m)
		}
		return m
	})
}

func (c *coordinator) vector(p *peer, m *wire.Vector) {
	rep := c.pending[p.agent]
	if rep == nil || rep.R != m.R || m.R != c.r {
		return
	}
	y := make([]uint32, len(m.Words)/4)
	if err := wire.ParseWords(y, m.Words); err != nil {
		c.t.Error(err)
	}
	sum := id.SumDigest(m.Words)
	c.mu.Lock()
	if c.reports[m.R] == nil {
		c.reports[m.R] = map[id.AgentID][32]byte{}
	}
	if old, ok := c.reports[m.R][p.agent]; ok && old != sum {
		c.t.Errorf("agent %s sent two different vectors for attempt %d", p.agent.Short(), m.R)
	}
	c.reports[m.R][p.agent] = sum
	c.mu.Unlock()
	if c.phase != "collecting" {
		return
	}
	ack := &wire.ReportAck{Run: c.run, R: m.R, Report: id.SumDigest(rep.Report), Vector: sum, TreeSize: c.log.size}
	if c.ack != nil {
		c.ack(ack)
	}
	ack.Sign(c.key, p.agent)
	if c.forget != nil && c.forget(p.agent, m.R) {
		c.out[p.agent] = true
		p.queue <- ack
		c.maybeClose()
		return
	}
	if err := c.round.AcceptReport(p.agent, rep.Report, secureagg.VectorHash(y)); err != nil {
		c.t.Logf("report: %v", err)
		return
	}
	c.vectors[p.agent], c.reported[p.agent] = y, m.R
	p.queue <- ack
	c.maybeClose()
}

// maybeClose ends the collection when nobody else can report.
func (c *coordinator) maybeClose() {
	if c.phase != "collecting" {
		return
	}
	for _, a := range c.members() {
		if _, ok := c.vectors[a]; !ok && !c.skip[a] && !c.unawaited[a] && (c.patient || c.live[a] && !c.out[a]) {
			return
		}
	}
	if len(c.vectors) < c.epoch.Params().MinRelease {
		return
	}
	_, out, err := c.round.CloseCollection()
	if err != nil {
		c.t.Logf("close: %v", err)
		return
	}
	c.phase = "voting"
	c.stages(out)
}

func (c *coordinator) commit() {
	in := c.round.Inputs()
	acc := make([]uint32, in.Dim)
	online := c.round.Online()
	for _, a := range online {
		secureagg.AddVector(acc, c.vectors[a])
	}
	if err := c.round.Unmask(acc); err != nil {
		c.t.Error(err)
		return
	}
	next, state, _, err := strategy.Next(c.plan, c.rec, c.state, plan.Task(in.Task), acc)
	if err != nil {
		c.t.Error(err)
		return
	}
	if c.lie != nil {
		next = &strategy.Record{Params: append([]float32(nil), next.Params...), Standardisation: next.Standardisation, State: next.State}
		c.lie(next)
	}
	words := wire.AppendWords(nil, acc)
	members := c.members()
	set := make([]byte, (len(members)+7)/8)
	for i, a := range members {
		for _, o := range online {
			if o == a {
				set[i/8] |= 1 << (i % 8)
			}
		}
	}
	cert := c.round.Certificate()
	record := &audit.RoundRecord{Run: c.run, R: in.R, Round: in.Round, Epoch: c.number, Task: audit.Task(in.Task), Outcome: audit.Committed,
		Ctx: c.round.Ctx(), Set: set, Strip: make([]audit.BranchState, len(members)), Sum: id.SumDigest(words), Online: id.SumDigest(set), Certificate: cert}
	for i := range record.Strip {
		record.Strip[i] = audit.Opened
		if set[i/8]>>(i%8)&1 == 1 {
			record.Strip[i] |= audit.Reported | audit.InSet
		}
	}
	doc, err := record.AppendBinary(nil)
	if err != nil {
		c.t.Error(err)
		return
	}
	at := c.log.append(c.t, audit.Entry{Run: c.run, Round: in.Round, R: in.R, Digest: id.SumDigest(doc), Payload: audit.RoundCommitted{
		Task: audit.Task(in.Task), Size: uint16(len(online)), Sum: id.SumDigest(words), Before: c.rec.Hash(), After: next.Hash()}})
	c.rec, c.state = next, state
	c.mu.Lock()
	c.commits = append(c.commits, next.Hash())
	c.mu.Unlock()
	send := func(a id.AgentID) {
		c.send(a, func(p *peer) wire.Msg {
			seen := p.seen
			m := &wire.Committed{Run: c.run, R: in.R, Round: in.Round, Task: in.Task, Set: set, Record: doc, Certificate: cert,
				Entry: c.log.entries[at], Proof: c.proofFor(p, at), Next: next.Hash(), Sum: words}
			if c.committed != nil && !c.committed(a, m) {
				p.seen = seen
				return nil
			}
			return m
		})
	}
	c.committedFrom = append(c.committedFrom, send)
	for _, a := range members {
		send(a)
	}
	c.index++
	c.phase = "waiting"
	c.mu.Lock()
	c.sums = append(c.sums, acc)
	c.mu.Unlock()
	if c.steer != nil {
		c.steer()
	}
	c.openIfBack()
}

func (c *coordinator) finish() {
	c.phase = "done"
	c.mu.Lock()
	c.final = c.rec.Hash()
	c.mu.Unlock()
	for _, a := range c.members() {
		c.send(a, func(*peer) wire.Msg { return &wire.RunDone{Run: c.run, State: wire.RunDoneState, Model: c.rec.Hash()} })
	}
	close(c.done)
}
