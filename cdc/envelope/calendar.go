package envelope

// The calendar of Postgres, which is the Gregorian one for all time. The time package would do for most dates, but
// Postgres goes back to 4714 BC and forth to the year 5874897.

// daysIn returns the number of days in a month.
func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

const (
	daysPerEra  = 146097 // 400 years
	yearsPerEra = 400
)

// days returns the number of the day, counted from 1 March of the year 0: years that begin in March have their leap day
// at the end, which makes the months before it regular.
func (d date) days() int {
	year, month := d.year, d.month-3
	if month < 0 {
		year, month = year-1, month+12
	}
	era := floorDiv(year, yearsPerEra)
	year -= era * yearsPerEra
	return era*daysPerEra + year*365 + year/4 - year/100 + (153*month+2)/5 + d.day - 1
}

// dateOf is the reverse of days.
func dateOf(days int) date {
	era := floorDiv(days, daysPerEra)
	day := days - era*daysPerEra
	year := (day - day/1460 + day/36524 - day/146096) / 365
	day -= year*365 + year/4 - year/100
	month := (5*day + 2) / 153
	d := date{year: year + era*yearsPerEra, month: month + 3, day: day - (153*month+2)/5 + 1}
	if d.month > 12 {
		d.year, d.month = d.year+1, d.month-12
	}
	return d
}

// floorDiv divides and rounds down.
func floorDiv(a, b int) int {
	if a < 0 {
		return (a+1)/b - 1
	}
	return a / b
}
