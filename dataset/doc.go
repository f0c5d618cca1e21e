// Package dataset turns a branch's rows, images, texts and series into typed
// examples and batches. It is the only package that reads them; the server does not
// import it, so that "the server cannot read rows" is a fact of the build.
//
//	data, err := dataset.Load(p, dataset.Source{Path: "cleveland.csv", Split: "split.csv"})
//	defer data.Close()
//	examples, err := data.Train.Examples(standardisation)
//	stream, err := examples.Stream(p.Seed, p.Training.Batch, step)
//
// # Sources
//
//	csv       tables and series; text with a header or without
//	npy       tables and series: an array of rows; images: (n, h, w) or (n, h, w, c) of u1
//	idx       images: bytes of 3 or 4 dimensions, as MNIST is published
//	images    a folder per class of PNG and JPEG pictures
//	text      UTF-8 text for windows of characters
//	parquet   tables and series; columns by name   ┐
//	postgres  tables and series; a query           ├ in builds with -tags full
//	mysql     the same, MariaDB too                ┘
//
// Any of these files may be compressed with gzip. What a file promises is not
// believed: sizes are compared with the plan's and the file's own before anything
// is allocated for them. Nothing is resized, cut or filled in on the way.
//
// A connector of the last three registers itself in connectors from files tagged
// full; a build without says so, and how to get one with it.
//
// # Examples
//
// Rows follow the plan's schema. Numeric values become u = (x−min)/(max−min),
// categorical ones one feature per value, timestamps their position and the waves
// of their parts, words the buckets that they hash into, in the order of
// [plan.Schema.Features]. A byte of a pixel becomes u = b/255. A series' rows and a
// text's characters are kept once; windows are views of them.
//
// A row that does not fit is an error with file, line and column, never with the
// row's values: these errors reach logs and screens. Nor do they hold what a
// database server says, or a connection string.
//
// # Test examples
//
// Source.Test names test examples of their own. Else a split file names each kept
// row's set, in the columns center,center_id,row,label,set; row counts the file's
// records from 1, a header not included, and the label must agree with the row.
// Without either the plan's evaluation.holdout and seed choose the test examples;
// of a series and a text it is the last share, and no window reaches from one part
// into the other.
//
// # Random order
//
// Batches come from a permutation of the examples per pass, drawn by Fisher–Yates
// from xoshiro256** (Blackman and Vigna 2018, https://doi.org/10.1145/3460772),
// seeded by SplitMix64 from the run's seed and the pass. The order is a function
// of (seed, pass) and the number of examples, on every machine, so that an agent
// that restarts in the middle of a run trains on the very batches it would have
// seen. It is public: it hides nothing.
//
// # Larger than memory
//
// Source.Memory bounds what is held. Images in a file that is not compressed, and
// pictures in folders, are then read one by one in the order above. Everything else
// becomes a sequence: it is read again in every pass, through a shuffle buffer of
// half that memory, in an order that is a function of (seed, pass, buffer) and the
// file. A sequence of rows draws test rows one by one from (seed, row), since their
// number is not known before, and a series must be sorted by time already. Each
// pass is compared with the first; a source that changed is an error. Streams and
// passes of a sequence cost reading it; [Examples.Stream] says how much.
package dataset
