//go:build results

package examples_test

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"tacit/client/solo"
	"tacit/dataset"
	"tacit/plan"
)

var write = flag.Bool("write", false, "write the figures to docs/RESULTS.md")

const resultsFile = "../docs/RESULTS.md"

// TestResults trains every example in full and holds it to a floor:
//
//	TACIT_DATA=… go test -tags results -timeout 30m -run TestResults/mnist-cnn ./examples
func TestResults(t *testing.T) {
	judges := map[string]func(*testing.T, *plan.Plan, dataset.Source, *solo.Result) (figure, against string){
		"heart-disease": func(t *testing.T, _ *plan.Plan, _ dataset.Source, r *solo.Result) (string, string) {
			auc := floor(t, r, "auc", 0.80)
			return fmt.Sprintf("accuracy %.3f, AUC %.3f", value(t, r, "accuracy"), auc), "AUC ≥ 0.80"
		},
		"bank-marketing": func(t *testing.T, _ *plan.Plan, _ dataset.Source, r *solo.Result) (string, string) {
			auc := floor(t, r, "auc", 0.77)
			return fmt.Sprintf("accuracy %.4f, AUC %.4f, log loss %.4f", value(t, r, "accuracy"), auc, *r.TestLoss), "AUC ≥ 0.77, without the call's duration"
		},
		"mnist-mlp": func(t *testing.T, _ *plan.Plan, _ dataset.Source, r *solo.Result) (string, string) {
			return fmt.Sprintf("accuracy %.2f %%", 100*floor(t, r, "accuracy", 0.98)), "≥ 98 %"
		},
		"mnist-cnn": func(t *testing.T, _ *plan.Plan, _ dataset.Source, r *solo.Result) (string, string) {
			return fmt.Sprintf("accuracy %.2f %%", 100*floor(t, r, "accuracy", 0.985)), "≥ 98.5 %"
		},
		"ett-gru":          judgeSeries,
		"shakespeare-lstm": judgeText,
	}
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			source, p := e.source(t), e.plan(t)
			begun := time.Now()
			r := train(t, p, source, solo.Options{Epoch: func(e solo.Epoch) {
				t.Logf("epoch %d: loss %.4f, %.0f s", e.Epoch, e.Loss, e.Seconds)
			}})
			took := time.Since(begun).Round(time.Second)
			figure, against := judges[e.name](t, p, source, r)
			t.Logf("%s (%s) in %v", figure, against, took)
			if took > 15*time.Minute {
				t.Errorf("it took %v", took)
			}
			if *write && !t.Failed() {
				record(t, e.name, fmt.Sprintf("| [%s](../examples/%s/) | %d | %d | %d / %d | %s | %s | %v |", e.name, e.name, r.Parameters, r.Train, r.Best, r.Epochs, figure, against, took))
			}
		})
	}
}

func floor(t *testing.T, r *solo.Result, name string, least float64) float64 {
	t.Helper()
	v := value(t, r, name)
	if !(v >= least) {
		t.Errorf("%s %v, want %v or more", name, v, least)
	}
	return v
}

// record replaces the example's row in the table, or adds it at the end.
func record(t *testing.T, name, row string) {
	t.Helper()
	b, err := os.ReadFile(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(?m)^\| \[` + name + `\].*$`)
	if !old.Match(b) {
		t.Fatalf("%s has no row of %s", resultsFile, name)
	}
	if err := os.WriteFile(resultsFile, old.ReplaceAllLiteral(b, []byte(row)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// judgeSeries compares with two forecasts that cost nothing: what it is now, and what
// it was at the same hour of the day before.
func judgeSeries(t *testing.T, p *plan.Plan, source dataset.Source, r *solo.Result) (string, string) {
	b, err := os.ReadFile(source.Path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := p.Data.TargetIndex()
	var v []float64
	for _, row := range rows[1:] {
		x, err := strconv.ParseFloat(row[column], 64)
		if err != nil {
			t.Fatal(err)
		}
		v = append(v, x)
	}
	length, horizon := p.Data.Series.Length, p.Data.Series.Horizon
	begin := len(v) - int(float64(len(v))*p.Evaluation.Holdout)
	first := begin + length - 1 + horizon // the row that the first test window is about
	if n := len(v) - first; n != r.Test {
		t.Fatalf("%d test windows, the baselines have %d", r.Test, n)
	}
	naive := func(back int) float64 {
		sum := 0.0
		for i := first; i < len(v); i++ {
			sum += (v[i] - v[i-back]) * (v[i] - v[i-back])
		}
		return math.Sqrt(sum / float64(r.Test))
	}
	last, yesterday, rmse := naive(horizon), naive(24), value(t, r, "rmse")
	if rmse > 0.9*min(last, yesterday) {
		t.Errorf("RMSE %.3f; the last value has %.3f, the same hour yesterday %.3f", rmse, last, yesterday)
	}
	return fmt.Sprintf("RMSE %.3f, R² %.3f", rmse, value(t, r, "r2")), fmt.Sprintf("RMSE of the last value %.3f, of the same hour yesterday %.3f", last, yesterday)
}

// judgeText compares with counts of single characters and of pairs in the training
// text, one added to each.
func judgeText(t *testing.T, p *plan.Plan, source dataset.Source, r *solo.Result) (string, string) {
	text := []rune(string(unzipped(t, source.Path)))
	ids := p.Data.Text.IDs()
	begin := int(float64(len(text)) * (1 - p.Evaluation.Holdout))
	size := p.Data.Text.Size()
	single, pairs := make([]float64, size), make([]float64, size*size)
	for i := 1; i < begin; i++ {
		single[ids[text[i]]]++
		pairs[int(ids[text[i-1]])*size+int(ids[text[i]])]++
	}
	var unigram, bigram, n float64
	for i := begin + 1; i < len(text); i++ {
		a, b := int(ids[text[i-1]]), int(ids[text[i]])
		row := 0.0
		for _, c := range pairs[a*size:][:size] {
			row += c + 1
		}
		unigram -= math.Log((single[b] + 1) / float64(begin-1+size))
		bigram -= math.Log((pairs[a*size+b] + 1) / row)
		n++
	}
	unigram, bigram = unigram/n, bigram/n
	if *r.TestLoss > bigram-0.3 {
		t.Errorf("cross-entropy %.4f; pairs of characters have %.4f", *r.TestLoss, bigram)
	}
	return fmt.Sprintf("cross-entropy %.4f (perplexity %.2f), accuracy %.3f", *r.TestLoss, math.Exp(*r.TestLoss), value(t, r, "accuracy")),
		fmt.Sprintf("cross-entropy of single characters %.4f, of pairs %.4f", unigram, bigram)
}
