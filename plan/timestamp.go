package plan

import (
	"math"
	"time"
)

// timeLayouts are the forms of a timestamp: RFC 3339, whole or its date alone, and
// the form of SQL. A time without a zone is UTC.
var timeLayouts = []string{time.DateOnly, time.DateTime, time.RFC3339}

// ParseTime reads a timestamp such as 2016-07-01, "2016-07-01 13:00:00" (UTC) or
// 2016-07-01T13:00:00+02:00, with or without a fraction of a second.
func ParseTime(s string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 0 {
			return t, true
		}
	}
	return time.Time{}, false
}

// Seconds returns t as the number that a timestamp column's Min and Max are
// written in: seconds since 1970 UTC.
func Seconds(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9
}

// formatSeconds writes a timestamp column's bound as ParseTime reads it.
func formatSeconds(s float64) string {
	t := time.Unix(int64(s), 0).UTC()
	if t.Equal(t.Truncate(24 * time.Hour)) {
		return t.Format(time.DateOnly)
	}
	return t.Format(time.DateTime)
}

// isSeconds reports whether s is a whole second of the years 1 to 9999.
func isSeconds(s float64) bool {
	return s == math.Trunc(s) && s >= -62135596800 && s <= 253402300799
}

// partSizes says how many values each part of a timestamp has.
var partSizes = map[string]int{Hour: 24, Weekday: 7, Month: 12}

func partNames() []string { return []string{Hour, Weekday, Month} }

// PartUnit returns a timestamp's part on a circle: (1 + sin φ)/2, or with cosine
// (1 + cos φ)/2, where φ = 2π·part/n with n parts in a day, week or year. It
// counts as the clock that wrote t showed it. Neighbours in time are neighbours
// here, midnight too.
func PartUnit(part string, cosine bool, t time.Time) float64 {
	var k int
	switch part {
	case Hour:
		k = t.Hour()
	case Weekday:
		k = (int(t.Weekday()) + 6) % 7
	case Month:
		k = int(t.Month()) - 1
	default:
		return 0
	}
	angle := 2 * math.Pi * float64(k) / float64(partSizes[part])
	wave := math.Sin(angle)
	if cosine {
		wave = math.Cos(angle)
	}
	// Multiples of 2^-40: zeros that are not quite zero vanish, and so do last bits
	// in which machines' sines differ.
	return math.RoundToEven(float64(1+wave)/2*(1<<40)) / (1 << 40)
}

// partFeatures are the features of one part, by the ends of their names.
var partFeatures = []string{"sin", "cos"}
