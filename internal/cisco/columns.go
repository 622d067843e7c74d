package cisco

import (
	"fmt"
	"slices"
	"strings"

	"archivolt/internal/problem"
)

// UnknownColumn is a column that table JM does not have.
const UnknownColumn Column = -1

var columnByName = func() map[string]Column {
	m := map[string]Column{}
	for i, name := range columnNames[:NickJID+1] {
		m[name] = Column(i)
	}
	return m
}()

// ColumnNamed returns the column of JM or TC_MSGARCHIVE of that name, in any
// letter case, or UnknownColumn.
func ColumnNamed(name string) Column {
	if c, ok := columnByName[strings.ToUpper(name)]; ok {
		return c
	}
	return UnknownColumn
}

// CheckColumns refuses columns that make no table JM: the two addresses, the
// date and something that may hold a text are needed, each once. Notes tell
// what else is missing, and how many columns are not the archiver's. object
// and try are those of the problem.
func CheckColumns(object string, columns []Column, try string) (notes []string, err error) {
	var has [NumColumns]bool
	extra := 0
	for _, c := range columns {
		switch {
		case c == UnknownColumn:
			extra++
		case has[c]:
			return nil, problem.New(problem.Failed, object, "this table has the column "+c.String()+" twice", "export the table again with each column once")
		default:
			has[c] = true
		}
	}
	required := []Column{ToJID, FromJID, SentDate}
	texts := []Column{BodyString, MessageString, BodyText, MessageText}
	var missing, absent []string
	for c := range jmColumns {
		switch {
		case has[c] || has[NickJID] && !inRooms(c):
		case slices.Contains(required, c):
			missing = append(missing, c.String())
		default:
			absent = append(absent, c.String())
		}
	}
	if !slices.ContainsFunc(texts, func(c Column) bool { return has[c] }) {
		missing = append(missing, "BODY_STRING (or another one with a text)")
	}
	if len(missing) > 0 {
		return nil, problem.New(problem.Failed, object, "this table lacks the "+listed("column", missing), try)
	}
	if len(absent) > 0 {
		notes = append(notes, "lacks the "+listed("column", absent))
	}
	switch {
	case has[NickJID]: // TC_MSGARCHIVE has numbers of its own
	case extra == 1:
		notes = append(notes, "has 1 column that is not the archiver's, which is ignored")
	case extra > 1:
		notes = append(notes, fmt.Sprintf("has %d columns that are not the archiver's, which are ignored", extra))
	}
	return notes, nil
}

// inRooms tells whether TC_MSGARCHIVE has a column of JM.
func inRooms(c Column) bool { return c != ThreadID && c != Direction && c != HistoryFlag }

// listed writes names with their noun: "columns A, B and C".
func listed(noun string, names []string) string {
	last := len(names) - 1
	if last == 0 {
		return noun + " " + names[0]
	}
	return noun + "s " + strings.Join(names[:last], ", ") + " and " + names[last]
}
