package write

import (
	"fmt"
	"strconv"
	"time"
)

// Event is something in the life of an archive that is no message: a start, a
// lost connection, a gap. It lies in the table archivolt_events, and holds
// nothing of a message.
type Event struct {
	Entry  uint64 // its number in the queue in front of the archive: events have its order
	Time   time.Time
	Name   string // at most 64 bytes
	Source string // that it is about, cut to MaxSource bytes; empty if it is about none
	Detail string // for people
}

// EventColumns are those of archivolt_events, in lower case.
var EventColumns = []string{"entry", "time", "name", "source", "detail"}

// maxName is the longest name of an event, in bytes.
const maxName = 64

// eventColumnsSQL declares them, for PostgreSQL and SQLite.
func eventColumnsSQL() string {
	return fmt.Sprintf("entry bigint NOT NULL, time timestamp NOT NULL, name varchar(%d) NOT NULL, source varchar(%d), detail text NOT NULL", maxName, MaxSource)
}

// cells are the event's texts in the order of EventColumns. What does not fit is
// cut: an event that is refused would hold up all messages behind it.
func (e *Event) cells() []Text {
	name, _ := cutBytes(e.Name, maxName)
	source, _ := cutBytes(e.Source, MaxSource)
	date, _ := sentDate(e.Time)
	return []Text{{strconv.FormatUint(e.Entry, 10), true}, {date.Format(dateForm), true},
		{storable(name), true}, {storable(source), source != ""}, {storable(e.Detail), true}}
}
