package cisco

import (
	"strings"
	"time"
)

// ParseSentDate reads SENT_DATE as databases and their tools write it: a date
// and a time of day with up to nine decimals, "T" or a blank between, perhaps
// followed by a zone. Without a zone it is UTC, as the guide says. The result
// is cut to milliseconds. ok is false for anything else.
func ParseSentDate(text []byte) (t time.Time, ok bool) {
	if t, ok := parseISO(text); ok {
		return t, true
	}
	s := strings.Join(strings.Fields(string(text)), " ")
	if i := strings.LastIndexByte(s, ':'); strings.Count(s, ":") == 3 && strings.HasSuffix(s, "M") {
		s = s[:i] + "." + s[i+1:] // T-SQL's style 109 has a colon before the milliseconds
	}
	for _, layout := range []string{
		"2006-01-02 15:04:05.999999999 -0700", "2006-01-02 15:04:05.999999999 -07:00", "2006-01-02 15:04:05.999999999-07",
		"2006-01-02 15:04:05.999999999-07:00", "2006-01-02T15:04:05.999999999Z07:00",
		"Jan 2 2006 3:04:05.000PM", "Jan 2 2006 3:04PM", // T-SQL CONVERT styles 109 and 100
		"1/2/2006 3:04:05 PM", "02-JAN-06 03.04.05.999999999 PM", // US spreadsheet, Oracle default
		"2006-01-02 15:04", "2006-01-02",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Truncate(time.Millisecond), true
		}
	}
	return time.Time{}, false
}

// parseISO reads YYYY-MM-DD hh:mm:ss[.fraction][Z] by hand: every row has one.
func parseISO(b []byte) (time.Time, bool) {
	const form = "0000-00-00 00:00:00"
	if len(b) < len(form) {
		return time.Time{}, false
	}
	for i := range len(form) {
		c := b[i]
		switch form[i] {
		case '0':
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
		case ' ':
			if c != ' ' && c != 'T' {
				return time.Time{}, false
			}
		default:
			if c != form[i] {
				return time.Time{}, false
			}
		}
	}
	num := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	year, month, day := num(0)*100+num(2), num(5), num(8)
	hour, minute, second := num(11), num(14), num(17)
	rest, milli := b[len(form):], 0
	if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') {
		rest = rest[1:]
		for i, scale := 0, 100; len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9'; i++ {
			if i < 3 {
				milli += int(rest[0]-'0') * scale
				scale /= 10
			}
			rest = rest[1:]
		}
	}
	if len(rest) > 0 && (len(rest) > 1 || rest[0] != 'Z') {
		return time.Time{}, false // a zone, or something else: left to ParseSentDate
	}
	if month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 || day < 1 || day > daysIn(year, month) {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, milli*1e6, time.UTC), true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
