package client

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"tacit/dataset"
	"tacit/plan"
	"tacit/secureagg"
	"tacit/strategy"
)

func toy(t *testing.T, set ...string) (*plan.Plan, *dataset.Data) {
	t.Helper()
	p, err := plan.Parse([]byte(testPlan), "toy.yaml", set...)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Read(p, dataset.Files{Name: "rows.csv", Rows: strings.NewReader(rows(1))})
	if err != nil {
		t.Fatal(err)
	}
	return p, d
}

// started is the record after the statistics round over d alone.
func started(t *testing.T, p *plan.Plan, d *dataset.Data) *strategy.Record {
	t.Helper()
	rec, _, err := strategy.Initial(p)
	if err != nil {
		t.Fatal(err)
	}
	std, err := d.Train.Standardisation()
	if err != nil {
		t.Fatal(err)
	}
	return &strategy.Record{Params: rec.Params, Standardisation: std, State: rec.State}
}

func train(t *testing.T, p *plan.Plan, d *dataset.Data, rec *strategy.Record, task plan.Task, round uint64) plan.Contribution {
	t.Helper()
	c, err := NewTrainer(p, d).Train(context.Background(), rec, task, round)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTrainer(t *testing.T) {
	p, d := toy(t)
	rec := started(t, p, d)
	before := rec.Hash()
	c := train(t, p, d, rec, plan.Train, 1)
	if again := train(t, p, d, rec, plan.Train, 1); !reflect.DeepEqual(c, again) {
		t.Error("the same round trains to another update")
	}
	if other := train(t, p, d, rec, plan.Train, 2); reflect.DeepEqual(c.Update, other.Update) {
		t.Error("two rounds see the same batches")
	}
	if rec.Hash() != before {
		t.Error("training changed the global model")
	}
	if want := float64(d.Train.Len()) / 64; c.Weight != want || c.Examples != int64(d.Train.Len()) {
		t.Errorf("weight %v of %d examples, want %v", c.Weight, c.Examples, want)
	}
	if e := train(t, p, d, rec, plan.Evaluate, 3); e.Examples != int64(d.Test.Len()) || e.Update != nil || e.Weight != 0 {
		t.Errorf("evaluation: %+v", e)
	}
	s := train(t, p, d, rec, plan.Statistics, 0)
	if len(s.N) != 2 || s.N[0] != float64(d.Train.Len()) {
		t.Errorf("statistics: %+v", s)
	}
}

// What is masked of an update is never longer than the plan's clip times the weight.
func TestClip(t *testing.T) {
	p, d := toy(t, "federation.clip=0.01", "training.learning_rate=5")
	c := train(t, p, d, started(t, p, d), plan.Train, 1)
	var sum float64
	for _, u := range c.Update {
		sum += u * u
	}
	if n, bound := math.Sqrt(sum), 0.01*c.Weight; n > bound || n < bound*0.99 {
		t.Errorf("norm %v, clipped at %v", n, bound)
	}
}

// Losses beyond the plan's bound count as the bound, one by one.
func TestLossClamped(t *testing.T) {
	p, d := toy(t, "evaluation.loss_bound=0.1")
	rec := started(t, p, d)
	c := train(t, p, d, rec, plan.Train, 1)
	if c.ClampedLoss == 0 || c.LossSum > 0.1*float64(c.Examples)+1e-9 {
		t.Errorf("%d losses clamped, sum %v over %d examples", c.ClampedLoss, c.LossSum, c.Examples)
	}
	loose, _ := toy(t)
	if free := train(t, loose, d, rec, plan.Train, 1); free.ClampedLoss != 0 || free.LossSum <= c.LossSum {
		t.Errorf("without the bound: %+v", free)
	}
}

func TestQuantize(t *testing.T) {
	p, d := toy(t)
	c := train(t, p, d, started(t, p, d), plan.Train, 1)
	x, err := quantize(p, plan.Train, &c)
	if err != nil || len(x) != p.Dim(plan.Train) {
		t.Fatalf("%d words, %v", len(x), err)
	}
	for _, s := range p.Segments(plan.Train) {
		v := make([]float64, s.Length)
		secureagg.Dequantize(v, x[s.Offset:s.Offset+s.Length], s.Scale)
		for i, want := range c.Segment(s.Name) {
			if math.Abs(v[i]-want) > 0.5/s.Scale {
				t.Errorf("%s[%d] = %v, want %v", s.Name, i, v[i], want)
			}
		}
	}
	// Clamped coordinates of the update are counted inside the masked vector …
	wild := c
	wild.Update = append([]float64{3, -3}, c.Update[2:]...)
	x, err = quantize(p, plan.Train, &wild)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Segments(plan.Train) {
		if s.Name == plan.SegClampedUpdate {
			v := []float64{0}
			secureagg.Dequantize(v, x[s.Offset:s.Offset+1], s.Scale)
			if v[0] != 2 {
				t.Errorf("clamped coordinates: %v, want 2", v[0])
			}
		}
	}
	// … everything else beyond its bound keeps the branch from reporting.
	for name, spoil := range map[string]func(*plan.Contribution){
		plan.SegWeight:   func(c *plan.Contribution) { c.Weight = 1.5 },
		plan.SegExamples: func(c *plan.Contribution) { c.Examples = 65 },
		plan.SegLoss:     func(c *plan.Contribution) { c.LossSum = math.NaN() },
		plan.SegUpdate:   func(c *plan.Contribution) { c.Update = c.Update[1:] },
	} {
		bad := c
		spoil(&bad)
		if x, err := quantize(p, plan.Train, &bad); err == nil || x != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := plan.Contribution{N: []float64{65, 1}, Sum: []float64{1, 1}, SumSq: []float64{1, 1}}
	if _, err := quantize(p, plan.Statistics, &bad); err == nil {
		t.Error("a statistic beyond its bound passes")
	}
}
