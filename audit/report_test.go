package audit

import (
	"html"
	"os"
	"strings"
	"testing"
)

// TestReport makes the report of a whole federation. With TACIT_REPORT_OUT set it
// leaves the page there to be looked at.
func TestReport(t *testing.T) {
	s := fullSample(t)
	d, err := Build(s.source(), checkAll(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	page := html.UnescapeString(string(d.HTML()))
	for _, want := range []string{
		"The log holds", "Rows: none, the protocol has no message for them", "Output privacy: none", "Small cohort",
		"--log-key " + s.logKey, "below release set", "What is not proved", "Cleveland", "tacit: plan/v1",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	for _, not := range []string{"compliant", "<script", "http://", "https://", "ZgotmplZ", "%!"} {
		if strings.Contains(strings.ToLower(page), strings.ToLower(not)) {
			t.Errorf("the report contains %q", not)
		}
	}
	again, err := Build(fullSample(t).source(), checkAll(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if string(again.HTML()) != string(d.HTML()) || string(again.JSON()) != string(d.JSON()) {
		t.Error("the same log gives two reports")
	}
	if out := os.Getenv("TACIT_REPORT_OUT"); out != "" {
		if err := os.WriteFile(out, d.HTML(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
