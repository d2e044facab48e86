package envelope

import (
	"testing"
	"time"
)

// The calendar agrees with the time package where both reach.
func TestCalendar(t *testing.T) {
	start := time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC)
	first := date{-4713, 11, 24}.days()
	for day := 0; day < 6_000_000; day += 17 {
		at := start.AddDate(0, 0, day)
		want := date{at.Year(), int(at.Month()), at.Day()}
		if got := dateOf(first + day); got != want {
			t.Fatalf("day %d is %v, want %v", day, got, want)
		}
		if got := want.days(); got != first+day {
			t.Fatalf("%v is day %d, want %d", want, got-first, day)
		}
	}
}

func TestDaysIn(t *testing.T) {
	for year := -400; year <= 400; year++ {
		for month := 1; month <= 12; month++ {
			if got, want := daysIn(year, month), time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day(); got != want {
				t.Fatalf("%d-%02d has %d days, want %d", year, month, got, want)
			}
		}
	}
}
