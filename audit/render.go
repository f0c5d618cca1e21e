package audit

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
)

// Renderer is the version of the report's form. Any change of what render writes for
// the same history raises it: verifiers of another version then check the digest only.
const Renderer = 2

//go:embed report.tmpl.html
var reportTemplate string

//go:embed report.css
var reportStyle string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"group":     group,
	"bytes":     humanBytes,
	"plural":    func(n int, noun string) string { return plural(uint64(n), noun) },
	"number":    number,
	"fraction":  fraction,
	"short":     func(s string) string { return s[:min(12, len(s))] },
	"words":     func(s string) string { return strings.NewReplacer("_", " ", "-", " ").Replace(s) },
	"style":     func() template.CSS { return template.CSS(reportStyle) },
	"strip":     strip,
	"curve":     plotCurve,
	"phases":    plotPhases,
	"traffic":   plotTraffic,
	"protected": protection,
	"wide":      func(r *runView) bool { return len(r.Sites) <= maxColumns },
	"join":      strings.Join,
	"seal":      func() template.HTML { return sealMark },
}).Parse(reportTemplate))

// render writes the report of a history that holds, as JSON and as a page. What it
// writes is a pure function of its other arguments, byte for byte. It writes as it
// goes, so that a verifier need not hold a second report in memory.
func render(h *history, asOf Head, logKey string, checks Checks, content, html io.Writer) error {
	v := newView(h, asOf, logKey, checks)
	enc := json.NewEncoder(content)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return &renderError{fileJSON, err}
	}
	if err := page.Execute(html, v); err != nil {
		return &renderError{fileHTML, err}
	}
	return nil
}

// renderError says which of the two files could not be written, or differs.
type renderError struct {
	file string
	err  error
}

func (e *renderError) Error() string { return "audit: render " + e.file + ": " + e.err.Error() }
func (e *renderError) Unwrap() error { return e.err }

func humanBytes(n uint64) string {
	switch {
	case n == 0:
		return "none"
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.2f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// number writes a plan's value or a sum as people would.
func number(v float64) string {
	return strconv.FormatFloat(v, 'g', 10, 64)
}

// fraction writes a metric with four decimals, or a dash without one.
func fraction(v *float64) string {
	if v == nil {
		return "–"
	}
	return strconv.FormatFloat(*v, 'f', 4, 64)
}

// protection says how messages of a class are protected.
func protection(class string) string {
	switch class {
	case "rows":
		return "none needed: the protocol has no message for them"
	case "plaintext_updates":
		return "none needed: the protocol has no message for them"
	case "masked_updates":
		return "masked in aggregation; sealed in transit to the server's pinned key, inside TLS 1.3"
	case "keys_and_shares":
		return "public keys, ciphertexts and signatures; shares encrypted to their members, in the clear only for a certified set; sealed in transit"
	}
	return "joining, status, acknowledgements; sealed in transit"
}

// maxColumns is how many branches get a column of their own in the ledger.
const maxColumns = 8

// strip draws what each branch did in an attempt: four bars, opened, reported, voted
// and released. A member outside the certified set is hollow; a lost connection has a
// cross.
func strip(a attemptView, site string) template.HTML {
	var b strings.Builder
	for i, s := range a.steps {
		if site != "" && s.Site != site {
			continue
		}
		said := a.Branches[i].States
		if len(said) == 0 {
			said = []string{"absent"}
		}
		class := "st"
		if s.State&InSet == 0 {
			class = "st out"
		}
		label := template.HTMLEscapeString(s.Site + ": " + strings.Join(said, ", "))
		fmt.Fprintf(&b, `<span class="%s" role="img" aria-label="%s" title="%s">`, class, label, label)
		for _, bit := range []BranchState{Opened, Reported, Voted, Released} {
			if s.State&bit != 0 {
				b.WriteString(`<i class="on"></i>`)
			} else {
				b.WriteString(`<i></i>`)
			}
		}
		if s.State&Dropped != 0 {
			b.WriteString(`<b>×</b>`)
		}
		b.WriteString(`</span>`)
	}
	if b.Len() == 0 {
		return `<span class="none">–</span>`
	}
	return template.HTML(b.String())
}

const sealMark = template.HTML(`<svg class="mark" viewBox="0 0 48 48" aria-hidden="true"><circle cx="24" cy="24" r="22"/><path d="M14 24.5l7 7 13.5-14.5"/></svg>`)
