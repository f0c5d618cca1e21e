package main

import (
	"io"
	"testing"
	"time"

	"tacit/server"
	heartdisease "tacit/testdata/heart-disease"
)

// TestFLamby runs FLamby's own setting for Fed-Heart-Disease through the protocol:
// 10 seeds, the sum of masked updates each round. The published mean accuracy of
// FedAvg on the pooled test rows, standardised by the pooled training rows, is
// 0.748 ± 0.027 over 5 seeds (owkin/FLamby, results of release 0.1.0); an
// independent run of 20 seeds on this split gave 0.763 ± 0.025.
func TestFLamby(t *testing.T) {
	p := mustPlan("flamby-heart")
	src, err := openSource(p, "")
	if err != nil {
		t.Fatal(err)
	}
	cons := &console{out: io.Discard, err: io.Discard}
	cons.setup(globals{Output: "text", LogLevel: "error"})
	start := time.Now()
	fed, err := newSimulation(t.Context(), p, src.names(), src, cons)
	if err != nil {
		t.Fatal(err)
	}
	defer fed.close()
	data, err := hospitals(p)
	if err != nil {
		t.Fatal(err)
	}
	train, test, err := pool(data)
	if err != nil {
		t.Fatal(err)
	}
	pooled, err := train.Standardisation()
	if err != nil {
		t.Fatal(err)
	}
	if test.Len() != 254 || train.Len() != 486 || len(heartdisease.Sites()) != 4 {
		t.Fatalf("%d training and %d test rows", train.Len(), test.Len())
	}
	seeds := 10
	if testing.Short() {
		seeds = 2
	}
	var accuracy []float64
	for k := range seeds {
		out, err := fed.run(p.Seed+uint64(k), func(server.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		if out.Rounds != 16 { // 15 of training, one that evaluates
			t.Errorf("seed %d: %d rounds", out.Seed, out.Rounds)
		}
		m, err := score(p, out.model.params, test, pooled)
		if err != nil {
			t.Fatal(err)
		}
		accuracy = append(accuracy, m.Accuracy())
	}
	got := summarise(accuracy)
	t.Logf("pooled test accuracy %.3f ± %.3f over %d seeds, %s", got.Mean, got.SD, seeds, time.Since(start).Round(time.Millisecond))
	if !testing.Short() && (got.Mean < 0.74 || got.Mean > 0.78) {
		t.Errorf("mean accuracy %.4f is outside 0.74-0.78", got.Mean)
	}
}
