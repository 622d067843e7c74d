package tdstest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func parseDate(text string) (time.Time, error) {
	return time.Parse("2006-01-02 15:04:05", strings.Replace(text, "T", " ", 1)) // decimals are understood
}

// daysTo1970 is how many days lie between 1900, where datetime begins, and 1970.
const daysTo1970 = 25567

// ticks are the units of datetime: three hundredths of a second since midnight,
// to the nearest.
func ticks(t time.Time) (days int, n int64) {
	midnight := t.Truncate(24 * time.Hour)
	n = (t.Sub(midnight).Nanoseconds()*3 + 5_000_000) / 10_000_000
	return int(midnight.Unix()/86400) + daysTo1970, n
}

// normalise rewrites all dates as their columns keep them.
func normalise(db *sqlite.Conn) error {
	type place struct{ table, column, typ string }
	var places []place
	err := sqlitex.Execute(db, "SELECT t.name, c.name, lower(c.type) FROM sqlite_schema AS t, pragma_table_info(t.name) AS c "+
		"WHERE t.type = 'table' AND lower(c.type) LIKE '%date%'", &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		places = append(places, place{stmt.ColumnText(0), stmt.ColumnText(1), stmt.ColumnText(2)})
		return nil
	}})
	if err != nil {
		return err
	}
	for _, p := range places {
		t := columnType{name: declaration.FindStringSubmatch(p.typ)[1]}
		dates := map[string]string{}
		err := sqlitex.Execute(db, fmt.Sprintf(`SELECT DISTINCT "%s" FROM "%s"`, p.column, p.table), &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
			if stmt.ColumnType(0) == sqlite.TypeNull {
				return nil
			}
			kept, err := t.canonical(stmt.ColumnText(0))
			if kept != stmt.ColumnText(0) {
				dates[stmt.ColumnText(0)] = kept
			}
			return err
		}})
		if err != nil {
			return err
		}
		for date, kept := range dates {
			if err := sqlitex.Execute(db, fmt.Sprintf(`UPDATE "%s" SET "%s" = ? WHERE "%s" = ?`, p.table, p.column, p.column),
				&sqlitex.ExecOptions{Args: []any{kept, date}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// canonical is a date as a column of the type keeps it, so that dates compare as
// text.
func (t columnType) canonical(text string) (string, error) {
	when, err := parseDate(text)
	if err != nil {
		return "", err
	}
	switch t.name {
	case "datetime":
		days, n := ticks(when)
		when = time.Date(1900, 1, 1+days, 0, 0, int(n/300), int(n%300*10+1)/3*1_000_000, time.UTC)
		return when.Format("2006-01-02 15:04:05.000"), nil
	case "smalldatetime":
		return when.Round(time.Minute).Format("2006-01-02 15:04:05"), nil
	}
	return when.Format("2006-01-02 15:04:05.0000000"), nil
}

func (t columnType) appendDate(b []byte, text string) ([]byte, error) {
	when, err := parseDate(text)
	if err != nil {
		return nil, err
	}
	switch t.name {
	case "datetime":
		days, n := ticks(when)
		b = binary.LittleEndian.AppendUint32(append(b, 8), uint32(int32(days)))
		return binary.LittleEndian.AppendUint32(b, uint32(n)), nil
	case "smalldatetime":
		days, n := ticks(when)
		b = binary.LittleEndian.AppendUint16(append(b, 4), uint16(days))
		return binary.LittleEndian.AppendUint16(b, uint16(n/300/60)), nil
	case "datetime2":
		unit := time.Second
		for range t.scale {
			unit /= 10
		}
		size := 3
		if t.scale > 2 {
			size++
		}
		if t.scale > 4 {
			size++
		}
		midnight := when.Truncate(24 * time.Hour)
		days := uint32(midnight.Unix()/86400 + 719162) // days from year 1 to 1970
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(when.Sub(midnight)/unit))
		b = append(append(b, byte(size+3)), n[:size]...)
		return append(b, byte(days), byte(days>>8), byte(days>>16)), nil
	}
	return nil, fmt.Errorf("a date does not go into %s", t.name)
}
