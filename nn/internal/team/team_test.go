package team

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// ring is a task of rounds: in each, a member reads what its neighbour wrote in the
// round before.
type ring struct {
	team   *Team
	rounds int
	values [2][]int
	slow   int // this member sleeps now and then
}

func (r *ring) Share(member int) {
	n := r.team.Size()
	for k := range r.rounds {
		if member == r.slow && k%32 == 31 {
			time.Sleep(100 * time.Microsecond) // the others fall asleep
		}
		r.values[(k+1)%2][member] = r.values[k%2][(member+1)%n] + 1
		r.team.Meet()
	}
}

func TestMembersMeet(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		team := New(n)
		r := &ring{team: team, rounds: 100, values: [2][]int{make([]int, n), make([]int, n)}}
		for run := 1; run <= 20; run++ {
			r.slow = run % (2 * n)
			team.Run(r)
			for i, v := range r.values[0] {
				if v != run*r.rounds {
					t.Fatalf("%d members, run %d: member %d counted %d, want %d", n, run, i, v, run*r.rounds)
				}
			}
		}
	}
}

type count struct{ n atomic.Int64 }

func (c *count) Share(int) { c.n.Add(1) }

func TestRunAllocatesNothing(t *testing.T) {
	team, c := New(3), new(count)
	team.Run(c)
	if got := testing.AllocsPerRun(200, func() { team.Run(c) }); got != 0 {
		t.Errorf("a run allocates %v times", got)
	}
	if got := c.n.Load(); got != 3*202 {
		t.Errorf("%d shares were done, want %d", got, 3*202)
	}
}

// TestGoroutinesEnd: a Team that nobody holds leaves no goroutine behind.
func TestGoroutinesEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		New(4).Run(new(count))
	}
	for range 200 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func BenchmarkRun(b *testing.B) {
	team, c := New(2), new(count)
	for b.Loop() {
		team.Run(c)
	}
}

func BenchmarkMeet(b *testing.B) {
	team := New(2)
	r := &ring{team: team, rounds: b.N, slow: -1, values: [2][]int{make([]int, 2), make([]int, 2)}}
	team.Run(r)
}
