package explain

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tacit/nn/metric"
)

// table has rows of a number that decides the label, a number that does not, and
// three one-hot features of a column that help.
func table(n int) Rows {
	r := rand.New(rand.NewPCG(7, 8))
	rows := Rows{Inputs: 5}
	for range n {
		a, noise, c := r.Float32(), r.Float32(), r.IntN(3)
		x := []float32{a, noise, 0, 0, 0}
		x[2+c] = 1
		rows.X = append(rows.X, x...)
		y := int32(0)
		if a+0.2*float32(c) > 0.7 {
			y = 1
		}
		rows.Labels = append(rows.Labels, y)
	}
	return rows
}

// answer looks at the first number and the column, and fails on a row whose column
// is not one-hot.
func answer(dst, x []float32) error {
	for i := range dst {
		row := x[i*5:][:5]
		if row[2]+row[3]+row[4] != 1 {
			return fmt.Errorf("row %d is not one-hot: %v", i, row)
		}
		dst[i] = 0.05 + 0.6*row[0] + 0.1*row[3] + 0.2*row[4]
	}
	return nil
}

var groups = []Group{{"number", []int{0}}, {"noise", []int{1}}, {"column", []int{2, 3, 4}}}

func TestPermutationImportance(t *testing.T) {
	rows := table(300)
	before := slices.Clone(rows.X)
	var passes []int
	c := Permutation{Target: metric.Binary(), Outputs: 1, Groups: groups, Repeats: 4, Seed: 9,
		Progress: func(done, total int) error {
			if total != 13 {
				t.Errorf("of %d passes", total)
			}
			passes = append(passes, done)
			return nil
		}}
	got, err := c.Run(ask(answer), rows)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rows.X, before) {
		t.Error("the rows were changed")
	}
	if len(passes) != 13 || passes[0] != 1 || passes[12] != 13 {
		t.Errorf("progress was told %v", passes)
	}
	auc, err := got.Importance("auc")
	if err != nil {
		t.Fatal(err)
	}
	loss, err := got.Importance("log_loss")
	if err != nil {
		t.Fatal(err)
	}
	// By hand: every repeat again, with the rows really shuffled.
	base := metricOf(t, rows, "auc")
	for g, group := range groups {
		var drops []float64
		for repeat := range 4 {
			order := make([]int, 300)
			shuffle(order, 9, repeat, group.Features)
			moved := rows
			moved.X = slices.Clone(rows.X)
			for i, j := range order {
				for _, f := range group.Features {
					moved.X[i*5+f] = rows.X[j*5+f]
				}
			}
			drops = append(drops, base-metricOf(t, moved, "auc"))
		}
		if !slices.Equal(auc[g].Drops, drops) {
			t.Errorf("%s: drops %v, want %v", group.Name, auc[g].Drops, drops)
		}
		mean := (drops[0] + drops[1] + drops[2] + drops[3]) / 4
		var square float64
		for _, d := range drops {
			square += (d - mean) * (d - mean)
		}
		near(t, "mean", auc[g].Mean, mean, 1e-15)
		near(t, "deviation", auc[g].SD, math.Sqrt(square/4), 1e-15)
	}
	if auc[0].Mean < 0.2 || auc[2].Mean < 0.01 || auc[0].Mean < auc[2].Mean || auc[0].SD == 0 {
		t.Errorf("importance is %+v", auc)
	}
	if auc[1].Mean != 0 || auc[1].SD != 0 || loss[1].Mean != 0 {
		t.Errorf("noise that the model does not see has importance %+v", auc[1])
	}
	if loss[0].Mean < 0.05 { // lower is better, and it rose
		t.Errorf("shuffling the deciding number costs %v of log loss", loss[0].Mean)
	}
	if _, err := got.Importance("mse"); err == nil || !strings.Contains(err.Error(), `no metric "mse"`) {
		t.Errorf("a metric that a binary target does not have: %v", err)
	}

	// The same seed gives the same sums, whatever else is asked; another gives others.
	c.Progress, c.Groups = nil, groups[2:]
	again, err := c.Run(ask(answer), rows)
	if err != nil || !slices.Equal(again.Sets[0][3].Vector(), got.Sets[2][3].Vector()) {
		t.Errorf("the column alone gives other sums (%v)", err)
	}
	c.Seed++
	other, err := c.Run(ask(answer), rows)
	if err != nil || slices.Equal(other.Sets[0][3].Vector(), got.Sets[2][3].Vector()) {
		t.Errorf("another seed gives the same sums (%v)", err)
	}
}

func metricOf(t *testing.T, rows Rows, name string) float64 {
	t.Helper()
	pred := make([]float32, len(rows.Labels))
	if err := answer(pred, rows.X); err != nil {
		t.Fatal(err)
	}
	s, err := metric.New(metric.Binary())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Observe(pred, rows.Labels, nil); err != nil {
		t.Fatal(err)
	}
	v, _ := s.Value(name)
	return v.Value
}

// Branches shuffle their own rows and add their sums: the drop is of the totals.
func TestPermutedAdds(t *testing.T) {
	rows := table(200)
	c := Permutation{Target: metric.Binary(), Outputs: 1, Groups: groups, Seed: 1}
	part := func(i, j int) *Permuted {
		p, err := c.Run(ask(answer), Rows{Inputs: 5, X: rows.X[i*5 : j*5], Labels: rows.Labels[i:j]})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	sum, b := part(0, 80), part(80, 200)
	first := sum.Sets[0][0].Examples()
	if err := sum.Add(b); err != nil {
		t.Fatal(err)
	}
	if first != 80 || sum.Base.Examples() != 200 || sum.Sets[2][4].Examples() != 200 || b.Base.Examples() != 120 {
		t.Error("examples do not add")
	}
	near(t, "base", must(sum.Base.Value("auc")), metricOf(t, rows, "auc"), 0)
	importance, err := sum.Importance("accuracy")
	if err != nil {
		t.Fatal(err)
	}
	want := must(sum.Base.Value("accuracy")) - must(sum.Sets[0][1].Value("accuracy"))
	near(t, "drop", importance[0].Drops[1], want, 0)

	for name, other := range map[string]Permutation{
		"groups":  {Target: metric.Binary(), Outputs: 1, Groups: groups[1:]},
		"names":   {Target: metric.Binary(), Outputs: 1, Groups: []Group{{"x", []int{0}}, groups[1], groups[2]}},
		"repeats": {Target: metric.Binary(), Outputs: 1, Groups: groups, Repeats: 2},
		"target":  {Target: metric.Target{Kind: metric.KindBinary, Bins: 8}, Outputs: 1, Groups: groups},
	} {
		o, err := other.Run(ask(answer), rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := sum.Add(o); err == nil || sum.Base.Examples() != 200 {
			t.Errorf("sums of other %s were added", name)
		}
	}
}

func must(v metric.Value, ok bool) float64 {
	if !ok {
		return math.NaN()
	}
	return v.Value
}

// Every permutation of three is drawn about as often as any other.
func TestShuffleIsFair(t *testing.T) {
	count := map[string]int{}
	order := make([]int, 3)
	for repeat := range 6000 {
		shuffle(order, 3, repeat, []int{0})
		count[fmt.Sprint(order)]++
	}
	if len(count) != 6 {
		t.Fatalf("%d permutations", len(count))
	}
	for p, n := range count {
		if n < 880 || n > 1120 { // 1000 ± 4 standard deviations
			t.Errorf("%s came %d times of 6000", p, n)
		}
	}
	// Fixed numbers, on every machine.
	order = make([]int, 8)
	shuffle(order, 1, 2, []int{3, 4})
	if got := fmt.Sprint(order); got != "[2 5 6 7 4 0 3 1]" {
		t.Errorf("the order is %s", got)
	}
}

func TestPermutationRefuses(t *testing.T) {
	rows := table(10)
	stop := errors.New("stop")
	good := Permutation{Target: metric.Binary(), Outputs: 1, Groups: groups}
	for _, c := range []struct {
		want string
		p    func(*Permutation, *Rows)
	}{
		{"want [n,3]", func(_ *Permutation, r *Rows) { r.Inputs = 3 }},
		{"want [n,0]", func(p *Permutation, r *Rows) { p.Groups, r.Inputs = nil, 0 }},
		{"outputs is 0", func(p *Permutation, _ *Rows) { p.Outputs = 0 }},
		{"repeats is -1", func(p *Permutation, _ *Rows) { p.Repeats = -1 }},
		{"repeats is 1001", func(p *Permutation, _ *Rows) { p.Repeats = MaxRepeats + 1 }},
		{`group "far" has feature 5, want 0 to 4`, func(p *Permutation, _ *Rows) { p.Groups = []Group{{"far", []int{5}}} }},
		{"no groups", func(p *Permutation, _ *Rows) { p.Groups = []Group{} }},
		{"unknown kind", func(p *Permutation, _ *Rows) { p.Target.Kind = "" }},
		{"take fewer bins", func(p *Permutation, _ *Rows) { p.Target.Bins = metric.MaxBins }},
		{"labels have shape", func(_ *Permutation, r *Rows) { r.Labels = r.Labels[1:] }},
		{"not one-hot", func(p *Permutation, _ *Rows) { p.Groups = nil }},
		{"stop", func(p *Permutation, _ *Rows) { p.Progress = func(int, int) error { return stop } }},
	} {
		p, r := good, rows
		c.p(&p, &r)
		out, err := p.Run(ask(answer), r)
		if err == nil || out != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
	// No rows: sums of nothing, importance NaN.
	out, err := good.Run(ask(answer), Rows{Inputs: 5, Labels: []int32{}})
	if err != nil {
		t.Fatal(err)
	}
	importance, err := out.Importance("auc")
	if err != nil || !math.IsNaN(importance[0].Mean) || !math.IsNaN(importance[0].SD) {
		t.Errorf("without rows: %+v, %v", importance, err)
	}
}
