// Package plan owns the training plan: the one document that the server, every
// branch and every owner hash and hold each other to. It says which rows a
// branch reads (the schema), which model is trained and how, how the branches
// are joined, and what may come out. The schema lives here and nowhere else.
//
// [Parse] reads YAML strictly: an unknown key, a wrong type, a value out of
// range or a combination that would not protect a branch is a [Problem] with
// its line, its column and what to write instead, and all of them are reported
// at once. What Parse returns is resolved: every field that the file left out
// holds its default.
//
//	p, err := plan.Parse(src, "heart.yaml")
//	fmt.Println(p.Hash())
//	for _, s := range p.Segments(plan.Train) {
//		fmt.Println(s.Name, s.Length, s.Bound, s.Scale)
//	}
//
// # Data
//
// data.kind says what an example is. [Schema.Shape] is its shape, as the network
// reads it, and data.standardise works on the features of the last axis
// ([Schema.StatWidth]).
//
//	kind    example                                   shape               learned
//	table   a row                                     [features]          target: binary, class, number or survival
//	images  a picture, u = byte/255                   [height width channels]  its class, of data.classes
//	text    data.text.length characters as ids        [length]            the next character of each, no target
//	series  data.series.length consecutive rows       [length features]   target: the number horizon rows later
//
// A table's columns are numeric (one feature), categorical (one per value),
// timestamp (its position, and sine and cosine of each part) or text (one per
// bucket of words); a series' are numeric, with at most one timestamp, which orders
// the rows.
//
// # Networks
//
// model.family names a preset, which [Plan.Spec] writes out in layers: logreg, mlp
// and linear for anything but text; cnn and resnet for images; rnn, lstm, gru and
// transformer for text and series. Family layers takes the layers themselves, in
// the kinds and options of package nn: nn.LayerFields lists what a kind takes.
//
//	model:
//	  family: layers
//	  layers:
//	    - {kind: conv2d, units: 16, kernel: 3, padding: 1}
//	    - relu
//	    - kind: residual
//	      body: [{kind: conv2d, units: 16, kernel: [3, 5], padding: [1, 2]}, relu]
//	    - global_avg_pool
//	    - {kind: dense, units: 10}
//
// Whether shapes fit each other is nn's to say, and its problems come with the
// layer's place in the file.
//
// # Canonical bytes
//
// [Plan.Canonical] is the only encoding that is hashed (big-endian):
//
//	"tacit plan v1" and a zero byte
//	field: uint16 number, rising · uint8 revision · uint32 length · value
//
// A field equal to its default is left out, so that fields added later leave the
// hashes of older plans alone. The revision is that of plan/v1 in which the
// field appeared, or of its value where that came later: a reader that meets a
// higher one refuses and can say which revision it lacks ([NewerError]). Values are
// UTF-8 text, uint64, IEEE 754 float64 bits (never NaN or −0), one byte 0 or 1,
// nanoseconds as uint64, a pair of sizes as two uint64, or a list: uint32 count,
// then uint64 or float64 values as they are and others uint32-length-prefixed. A
// column and a layer are lists of fields of their own, in the same form; a layer's
// body and shortcut are lists of layers, at most nn.MaxNesting deep and
// nn.MaxLayers in all.
//
// # The vector
//
// [Plan.Segments] lists what a branch adds to the masked sum, in order, with the
// bound on each coordinate's size and the power of two it is multiplied by. The
// scale is the largest power of two with n_max·⌈bound·scale⌉ < 2^31, so that no
// sum of federation.max_branches honest vectors wraps around the ring.
//
// Of a statistic, an example adds 1 to n, and to sum and sumsq the means over its
// positions (the pixels of an image, the rows of a series) of u and u². Metrics
// count answers: [Schema.LabelsPerExample] for each example.
package plan
