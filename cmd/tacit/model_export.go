package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-isatty"

	"tacit/client"
	"tacit/client/solo"
	"tacit/internal/durable"
	"tacit/vault"
)

type modelExportCommand struct {
	Model     string   `arg:"" optional:"" help:"A run, by default the newest; or a directory of tacit model train."`
	Config    string   `type:"path" help:"The server's file, by default tacit-server/server.yaml; of a directory of model train the agent's, by default agent.yaml."`
	To        []string `help:"Recipient (age1pq1…); repeat for more. Of a run by default the plan's owners."`
	Plaintext bool     `help:"Of a directory of model train: write the model readable for everybody who has the file. Asks first, and is logged."`
	Format    string   `enum:"safetensors,onnx" default:"safetensors" help:"safetensors, with torch's names and order; or onnx."`
	Out       string   `type:"path" help:"File to write; by default model.FORMAT.age, or model.FORMAT in plaintext."`
}

func (x *modelExportCommand) Run(ctx context.Context, c *console) error {
	_, err := solo.Find(x.Model)
	alone := x.Model != "" && err == nil
	if x.Out == "" {
		x.Out = "model." + x.Format
		if !x.Plaintext {
			x.Out += ".age"
		}
	}
	if alone {
		return x.alone(c)
	}
	if x.Plaintext {
		return misused("tacit model export --to RECIPIENT seals it for one who may open it", "--plaintext is for models trained alone; a federation's model leaves its server sealed")
	}
	if x.Format != "safetensors" {
		return misused("export it to your own identity first", "a federation's model leaves its server as safetensors")
	}
	// Before the log says that the model left the vault.
	if err := mustBeNew(x.Out); err != nil {
		return err
	}
	at := &atServer{Config: x.Config}
	if at.Config == "" {
		at.Config = "tacit-server/server.yaml"
	}
	ctl, err := at.control()
	if err != nil {
		return err
	}
	run, err := findRun(ctx, ctl, x.Model)
	if err != nil {
		return err
	}
	file, err := ctl.Export(ctx, run, x.To)
	if err != nil {
		return err
	}
	if err := writeNew(x.Out, file, 0o600); err != nil {
		return err
	}
	return c.result(map[string]any{"run": run.String(), "model": x.Out, "bytes": len(file)}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s (the owner opens it with: age -d -i owner-key.txt %s)\n", x.Out, x.Out)
	})
}

// exported is a line of exports.jsonl, which stands beside the sealed model.
type exported struct {
	Time       time.Time `json:"time"`
	Model      string    `json:"model"` // hash
	Format     string    `json:"format"`
	Plaintext  bool      `json:"plaintext"`
	Recipients []string  `json:"recipients,omitempty"`
	File       string    `json:"file"`
	Bytes      int       `json:"bytes"`
}

const exportsName = "exports.jsonl"

// alone exports the model of a directory of model train.
func (x *modelExportCommand) alone(c *console) error {
	switch {
	case x.Plaintext && len(x.To) > 0:
		return misused("choose one of them", "--plaintext and --to")
	case !x.Plaintext && len(x.To) == 0:
		return misused("--to age1pq1… seals the model for one who may open it; --plaintext for nobody in particular", "nobody is named who may open the model")
	}
	for _, to := range x.To {
		if _, err := vault.ParseRecipient(to); err != nil {
			return misused("age-keygen -pq makes an identity whose recipient begins with age1pq1", "--to: %w", err)
		}
	}
	if err := mustBeNew(x.Out); err != nil {
		return err
	}
	at := &atBranch{Config: x.Config}
	if at.Config == "" {
		at.Config = "agent.yaml"
	}
	cfg, err := at.load()
	if err != nil {
		return err
	}
	v, err := client.OpenVault(cfg.State)
	if err != nil {
		return err
	}
	defer v.Close()
	m, err := solo.ReadModel(v, x.Model)
	if err != nil {
		return err
	}
	file, err := modelFile(m, x.Format)
	if err != nil {
		return err
	}
	if x.Plaintext {
		ok, err := c.confirm(fmt.Sprintf("write the model of %s to %s in plaintext, for everybody who gets the file?", x.Model, x.Out))
		if err != nil {
			return err
		}
		if !ok {
			return &failure{exit: exitDenied, code: "not-confirmed", err: fmt.Errorf("%s was not written", x.Out), hint: "--to RECIPIENT seals it instead"}
		}
	} else {
		var sealed bytes.Buffer
		if err := vault.Export(&sealed, file, x.To...); err != nil {
			return err
		}
		file = sealed.Bytes()
	}
	entry := exported{Time: time.Now().UTC().Truncate(time.Second), Model: m.Record.Hash().String(), Format: x.Format, Plaintext: x.Plaintext, Recipients: x.To, File: x.Out, Bytes: len(file)}
	if err := logExport(x.Model, entry); err != nil {
		return err
	}
	if err := writeNew(x.Out, file, 0o600); err != nil {
		return err
	}
	return c.result(entry, func(w io.Writer) {
		if x.Plaintext {
			fmt.Fprintf(w, "wrote %s in plaintext\n", x.Out)
		} else {
			fmt.Fprintf(w, "wrote %s (whoever holds the identity opens it with: age -d -i owner-key.txt %s)\n", x.Out, x.Out)
		}
		fmt.Fprintf(w, "logged in %s\n", exportLog(x.Model))
	})
}

// exportLog is the log beside a model.
func exportLog(model string) string {
	path, err := solo.Find(model)
	if err != nil {
		path = model
	}
	return filepath.Join(filepath.Dir(path), exportsName)
}

// logExport adds a line, durably, before the model leaves.
func logExport(model string, e exported) error {
	path := exportLog(model)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return durable.WriteFile(path, append(before, append(line, '\n')...), 0o600)
}

// confirm asks a person for a yes. Without a terminal only --yes is one.
func (c *console) confirm(question string) (bool, error) {
	if c.Yes {
		return true, nil
	}
	if !isatty.IsTerminal(os.Stdin.Fd()) {
		return false, misused("--yes answers it", "%s There is no terminal to answer at", question)
	}
	c.mu.Lock()
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	c.mu.Unlock()
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && answer == "" {
		return false, nil
	}
	return answer[0] == 'y' || answer[0] == 'Y', nil
}
