// Package dataset turns a branch's rows into typed examples and batches. It is
// the only package that reads rows; the server does not import it, so that "the
// server cannot read rows" is a fact of the build.
//
//	data, err := dataset.Load(p, dataset.Source{Path: "cleveland.csv", Split: "split.csv"})
//	examples, err := data.Train.Examples(standardisation)
//	stream := examples.Stream(p.Seed, p.Training.Batch, step)
//
// Rows follow the plan's schema. Numeric values become u = (x−min)/(max−min),
// categorical ones one feature per value, in the order of [plan.Schema.Features].
// A row that does not fit is an error with file, line and column, never with the
// row's values: these errors reach logs and screens.
//
// A split file names each kept row's set, in the columns
// center,center_id,row,label,set; row counts the file's records from 1, a header
// not included, and the label must agree with the row. Without one the plan's
// evaluation.holdout and seed choose the test rows.
//
// # Random order
//
// Batches come from a permutation of the rows per pass, drawn by Fisher–Yates
// from xoshiro256** (Blackman and Vigna 2018, https://doi.org/10.1145/3460772),
// seeded by SplitMix64 from the run's seed and the pass. The order is a function
// of (seed, pass) and the number of rows, on every machine, so that an agent that
// restarts in the middle of a run trains on the very batches it would have seen.
// It is public: it hides nothing.
//
// Everything is held in memory today. Streams return errors and batches are valid
// only until the next call, so that a source that reads from disk can stand
// behind the same methods.
package dataset
