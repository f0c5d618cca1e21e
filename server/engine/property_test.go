package engine

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tacit/plan"
	"tacit/secureagg"
)

// TestAnySchedule runs federations of three to six through random schedules: messages
// of different branches overtake one another, connections are lost, processes of
// branches die and come back, timers run down at any moment, and the coordinator dies
// after a write. Then the faults stop, and the run must end. TACIT_SEED replays one.
func TestAnySchedule(t *testing.T) {
	seeds := 120
	if testing.Short() {
		seeds = 12
	}
	first := 1
	if s := os.Getenv("TACIT_SEED"); s != "" {
		first, _ = strconv.Atoi(s)
		seeds = 1
	}
	done, commits, aborts, restarts := 0, 0, 0, 0
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSchedule(t, uint64(seed))
			s.storm()
			s.calm()
			s.check()
			commits += len(s.noticed("committed"))
			aborts += len(s.noticed("aborted"))
			restarts += len(s.noticed("restarted"))
			if s.done.Done {
				done++
			}
		})
	}
	t.Logf("%d of %d runs done: %d commits, %d aborts, %d restarts of the coordinator", done, seeds, commits, aborts, restarts)
	if seeds > 1 && (done < seeds/3 || aborts == 0 || restarts == 0) {
		t.Error("the schedules do not reach what they are for")
	}
}

// schedule is a world with a source of chance.
type schedule struct {
	*world
	rnd   *rand.Rand
	trace []string
	late  bool // the run was still under way when the faults stopped
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	s := &schedule{rnd: rand.New(rand.NewPCG(seed, 1))}
	s.world = newWorld(t, 3+s.rnd.IntN(4), func(p *plan.Plan) { p.Federation.Rounds = 1 + s.rnd.IntN(3) })
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("TACIT_SEED=%d; the schedule:\n%s", seed, strings.Join(s.trace, "\n"))
		}
	})
	return s
}

func (s *schedule) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%-12s", s.engine.Phase())+fmt.Sprintf(format, args...))
}

// storm lets chance choose what happens next.
func (s *schedule) storm() {
	s.start()
	faults := 1 + s.rnd.IntN(12)
	for n := 0; faults > 0 && s.done == nil && n < 5000; n++ {
		if s.crashed {
			s.note("the coordinator starts again")
			s.restart()
			continue
		}
		if len(s.queue) > 0 && s.rnd.IntN(40) != 0 {
			s.deliverAny()
			continue
		}
		a := s.agent(s.rnd.IntN(len(s.agents)))
		switch s.rnd.IntN(8) {
		case 0, 1:
			if a.here {
				faults--
				s.note("%s loses its connection", a.id.Short())
				s.disconnect(a)
			}
		case 2, 3:
			faults--
			s.note("%s dies", a.id.Short())
			s.kill(a)
		case 4, 5:
			if !a.here {
				s.note("%s connects", a.id.Short())
				s.connect(a)
			}
		case 6:
			s.fireAny()
		case 7:
			faults--
			s.crashAfter = s.writes + 1 + s.rnd.IntN(3)
			s.note("the coordinator will die after write %d", s.crashAfter)
		}
	}
}

// deliverAny hands over the oldest message of a branch that chance chooses: the
// messages of one connection stay in order.
func (s *schedule) deliverAny() {
	to := s.queue[s.rnd.IntN(len(s.queue))].to
	i := slices.IndexFunc(s.queue, func(d delivery) bool { return d.to == to })
	if err := s.deliver(i); err != nil {
		s.t.Fatal(err)
	}
}

func (s *schedule) fireAny() {
	names := slices.Sorted(maps.Keys(s.timers))
	names = slices.DeleteFunc(names, func(n TimerName) bool { return n == TimerDay })
	if len(names) == 0 {
		return
	}
	name := names[s.rnd.IntN(len(names))]
	s.note("timer %s", name)
	number := s.timers[name]
	delete(s.timers, name)
	s.step(Timer{name, number})
}

// calm ends the faults: every process is up and connected, every message arrives,
// timers run down when nothing else happens. The run must come to its end.
func (s *schedule) calm() {
	s.crashAfter = 0
	s.late = s.done == nil && !s.crashed
	s.note("calm")
	for range 60 {
		if s.crashed {
			s.restart()
		}
		for _, a := range s.ids() {
			if !s.agents[a].here {
				s.connect(s.agents[a])
			}
		}
		s.run()
		if s.done != nil {
			return
		}
		s.fireAny()
		s.run()
	}
	var lines []string
	for _, n := range s.notices {
		lines = append(lines, fmt.Sprintf("%s round %d r %d %s", n.Kind, n.Round, n.R, n.Text))
	}
	s.t.Fatalf("the run hangs in %s after\n%s", s.engine.Phase(), strings.Join(lines, "\n"))
}

// check holds the stored attempts to the invariants of a run (I1, I2, I7, I8).
func (s *schedule) check() {
	s.t.Helper()
	s.restarted = true // a sum may have been lost with the coordinator that committed it
	s.checkSums()
	attempts, err := s.store.Attempts(context.Background(), s.cfg.Run)
	if err != nil {
		s.t.Fatal(err)
	}
	committed := map[uint64]uint64{}
	for i, a := range attempts {
		if a.R != uint64(i+1) {
			s.t.Errorf("attempt %d stands at place %d", a.R, i)
		}
		if a.Certificate != nil && a.AbortCertificate != nil {
			s.t.Errorf("attempt %d is certified and aborted", a.R)
		}
		if !Ended(a) {
			s.t.Errorf("the run is over, attempt %d is %s", a.R, a.Phase)
		}
		if a.Phase != AttemptCommitted {
			continue
		}
		if r, twice := committed[a.Round]; twice {
			s.t.Errorf("round %d is committed by attempts %d and %d", a.Round, r, a.R)
		}
		committed[a.Round] = a.R
		facts, err := secureagg.VerifyCertificate(a.Certificate, s.cfg.Roster.AppendBinary(nil), s.cfg.Charter.AppendBinary(nil))
		if err != nil {
			s.t.Errorf("attempt %d: %v", a.R, err)
			continue
		}
		if p := facts.Params; len(facts.Online) < p.MinRelease || len(facts.Signers) < p.Quorum {
			s.t.Errorf("attempt %d: a set of %d under %d votes", a.R, len(facts.Online), len(facts.Signers))
		}
		for _, who := range s.ids() {
			if s.agents[who].acked[a.R] && !slices.Contains(facts.Online, who) {
				s.t.Errorf("attempt %d: the acknowledged report of %s is not in the set", a.R, who.Short())
			}
		}
	}
	for _, a := range s.agents {
		if s.late && s.done.Done && a.round != uint64(len(committed)) {
			s.t.Errorf("%s holds the model of round %d of %d", a.id.Short(), a.round, len(committed))
		}
	}
}
