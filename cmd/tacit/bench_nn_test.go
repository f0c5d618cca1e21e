package main

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	"tacit/nn"
)

// Every step that bench nn times, on one thread and on two, allocates nothing once it is
// warm, and the program holds the memory that was foretold before there was one (which
// tacit model summary prints): its arena to the byte, and little else.
func TestStepsOfWorkloads(t *testing.T) {
	const little = 256 << 10 // what describes a network: resnet's 110 KiB
	for _, name := range workloadNames() {
		w, err := parseWorkload(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			opt     string
			dp      bool
			threads int
		}{{"sgd", false, 1}, {"adam", false, 2}, {"sgd", true, 1}, {"sgd", true, 2}} {
			foretold, err := nn.ArenaBytes(w.spec, w.options(c.threads, c.opt))
			if err != nil {
				t.Fatal(err)
			}
			before := held()
			p, step, err := w.compile(c.threads, c.opt, c.dp)
			if err != nil {
				t.Fatal(err)
			}
			// The runtime may grow a list of its own; a mean of two drops that.
			n := testing.AllocsPerRun(2, func() { err = errors.Join(err, step()) })
			if refuses := c.dp && normalised(w.spec); (err != nil) != refuses {
				t.Errorf("%s %+v: %v", name, c, err)
			} else if n != 0 && !refuses {
				t.Errorf("%s %+v: %v allocations in a step", name, c, n)
			}
			if got := p.ArenaBytes(); got != foretold {
				t.Errorf("%s %+v: an arena of %d bytes, foretold %d", name, c, got, foretold)
			}
			if more := held() - before - foretold; more < -little || more > little {
				t.Errorf("%s %+v: holds %d bytes more than the %d foretold", name, c, more, foretold)
			}
			runtime.KeepAlive(p)
		}
	}
}

// normalised says whether a layer of s works across the examples of a batch.
func normalised(s nn.Spec) bool {
	layers, err := s.Describe()
	return err == nil && slices.ContainsFunc(layers, func(l nn.LayerInfo) bool { return l.Kind == nn.BatchNorm })
}

// held returns the bytes of the heap that something holds.
func held() int64 {
	runtime.GC()
	runtime.GC() // a second one for what the first let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
