package store

import "fmt"

// LimitPages bounds the database's size: the test's full disk.
func LimitPages(s *SQLite, n int) error {
	_, err := s.writer.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n))
	return err
}

// NoSync spares a test the waiting for a disk that it does not ask about.
func NoSync(s *SQLite) error {
	_, err := s.writer.Exec("PRAGMA synchronous = OFF")
	return err
}
