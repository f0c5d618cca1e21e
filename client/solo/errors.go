package solo

import (
	"fmt"

	"tacit/id"
)

// RefusedError says why a training cannot begin as it was asked for.
type RefusedError struct {
	What string
	Do   string
}

func (e *RefusedError) Error() string { return e.What }

// Hint is the advice printed under the error.
func (e *RefusedError) Hint() string { return e.Do }

// otherPlan is the error of a directory that another plan's training began in.
func otherPlan(dir string, had, want id.PlanHash) error {
	return &RefusedError{What: fmt.Sprintf("%s holds a training of another plan (%s, this one is %s)", dir, had.Short(), want.Short()),
		Do: "resume that plan (its " + PlanName + " is there), or train this one into another directory"}
}

// otherData is the same of other rows.
func otherData(dir string) error {
	return &RefusedError{What: dir + " holds a training on other rows: the data set has changed, or it is another one",
		Do: "train into another directory, or with the data set as it was"}
}

// DivergedError says that a loss, or a number in a row, is not finite. The best model
// of the epochs before stays in the directory.
type DivergedError struct {
	Epoch   int    // counted from 1
	Batch   int    // of the epoch, counted from 1; 0: between two
	Step    uint64 // counted from 1
	Example int    // of the batch, counted from 1; 0: no single one
	Rows    bool   // the batch itself holds a number that is not finite

	Validation bool // the loss on the validation rows is not finite
	Kept       int  // the epoch whose model is kept; 0: there is none
	Dir        string
}

func (e *DivergedError) Error() string {
	at := fmt.Sprintf("epoch %d, batch %d (step %d)", e.Epoch, e.Batch, e.Step)
	if e.Batch == 0 {
		at = fmt.Sprintf("epoch %d, after step %d", e.Epoch, e.Step)
	}
	what := "the parameters are not finite any more"
	switch {
	case e.Validation:
		what = "the loss on the validation rows is not finite"
	case e.Rows:
		what = fmt.Sprintf("example %d of the batch holds a number that is not finite", e.Example)
	case e.Example == 0 && e.Batch > 0:
		what = "the gradient of the batch is not finite"
	case e.Example > 0:
		what = fmt.Sprintf("the loss of example %d of the batch is not finite", e.Example)
	}
	kept := "there is no model of an epoch before"
	if e.Kept > 0 {
		kept = fmt.Sprintf("the model of epoch %d stays sealed in %s", e.Kept, e.Dir)
	}
	return fmt.Sprintf("training stopped at %s: %s; %s", at, what, kept)
}

// Hint is the advice printed under the error.
func (e *DivergedError) Hint() string {
	if e.Rows {
		return "correct the rows"
	}
	return "a smaller learning rate, a schedule's warmup or training.clip_norm may help, as in --set training.clip_norm=1; give it another --out"
}

// RowError says that a number in the rows is not finite, before any training.
type RowError struct {
	Set     string // "training" or "test"
	Example int    // counted from 1, in the order of the file
}

func (e *RowError) Error() string {
	return fmt.Sprintf("%s example %d (counted in the file's order) holds a number that is not finite", e.Set, e.Example)
}

// Hint is the advice printed under the error.
func (e *RowError) Hint() string { return "correct the rows" }

// InterruptedError says that training was interrupted and can go on.
type InterruptedError struct {
	Dir   string
	Step  uint64
	Total uint64
	Err   error
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted after step %d of %d; a checkpoint is in %s", e.Step, e.Total, e.Dir)
}
func (e *InterruptedError) Unwrap() error { return e.Err }

// Hint is the advice printed under the error.
func (e *InterruptedError) Hint() string { return "the same command again goes on from there" }
