//go:build full && linux

package dataset

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tacit/plan"
)

// secret stands in every connection string here and in no error.
const secret = "hunter2-and-more"

// databasePlan is about rows that every type of column is in.
func databasePlan() *plan.Plan {
	p := plan.Default()
	p.Data.OnMissing = plan.MissingDropRow
	p.Data.Columns = []plan.Column{
		{Name: "age", Type: plan.Numeric, Min: 0, Max: 100},
		{Name: "cost", Type: plan.Numeric, Min: 0, Max: 1000},
		{Name: "town", Type: plan.Categorical, Values: []string{"A", "B"}},
		{Name: "seen", Type: plan.Timestamp, Min: 0, Max: 86400 * 100},
		{Name: "note", Type: plan.FreeText, Buckets: 4},
		{Name: "ill", Type: plan.Categorical, Values: []string{"0", "1"}},
	}
	p.Data.Target = plan.Target{Column: "ill", Type: plan.Class}
	p.Evaluation.Holdout = 0
	return p
}

// servers are the databases that the tests ask, by format.
var servers = map[string]func(t *testing.T) (dsn string, admin *sql.DB){formatPostgres: postgres, formatMySQL: mariadb}

func TestSQL(t *testing.T) {
	for format, start := range servers {
		t.Run(format, func(t *testing.T) {
			dsn, admin := start(t)
			for _, s := range []string{
				"DROP TABLE IF EXISTS tacit_people",
				"CREATE TABLE tacit_people (id int PRIMARY KEY, age double precision, cost decimal(8,2), town varchar(10), seen timestamp NULL, note text, ill int, more text)",
			} {
				if _, err := admin.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
			const n = 300
			var values []string
			for i := range n {
				age := strconv.Itoa(i % 100)
				if i == 5 {
					age = "NULL"
				}
				values = append(values, fmt.Sprintf("(%d, %s, %d.25, '%s', '1970-01-%02d 12:00:00', 'word%d', %d, 'x')", i, age, i, []string{"A", "B"}[i%2], 2+i%28, i%5, i%3/2))
			}
			if _, err := admin.Exec("INSERT INTO tacit_people VALUES " + strings.Join(values, ", ")); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TACIT_TEST_DSN", dsn)
			src := Source{Name: "beds", Format: format, DSN: "env:TACIT_TEST_DSN", Query: "SELECT * FROM tacit_people ORDER BY id"}
			for _, memory := range []int64{0, 1000} {
				src.Memory = memory
				d, err := Load(databasePlan(), src)
				if err != nil {
					t.Fatal(err)
				}
				all := rowsOf(d.Train)
				if d.Train.Len() != n-1 || d.Dropped != 1 || d.Train.Streamed() != (memory > 0) {
					t.Errorf("%d rows, %d dropped", d.Train.Len(), d.Dropped)
				}
				for i := range n - 1 {
					k := i
					if i >= 5 {
						k++
					}
					u := all.u[i*9:][:9]
					want := []float64{float64(k%100) / 100, (float64(k) + 0.25) / 1000, float64(86400*(1+k%28)+43200) / (86400 * 100), 1 - float64(k%2), float64(k % 2)}
					if !slices.Equal(u[:5], want) || u[5+plan.Bucket(fmt.Sprint("word", k%5), 4)] != 1 || all.labels[i] != int32(k%3/2) {
						t.Fatalf("row %d: %v, %v; want %v", k, u, all.labels[i], want)
					}
				}
				e, _ := d.Train.Examples(nil)
				s, _ := e.Stream(1, 10, 0)
				for range 40 {
					if _, err := s.Next(); err != nil {
						t.Fatal(err)
					}
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				if _, err := s.Next(); memory > 0 && err == nil {
					for err == nil { // what is in the buffer may still come
						_, err = s.Next()
					}
				}
			}

			src.Memory = 0
			for name, c := range map[string]struct {
				query string
				p     func(p *plan.Plan)
				want  string
			}{
				"no table":   {"SELECT * FROM tacit_nothing", nil, "the query names a table that is not there"},
				"no column":  {"SELECT nothing FROM tacit_people", nil, "the query names a column that is not there"},
				"no SQL":     {"SELEKT 1", nil, "the query is not one statement of SQL"},
				"writes":     {"UPDATE tacit_people SET age = 1", nil, "the query writes, and only reading is allowed"},
				"two":        {"SELECT 1; DROP TABLE tacit_people", nil, "the query is not one statement of SQL"},
				"missing":    {"SELECT id, age FROM tacit_people", nil, "beds: 5 of the plan's columns are not there: cost, town, seen, note, ill"},
				"type":       {"SELECT * FROM tacit_people", func(p *plan.Plan) { p.Data.Columns[4] = plan.Column{Name: "note", Type: plan.Numeric, Max: 1} }, `beds: column "note": the source has it as text (TEXT), the plan as numeric`},
				"out of it":  {"SELECT * FROM tacit_people ORDER BY id", func(p *plan.Plan) { p.Data.Columns[0].Max = 50 }, `beds:52: column "age": the value is outside the plan's range, 0 to 50`},
				"none":       {"SELECT * FROM tacit_people WHERE id < 0", nil, "beds: no row is left to learn from"},
				"their text": {"SELECT '" + secret + "' + 1, secret FROM tacit_people", nil, ""},
			} {
				p := databasePlan()
				if c.p != nil {
					c.p(p)
				}
				src.Query = c.query
				_, err := Load(p, src)
				var typed *Error
				if !errors.As(err, &typed) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %v", name, err)
				}
				quiet(t, err)
			}
			var left int
			if err := admin.QueryRow("SELECT count(*) FROM tacit_people WHERE age <> 1 OR age IS NULL").Scan(&left); err != nil || left < 290 {
				t.Errorf("a query changed the table: %d rows, %v", left, err)
			}

			// Rows that come in another order in a later pass.
			src.Query = "SELECT * FROM tacit_people ORDER BY " + map[string]string{formatPostgres: "random()", formatMySQL: "rand()"}[format]
			src.Memory = 1000
			d, err := Load(databasePlan(), src)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			e, _ := d.Train.Examples(nil)
			for _, err = range e.Pass(50) {
			}
			if err == nil || !strings.Contains(err.Error(), "a query needs ORDER BY") {
				t.Errorf("a query without an order: %v", err)
			}

			// A server that says nothing for too long, and a person who has enough.
			src.Memory, src.Timeout = 0, 300*time.Millisecond
			src.Query = map[string]string{formatPostgres: "SELECT pg_sleep(30)", formatMySQL: "SELECT sleep(30)"}[format]
			began := time.Now()
			if _, err := Load(databasePlan(), src); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "has been silent for 300ms") {
				t.Errorf("a slow query: %v", err)
			}
			src.Timeout = 0
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			if _, err := LoadContext(ctx, databasePlan(), src); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a query that is given up: %v", err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}

			t.Setenv("TACIT_TEST_DSN", strings.Replace(dsn, secret, secret+"wrong", 1))
			_, err = Load(databasePlan(), src)
			if err == nil || !strings.Contains(err.Error(), "the login is refused") {
				t.Errorf("a wrong password: %v", err)
			}
			quiet(t, err)
		})
	}
}

// quiet fails the test where an error holds part of a connection string.
func quiet(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "tacit_user")) {
		t.Errorf("an error holds credentials: %v", err)
	}
}

// A source that is down says where, and nothing of the login.
func TestSQLDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for _, c := range []struct{ format, dsn, want string }{
		{formatPostgres, "postgres://tacit_user:" + secret + "@" + address + "/beds?sslmode=disable", "dataset: beds: no database answers at " + address + ": connection refused"},
		{formatMySQL, "tacit_user:" + secret + "@tcp(" + address + ")/beds", "dataset: beds: no database answers at " + address + ": connection refused"},
		{formatPostgres, "postgres://tacit_user:" + secret + "@" + mute.Addr().String() + "/beds?sslmode=disable", "dataset: beds: the database at " + mute.Addr().String() + " has been silent for 200ms"},
		{formatMySQL, "tacit_user:" + secret + "@tcp(" + mute.Addr().String() + ")/beds", "dataset: beds: the database at " + mute.Addr().String() + " has been silent for 200ms"},
		{formatPostgres, "postgres://tacit_user:" + secret + "@host.invalid/beds", "dataset: beds: no database answers at host.invalid:5432: the host's name is not known"},
		{formatPostgres, "postgres://tacit_user:" + secret + "@:port:/x", "dataset: beds: the connection string does not read (it is not shown): postgres://user:password@host:5432/database?sslmode=verify-full"},
		{formatMySQL, "tacit_user:" + secret, "dataset: beds: the connection string does not read (it is not shown): user:password@tcp(host:3306)/database?tls=true"},
	} {
		t.Setenv("TACIT_TEST_DSN", c.dsn)
		_, err := Load(databasePlan(), Source{Name: "beds", Format: c.format, DSN: "env:TACIT_TEST_DSN", Query: "SELECT 1", Timeout: 200 * time.Millisecond})
		if err == nil || err.Error() != c.want && !(strings.Contains(c.want, "name is not known") && errors.Is(err, ErrUnreachable)) {
			t.Errorf("%s: %v, want %s", c.format, err, c.want)
		}
		quiet(t, err)
	}
}

// postgres returns the server that TACIT_POSTGRES names, or starts one.
func postgres(t *testing.T) (string, *sql.DB) {
	dsn := os.Getenv("TACIT_POSTGRES")
	if dsn == "" {
		initdb := program("initdb", "/usr/lib/postgresql/*/bin/initdb")
		if initdb == "" {
			missing(t, "TACIT_POSTGRES names no server, and there is no initdb to make one: apt-get install postgresql", "TACIT_REQUIRE_POSTGRES")
		}
		s := newServer(t, "postgres")
		s.write("password", secret)
		s.run(initdb, "--pgdata="+s.path("data"), "--username=tacit_user", "--auth=scram-sha-256", "--pwfile="+s.path("password"), "--no-sync", "--encoding=UTF8", "--locale=C")
		s.start(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", s.path("data"), "-p", s.port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+s.dir, "-c", "fsync=off")
		dsn = "postgres://tacit_user:" + secret + "@127.0.0.1:" + s.port + "/postgres?sslmode=disable"
	}
	return dsn, connected(t, "pgx", dsn)
}

// mariadb starts a server, or skips the test.
func mariadb(t *testing.T) (string, *sql.DB) {
	install, server := program("mariadb-install-db"), program("mariadbd", "/usr/sbin/mariadbd")
	if install == "" || server == "" {
		missing(t, "there is no mariadb-install-db to make a server: apt-get install mariadb-server", "TACIT_REQUIRE_MYSQL")
	}
	s := newServer(t, "mysql")
	s.write("init.sql", "CREATE DATABASE beds;\nCREATE USER tacit_user@'127.0.0.1' IDENTIFIED BY '"+secret+"';\nGRANT ALL ON beds.* TO tacit_user@'127.0.0.1';\n")
	s.run(install, "--no-defaults", "--datadir="+s.path("data"), "--auth-root-authentication-method=normal", "--skip-test-db")
	s.start(server, "--no-defaults", "--datadir="+s.path("data"), "--port="+s.port, "--bind-address=127.0.0.1", "--socket="+s.path("socket"), "--pid-file="+s.path("pid"), "--init-file="+s.path("init.sql"), "--skip-name-resolve")
	dsn := "tacit_user:" + secret + "@tcp(127.0.0.1:" + s.port + ")/beds"
	return dsn, connected(t, "mysql", dsn)
}

func missing(t *testing.T, why, variable string) {
	t.Helper()
	if os.Getenv(variable) == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// program finds a program in the path or in one of these places.
func program(name string, places ...string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, p := range places {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	return ""
}

// server is a throw-away server with a folder of its own. Servers refuse to run as
// root, so there it runs as their usual user, or as nobody.
type server struct {
	t         *testing.T
	dir, port string
	as        *syscall.Credential // nil: whoever runs the test
}

func newServer(t *testing.T, name string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "tacit-"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s := &server{t: t, dir: dir, port: port}
	if os.Getuid() == 0 {
		for _, who := range []string{name, "nobody"} {
			u, err := user.Lookup(who)
			if err != nil {
				continue
			}
			uid, _ := strconv.Atoi(u.Uid)
			gid, _ := strconv.Atoi(u.Gid)
			s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			if err := os.Chown(dir, uid, gid); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	return s
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (s *server) run(name string, args ...string) {
	s.t.Helper()
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// start runs the server until the test ends.
func (s *server) start(name string, args ...string) {
	s.t.Helper()
	cmd := s.command(name, args...)
	log, err := os.Create(s.path("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Start()
	log.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			if b, err := os.ReadFile(s.path("log")); err == nil {
				s.t.Logf("%s", b[max(0, len(b)-4000):])
			}
		}
		cmd.Process.Signal(syscall.SIGQUIT) // PostgreSQL: at once
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// connected waits until the server takes connections.
func connected(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err = db.Ping(); err == nil {
			return db
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
