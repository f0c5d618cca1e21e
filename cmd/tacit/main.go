// Command tacit plays every part of a federation: the server that opens only sums,
// the branch agents that train on rows which stay where they are, and the tools of
// the people around them.
//
//	tacit demo                  four hospitals learn together, on this machine
//	tacit init server …         begin a federation; docs/QUICKSTART.md goes on from here
//
// One command is one file. A command parses its flags, calls the packages that do
// the work, and prints: results on standard output, progress and logs on standard
// error. Errors become an exit code and a hint in failure.go and nowhere else.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"tacit/client/solo"
	"tacit/internal/crashpoint"
	heartdisease "tacit/testdata/heart-disease"
)

const description = `Federated learning between branches whose rows stay where they are.

The server learns only sums over branches; every round enters a log that nobody can rewrite; models rest sealed.

Exit codes: 0 ok · 1 failed · 2 usage · 3 configuration · 4 denied · 5 unreachable · 6 too few branches · 7 privacy budget spent · 8 verification failed · 130 interrupted`

// commands is the whole command line.
type commands struct {
	globals

	Demo demoCommand `cmd:"" help:"Four hospitals learn together on this machine: real processes, real data, two kills."`
	Init struct {
		Server initServerCommand `cmd:"" help:"Make a federation: server keys, log, charter, administrator's key."`
		Agent  initAgentCommand  `cmd:"" help:"Write a branch's agent.yaml."`
		Plan   initPlanCommand   `cmd:"" help:"Write a commented training plan to start from."`
	} `cmd:"" help:"Write the files that a federation, a branch or a run starts from."`
	Server struct {
		Run serverRunCommand `cmd:"" help:"Run the server until interrupted."`
	} `cmd:"" help:"The coordinator."`
	Site struct {
		Invite  siteInviteCommand  `cmd:"" help:"Print a one-time joining string for a branch."`
		Approve siteApproveCommand `cmd:"" help:"Admit a branch: sign the roster with the administrator's key."`
		List    siteListCommand    `cmd:"" help:"List members and branches that wait."`
	} `cmd:"" help:"Who is a member."`
	Agent struct {
		Join   agentJoinCommand   `cmd:"" help:"Make this branch's keys and ask to join."`
		Run    agentRunCommand    `cmd:"" help:"Serve the federation until interrupted."`
		Status agentStatusCommand `cmd:"" help:"Show what this branch's agent is doing and what it has sent."`
	} `cmd:"" help:"A branch's agent."`
	Plan struct {
		Validate planValidateCommand `cmd:"" help:"Check a training plan and print its hash."`
		Show     planShowCommand     `cmd:"" help:"Print a plan with every default filled in."`
		Submit   planSubmitCommand   `cmd:"" help:"Queue a run of a plan at a running server."`
	} `cmd:"" help:"Training plans."`
	Run struct {
		Watch runWatchCommand `cmd:"" help:"Follow a run, a line per phase and round."`
		List  runListCommand  `cmd:"" help:"List runs."`
	} `cmd:"" help:"Training runs."`
	Simulate simulateCommand `cmd:"" help:"Run a plan between simulated branches in one process: the same engine and protocol."`
	Model    struct {
		Train   modelTrainCommand   `cmd:"" help:"Train a plan's model on one data set, alone; sealed, and resumed where it was interrupted."`
		Eval    modelEvalCommand    `cmd:"" help:"Measure a model on a data set."`
		Predict modelPredictCommand `cmd:"" help:"Write a model's predictions for a data set."`
		Explain modelExplainCommand `cmd:"" help:"Say which columns a model's answers rest on."`
		Summary modelSummaryCommand `cmd:"" help:"Show a plan's network: layers, shapes, parameters, memory."`
		Export  modelExportCommand  `cmd:"" help:"Export a model, of a run or trained alone, to an age identity."`
	} `cmd:"" help:"Trained models."`
	Audit struct {
		Report auditReportCommand `cmd:"" help:"Make the evidence archive and the report."`
		Verify auditVerifyCommand `cmd:"" help:"Verify an evidence archive offline."`
	} `cmd:"" help:"Log, evidence, report."`
	Bench struct {
		NN        benchNNCommand        `cmd:"" name:"nn" help:"Time training steps of known networks on this machine."`
		SecureAgg benchSecureAggCommand `cmd:"" name:"secureagg" help:"Time secure aggregation of so many clients on this machine."`
	} `cmd:"" help:"Measurements of this machine."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var cli commands
	c := &console{out: os.Stdout, err: os.Stderr}
	parser, err := kong.New(&cli,
		kong.Name("tacit"), kong.Vars{"examples": strings.Join(heartdisease.Plans(), ", ")}, kong.Description(description), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		panic(err) // the command line's own declaration
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		c.setup(globals{Output: outputOf(args)})
		hint := "tacit --help lists the commands"
		var bad *kong.ParseError
		if errors.As(err, &bad) && bad.Context != nil && bad.Context.Command() != "" {
			hint = "tacit " + bad.Context.Selected().FullPath()[len("tacit "):] + " --help says what it takes"
		}
		return c.fail(&failure{exit: exitUsage, code: "usage", err: err, hint: hint})
	}
	c.setup(cli.globals)
	if err := crashpoint.Check(); err != nil {
		return c.fail(&failure{exit: exitUsage, code: "usage", err: err})
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(c)
	if err == nil {
		return exitOK
	}
	var kept *solo.InterruptedError
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.As(err, &kept) {
		err = &failure{exit: exitInterrupted, code: "interrupted", err: errors.New("interrupted")}
	}
	return c.fail(err)
}

// outputOf finds --output in a command line that does not parse, so that a program
// that asked for JSON gets JSON.
func outputOf(args []string) string {
	for i, a := range args {
		if a == "--output=json" || a == "--output" && i+1 < len(args) && args[i+1] == "json" {
			return "json"
		}
	}
	return "text"
}
