package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/mattn/go-isatty"
)

// globals are the flags that every command takes.
type globals struct {
	Output   string `enum:"text,json,jsonl" default:"text" help:"text, json (one envelope) or jsonl (bare objects, one a line)."`
	NoColor  bool   `help:"No colour; NO_COLOR in the environment says the same."`
	LogLevel string `enum:"debug,info,warn,error" default:"warn" help:"Least severe log line on standard error: debug, info, warn or error."`
	Yes      bool   `short:"y" help:"Answer yes where a person would be asked."`
}

// console is where a command prints. Results go to out, progress and logs to err.
type console struct {
	globals
	out, err io.Writer
	colour   bool // err and out are a terminal that takes colour
	terminal bool // out is a terminal

	mu sync.Mutex // serialises lines
}

func (c *console) setup(g globals) {
	c.globals = g
	isTerminal := func(w io.Writer) bool {
		f, ok := w.(*os.File)
		return ok && isatty.IsTerminal(f.Fd())
	}
	c.terminal = isTerminal(c.out)
	c.colour = c.terminal && !g.NoColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// logger writes logs to standard error at the level that the person chose, or at
// least if they chose none.
func (c *console) logger(least slog.Level) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[c.LogLevel]
	if c.LogLevel == "warn" && least < level {
		level = least // the default of commands that run for long
	}
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: level}))
}

// envelope is what --output json prints, for results and errors alike.
type envelope struct {
	Schema string    `json:"schema"`
	OK     bool      `json:"ok"`
	Data   any       `json:"data,omitempty"`
	Error  *errorDoc `json:"error,omitempty"`
}

type errorDoc struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

const envelopeSchema = "tacit/v1"

// result prints what a command found: an envelope, bare objects, or text. A result
// that cannot be written whole is an error.
func (c *console) result(data any, text func(w io.Writer)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := bufio.NewWriter(c.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	list := reflect.ValueOf(data)
	isList := list.Kind() == reflect.Slice
	switch {
	case c.Output == "json":
		if isList && list.IsNil() {
			data = []struct{}{}
		}
		enc.SetIndent("", "  ")
		if err := enc.Encode(envelope{Schema: envelopeSchema, OK: true, Data: data}); err != nil {
			return err
		}
	case c.Output == "jsonl" && isList:
		for i := range list.Len() {
			if err := enc.Encode(list.Index(i).Interface()); err != nil {
				return err
			}
		}
	case c.Output == "jsonl":
		if err := enc.Encode(data); err != nil {
			return err
		}
	default:
		text(out)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("the result could not be written: %w", err)
	}
	return nil
}

// stream prints one object of many: with jsonl as it comes, else as a line of text.
func (c *console) stream(data any, text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Output == "jsonl" {
		enc := json.NewEncoder(c.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(data)
	}
	_, err := fmt.Fprintln(c.progress(), text)
	return err
}

// progress is where lines for people go: standard output, unless that is for JSON.
func (c *console) progress() io.Writer {
	if c.Output == "text" {
		return c.out
	}
	return c.err
}

// say prints a line for people.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.progress(), format+"\n", args...)
}

// fail prints an error in the voice of the command line and returns its exit code.
func (c *console) fail(err error) int {
	f := explain(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Output == "json" {
		enc := json.NewEncoder(c.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		_ = enc.Encode(envelope{Schema: envelopeSchema, Error: &errorDoc{Code: f.code, Message: f.Error(), Hint: f.hint}})
	}
	fmt.Fprintf(c.err, "tacit: error: %s\n", strings.TrimRight(f.Error(), "\n"))
	if f.hint != "" {
		fmt.Fprintf(c.err, "tacit: hint: %s\n", f.hint)
	}
	return f.exit
}

// Colours by meaning.
const (
	bold  = "1"
	dim   = "2"
	good  = "32"
	alarm = "33"
)

// paint colours s on a terminal and leaves it alone elsewhere.
func (c *console) paint(style, s string) string {
	if !c.colour || c.Output != "text" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// table prints rows in aligned columns.
func table(w io.Writer, rows ...[]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t"))
	}
	t.Flush()
}
