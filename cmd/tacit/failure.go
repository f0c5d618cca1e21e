package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"tacit/audit"
	"tacit/client"
	"tacit/client/solo"
	"tacit/dataset"
	"tacit/internal/durable"
	"tacit/plan"
	"tacit/server"
	"tacit/vault"
	"tacit/wire"
	"tacit/wire/wsconn"
)

// Exit codes, as the help lists them.
const (
	exitOK            = 0
	exitFailed        = 1
	exitUsage         = 2
	exitConfiguration = 3
	exitDenied        = 4
	exitUnreachable   = 5
	exitTooFew        = 6
	exitRefuted       = 8
	exitInterrupted   = 130
)

// failure is an error with its consequence for the command line.
type failure struct {
	exit int
	code string // for programs
	err  error
	hint string // what to do; may be empty
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// misconfigured is a failure that a person heals by changing a file or a flag.
func misconfigured(hint, format string, args ...any) error {
	return &failure{exit: exitConfiguration, code: "configuration", err: fmt.Errorf(format, args...), hint: hint}
}

// misused is a command line that makes no sense.
func misused(hint, format string, args ...any) error {
	return &failure{exit: exitUsage, code: "usage", err: fmt.Errorf(format, args...), hint: hint}
}

// hinter is an error that knows what to do about it.
type hinter interface{ Hint() string }

// explain finds the exit code and the hint of an error. It is the one place where
// errors of the packages meet the command line.
func explain(err error) *failure {
	var (
		f         *failure
		locked    *durable.LockedError
		refuted   *audit.Refuted
		violation *audit.Violation
		contra    *client.Contradiction
		idle      *server.NotRunningError
		few       *server.TooFewError
		denied    *server.DeniedError
		missing   *server.NotFoundError
		badPlan   *plan.Error
		badRows   *dataset.Error
		loose     *vault.LooseModeError
		told      *wire.Error
		key       *wire.KeyError
		op        *net.OpError
		noTLS     tls.RecordHeaderError
		stop      *client.StopError
		diverged  *solo.DivergedError
		badRow    *solo.RowError
		kept      *solo.InterruptedError
		refused   *solo.RefusedError
		noSource  *client.SourceError
		advice    hinter
	)
	hint := ""
	if errors.As(err, &advice) {
		hint = advice.Hint()
	}
	is := func(exit int, code, fallback string) *failure {
		if hint == "" {
			hint = fallback
		}
		return &failure{exit: exit, code: code, err: err, hint: hint}
	}
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &diverged), errors.As(err, &badRow):
		return is(exitFailed, "not-finite", "")
	case errors.As(err, &kept):
		return is(exitInterrupted, "interrupted", "")
	case errors.As(err, &refused):
		return is(exitConfiguration, "directory", "")
	case errors.As(err, &noSource):
		return is(exitConfiguration, "data-set", "")
	case errors.Is(err, context.Canceled):
		return &failure{exit: exitInterrupted, code: "interrupted", err: errors.New("interrupted")}
	case errors.As(err, &refuted), errors.As(err, &violation), errors.As(err, &contra):
		return is(exitRefuted, "refuted", "do not rely on it; keep it and ask who made it")
	case errors.As(err, &key), errors.Is(err, wire.ErrServerKey), errors.Is(err, wsconn.ErrCertificate):
		return is(exitRefuted, "server-key", "check the address; ask the operator for a new joining string")
	case errors.As(err, &locked):
		return is(exitConfiguration, "in-use", "stop that process, or give this one a directory of its own")
	case errors.Is(err, syscall.EADDRINUSE):
		return is(exitConfiguration, "port-in-use", "stop what listens there, or change listen: and url: in the server's file")
	case errors.Is(err, durable.ErrDiskFull), errors.Is(err, syscall.ENOSPC):
		return is(exitFailed, "disk-full", "make room, then run the command again; nothing was lost")
	case errors.As(err, &idle):
		return is(exitUnreachable, "not-running", "start it: tacit server run")
	case errors.As(err, &few):
		return is(exitTooFew, "too-few-branches", "invite and approve more branches: tacit site invite, tacit site approve")
	case errors.As(err, &denied):
		return is(exitDenied, "denied", "")
	case errors.As(err, &missing):
		return is(exitFailed, "not-found", "tacit run list shows what there is")
	case errors.As(err, &badPlan):
		return is(exitConfiguration, "plan", "tacit init plan writes a commented plan to compare with")
	case errors.Is(err, dataset.ErrUnreachable):
		return is(exitUnreachable, "data-unreachable", "start the database, or correct the address in its connection string; nothing was lost")
	case errors.Is(err, dataset.ErrNoConnection):
		return is(exitConfiguration, "connection-string", "dsn_env in the agent's file names an environment variable, dsn_file a file of mode 0600")
	case errors.As(err, &badRows):
		return is(exitConfiguration, "rows", "correct the file or the plan's schema; nothing was sent")
	case errors.As(err, &loose):
		return is(exitConfiguration, "key-mode", "")
	case errors.As(err, &told):
		hint = told.Hint
		return is(exitDenied, string(told.Code), "")
	case errors.As(err, &op) && op.Op == "listen":
		return is(exitConfiguration, "listen", "correct listen: in the server's file")
	case errors.As(err, &noTLS):
		return is(exitUnreachable, "unreachable", "something else answers at that address: check it, and that the server runs")
	case errors.As(err, &op), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return is(exitUnreachable, "unreachable", "check the address, and that the server runs")
	case errors.As(err, &stop):
		return is(exitDenied, "denied", "")
	case errors.Is(err, vault.ErrSealed):
		return is(exitConfiguration, "sealed", "the key file does not belong to this directory, or a file is damaged")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrPermission):
		return is(exitConfiguration, "file", "check that path, and who may read and write there")
	}
	return is(exitFailed, "failed", "")
}
