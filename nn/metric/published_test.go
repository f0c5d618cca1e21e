package metric

import "testing"

// f32 turns printed figures into predictions.
func f32(v ...float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// certain returns rows of probability 1 for each predicted class.
func certain(classes int, predicted ...int) []float32 {
	out := make([]float32, len(predicted)*classes)
	for i, c := range predicted {
		out[i*classes+c] = 1
	}
	return out
}

// Examples that scikit-learn's reference prints, with its figures:
// https://scikit-learn.org/1.2/modules/classes.html#module-sklearn.metrics.
func TestPublishedExamples(t *testing.T) {
	one := func(target Target, b batch, name string, value, tolerance float64) {
		t.Helper()
		s := newSet(t, target)
		observe(t, s, b)
		want(t, s, name, value, tolerance)
	}
	// roc_auc_score, average_precision_score: the example of roc_curve.
	curve := batch{pred: f32(0.1, 0.4, 0.35, 0.8), labels: []int32{0, 0, 1, 1}}
	one(Binary(), curve, "auc", 0.75, 1e-15)
	one(Binary(), curve, "average_precision", 0.83, 0.005)

	one(Binary(), batch{pred: f32(0.1, 0.9, 0.8, 0.3), labels: []int32{0, 1, 1, 0}}, "brier", 0.0375, 1e-7)
	one(Binary(), batch{pred: f32(0.9, 0.1, 0.2, 0.65), labels: []int32{1, 0, 0, 1}}, "log_loss", 0.21616, 1e-5)

	// balanced_accuracy_score.
	one(Binary(), batch{pred: f32(0, 1, 0, 0, 0, 1), labels: []int32{0, 1, 0, 0, 1, 0}}, "balanced_accuracy", 0.625, 1e-15)

	// precision_score, recall_score, f1_score.
	classes := batch{pred: certain(3, 0, 2, 1, 0, 0, 1), labels: []int32{0, 1, 2, 0, 1, 2}}
	one(Class(3), classes, "precision.macro", 0.22, 0.005)
	one(Class(3), classes, "precision.micro", 0.33, 0.005)
	one(Class(3), classes, "precision.0", 0.66, 0.01)
	one(Class(3), classes, "recall.macro", 0.33, 0.005)
	one(Class(3), classes, "f1.macro", 0.26, 0.01)
	one(Class(3), classes, "f1.micro", 0.33, 0.005)
	one(Class(3), classes, "f1.0", 0.8, 1e-15)
	one(Class(3), classes, "f1.1", 0, 0)

	// confusion_matrix.
	s := newSet(t, Class(3))
	observe(t, s, batch{pred: certain(3, 0, 0, 2, 2, 0, 2), labels: []int32{2, 0, 2, 2, 0, 1}})
	for y, row := range [][]int64{{2, 0, 0, 0}, {0, 0, 1, 0}, {1, 0, 2, 0}} {
		for p, n := range row {
			if got := s.Confusion()[y][p]; got != n {
				t.Errorf("confusion[%d][%d] is %d, want %d", y, p, got, n)
			}
		}
	}

	// top_k_accuracy_score; the printed scores are no distributions, the rows here
	// are the first three divided by their sum 0.9.
	top := Class(3)
	top.TopK = 2
	one(top, batch{pred: f32(5./9, 2./9, 2./9, 3./9, 4./9, 2./9, 2./9, 4./9, 3./9, 0.7, 0.2, 0.1), labels: []int32{0, 1, 2, 2}}, "top_2_accuracy", 0.75, 1e-15)

	// mean_squared_error, mean_absolute_error, r2_score.
	number := batch{pred: f32(2.5, 0, 2, 8), targets: f32(3, -0.5, 2, 7)}
	one(Number(-10, 10), number, "mse", 0.375, 1e-15)
	one(Number(-10, 10), number, "rmse", 0.612, 0.0005)
	one(Number(-10, 10), number, "mae", 0.5, 1e-15)
	one(Number(-10, 10), number, "r2", 0.948, 0.001)
	two := Number(-10, 10)
	two.Outputs = 2
	outputs := batch{pred: f32(0, 2, -1, 2, 8, -5), targets: f32(0.5, 1, -1, 1, 7, -6)}
	one(two, outputs, "mse", 0.708, 0.0005)
	one(two, outputs, "mae", 0.75, 1e-15)
	one(Number(0, 4), batch{pred: f32(1, 2, 3), targets: f32(1, 2, 3)}, "r2", 1, 1e-15)
	one(Number(0, 4), batch{pred: f32(2, 2, 2), targets: f32(1, 2, 3)}, "r2", 0, 1e-15)
	one(Number(0, 4), batch{pred: f32(3, 2, 1), targets: f32(1, 2, 3)}, "r2", -3, 1e-15)
}

// Six patients, pairs written out by hand: at time 2 one event, which precedes
// times 3 to 6; at time 4 an event and a censored one, a comparable pair; 3 and 6
// censored; 5 an event.
func TestConcordanceByHand(t *testing.T) {
	s := newSet(t, Survival())
	observe(t, s, batch{
		targets: f32(2, 1, 3, 0, 4, 1, 4, 0, 5, 1, 6, 0),
		pred:    f32(0.9, 0.95, 0.5, 0.5, 0.7, 0.1),
	})
	// (2: against 0.95 lost; 0.5, 0.5, 0.7, 0.1 won) (4: 0.5 tied, 0.7 lost, 0.1 won) (5: 0.1 won).
	if v := s.Vector(); v[2] != 6 || v[3] != 1 || v[4] != 2 {
		t.Errorf("concordant, tied, discordant %v, want 6 1 2", v[2:])
	}
	want(t, s, "concordance", 6.5/9, 1e-15)
}
