package metric

// confusion counts examples by label (row) and predicted class (column); the last
// column holds those without a usable prediction.
type confusion struct {
	classes int
	n       []sum // classes × (classes + 1)
}

func (c confusion) count(label int32, predicted int) {
	c.n[int(label)*(c.classes+1)+predicted].count()
}

// Confusion returns the table [label][predicted class], of which the last column
// holds examples without a usable prediction; nil if the Target has none.
func (s *Set) Confusion() [][]int64 {
	c := s.confusion
	if len(c.n) == 0 {
		return nil
	}
	rows := make([][]int64, c.classes)
	for y := range rows {
		rows[y] = make([]int64, c.classes+1)
		for p := range rows[y] {
			rows[y][p] = int64(c.n[y*(c.classes+1)+p].whole)
		}
	}
	return rows
}

// of returns true positives, examples with label c, and predictions of c.
func (c confusion) of(class int) (tp, labelled, predicted float64) {
	w := c.classes + 1
	var column sum
	for y := range c.classes {
		column.merge(c.n[y*w+class])
	}
	return c.n[class*w+class].float(), total(c.n[class*w:][:w]), column.float()
}

// all returns the same, summed over classes.
func (c confusion) all() (tp, labelled, predicted float64) {
	for class := range c.classes {
		t, l, p := c.of(class)
		tp, labelled, predicted = tp+t, labelled+l, predicted+p
	}
	return tp, labelled, predicted
}

func (c confusion) accuracy() Value {
	tp, n, _ := c.all()
	return ratio("accuracy", tp, n)
}

func (c confusion) precision(name string, class int) Value {
	tp, _, predicted := c.of(class)
	return ratio(name, tp, predicted)
}

func (c confusion) recall(name string, class int) Value {
	tp, labelled, _ := c.of(class)
	return ratio(name, tp, labelled)
}

// f1 is 2TP/(2TP + FP + FN): labelled is TP + FN, predicted TP + FP.
func (c confusion) f1(name string, class int) Value {
	tp, labelled, predicted := c.of(class)
	return ratio(name, 2*tp, labelled+predicted)
}

func (c confusion) balancedAccuracy() Value {
	v := make([]Value, c.classes)
	for class := range v {
		v[class] = c.recall("", class)
	}
	return mean("balanced_accuracy", v)
}

// micro: every example has one label, so recall is accuracy; precision differs
// from it by the unusable predictions.
func (c confusion) micro() []Value {
	tp, labelled, predicted := c.all()
	return []Value{
		ratio("precision.micro", tp, predicted),
		ratio("recall.micro", tp, labelled),
		ratio("f1.micro", 2*tp, labelled+predicted),
	}
}

// macro: a class that occurs counts 1, with 0 for a ratio without denominator.
func (c confusion) macro() []Value {
	var precision, recall, f1, n float64
	for class := range c.classes {
		tp, labelled, predicted := c.of(class)
		if labelled+predicted == 0 {
			continue
		}
		precision += orZero(tp, predicted)
		recall += orZero(tp, labelled)
		f1 += orZero(2*tp, labelled+predicted)
		n++
	}
	return []Value{
		ratio("precision.macro", precision, n),
		ratio("recall.macro", recall, n),
		ratio("f1.macro", f1, n),
	}
}
