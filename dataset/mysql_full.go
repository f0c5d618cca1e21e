//go:build full

package dataset

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// newMySQL prepares a MySQL or MariaDB source. It connects when the first pass
// begins.
func newMySQL(l *loading) (connection, error) {
	dsn, err := readDSN(l.src.DSN)
	if err != nil {
		return nil, err
	}
	const form = ": the connection string does not read (it is not shown): user:password@tcp(host:3306)/database?tls=true"
	c, err := mysql.ParseDSN(dsn)
	if err != nil { // it is not wrapped: it may repeat the string
		return nil, errors.New("dataset: " + l.name + form)
	}
	c.Timeout = connectTime
	c.MaxAllowedPacket = maxMessageBytes
	c.ParseTime = true
	c.MultiStatements = false // a query cannot end the transaction and go on behind it
	c.AllowAllFiles = false
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, errors.New("dataset: " + l.name + form)
	}
	return newDatabase(l, sql.OpenDB(connector), c.Addr, func(err error) string {
		var e *mysql.MySQLError
		if errors.As(err, &e) {
			return fmt.Sprintf("mysql %d", e.Number)
		}
		return ""
	}), nil
}
