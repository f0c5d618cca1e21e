package plan

import (
	"errors"
	"strings"
	"testing"
)

// minimal is the shortest plan that is one.
const minimal = `tacit: plan/v1
name: minimal
data:
  columns:
    - {name: age, type: numeric, min: 0, max: 120}
    - {name: ill, type: categorical, values: [no, yes]}
  target: {column: ill, type: binary, positive_values: [yes]}
model: {family: logreg}
`

func mustParse(t testing.TB, src string, overrides ...string) *Plan {
	t.Helper()
	p, err := Parse([]byte(src), "plan.yaml", overrides...)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, src)
	}
	return p
}

// edit replaces one piece of text, which must be there.
func edit(t testing.TB, src, old, new string) string {
	t.Helper()
	if strings.Count(src, old) != 1 {
		t.Fatalf("%q is %d times in the plan", old, strings.Count(src, old))
	}
	return strings.Replace(src, old, new, 1)
}

func TestParseMinimal(t *testing.T) {
	p := mustParse(t, minimal)
	if p.Model.Loss != "binary_cross_entropy" || p.Federation.WeightMax != 10000 || p.Federation.MinBranches != 5 {
		t.Errorf("resolved plan %+v", p)
	}
	if got := strings.Join(p.Data.FeatureNames(), " "); got != "age" {
		t.Errorf("features %q", got)
	}
	h := p.Hash()
	if err := p.Resolve(); err != nil || p.Hash() != h {
		t.Errorf("resolving twice: %v, hash %v then %v", err, h, p.Hash())
	}
	// Order, comments, quotes, defaults and spelling of values are not the plan.
	same := "tacit: plan/v1\n# a comment\nmodel: {family: \"logreg\"}\nprivacy: none\nname: minimal\n" +
		"data:\n  delimiter: ','\n  target: {positive_values: [yes], type: binary, column: ill}\n  columns:\n" +
		"    - name: age\n      type: numeric\n      max: 1.2e2\n      min: 0.0\n    - {name: ill, type: categorical, values: [no, yes]}\n" +
		"federation: {weight_max: 10000, start_grace: 10000ms}\n"
	if q := mustParse(t, same); q.Hash() != h {
		t.Errorf("another spelling of the plan has hash %v, want %v", q.Hash(), h)
	}
	if q := mustParse(t, minimal, "training.batch=16", "model.family=mlp", "model.hidden=[4]", "data.missing=['']"); q.Training.Batch != 16 || len(q.Model.Hidden) != 1 || len(q.Data.Missing) != 1 {
		t.Errorf("overrides gave %+v", q)
	}
}

// Every refusal, word by word: what, where, what to do.
func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "model: {family: logreg}", "modle: {family: logreg}", `plan.yaml:8:1: unknown key "modle"
    8 | modle: {family: logreg}
      | ^
        did you mean "model"?`},
		{"key of another section", "name: minimal", "name: minimal\nbatch: 3", `plan.yaml:3:1: unknown key "batch"
    3 | batch: 3
      | ^
        it belongs to training`},
		{"key far from any", "{family: logreg}", "{family: logreg, zzzzzzz: 1}", `plan.yaml:8:25: unknown key "zzzzzzz" in model
    8 | model: {family: logreg, zzzzzzz: 1}
      |                         ^
        known keys are family, layers, hidden, channels, units, depth, heads, embedding, norm, activation, dropout, loss, class_weights, label_smoothing or huber_delta`},
		{"key twice", "name: minimal", "name: minimal\nname: other", `plan.yaml:3:1: key "name" is here twice
    3 | name: other
      | ^
        remove one`},
		{"no name", "name: minimal\n", "", `plan.yaml: the plan has no name
        name: what people will call it`},
		{"wrong type", "name: minimal", "name: minimal\nseed: minus one", `plan.yaml:3:7: seed: want a whole number from 0 to 18446744073709551615
    3 | seed: minus one
      |       ^`},
		{"negative seed", "name: minimal", "name: minimal\nseed: -1", `plan.yaml:3:7: seed: want a whole number from 0 to 18446744073709551615
    3 | seed: -1
      |       ^`},
		{"octal", "name: minimal", "name: minimal\ntraining: {batch: 010}", `plan.yaml:3:19: training.batch: want a whole number
    3 | training: {batch: 010}
      |                   ^`},
		{"not a number", "max: 120}", "max: .nan}", `plan.yaml:5:47: data.columns[0].max: want a number
    5 |     - {name: age, type: numeric, min: 0, max: .nan}
      |                                               ^`},
		{"no value", "name: minimal", "name: minimal\ntraining:\n  batch:", `plan.yaml:4:3: training.batch has no value, want a whole number
    4 |   batch:
      |   ^
        leave the key out to get its default`},
		{"empty section", "name: minimal", "name: minimal\ntraining:", `plan.yaml:3:1: training is a section with keys of its own
    3 | training:
      | ^
        its keys are optimizer, learning_rate, momentum, nesterov, beta1, beta2, alpha, epsilon, weight_decay, clip_norm, batch, steps, schedule, epochs, validation or patience`},
		{"alias", "name: minimal", "name: &x minimal\n", `plan.yaml:2:7: name: anchors, aliases and tags are not part of a plan
    2 | name: &x minimal
      |       ^
        write the value itself`},
		{"out of range", "name: minimal", "name: minimal\ntraining: {learning_rate: 0}", `plan.yaml:3:27: training.learning_rate is 0, want above 0 and at most 1000
    3 | training: {learning_rate: 0}
      |                           ^`},
		{"duration", "name: minimal", "name: minimal\nfederation: {phase_deadline: 0s}", `plan.yaml:3:30: federation.phase_deadline is 0s, want from 1s to 24h0m0s
    3 | federation: {phase_deadline: 0s}
      |                              ^`},
		{"choice", "{family: logreg}", "{family: logrge}", `plan.yaml:8:17: model.family is "logrge", want logreg, mlp, linear, cnn, resnet, rnn, lstm, gru, transformer or layers
    8 | model: {family: logrge}
      |                 ^
        did you mean "logreg"?`},
		{"two branches", "name: minimal", "name: minimal\nfederation: {min_branches: 2}", `plan.yaml:3:28: federation.min_branches is 2, want from 3 to 2176
    3 | federation: {min_branches: 2}
      |                            ^
        with two branches each can subtract its own update from the sum and read the other's`},
		{"robust rule", "name: minimal", "name: minimal\nfederation: {strategy: trimmed_mean}", `plan.yaml:3:24: federation.strategy is "trimmed_mean", want fedavg, the only value of this version
    3 | federation: {strategy: trimmed_mean}
      |                        ^
        the server sees only the sum of all updates, so a rule that compares single updates cannot run under masks`},
		{"privacy", "name: minimal", "name: minimal\nprivacy: {epsilon: 3}", `plan.yaml:3:10: privacy: want text
    3 | privacy: {epsilon: 3}
      |          ^
        differential privacy is not built yet, so nothing can be claimed: privacy: none`},
		{"reserved", "name: minimal", "name: minimal\naggregation: {cohorts: 2}", `plan.yaml:3:24: aggregation.cohorts is 2, want 1, the only value of this version
    3 | aggregation: {cohorts: 2}
      |                        ^`},
		{"more than the ring holds", "  columns:", "  max_examples: 1000000000\n  columns:", `plan.yaml: 128 branches × 1e+09 (segment stat.n) do not fit the 32-bit sum at a useful scale: 0.015625, want at least 1
128 branches × 1e+09 (segment stat.sum) do not fit the 32-bit sum at a useful scale: 0.015625, want at least 16
128 branches × 1e+09 (segment stat.sumsq) do not fit the 32-bit sum at a useful scale: 0.015625, want at least 16
        lower federation.max_branches or data.max_examples`},
		{"range of a column", "min: 0, max: 120", "min: 120, max: 0", `plan.yaml:5:7: column "age" is numeric, so it needs min and max with min < max
    5 |     - {name: age, type: numeric, min: 120, max: 0}
      |       ^
        give the widest range that a correct value can have: masked sums are bounded by it`},
		{"column key", "type: numeric, ", "typ: numeric, ", `plan.yaml:5:19: unknown key "typ" in column 1
    5 |     - {name: age, typ: numeric, min: 0, max: 120}
      |                   ^
        did you mean "type"?`},
		{"column twice", "name: ill, ", "name: age, ", `plan.yaml:6:14: columns 1 and 2 are both named "age"
    6 |     - {name: age, type: categorical, values: [no, yes]}
      |              ^`},
		{"value twice", "[no, yes]}\n  t", "[1, 1.0, no, yes]}\n  t", `plan.yaml:6:46: column "ill" lists the value "1" twice
    6 |     - {name: ill, type: categorical, values: [1, 1.0, no, yes]}
      |                                              ^`},
		{"target", "column: ill", "column: ilk", `plan.yaml:7:20: no column is named "ilk"
    7 |   target: {column: ilk, type: binary, positive_values: [yes]}
      |                    ^
        did you mean "ill"?`},
		{"one class", "positive_values: [yes]", "positive_values: [yes, no]", `plan.yaml:7:39: list at least one value of the positive class, and not all
    7 |   target: {column: ill, type: binary, positive_values: [yes, no]}
      |                                       ^`},
		{"family and target", "{family: logreg}", "{family: linear}", `plan.yaml:8:17: linear predicts a number; the target is binary
    8 | model: {family: linear}
      |                 ^
        family: logreg`},
		{"no hidden layers", "{family: logreg}", "{family: mlp}", `plan.yaml:8:1: mlp without hidden layers is logreg
    8 | model: {family: mlp}
      | ^
        hidden: [16], or family: logreg`},
		{"private key as owner", "name: minimal", "name: minimal\noutputs: {owner: [AGE-SECRET-KEY-1QQQ]}", `plan.yaml:3:19: owner 1 is not an age recipient
    3 | outputs: {owner: [AGE-SECRET-KEY-1QQQ]}
      |                   ^
        it begins with age1; age-keygen -y owner-key.txt prints it`},
		{"first key", "tacit: plan/v1\nname: minimal", "name: minimal", `plan.yaml:1:1: the first key is "name", want tacit
    1 | name: minimal
      | ^
        begin with tacit: plan/v1`},
		{"later format", "tacit: plan/v1", "tacit: plan/v2", `plan.yaml:1:8: this build reads plan/v1, not "plan/v2"
    1 | tacit: plan/v2
      |        ^
        a later format needs a later tacit`},
		{"syntax", "[no, yes]}", "[no, yes}", `plan.yaml:6:54: ',' or ']' must be specified
    6 |     - {name: ill, type: categorical, values: [no, yes}
      |                                                      ^`},
		{"second document", "name: minimal", "name: minimal\n---\nname: again", `plan.yaml:3:1: a second document begins here; a plan is one
    3 | ---
      | ^`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse([]byte(edit(t, minimal, c.old, c.new)), "plan.yaml")
			if err == nil || err.Error() != c.want || p != nil {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestParseOverridesRefuse(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"training.bach=3", "--set training.bach: unknown key \"training.bach\"\n        did you mean \"training.batch\"?"},
		{"rounds=3", "--set rounds: unknown key \"rounds\"\n        did you mean \"federation.rounds\"?"},
		{"training.batch", "--set training.batch: \"training.batch\" is not key=value\n        --set training.batch=16"},
		{"training.batch=", "--set training.batch: training.batch: the value cannot be read\n        quote it for the shell and for YAML"},
		{"data.columns=[]", "--set data.columns: data.columns cannot be set on the command line\n        change the file"},
		{"training.batch=0", "--set training.batch: training.batch is 0, want from 1 to 65536"},
	} {
		if _, err := Parse([]byte(minimal), "plan.yaml", c.set); err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n%v\nwant\n%s", c.set, err, c.want)
		}
	}
}

func TestParseReportsAllProblems(t *testing.T) {
	src := edit(t, minimal, "name: minimal", "name: minimal\nsead: 1\ntraining: {batch: 0, steps: x}\nprivacy: dp\noutputs: {owner: yes}")
	_, err := Parse([]byte(src), "plan.yaml")
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("got %v", err)
	}
	var lines []int
	for _, p := range all.Problems {
		lines = append(lines, p.Line)
	}
	if len(lines) != 5 || lines[0] != 3 || lines[1] != 4 || lines[2] != 4 || lines[3] != 5 || lines[4] != 6 {
		t.Errorf("problems in lines %v, want 3 4 4 5 6:\n%v", lines, err)
	}
}

func TestParseNotAPlan(t *testing.T) {
	for name, src := range map[string]string{
		"empty":    "",
		"comment":  "# nothing\n",
		"list":     "- tacit: plan/v1\n",
		"text":     "tacit\n",
		"binary":   "tacit: \xff\xfe",
		"too long": strings.Repeat("# comment\n", MaxBytes/10+1),
		"brackets": "tacit: plan/v1\nname: " + strings.Repeat("[", 5000),
		"dashes":   "tacit: plan/v1\nname: " + strings.Repeat("- ", 5000),
		"indents":  "tacit: plan/v1\n" + strings.Join(deepKeys(200), ""),
	} {
		if p, err := Parse([]byte(src), "plan.yaml"); err == nil || p != nil {
			t.Errorf("%s: got %v, %v", name, p, err)
		} else if deep := name == "brackets" || name == "dashes" || name == "indents"; deep != strings.Contains(err.Error(), "nested too deeply for a plan") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func deepKeys(n int) (out []string) {
	for i := range n {
		out = append(out, strings.Repeat(" ", i)+"a:\n")
	}
	return out
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("tacit: plan/v1\nname: [\n"))
	f.Add([]byte("tacit: plan/v1\n? a\n: b\n<<: *x\n"))
	f.Add([]byte("tacit: plan/v1\nname: |\n  x\ndata: {columns: [{}, 1, {name: {a: b}}]}\n"))
	f.Add([]byte(mustParse(f, minimal).YAML()))
	for _, src := range []string{imagesPlan, textPlan, seriesPlan, survivalPlan} {
		f.Add([]byte(src))
	}
	for _, c := range refusals() {
		if len(c.new) < 200 {
			f.Add([]byte(strings.Replace(c.src, c.old, c.new, 1)))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := Parse(src, "f")
		if err != nil {
			if p != nil || err.Error() == "" {
				t.Errorf("%v beside %q", p, err)
			}
			return
		}
		q, err := ParseCanonical(p.Canonical())
		if err != nil || q.Hash() != p.Hash() {
			t.Errorf("canonical bytes: %v", err)
		}
		if q, err = Parse([]byte(p.YAML()), "g"); err != nil || q.Hash() != p.Hash() {
			t.Errorf("commented YAML: %v\n%s", err, p.YAML())
		}
	})
}
