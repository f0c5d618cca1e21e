// Package metric evaluates predictions by sums that add: over batches, over
// branches, and in a masked sum that nobody can open. A ratio is taken once, of
// the total; there is no average of averages (the weighted metrics of Apple's
// pfl-research, https://github.com/apple/pfl-research, are the model).
//
//	s, err := metric.New(metric.Binary())
//	err = s.Observe(pred, labels, nil) // as often as there are batches
//	err = all.Add(s)                   // as often as there are branches
//	for _, v := range all.Values() {
//		fmt.Println(v.Name, v.Value, v.Weight)
//	}
//
// # What it promises
//
// Every coordinate of a Set is a count or a sum of non-negative terms in 128-bit
// fixed point (64 bits of fraction, terms cut towards zero there). Fixed point
// adds exactly, so the Set of a whole is the same bits however it was cut into
// batches and branches and in whatever order those were added. The one exception
// is stated with Survival: pairs are formed within one Observe.
//
// Vector gives the coordinates as numbers, FromVector takes them back. Each is at
// least 0 and at most Examples times its Field's Bound, so that a plan can give
// each a scale and all of them travel as segments of one masked vector.
//
// # What is not a prediction
//
// An example whose outputs are not usable (NaN, infinite, no probability) counts
// as the worst answer within the bounds: it is wrong, it is a miss, it loses every
// comparison with another example, its loss is the bound, its calibration gap is
// 1. Its number is the value "unusable". A usable prediction whose loss or error
// exceeds the bound counts at the bound; the value "clamped" says how many. No sum
// is ever NaN or infinite. Labels and targets are another matter: one that is out
// of range or not finite is an error and nothing of that batch is counted.
//
// # Definitions
//
// With n examples, labels y, probabilities p, and TP_c, FP_c, FN_c of class c:
//
//	accuracy          share of examples whose predicted class is the label; the
//	                  predicted class is the first of the greatest probabilities,
//	                  under Binary label 1 where p > ½
//	top_K_accuracy    share of examples where fewer than K classes stand before the
//	                  label (greater p, or equal p and a lower index)
//	precision.C       TP/(TP+FP)        recall.C  TP/(TP+FN)
//	f1.C              2TP/(2TP+FP+FN)
//	….micro           the same of the sums of TP, FP, FN over classes
//	….macro           mean over the classes that occur as label or prediction, 0
//	                  where a ratio has no denominator (scikit-learn's zero_division=0)
//	balanced_accuracy mean recall over the classes that occur as label
//	auc               P(score of a positive > score of a negative) + ½ P(equal), from
//	                  a histogram: the pairs of one bin count ½ (roc.go has the bound)
//	average_precision Σ_t (R_t − R_t−1)·P_t over the bins, high to low
//	log_loss          mean of −ln p_y         perplexity  e^log_loss
//	brier             Binary: mean of (p − y)²; classes: of Σ_c (p_c − [c = y])²
//	calibration_error Σ_b n_b/n·|share correct − mean confidence| over fixed bins
//	mse, rmse, mae    of prediction − target, in the target's unit
//	r2                1 − Σ(f−y)²/Σ(y−ȳ)², mean over the outputs
//	concordance       Harrell's C (survival.go)
//
// The log loss of a probability saturates where float32 does: nn.Metrics, from
// logits, is the finer measure of a loss during training.
//
// Values are float64 operations in fixed order, each rounded once: the same sums
// give the same bits on every machine.
package metric
