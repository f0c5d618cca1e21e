// Package explain says which inputs a model's answers rest on. It needs rows, so
// it runs at a branch; what may leave are its sums over rows (Permuted, Summary),
// which add over branches as package metric's do. A sum over few rows says much
// about each: who publishes one holds to the same least number of examples and
// branches as for any other aggregate.
//
//	c := explain.Permutation{Target: metric.Binary(), Outputs: 1, Groups: columns, Seed: 7}
//	sums, err := c.Run(program, explain.Rows{X: x, Labels: y, Inputs: 13})
//	importance, err := sums.Importance("auc") // per column: mean drop, deviation
//
//	g, err := explain.Integrated(program, x, baseline, explain.Options{Output: 3, Batch: 32})
//	fmt.Println(g.Gap()) // how far from complete
//
// # Three questions, three methods
//
//   - Permutation importance (Breiman 2001, https://doi.org/10.1023/A:1010933404324;
//     Fisher, Rudin, Dominici 2019, https://jmlr.org/papers/v20/18-760.html): how
//     much worse is a metric when a group of features is shuffled among the rows?
//     It explains the model on these rows, all together. Features that carry the
//     same information hide each other: shuffle them as one group.
//   - Saliency (Simonyan, Vedaldi, Zisserman 2014, https://arxiv.org/abs/1312.6034):
//     |∂z/∂x| of one output for one example, and ∂z/∂x·x. Where the output is flat
//     it is 0, however much the input has to do with it.
//   - Integrated gradients (Sundararajan, Taly, Yan 2017,
//     https://arxiv.org/abs/1703.01365): (x − b)·∫₀¹ ∂z/∂x(b + α(x − b)) dα from a
//     baseline b. The attributions of an example sum to z(x) − z(b) up to the error
//     of the numeric integral, which is reported.
//
// Gradients are of the model's own outputs: logits under the entropies, not
// probabilities. None of the three says what causes what.
//
// Rows are row-major, (n, inputs). Results depend on rows, model, options and
// seed alone, not on the batch size; sums are float64 in the order of rows.
package explain
