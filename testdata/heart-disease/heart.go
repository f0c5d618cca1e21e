// Package heartdisease embeds the four hospitals' rows of the UCI Heart Disease
// data, their split into training and test rows, and plans that learn from them.
// README.md has the source and the licence (CC BY 4.0).
package heartdisease

import (
	"bytes"
	"embed"
	"fmt"
)

//go:embed README.md *.data *.csv *.names plans/*.yaml
var files embed.FS

// Site is one hospital.
type Site struct {
	Name     string // as in the split's first column
	Hospital string
	File     string // its rows
}

// Sites returns the hospitals in the order of the split's center_id.
func Sites() []Site {
	return []Site{
		{"cleveland", "Cleveland Clinic Foundation", "processed.cleveland.data"},
		{"hungarian", "Hungarian Institute of Cardiology, Budapest", "processed.hungarian.data"},
		{"switzerland", "University Hospitals, Zurich and Basel", "processed.switzerland.data"},
		{"va", "V.A. Medical Center, Long Beach", "processed.va.data"},
	}
}

// Rows returns the file of the named site. It panics for a name that Sites does
// not list.
func Rows(site string) []byte {
	for _, s := range Sites() {
		if s.Name == site {
			return read(s.File)
		}
	}
	panic(fmt.Sprintf("heartdisease: no site %q", site))
}

// Split returns the split file's header and the named site's own lines.
func Split(site string) []byte {
	Rows(site)
	var out []byte
	for i, line := range bytes.SplitAfter(read("flamby_split.csv"), []byte("\n")) {
		if i == 0 || bytes.HasPrefix(line, []byte(site+",")) {
			out = append(out, line...)
		}
	}
	return out
}

// Plan returns the YAML of plans/name.yaml: "heart-logreg", "heart-mlp" or
// "flamby-heart". It panics for another name.
func Plan(name string) []byte { return read("plans/" + name + ".yaml") }

// Plans returns the names that Plan takes.
func Plans() []string { return []string{"heart-logreg", "heart-mlp", "flamby-heart"} }

func read(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		panic("heartdisease: " + err.Error())
	}
	return b
}
