// Package strictyaml reads a YAML file into a struct and says exactly what is wrong
// with it: file:line:column, the line with a caret, and for an unknown key the
// nearest known one. Unknown keys, duplicates and wrong types are errors, and all
// unknown keys are reported at once.
package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxBytes bounds a configuration file.
const MaxBytes = 1 << 20

// Error is what is wrong with a file; Error prints every problem.
type Error struct {
	File     string
	Problems []Problem
}

// Problem is one defect at a place.
type Problem struct {
	Line, Column int
	Message      string
	Excerpt      string // the line and a caret below it; may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, p.Line, p.Column, p.Message)
		if p.Excerpt != "" {
			b.WriteByte('\n')
			b.WriteString(p.Excerpt)
		}
	}
	return b.String()
}

// Decode reads src into out, a pointer to a struct whose fields carry yaml tags.
func Decode(src []byte, filename string, out any) error {
	if len(src) > MaxBytes {
		return &Error{File: filename, Problems: []Problem{{Line: 1, Column: 1, Message: fmt.Sprintf("the file has more than %d bytes", MaxBytes)}}}
	}
	lines := strings.Split(string(src), "\n")
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		return fail(filename, lines, err)
	}
	if len(file.Docs) > 1 {
		return &Error{File: filename, Problems: []Problem{{Line: 1, Column: 1, Message: "more than one document in the file"}}}
	}
	var unknown []Problem
	if len(file.Docs) == 1 && file.Docs[0].Body != nil {
		unknown = findUnknown(file.Docs[0].Body, reflect.TypeOf(out).Elem(), "", lines)
	}
	if len(unknown) > 0 {
		return &Error{File: filename, Problems: unknown}
	}
	if err := yaml.UnmarshalWithOptions(src, out, yaml.Strict()); err != nil {
		return fail(filename, lines, err)
	}
	return nil
}

// fail turns the library's error into ours.
func fail(filename string, lines []string, err error) error {
	var at yaml.Error
	p := Problem{Line: 1, Column: 1, Message: err.Error()}
	if errors.As(err, &at) {
		p.Message = at.GetMessage()
		if tk := at.GetToken(); tk != nil && tk.Position != nil {
			p = problem(tk, at.GetMessage(), lines)
		}
	}
	return &Error{File: filename, Problems: []Problem{p}}
}

func problem(tk *token.Token, message string, lines []string) Problem {
	p := Problem{Line: tk.Position.Line, Column: tk.Position.Column, Message: message}
	if p.Line >= 1 && p.Line <= len(lines) {
		text := strings.TrimRight(lines[p.Line-1], "\r")
		p.Excerpt = "    " + text + "\n    " + strings.Repeat(" ", max(0, p.Column-1)) + "^"
	}
	return p
}

// findUnknown walks the mappings that correspond to structs, or to maps of them.
func findUnknown(n ast.Node, t reflect.Type, prefix string, lines []string) (out []Problem) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	m, ok := n.(*ast.MappingNode)
	if ok && t.Kind() == reflect.Map {
		for _, v := range m.Values {
			out = append(out, findUnknown(v.Value, t.Elem(), prefix+v.Key.GetToken().Value+".", lines)...)
		}
		return out
	}
	if !ok || t.Kind() != reflect.Struct {
		return nil
	}
	known := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		known[name] = f.Type
	}
	for _, v := range m.Values {
		key := v.Key.GetToken().Value
		ft, ok := known[key]
		if !ok {
			message := fmt.Sprintf("unknown key %q", prefix+key)
			if near := nearest(key, known); near != "" {
				message += fmt.Sprintf("; did you mean %q?", prefix+near)
			}
			out = append(out, problem(v.Key.GetToken(), message, lines))
			continue
		}
		out = append(out, findUnknown(v.Value, ft, prefix+key+".", lines)...)
	}
	return out
}

// nearest returns the known key with the smallest edit distance, if it is close.
func nearest(key string, known map[string]reflect.Type) string {
	best, at := "", max(2, len(key)/2)+1
	for k := range known {
		if d := distance(key, k); d < at || d == at && k < best {
			best, at = k, d
		}
	}
	return best
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		last := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := last
			if a[i-1] != b[j-1] {
				cost++
			}
			last, row[j] = row[j], min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
