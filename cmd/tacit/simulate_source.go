package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tacit/dataset"
	"tacit/id"
	"tacit/plan"
	heartdisease "tacit/testdata/heart-disease"
)

// source is the rows of a simulation: files of text lines, one per natural site.
type source struct {
	files []sourceFile
}

type sourceFile struct {
	name   string
	header string
	lines  []string
	labels map[int][2]string // by 1-based row: label and set, where a split says so
}

// openSource reads a directory's files, or the embedded hospitals' for a plan that
// fits them.
func openSource(p *plan.Plan, dir string) (*source, error) {
	s := &source{}
	if dir == "" {
		if _, err := hospitals(p); err != nil {
			return nil, misconfigured("--data DIR says where the plan's rows are, one file per branch", "the plan does not fit the hospitals' rows: %w", err)
		}
		for _, site := range heartdisease.Sites() {
			f := newSourceFile(p, site.Name, heartdisease.Rows(site.Name))
			f.split(heartdisease.Split(site.Name))
			s.files = append(s.files, f)
		}
		return s, nil
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, misconfigured("--data DIR holds one file of rows per branch", "%w", err)
	}
	var split []byte
	for _, n := range names {
		if n.IsDir() || strings.HasPrefix(n.Name(), ".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			return nil, err
		}
		if n.Name() == "split.csv" {
			split = b
			continue
		}
		switch filepath.Ext(n.Name()) {
		case ".csv", ".data", ".tsv", ".txt":
		default:
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(n.Name(), filepath.Ext(n.Name())))
		if err := id.CheckName(name); err != nil {
			return nil, misconfigured("rename the file: its name is the branch's", "%s: %w", n.Name(), err)
		}
		s.files = append(s.files, newSourceFile(p, name, b))
	}
	if len(s.files) == 0 {
		return nil, misconfigured("one .csv, .data, .tsv or .txt file per branch", "%s holds no files of rows", dir)
	}
	for i := range s.files {
		s.files[i].split(split)
	}
	return s, nil
}

func newSourceFile(p *plan.Plan, name string, text []byte) sourceFile {
	f := sourceFile{name: name, lines: strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r", ""), "\n"), "\n")}
	if p.Data.Header && len(f.lines) > 0 {
		f.header, f.lines = f.lines[0], f.lines[1:]
	}
	return f
}

// split takes this file's lines of a split: center,center_id,row,label,set. Rows
// count from 1 over the file's lines, a header included.
func (f *sourceFile) split(text []byte) {
	first := 1
	if f.header != "" {
		first = 2
	}
	for line := range strings.Lines(string(text)) {
		field := strings.Split(strings.TrimSpace(line), ",")
		var row int
		if len(field) != 5 || field[0] != f.name {
			continue
		}
		if _, err := fmt.Sscan(field[2], &row); err != nil {
			continue
		}
		if f.labels == nil {
			f.labels = map[int][2]string{}
		}
		f.labels[row-first] = [2]string{field[3], field[4]}
	}
}

func (s *source) names() []string {
	var out []string
	for _, f := range s.files {
		out = append(out, f.name)
	}
	return out
}

// deal returns the sites' data: the files themselves, or all rows dealt at random
// by the plan's seed.
func (s *source) deal(p *plan.Plan, sites []string) (map[string]*dataset.Data, error) {
	files := s.files
	if !slices.Equal(sites, s.names()) {
		files = s.shuffled(sites, p.Seed)
	}
	out := map[string]*dataset.Data{}
	for _, f := range files {
		d, err := f.read(p)
		if err != nil {
			return nil, err
		}
		out[f.name] = d
	}
	return out, nil
}

// shuffled deals the rows that count, of all files, to new ones.
func (s *source) shuffled(sites []string, seed uint64) []sourceFile {
	type row struct {
		line  string
		label [2]string
	}
	var rows []row
	for _, f := range s.files {
		for i, line := range f.lines {
			label, ok := f.labels[i]
			if f.labels != nil && !ok {
				continue // the split leaves it out
			}
			rows = append(rows, row{line, label})
		}
	}
	random := rand.New(rand.NewPCG(seed, 0x7461636974))
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	out := make([]sourceFile, len(sites))
	for i, name := range sites {
		out[i] = sourceFile{name: name, header: s.files[0].header}
		for j := i; j < len(rows); j += len(sites) {
			if rows[j].label != ([2]string{}) {
				if out[i].labels == nil {
					out[i].labels = map[int][2]string{}
				}
				out[i].labels[len(out[i].lines)] = rows[j].label
			}
			out[i].lines = append(out[i].lines, rows[j].line)
		}
	}
	return out
}

// read gives the file to the reader that a branch's agent uses.
func (f *sourceFile) read(p *plan.Plan) (*dataset.Data, error) {
	var rows, split bytes.Buffer
	first := 1
	if f.header != "" {
		rows.WriteString(f.header + "\n")
		first = 2
	}
	for _, line := range f.lines {
		rows.WriteString(line + "\n")
	}
	in := dataset.Files{Name: f.name, Rows: &rows}
	if f.labels != nil {
		split.WriteString("center,center_id,row,label,set\n")
		for i := range f.lines {
			if l, ok := f.labels[i]; ok {
				fmt.Fprintf(&split, "%s,0,%d,%s,%s\n", f.name, i+first, l[0], l[1])
			}
		}
		in.SplitName, in.Split, in.Center = "split.csv", &split, f.name
	}
	return dataset.Read(p, in)
}
