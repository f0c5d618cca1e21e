package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"tacit/id"
	"tacit/plan"
	"tacit/secureagg"
)

type benchSecureAggCommand struct {
	Clients int `default:"100" help:"Clients; above 128 they fall into cohorts."`
	Dim     int `default:"1000000" help:"Words of the vector."`
	Drop    int `default:"5" help:"Clients that vanish before they report, spread over all."`
	Ring    int `default:"32" help:"Bits of the sum's modulus: 32."`
	Threads int `default:"1" help:"Cores to use."`
}

// benchSecureAgg is one measurement. A client's times are medians over those that
// reported; the server's are of the whole attempt.
type benchSecureAgg struct {
	Clients        int     `json:"clients"`
	Dim            int     `json:"dim"`
	Dropped        int     `json:"dropped"`
	Ring           int     `json:"ring"`
	Kernel         string  `json:"kernel"`
	ClientMaskMS   float64 `json:"client_mask_ms"`   // mask and hash a vector
	ClientSharesMS float64 `json:"client_shares_ms"` // the rest of a report: shares, commitments, blobs, signature
	ServerAddMS    float64 `json:"server_add_ms"`    // check all reports and vectors, and add
	ServerUnmaskMS float64 `json:"server_unmask_ms"` // open the seeds and take the masks off
	CommitteeMS    float64 `json:"committee_ms"`     // a member's checks, votes and release
	UploadBytes    int     `json:"upload_bytes"`     // of one client: report, vector, votes, shares
	Expansion      float64 `json:"expansion"`        // upload over the vector's bytes
	ServerPeak     int     `json:"server_peak_bytes"`
	SumExact       bool    `json:"sum_exact"`
}

func (x *benchSecureAggCommand) Run(c *console) error {
	switch {
	case x.Clients < secureagg.MinMembers || x.Clients > plan.MaxBranches:
		return misused("--clients 100", "--clients is %d, want %d to %d", x.Clients, secureagg.MinMembers, plan.MaxBranches)
	case x.Dim < 1 || x.Dim > secureagg.MaxDim:
		return misused("--dim 1000000", "--dim is %d, want 1 to %d", x.Dim, secureagg.MaxDim)
	case x.Drop < 0 || x.Drop > x.Clients:
		return misused("--drop 5", "--drop is %d of %d clients", x.Drop, x.Clients)
	case x.Ring != 32:
		return misused("--ring 32", "--ring is %d, want 32", x.Ring)
	case x.Threads < 1 || x.Threads > 1024:
		return misused("--threads 1", "--threads is %d, want 1 to 1024", x.Threads)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(x.Threads))
	w, err := newAggregation(x.Clients, x.Threads)
	if err != nil {
		return err
	}
	// The same attempt with one word costs all but what grows with the vector.
	small, err := w.attempt(1, 1, x.Drop)
	if err != nil {
		return err
	}
	r, err := w.attempt(2, x.Dim, x.Drop)
	if err != nil {
		return err
	}
	r.ClientSharesMS = small.ClientMaskMS
	r.ClientMaskMS = max(0, r.ClientMaskMS-small.ClientMaskMS)
	r.Clients, r.Dim, r.Dropped, r.Ring, r.Kernel = x.Clients, x.Dim, x.Drop, x.Ring, secureagg.Kernel()
	return c.result(r, func(out io.Writer) {
		fmt.Fprintf(out, "%d clients, %d dropped, %d words, kernel %s\n", r.Clients, r.Dropped, r.Dim, r.Kernel)
		fmt.Fprintf(out, "a client     masks %.2f ms, shares %.2f ms, committee %.2f ms, uploads %d bytes (%.3f × the vector)\n", r.ClientMaskMS, r.ClientSharesMS, r.CommitteeMS, r.UploadBytes, r.Expansion)
		fmt.Fprintf(out, "the server   adds %.1f ms, unmasks %.1f ms, holds %d bytes\n", r.ServerAddMS, r.ServerUnmaskMS, r.ServerPeak)
		fmt.Fprintf(out, "sum exact    %v\n", r.SumExact)
	})
}

// aggregation is a server and its clients in this process, their keys agreed.
type aggregation struct {
	threads int
	run     id.RunID
	charter *id.Charter
	epoch   *secureagg.Epoch
	members []*secureagg.Member
	index   map[id.AgentID]int
}

func newAggregation(n, threads int) (*aggregation, error) {
	key := func() *id.PrivateKey {
		var seed [id.SeedSize]byte
		rand.Read(seed[:])
		return id.NewPrivateKey(seed)
	}
	admin, server := key(), key()
	w := &aggregation{threads: threads, run: id.RunID{1}, index: make(map[id.AgentID]int)}
	w.charter = &id.Charter{
		Federation: id.FederationID{1}, Version: 1, Name: "bench", Administrators: []id.PublicKey{admin.Public()}, Threshold: 1,
		Server: server.Public(), LogKey: "bench", MinCohort: 3, AllowSmall: true, MaxOrgShare: 100, RoundsPerEpoch: 256, EpochsPerDay: 24,
	}
	roster := &id.Roster{Federation: w.charter.Federation, Version: 1}
	keys := make(map[id.AgentID]*id.PrivateKey)
	for i := range n {
		k := key()
		pub := k.Public()
		keys[pub.AgentID()] = k
		site := fmt.Sprintf("site %d", i)
		roster.Members = append(roster.Members, id.Member{Org: site, Site: site, Key: pub, NotAfter: 1 << 40})
	}
	slices.SortFunc(roster.Members, func(a, b id.Member) int { return a.Agent().Compare(b.Agent()) })
	if err := errors.Join(w.charter.Sign(admin), roster.Sign(w.charter, admin)); err != nil {
		return nil, err
	}
	for i := range roster.Members {
		a := roster.Members[i].Agent()
		m, err := secureagg.NewMember(secureagg.MemberConfig{Key: keys[a], Charter: w.charter, Roster: roster, Run: w.run, Rand: rand.Reader})
		if err != nil {
			return nil, err
		}
		w.members, w.index[a] = append(w.members, m), i
	}
	epoch, out, err := secureagg.NewEpoch(secureagg.EpochConfig{Key: server, Charter: w.charter, Roster: roster, Run: w.run, Epoch: 1, Start: 1})
	if err != nil {
		return nil, err
	}
	w.epoch = epoch
	for len(out) > 0 {
		replies, _, err := w.deliver(out)
		if err != nil {
			return nil, err
		}
		out = nil
		for i, msgs := range replies {
			for _, msg := range msgs {
				more, err := epoch.Handle(epoch.Members()[i], msg)
				if err != nil {
					return nil, err
				}
				out = append(out, more...)
			}
		}
	}
	if epoch.Phase() != secureagg.StageLive {
		return nil, fmt.Errorf("the keys were not agreed: %w", epoch.Why())
	}
	return w, nil
}

// each calls f for every client, on as many cores as there are threads.
func (w *aggregation) each(f func(i int) error) error {
	errs := make([]error, w.threads)
	var wait sync.WaitGroup
	for t := range w.threads {
		wait.Go(func() {
			for i := t; i < len(w.members) && errs[t] == nil; i += w.threads {
				errs[t] = f(i)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// deliver hands messages to their clients and returns the answers, and what each took.
func (w *aggregation) deliver(out []secureagg.Outgoing) (replies [][][]byte, took []time.Duration, err error) {
	inbox := make([][][]byte, len(w.members))
	for _, o := range out {
		if !o.To.IsZero() {
			inbox[w.index[o.To]] = append(inbox[w.index[o.To]], o.Msg)
			continue
		}
		for i := range inbox {
			inbox[i] = append(inbox[i], o.Msg)
		}
	}
	replies, took = make([][][]byte, len(w.members)), make([]time.Duration, len(w.members))
	err = w.each(func(i int) error {
		start := time.Now()
		for _, msg := range inbox[i] {
			got, err := w.members[i].Handle(msg)
			if err != nil {
				return err
			}
			replies[i] = append(replies[i], got.Send...)
		}
		took[i] = time.Since(start)
		return nil
	})
	return replies, took, err
}

// attempt runs one attempt of the real state machines with vectors of dim words.
func (w *aggregation) attempt(r uint64, dim, drop int) (*benchSecureAgg, error) {
	in := secureagg.RoundInputs{Run: w.run, Plan: id.PlanHash{1}, R: r, Round: r, Task: 1, Model: id.ModelHash{byte(r)},
		Config: id.ConfigHash{1}, Charter: w.charter.Hash(), Cohorts: uint32(w.epoch.Cohorts()), Dim: dim}
	round, err := w.epoch.NewRound(in)
	if err != nil {
		return nil, err
	}
	n := len(w.members)
	agents := w.epoch.Members()
	dropped := make([]bool, n)
	for i := range drop {
		dropped[i*n/drop] = true
	}
	res := &benchSecureAgg{SumExact: true}
	acc, want := make([]uint32, dim), make([]uint32, dim)
	var mask []time.Duration
	var add time.Duration
	uploads, reports := make([]int, n), 0
	var lock sync.Mutex // the server takes one report at a time
	err = w.each(func(i int) error {
		if _, err := w.members[i].Open(round.Start(), in); err != nil || dropped[i] {
			return err
		}
		x := make([]uint32, dim)
		state := uint32(i + 1)
		for k := range x {
			state = state*1664525 + 1013904223
			x[k] = state
		}
		lock.Lock()
		secureagg.AddVector(want, x)
		lock.Unlock()
		start := time.Now()
		out, err := w.members[i].Report(x)
		took := time.Since(start)
		if err != nil {
			return err
		}
		lock.Lock()
		defer lock.Unlock()
		mask = append(mask, took)
		uploads[i] = len(out.Send[0]) + 4*dim
		reports += len(out.Send[0])
		start = time.Now()
		if err := round.AcceptReport(agents[i], out.Send[0], secureagg.VectorHash(x)); err != nil {
			return err
		}
		secureagg.AddVector(acc, x)
		add += time.Since(start)
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, out, err := round.CloseCollection()
	if err != nil {
		return nil, err
	}
	committee := make([]time.Duration, n)
	shares := 0
	for done := false; !done; {
		if len(out) == 0 {
			return nil, fmt.Errorf("the attempt stops: %w", round.Why())
		}
		// Who vanished before the reports stays away.
		out = slices.DeleteFunc(out, func(o secureagg.Outgoing) bool { return !o.To.IsZero() && dropped[w.index[o.To]] })
		replies, took, err := w.deliver(out)
		if err != nil {
			return nil, err
		}
		out = nil
		for i := range replies {
			if dropped[i] {
				continue
			}
			committee[i] += took[i]
			for _, msg := range replies[i] {
				uploads[i] += len(msg)
				switch kind, _ := secureagg.Kind(msg); kind {
				case secureagg.KindVote, secureagg.KindManifestVote:
					var more []secureagg.Outgoing
					if _, more, err = round.Vote(agents[i], msg); err == nil {
						out = append(out, more...)
					}
				case secureagg.KindShares:
					shares += len(msg)
					done, err = round.Shares(agents[i], msg)
				}
				if err != nil && !errors.Is(err, secureagg.ErrStale) {
					return nil, err
				}
			}
		}
	}
	start := time.Now()
	open, err := round.Unmasker()
	if err != nil {
		return nil, err
	}
	var wait sync.WaitGroup
	for t := range w.threads {
		from, to := t*dim/w.threads, (t+1)*dim/w.threads
		wait.Go(func() { open.Apply(acc[from:to], from) })
	}
	wait.Wait()
	open.Erase()
	res.ServerUnmaskMS = milliseconds(time.Since(start))
	res.SumExact = slices.Equal(acc, want)
	res.ClientMaskMS, res.ServerAddMS = milliseconds(median(mask)), milliseconds(add)
	var took []time.Duration
	var sent []int
	for i := range n {
		if !dropped[i] {
			took, sent = append(took, committee[i]), append(sent, uploads[i])
		}
	}
	res.CommitteeMS = milliseconds(median(took))
	slices.Sort(sent)
	res.UploadBytes = sent[len(sent)/2]
	res.Expansion = float64(res.UploadBytes) / float64(4*dim)
	// The sum, one vector on its way in, and what the protocol keeps of the members:
	// their reports, one message to each of a set's members, and the shares.
	res.ServerPeak = 8*dim + 2*reports + shares
	// All members learn how the attempt ended, those that dropped too.
	_, _, err = w.deliver([]secureagg.Outgoing{{Msg: round.Certificate()}})
	return res, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
