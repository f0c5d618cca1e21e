//go:build full

package dataset

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// newPostgres prepares a PostgreSQL source. It connects when the first pass begins.
func newPostgres(l *loading) (connection, error) {
	dsn, err := readDSN(l.src.DSN)
	if err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil { // it is not wrapped: it repeats most of the string
		return nil, errors.New("dataset: " + l.name + ": the connection string does not read (it is not shown): postgres://user:password@host:5432/database?sslmode=verify-full")
	}
	c.ConnectTimeout = connectTime
	c.MaxProtocolMessageBodyLen = maxMessageBytes
	// The extended protocol takes one statement: a query cannot end the transaction
	// and go on behind it. Nothing is left prepared, so poolers work.
	c.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	address := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	if strings.HasPrefix(c.Host, "/") {
		address = c.Host // a socket's folder
	}
	return newDatabase(l, stdlib.OpenDB(*c), address, func(err error) string {
		var e *pgconn.PgError
		if errors.As(err, &e) {
			return e.Code
		}
		return ""
	}), nil
}
