package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"tacit/internal/durable"
)

type auditReportCommand struct {
	atServer
	Out string `default:"evidence.zip" type:"path" help:"Archive to write; report.html goes beside it."`
}

type auditReportData struct {
	Evidence string `json:"evidence"`
	Report   string `json:"report"`
	LogKey   string `json:"log_key"`
	Verify   string `json:"verify"`
}

func (x *auditReportCommand) Run(ctx context.Context, c *console) error {
	ctl, err := x.control()
	if err != nil {
		return err
	}
	st, err := ctl.Status(ctx)
	if err != nil {
		return err
	}
	archive, err := ctl.Evidence(ctx)
	if err != nil {
		return err
	}
	d := auditReportData{Evidence: x.Out, Report: filepath.Join(filepath.Dir(x.Out), "report.html"), LogKey: st.LogKey, Verify: verifyLine(x.Out, st.LogKey)}
	if err := writeEvidence(d.Evidence, d.Report, archive); err != nil {
		return err
	}
	return c.result(d, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s and %s\nverify: %s\n", d.Evidence, d.Report, d.Verify)
	})
}

// writeEvidence writes the archive, and the report that it holds as a file of its own.
func writeEvidence(archivePath, reportPath string, archive []byte) error {
	html, err := fileOf(archive, "report.html")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(archivePath, archive, 0o644); err != nil {
		return err
	}
	return durable.WriteFile(reportPath, html, 0o644)
}
