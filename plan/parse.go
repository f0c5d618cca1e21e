package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"tacit/internal/nearest"
	"tacit/nn"
)

// maxNesting bounds brackets and list marks inside each other: the YAML parser
// is recursive, and nothing in a plan but layers inside layers is deep.
const maxNesting = 3 * nn.MaxNesting

// Parse reads a plan in YAML, applies overrides of the form
// "training.learning_rate=0.1" and resolves the result. filename is only
// printed. The error is an [*Error] with every problem that could be found.
func Parse(src []byte, filename string, overrides ...string) (*Plan, error) {
	d := &decoder{plan: Default(), at: map[string]place{}}
	d.readFile(src, filename)
	for _, o := range overrides {
		d.override(o)
	}
	if len(d.problems) > 0 && d.hopeless {
		return nil, orNil(d.problems)
	}
	found := len(d.problems)
	if err := d.plan.Resolve(); err != nil {
		var all *Error
		errors.As(err, &all)
		for _, q := range all.Problems {
			if !reported(d.problems[:found], q.Key) {
				d.problems = append(d.problems, d.locate(q))
			}
		}
	}
	if err := orNil(d.problems); err != nil {
		return nil, err
	}
	return d.plan, nil
}

// reported says whether a problem of key, of a part of it or of what it is a
// part of is known already: the second would only be its echo.
func reported(known []Problem, key string) bool {
	return slices.ContainsFunc(known, func(p Problem) bool {
		return key == p.Key || within(p.Key, key) || within(key, p.Key) && p.Key != "" ||
			// An unreadable column or target leaves everything about rows in doubt.
			(within(p.Key, "data.columns") || within(p.Key, "data.target")) && (within(key, "data.columns") || within(key, "data.target") || within(key, "model"))
	})
}

// within says whether key is outer or a part of it.
func within(key, outer string) bool {
	rest, ok := strings.CutPrefix(key, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// place is where a key's value came from.
type place struct {
	file      string
	line, col int
}

type decoder struct {
	plan     *Plan
	file     string
	lines    []string
	at       map[string]place // by dotted key
	problems []Problem
	hopeless bool // not even the shape is right: later checks would only echo

	layerCount, depth int // of model.layers: in all, and inside each other
}

func (d *decoder) bad(tk *token.Token, key, message, hint string) {
	p := Problem{File: d.file, Key: key, Message: message, Hint: hint}
	if tk != nil && tk.Position != nil {
		p.Line, p.Column = tk.Position.Line, tk.Position.Column
	}
	d.problems = append(d.problems, d.excerpt(p))
}

// locate gives a problem found after decoding the place of its key, or of the
// nearest enclosing one.
func (d *decoder) locate(p Problem) Problem {
	for key := p.Key; key != ""; {
		if at, ok := d.at[key]; ok {
			p.File, p.Line, p.Column = at.file, at.line, at.col
			return d.excerpt(p)
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	p.File = d.file
	return p
}

// excerpt adds the source line, if it can be shown with a caret below.
func (d *decoder) excerpt(p Problem) Problem {
	if p.File != d.file || p.Line < 1 || p.Line > len(d.lines) {
		return p
	}
	line := []rune(d.lines[p.Line-1])
	if len(line) > 160 {
		line = line[:160]
	}
	if p.Column > len(line)+1 {
		return p
	}
	for i, r := range line {
		if !unicode.IsPrint(r) {
			line[i] = ' '
		}
	}
	p.Excerpt = strings.TrimRight(string(line), " ")
	return p
}

func (d *decoder) readFile(src []byte, filename string) {
	d.file = filename
	stop := func(message, hint string) {
		d.hopeless = true
		d.problems = append(d.problems, Problem{File: filename, Message: message, Hint: hint})
	}
	if len(src) > MaxBytes {
		stop(fmt.Sprintf("%d bytes, at most %d are a plan", len(src), MaxBytes), "")
		return
	}
	if !utf8.Valid(src) {
		stop("not UTF-8 text", "save the file as UTF-8")
		return
	}
	d.lines = strings.Split(strings.ReplaceAll(string(src), "\r\n", "\n"), "\n")
	body, err := parseYAML(src)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax):
		d.hopeless = true
		d.bad(syntax.GetToken(), "", syntax.GetMessage(), "")
		return
	case err != nil:
		stop(err.Error(), "")
		return
	case body == nil:
		stop("the file is empty", "tacit init plan prints one to begin with")
		return
	}
	m, ok := body.(*ast.MappingNode)
	if !ok || len(m.Values) == 0 {
		d.hopeless = true
		d.bad(body.GetToken(), "", "a plan is a list of keys with values", "begin with tacit: "+Format)
		return
	}
	first := m.Values[0]
	version, _, isScalar := scalar(first.Value)
	switch key := keyText(first); {
	case key != "tacit":
		d.hopeless = true
		d.bad(first.Key.GetToken(), "tacit", fmt.Sprintf("the first key is %q, want tacit", key), "begin with tacit: "+Format)
		return
	case !isScalar || version != Format:
		d.hopeless = true
		d.bad(first.Value.GetToken(), "tacit", fmt.Sprintf("this build reads %s, not %q", Format, version), "a later format needs a later tacit")
		return
	}
	d.mapping(m.Values[1:], "", map[string]bool{"tacit": true})
}

// parseYAML returns the one document's body, nil when it is empty.
func parseYAML(src []byte) (body ast.Node, err error) {
	// A parser that we do not own reads bytes that we do not own.
	defer func() {
		if r := recover(); r != nil {
			body, err = nil, errors.New("the YAML parser cannot read this")
		}
	}()
	tokens := lexer.Tokenize(string(src))
	if err := checkNesting(tokens); err != nil {
		return nil, err
	}
	// Duplicates are reported by mapping, together with every other problem.
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, err
	}
	if len(f.Docs) == 0 {
		return nil, nil
	}
	if len(f.Docs) > 1 {
		return nil, &yaml.SyntaxError{Message: "a second document begins here; a plan is one", Token: f.Docs[1].Start}
	}
	return f.Docs[0].Body, nil
}

func checkNesting(tokens token.Tokens) error {
	depth, line, marks := 0, 0, 0
	indents := map[int]bool{}
	for _, tk := range tokens {
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType, token.AliasType:
			if tk.Position.Line != line && depth == 0 {
				line, marks = tk.Position.Line, 0
				indents[tk.Position.IndentNum] = true
			}
			if depth == 0 {
				marks++
			}
		}
		if depth > maxNesting || marks > maxNesting || len(indents) > 4*maxNesting {
			return &yaml.SyntaxError{Message: "nested too deeply for a plan", Token: tk}
		}
	}
	return nil
}

// keyText returns a key's text, "" for anything but a plain or quoted word.
func keyText(v *ast.MappingValueNode) string {
	if v.Key == nil || v.Key.GetToken() == nil {
		return ""
	}
	if _, ok := v.Key.(*ast.StringNode); !ok {
		return ""
	}
	return v.Key.GetToken().Value
}

// scalar returns the text of a one-value node and whether it stands in quotes.
func scalar(n ast.Node) (text string, quoted, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		t := n.Token.Type
		return n.Value, t == token.SingleQuoteType || t == token.DoubleQuoteType, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, false, true
	}
	return "", false, false
}

// mapping reads the keys of the section prefix ("" is the whole plan).
func (d *decoder) mapping(values []*ast.MappingValueNode, prefix string, seen map[string]bool) {
	for _, v := range values {
		tk := v.Key.GetToken()
		word := keyText(v)
		key := word
		if prefix != "" {
			key = prefix + "." + word
		}
		if word == "" {
			d.bad(tk, prefix, "this is not a key that a plan can have", "")
			continue
		}
		if seen[word] {
			d.bad(tk, key, fmt.Sprintf("key %q is here twice", word), "remove one")
			continue
		}
		seen[word] = true
		if f := fieldOf(key); f != nil {
			d.at[key] = place{d.file, tk.Position.Line, tk.Position.Column}
			if v.Value != nil {
				if t := v.Value.GetToken(); t != nil && t.Position != nil && t.Position.Line > 0 {
					if _, _, ok := scalar(v.Value); ok {
						d.at[key] = place{d.file, t.Position.Line, t.Position.Column}
					}
				}
			}
			d.field(f, v.Value, tk)
			continue
		}
		if !isSection(key) {
			d.unknown(tk, word, key, prefix)
			continue
		}
		d.at[key] = place{d.file, tk.Position.Line, tk.Position.Column}
		m, ok := v.Value.(*ast.MappingNode)
		if !ok {
			d.bad(valueToken(v.Value, tk), key, fmt.Sprintf("%s is a section with keys of its own", key), "its keys are "+quoteList(children(key)))
			continue
		}
		d.mapping(m.Values, key, map[string]bool{})
	}
}

// field decodes n into the plan. A value that stands for a default that depends on
// other fields would vanish there, so here is the place to refuse it.
func (d *decoder) field(f *field[Plan], n ast.Node, keyToken *token.Token) {
	at := f.at(d.plan)
	d.value(n, keyToken, f.key, at)
	var zero bool
	switch v := at.(type) {
	case *int:
		zero = *v == 0
	case *float64:
		zero = *v == 0
	}
	if text, quoted, ok := scalar(n); f.rule.derived && zero && ok && !quoted {
		if _, isNumber := ParseNumber(text); isNumber {
			if message, hint := f.check(d.plan); message != "" {
				d.bad(valueToken(n, keyToken), f.key, message, hint)
			}
		}
	}
}

func (d *decoder) unknown(tk *token.Token, word, key, prefix string) {
	message := fmt.Sprintf("unknown key %q", word)
	if prefix != "" {
		message += " in " + prefix
	}
	hint := ""
	if n := nearest.Name(word, children(prefix)); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
		key = key[:len(key)-len(word)] + n // that n is missing is no second problem
	} else if homes := homesOf(word); len(homes) > 0 {
		hint = fmt.Sprintf("it belongs to %s", quoteList(homes))
	} else {
		hint = "known keys are " + quoteList(children(prefix))
	}
	d.bad(tk, key, message, hint)
}

// children returns the keys directly under prefix.
func children(prefix string) []string {
	var out []string
	for _, f := range planFields {
		rest := f.key
		if prefix != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(f.key, prefix+"."); !ok {
				continue
			}
		}
		word, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

// homesOf returns the sections that have a key of that name.
func homesOf(word string) (out []string) {
	for _, f := range planFields {
		if section, ok := strings.CutSuffix(f.key, "."+word); ok {
			out = append(out, section)
		}
	}
	return out
}

func isSection(key string) bool { return len(children(key)) > 0 }

func fieldOf(key string) *field[Plan] {
	for i := range planFields {
		if planFields[i].key == key {
			return &planFields[i]
		}
	}
	return nil
}

func valueToken(n ast.Node, key *token.Token) *token.Token {
	if n == nil {
		return key
	}
	if _, null := n.(*ast.NullNode); null {
		return key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
			return m.Values[0].Key.GetToken()
		}
		return t
	}
	return key
}

// override applies one "key=value" from the command line.
func (d *decoder) override(s string) {
	file, lines := d.file, d.lines
	defer func() { d.file, d.lines = file, lines }()
	key, text, ok := strings.Cut(s, "=")
	d.file, d.lines = "--set "+key, strings.Split(text, "\n")
	f := fieldOf(key)
	switch {
	case !ok:
		d.bad(nil, key, fmt.Sprintf("%q is not key=value", s), "--set training.batch=16")
		return
	case f == nil:
		all := make([]string, len(planFields))
		for i := range planFields {
			all[i] = planFields[i].key
		}
		hint := ""
		if n := nearest.Name(key, all); n != "" {
			hint = fmt.Sprintf("did you mean %q?", n)
		} else if homes := homesOf(key); len(homes) > 0 {
			hint = fmt.Sprintf("did you mean %q?", homes[0]+"."+key)
		}
		d.bad(nil, key, fmt.Sprintf("unknown key %q", key), hint)
		return
	case f.key == "data.columns" || len(text) > 1<<12:
		d.bad(nil, key, key+" cannot be set on the command line", "change the file")
		return
	}
	body, err := parseYAML([]byte(text))
	if err != nil || body == nil {
		d.bad(nil, key, fmt.Sprintf("%s: the value cannot be read", key), "quote it for the shell and for YAML")
		return
	}
	d.at[key] = place{file: d.file}
	d.field(f, body, body.GetToken())
}
