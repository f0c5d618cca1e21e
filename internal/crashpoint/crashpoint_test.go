package crashpoint

import (
	"os"
	"os/exec"
	"slices"
	"testing"
)

var (
	first  = Register("test.first")
	second = Register("test.second")
)

// TestMain doubles as the child that dies: it hits first, second, first and then
// exits 7, which it must not reach when armed.
func TestMain(m *testing.M) {
	if s := os.Getenv("CRASHPOINT_CHILD"); s != "" {
		SetScope(s)
		if err := Check(); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(9)
		}
		first.Hit()
		os.Stdout.WriteString("1")
		Hit("test.second")
		os.Stdout.WriteString("2")
		first.Hit()
		os.Stdout.WriteString("3")
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func TestDeath(t *testing.T) {
	for _, c := range []struct {
		env, out string
		code     int // -1: killed by a signal
	}{
		{"", "123", 7},
		{"test.first", "", -1},
		{"test.first:2", "12", -1},
		{"test.first:3", "123", 7},
		{"test.second", "1", -1},
		{"me@test.second", "1", -1},
		{"other@test.second", "123", 7},
		{"other@test.second,test.first:2", "12", -1},
		{"test.none", "", 9},
		{"test.first:0", "", 9},
		{"test.first:x", "", 9},
		{":1", "", 9},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CRASHPOINT_CHILD=me", Env+"="+c.env)
		out, _ := cmd.Output()
		if string(out) != c.out || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%q: output %q and exit %d, want %q and %d", c.env, out, cmd.ProcessState.ExitCode(), c.out, c.code)
		}
	}
}

func TestNamesAndHook(t *testing.T) {
	if got := Names(); !slices.Equal(got, []string{"test.first", "test.second"}) {
		t.Errorf("Names() = %v", got)
	}
	var seen []string
	restore := SetHook(func(n string) { seen = append(seen, n) })
	first.Hit()
	second.Hit()
	restore()
	first.Hit()
	if !slices.Equal(seen, []string{"test.first", "test.second"}) {
		t.Errorf("hook saw %v", seen)
	}
}

func TestDuplicatePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a duplicate name was accepted")
		}
	}()
	Register("test.first")
}

func TestUnarmedIsFree(t *testing.T) {
	if n := testing.AllocsPerRun(100, first.Hit); n != 0 {
		t.Errorf("an unarmed hit allocates %v times", n)
	}
}
