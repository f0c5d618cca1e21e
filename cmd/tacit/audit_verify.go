package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tacit/audit"
	"tacit/server"
)

type auditVerifyCommand struct {
	Archive string `arg:"" help:"The evidence archive."`
	LogKey  string `help:"The log's verifier key, from a source other than the archive. Without it only self-consistency is checked."`
	Since   string `help:"A checkpoint seen earlier, such as the file checkpoint of an older archive; the log must extend it."`
}

func (x *auditVerifyCommand) Run(c *console) error {
	opt := server.VerifyOptions(x.LogKey)
	if x.Since != "" {
		old, err := os.ReadFile(x.Since)
		if err != nil {
			return misconfigured("--since names a file: the checkpoint that was kept", "--since: %w", err)
		}
		opt.OldCheckpoint = old
	}
	archive, err := os.ReadFile(x.Archive)
	if err != nil {
		// Nothing was verified, and nothing refuted.
		return misconfigured("tacit audit report writes an archive; give its path", "%w", err)
	}
	r, err := audit.Verify(archive, opt)
	if err != nil {
		var refuted *audit.Refuted
		if errors.As(err, &refuted) {
			return err
		}
		hint := "--log-key is printed by tacit audit report"
		if x.Since != "" {
			hint += "; --since is the file checkpoint of an older archive"
		}
		return misused(hint, "%w", err)
	}
	return c.result(r, func(w io.Writer) {
		table(w,
			[]string{"log", fmt.Sprintf("%d entries, root %s", r.Size, r.Root)},
			[]string{"log_key", r.LogKeyState},
			[]string{"runs", fmt.Sprintf("%d, with %d rounds committed and %d aborted", r.Runs, r.Rounds, r.Aborts)},
			[]string{"certificates", r.Certificates},
			[]string{"plan text", r.PlanText},
			[]string{"report", r.Report},
			[]string{"cosignatures", fmt.Sprintf("%d, by %d of %d branches", r.Cosignatures, r.Witnesses, r.Members)})
		for _, warning := range r.Warnings {
			fmt.Fprintf(w, "warning: %s\n", warning)
		}
		fmt.Fprintln(w, c.paint(good, "verified"))
	})
}

// fileOf returns one file of an archive.
func fileOf(archive []byte, name string) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	f, err := z.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// verifyLine is the command that verifies an archive, as a person here would type it.
func verifyLine(archive, logKey string) string {
	return fmt.Sprintf("%s audit verify %s --log-key %s", programName(), quoteShell(relative(archive)), quoteShell(logKey))
}

// programName is how this program was started, so that printed commands can be
// copied: by go run, from the search path, or by its own path.
func programName() string {
	self, err := os.Executable()
	if err != nil {
		return "tacit"
	}
	if strings.Contains(self, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/tacit"
	}
	if found, err := exec.LookPath("tacit"); err == nil {
		if found, err = filepath.Abs(found); err == nil && found == self {
			return "tacit"
		}
	}
	return quoteShell(relative(self))
}

// relative is the shorter of a path and its form relative to the working directory.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil || !filepath.IsAbs(path) {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	if !strings.ContainsRune(rel, filepath.Separator) && strings.HasSuffix(path, "tacit") {
		return "." + string(filepath.Separator) + rel
	}
	return rel
}

func quoteShell(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=.,_-@:%~") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
