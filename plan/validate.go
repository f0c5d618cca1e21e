package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"filippo.io/age"

	"tacit/id"
	"tacit/internal/nearest"
)

// checkText is the rule for every name and value: short, printable, no space at
// either end.
func checkText(s string) error { return id.CheckName(s) }

// Validate reports everything that is wrong with p as an [*Error]: values out of
// range, and combinations that cannot work or would not protect a branch, with
// the reason.
func (p *Plan) Validate() error { return orNil(p.problems()) }

func (p *Plan) problems() []Problem {
	var out []Problem
	bad := func(key, message, hint string) {
		out = append(out, Problem{Key: key, Message: message, Hint: hint})
	}
	broken := func(prefix string) bool {
		return slices.ContainsFunc(out, func(q Problem) bool { return strings.HasPrefix(q.Key, prefix) })
	}
	def := p.defaults()
	for i := range planFields {
		f := &planFields[i]
		if f.rule.only != nil {
			applies, reason, hint := f.rule.only(p)
			if reason != "" && !equal(f.at(p), f.at(def)) {
				bad(f.key, f.key+" "+reason, hint)
			}
			if !applies {
				continue
			}
		}
		if message, hint := f.check(p); message != "" {
			bad(f.key, message, hint)
		}
	}
	if p.Name == "" {
		bad("name", "the plan has no name", "name: what people will call it")
	} else if err := checkText(p.Name); err != nil {
		bad("name", err.Error(), "")
	}
	p.checkText(bad)
	if !broken("data.kind") {
		p.checkKind(!broken("data."), bad)
	}
	if !broken("data.") && !broken("model") {
		p.checkModel(bad)
	}
	p.checkTraining(bad)
	p.checkComposition(bad)
	if !broken("training") {
		// What nn knows beyond the ranges of single fields.
		if err := p.Optimizer().Validate(); err != nil {
			for line := range strings.Lines(err.Error()) {
				bad("training", "training: "+strings.TrimPrefix(strings.TrimSpace(line), "nn: optimizer: "), "lower training.learning_rate or the setting that it names")
			}
		}
	}
	if len(out) == 0 {
		p.checkSegments(bad)
	}
	return out
}

// check applies f's rule to p and returns a message and a hint, or "".
func (f *field[T]) check(p *T) (message, hint string) {
	number := func(v float64, show string) (string, string) {
		r := f.rule
		// Written so that NaN fails.
		if (!r.above && v >= r.min || r.above && v > r.min) && (v <= r.max || r.min == 0 && r.max == 0 && !math.IsInf(v, 0)) {
			return "", ""
		}
		want := fmt.Sprintf("from %s to %s", limit(r.min, f.at(p)), limit(r.max, f.at(p)))
		if r.above {
			want = fmt.Sprintf("above %s and at most %s", limit(r.min, f.at(p)), limit(r.max, f.at(p)))
		}
		if r.min == r.max {
			want = limit(r.min, f.at(p)) + ", the only value of this version"
		}
		return fmt.Sprintf("%s is %s, want %s", f.key, show, want), r.because[show]
	}
	switch v := f.at(p).(type) {
	case *int:
		return number(float64(*v), strconv.Itoa(*v))
	case *float64:
		return number(*v, strconv.FormatFloat(*v, 'g', -1, 64))
	case *time.Duration:
		return number(v.Seconds(), v.String())
	case *[]int:
		for _, n := range *v {
			if m, h := number(float64(n), strconv.Itoa(n)); m != "" {
				return m, h
			}
		}
	case *[]float64:
		for _, n := range *v {
			if m, h := number(n, strconv.FormatFloat(n, 'g', -1, 64)); m != "" {
				return m, h
			}
		}
	case *string:
		if f.rule.oneOf == nil || slices.Contains(f.rule.oneOf, *v) {
			return "", ""
		}
		if *v == "" && (f.key == "model.loss" || f.key == "data.target.type") {
			return "", "" // said once, where the target is checked
		}
		hint = f.rule.because[*v]
		if n := nearest.Name(*v, f.rule.oneOf); hint == "" && n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		}
		if len(f.rule.oneOf) == 1 {
			return fmt.Sprintf("%s is %q, want %s, the only value of this version", f.key, *v, f.rule.oneOf[0]), hint
		}
		return fmt.Sprintf("%s is %q, want %s", f.key, *v, quoteList(f.rule.oneOf)), hint
	}
	return "", ""
}

// limit writes the end of a range in the unit of what at points to.
func limit(v float64, at any) string {
	if _, ok := at.(*time.Duration); ok {
		return time.Duration(v * float64(time.Second)).String()
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func (p *Plan) checkText(bad func(key, message, hint string)) {
	d := p.Data.Delimiter
	if r, n := utf8.DecodeRuneInString(d); n != len(d) || d == "" || r == utf8.RuneError || r == '"' || r == '\r' || r == '\n' {
		bad("data.delimiter", fmt.Sprintf("delimiter is %q, want one character that is no quote or line break", d), "")
	}
	if len(p.Data.Missing) > MaxValues {
		bad("data.missing", fmt.Sprintf("%d spellings of a missing value, at most %d", len(p.Data.Missing), MaxValues), "")
	}
	seen := map[string]bool{}
	for _, m := range p.Data.Missing {
		if m != "" && checkText(m) != nil {
			bad("data.missing", fmt.Sprintf("%q: %v", m, checkText(m)), "")
		} else if seen[m] {
			bad("data.missing", fmt.Sprintf("%q is listed twice", m), "")
		}
		seen[m] = true
	}
	if s := p.Data.Source; s != "" {
		if err := checkText(s); err != nil {
			bad("data.source", fmt.Sprintf("data.source: %v", err), "")
		}
	}
	if len(p.Outputs.Owner) > MaxOwners {
		bad("outputs.owner", fmt.Sprintf("%d owners, at most %d", len(p.Outputs.Owner), MaxOwners), "")
	}
	owners := map[string]bool{}
	for i, o := range p.Outputs.Owner {
		key := fmt.Sprintf("outputs.owner[%d]", i)
		if err := checkRecipient(o); err != nil {
			bad(key, fmt.Sprintf("owner %d is not an age recipient", i+1), "it begins with age1; age-keygen -y owner-key.txt prints it")
		} else if owners[o] {
			bad(key, fmt.Sprintf("owner %d is listed twice", i+1), "")
		}
		owners[o] = true
	}
}

// checkRecipient never repeats s in its error: it may be a private key pasted by
// mistake.
func checkRecipient(s string) error {
	if !strings.HasPrefix(s, "age1") || strings.ContainsAny(s, "\r\n \t#") || len(s) > 4096 {
		return errors.New("not an age recipient")
	}
	_, err := age.ParseRecipients(strings.NewReader(s))
	return err
}

func (p *Plan) checkComposition(bad func(key, message, hint string)) {
	f, t := &p.Federation, &p.Training
	if t.Batch > p.Data.MaxExamples {
		bad("training.batch", fmt.Sprintf("a batch of %d is larger than data.max_examples (%d)", t.Batch, p.Data.MaxExamples), "")
	}
	if f.MinBranches > f.MaxBranches {
		bad("federation.max_branches", fmt.Sprintf("federation.max_branches (%d) is below min_branches (%d)", f.MaxBranches, f.MinBranches), "")
	}
	if f.Weights == Uniform && f.WeightMax != 1 {
		bad("federation.weight_max", "uniform weights are all 1, so weight_max is 1", "remove it")
	}
	if most := p.defaults().Federation.WeightMax; f.Weights != Uniform && f.WeightMax > most && most > 0 {
		bad("federation.weight_max", fmt.Sprintf("no branch can weigh more than %v, so weight_max %v only wastes precision", most, f.WeightMax), "remove it")
	}
}

// CheckCharter reports as an [*Error] why p may not run in a federation under c.
func (p *Plan) CheckCharter(c *id.Charter) error {
	var out []Problem
	bad := func(key, message, hint string) {
		out = append(out, Problem{Key: key, Message: message, Hint: hint})
	}
	if uint32(p.Federation.MinBranches) < c.MinCohort {
		bad("federation.min_branches", fmt.Sprintf("federation.min_branches is %d; the charter asks for at least %d branches", p.Federation.MinBranches, c.MinCohort), "raise it: a plan cannot loosen the charter")
	}
	if p.Federation.MinBranches < 5 && !c.AllowSmall {
		bad("federation.min_branches", fmt.Sprintf("federation.min_branches is %d; the charter does not allow cohorts below 5", p.Federation.MinBranches), "")
	}
	if !c.AllowsFamily(p.Model.Family) {
		bad("model.family", fmt.Sprintf("the charter does not allow the model family %q", p.Model.Family), "it allows "+quoteList(c.ModelFamilies))
	}
	return orNil(out)
}
