package nn

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// Rates against the formulas with math's functions.
func TestScheduleRate(t *testing.T) {
	const lr = 0.3
	for _, c := range []struct {
		s    Schedule
		step uint64
		want float64
	}{
		{Schedule{}, 0, lr}, {Schedule{}, math.MaxUint64, lr},
		{Schedule{Warmup: 4}, 0, lr / 4}, {Schedule{Warmup: 4}, 2, lr * 3 / 4}, {Schedule{Warmup: 4}, 3, lr}, {Schedule{Warmup: 4}, 4, lr},
		{Schedule{Kind: ScheduleStep, Every: 10, Gamma: 0.5}, 9, lr},
		{Schedule{Kind: ScheduleStep, Every: 10, Gamma: 0.5}, 10, lr / 2},
		{Schedule{Kind: ScheduleStep, Every: 10, Gamma: 0.5}, 39, lr / 8},
		{Schedule{Kind: ScheduleStep, Every: 1, Gamma: 0.9}, 50, lr * math.Pow(0.9, 50)},
		{Schedule{Kind: ScheduleStep, Every: 1, Gamma: 0.9}, math.MaxUint64, 0},
		{Schedule{Kind: ScheduleStep, Every: 1, Gamma: 1}, math.MaxUint64, lr},
		{Schedule{Kind: ScheduleStep, Every: 10, Gamma: 0.5, Warmup: 5}, 14, lr},
		{Schedule{Kind: ScheduleStep, Every: 10, Gamma: 0.5, Warmup: 5}, 15, lr / 2},
		{Schedule{Kind: ScheduleCosine, Total: 100}, 0, lr},
		{Schedule{Kind: ScheduleCosine, Total: 100}, 50, lr / 2},
		{Schedule{Kind: ScheduleCosine, Total: 100, Min: 0.1}, 50, 0.2},
		{Schedule{Kind: ScheduleCosine, Total: 100, Min: 0.1}, 25, 0.1 + 0.2*(1+math.Cos(math.Pi/4))/2},
		{Schedule{Kind: ScheduleCosine, Total: 100, Min: 0.1}, 100, 0.1},
		{Schedule{Kind: ScheduleCosine, Total: 100, Min: 0.1}, math.MaxUint64, 0.1},
		{Schedule{Kind: ScheduleCosine, Total: 110, Warmup: 10, Min: 0.1}, 9, lr},
		{Schedule{Kind: ScheduleCosine, Total: 110, Warmup: 10, Min: 0.1}, 10, lr},
		{Schedule{Kind: ScheduleCosine, Total: 110, Warmup: 10, Min: 0.1}, 60, 0.2},
		// Not valid, and still a number.
		{Schedule{Kind: ScheduleStep}, 7, 0}, {Schedule{Kind: ScheduleCosine, Total: 2, Warmup: 5}, 7, 0}, {Schedule{Warmup: -3}, 7, lr},
	} {
		if got := c.s.Rate(lr, c.step); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%+v at %d: %v, want %v", c.s, c.step, got, c.want)
		}
	}
	last := math.Inf(1)
	s := Schedule{Kind: ScheduleCosine, Total: 1000, Min: 0.01}
	for k := range uint64(1001) {
		r := s.Rate(lr, k)
		if !(r < last) || r < 0.01 {
			t.Fatalf("the rate rises to %v at %d", r, k)
		}
		last = r
	}
}

// Step asks for the rate of its own count of steps, which SetStep sets.
func TestScheduleInStep(t *testing.T) {
	s := MLP(5, []int{4}, 3)
	b := randomBatch(rand.New(rand.NewPCG(1, 2)), s, 6)
	for _, sched := range []Schedule{{Warmup: 4}, {Kind: ScheduleStep, Every: 2, Gamma: 0.5}, {Kind: ScheduleCosine, Total: 9, Warmup: 2}} {
		o := NewSGD(0.5, 0)
		o.Schedule = sched
		p := compile(t, s, Options{Batch: 6, Optimizer: o})
		q := compile(t, s, Options{Batch: 6, Optimizer: NewSGD(0.5, 0)})
		for i := range uint64(12) {
			if i == 7 {
				p.SetStep(100)
			}
			at := i
			if i >= 7 {
				at += 93
			}
			rate := sched.Rate(0.5, at)
			if rate == 0 {
				rate = 1e-30
			}
			if err := q.SetLearningRate(rate); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*Program{p, q} {
				if _, err := p.Step(b); err != nil {
					t.Fatal(err)
				}
			}
			if digest(stored(t, p)) != digest(stored(t, q)) {
				t.Fatalf("%+v: step %d has another rate than %v", sched, at, rate)
			}
		}
	}
}

// Rates against torch.optim.lr_scheduler's, which multiplies on from step to step.
func TestTorchRates(t *testing.T) {
	raw, err := os.ReadFile("testdata/golden/training.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Cases []struct {
			Name      string
			Optimizer Optimizer
			Rates     []float64
		}
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, c := range g.Cases {
		for k, want := range c.Rates {
			got := c.Optimizer.Schedule.Rate(c.Optimizer.LR, uint64(k))
			if math.Abs(got-want) > 1e-14 {
				t.Errorf("%s: rate of step %d is %v, want %v", c.Name, k, got, want)
			}
		}
		if len(c.Rates) > 10 {
			found[c.Optimizer.Schedule.Kind] = true
		}
	}
	if len(found) != 3 {
		t.Errorf("rates of %v only", found)
	}
}
