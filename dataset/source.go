package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tacit/plan"
)

// What the fields of a Source are where they are 0.
const (
	DefaultMemory  = 1 << 30
	DefaultTimeout = time.Minute
)

// Values of Source.Format. A path's ending says which it is where Format is "".
const (
	formatCSV      = "csv"      // .csv, .tsv, .data
	formatIDX      = "idx"      // .idx, -ubyte
	formatNPY      = "npy"      // .npy
	formatImages   = "images"   // a folder
	formatText     = "text"     // .txt, or any file where the plan's kind is text
	formatParquet  = "parquet"  // .parquet
	formatPostgres = "postgres" // a query
	formatMySQL    = "mysql"    // a query; MariaDB too
)

// kindFormats says which formats hold what a plan's kind asks for.
var kindFormats = map[string][]string{
	plan.KindTable:  {formatCSV, formatNPY, formatParquet, formatPostgres, formatMySQL},
	plan.KindSeries: {formatCSV, formatNPY, formatParquet, formatPostgres, formatMySQL},
	plan.KindImages: {formatIDX, formatNPY, formatImages},
	plan.KindText:   {formatText},
}

// Formats returns every format that a Source may name.
func Formats() []string {
	return []string{formatCSV, formatIDX, formatNPY, formatImages, formatText, formatParquet, formatPostgres, formatMySQL}
}

// Source says where a branch's examples are. Text files, IDX and NumPy files may
// be compressed with gzip.
type Source struct {
	Name   string // of the data set, in the branch's configuration
	Format string // one of [Formats]; "": as the path's ending says
	Path   string // file; images: folder of one folder per class
	Labels string // IDX and NumPy: file of labels; "": beside Path, by its name (images → labels, idx3 → idx1)

	// Test is a file or folder of the same format that holds the test examples. All
	// of Path is then trained on, and the plan's evaluation.holdout is not used.
	Test       string
	TestLabels string

	Split  string // tables: optional split file
	Center string // whose lines of the split count; needed only where it lists several centers

	Query string // SQL: one statement, run in a transaction that only reads
	// DSN says where the connection string is, which holds a password: "env:NAME",
	// a variable of the environment, or "file:PATH", a file that its owner alone
	// may read. It is never the connection string itself.
	DSN     string
	Timeout time.Duration // SQL: how long the server may be silent. 0: DefaultTimeout

	// Memory is about how many bytes the examples may take. More are read again in
	// every pass, through a shuffle buffer of half of it (see [Table.Streamed]). 0:
	// DefaultMemory.
	Memory int64
}

// Validate reports what is wrong with s without opening anything.
func (s *Source) Validate() error {
	if s.Format != "" && !slices.Contains(Formats(), s.Format) {
		return fmt.Errorf("dataset: format is %q, want one of %s", s.Format, strings.Join(Formats(), ", "))
	}
	sql := s.Format == formatPostgres || s.Format == formatMySQL
	switch {
	case sql && (s.Query == "" || s.DSN == ""):
		return fmt.Errorf("dataset: %s needs a query, and a dsn that says where the connection string is: env:NAME or file:PATH", s.Format)
	case sql && (s.Path != "" || s.Test != "" || s.Labels != "" || s.TestLabels != ""):
		return fmt.Errorf("dataset: %s has a query and no path, labels or test", s.Format)
	case !sql && (s.Query != "" || s.DSN != ""):
		return fmt.Errorf("dataset: a query and a dsn need format: postgres or mysql")
	case !sql && s.Path == "":
		return fmt.Errorf("dataset: no path")
	case s.Split != "" && s.Test != "":
		return fmt.Errorf("dataset: a split file and a test file say the same twice")
	case s.TestLabels != "" && s.Test == "":
		return fmt.Errorf("dataset: test labels without a test file")
	case s.Memory < 0:
		return fmt.Errorf("dataset: memory is %d bytes", s.Memory)
	case s.Timeout < 0:
		return fmt.Errorf("dataset: timeout is %v", s.Timeout)
	}
	if sql {
		return checkDSN(s.DSN)
	}
	return nil
}

// format returns s.Format, or what the path says.
func (s *Source) format(kind string) (string, error) {
	f := s.Format
	if f == "" {
		f = formatOf(s.Path, kind)
	}
	if kind == "" {
		kind = plan.KindTable
	}
	can := kindFormats[kind]
	if !slices.Contains(can, f) {
		name := s.Path
		if name == "" {
			name = s.Name
		}
		return "", fail(name, fmt.Sprintf("the plan is about %s, which format %s does not hold", kind, f), "formats of "+kind+": "+strings.Join(can, ", "))
	}
	return f, nil
}

func formatOf(path, kind string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return formatImages
	}
	base := strings.TrimSuffix(strings.ToLower(filepath.Base(path)), ".gz")
	switch {
	case strings.HasSuffix(base, "-ubyte"), strings.HasSuffix(base, ".idx"):
		return formatIDX
	case strings.HasSuffix(base, ".npy"):
		return formatNPY
	case strings.HasSuffix(base, ".parquet"):
		return formatParquet
	case kind == plan.KindText:
		return formatText
	case kind == plan.KindImages:
		return formatIDX
	}
	return formatCSV
}

// labelsOf returns the labels' file: Source.Labels, or the one beside the images
// that is named as they are, with labels for images and idx1 for idx3.
func labelsOf(s Source) (string, error) {
	if s.Labels != "" {
		return s.Labels, nil
	}
	dir, base := filepath.Split(s.Path)
	name := strings.NewReplacer("images", "labels", "features", "labels", "idx3", "idx1", "idx4", "idx1").Replace(base)
	if name == base {
		return "", fail(s.Path, "no file of labels is known", "name it as labels")
	}
	plain := strings.TrimSuffix(name, ".gz")
	for _, n := range []string{name, plain, plain + ".gz"} {
		if _, err := os.Stat(filepath.Join(dir, n)); err == nil {
			return filepath.Join(dir, n), nil
		}
	}
	return "", fail(s.Path, fmt.Sprintf("the labels are not beside it as %s", name), "name their file as labels")
}
