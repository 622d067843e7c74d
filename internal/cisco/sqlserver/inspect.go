package sqlserver

import (
	"context"
	"database/sql/driver"
	"strings"
)

// tableName is a table or view of the database, spelled as it is there.
type tableName struct {
	schema, name string
	id           int64 // object_id
}

// table is what the catalogue says about one.
type table struct {
	tableName
	columns []column
	key     key      // to read along; no columns if there is none
	indexes []string // names of those that key was chosen from
	only    string   // condition of the rows that are wanted; empty for all
}

// quoted is the name as it stands in statements.
func (t *table) quoted() string { return quote(t.schema) + "." + quote(t.name) }

// column is one of a table's columns (sys.columns).
type column struct {
	name     string
	typ      string // the system type, without length
	length   int    // in bytes; -1 is max
	scale    int
	nullable bool
}

// key is what a table can be read along.
type key struct {
	index     string
	columns   []column
	ties      bool // several rows may have the same key
	clustered bool
}

// text and number read a value of the catalogue; NULL is "" and 0.
func text(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func number(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

// lookAtServer fills version, way and the database's name.
func (s *Source) lookAtServer(ctx context.Context) error {
	rows, err := s.session.rows(ctx, 5, selectServer)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil // no such row is visible: the careful way is taken
	}
	row := rows[0]
	s.version = text(row[0])
	s.session.cfg.Database = text(row[1])
	s.session.object = objectOf(s.session.cfg)
	s.way = way{snapshot: number(row[2]) == 1, versioned: number(row[3]) == 1, readOnly: number(row[4]) == 1}
	return nil
}

func (s *Source) tableNames(ctx context.Context) (names []tableName, err error) {
	rows, err := s.session.rows(ctx, 3, selectTables)
	for _, row := range rows {
		names = append(names, tableName{schema: text(row[0]), name: text(row[1]), id: number(row[2])})
	}
	return names, err
}

// lookUp finds a table in any letter case. If several differ in nothing else
// it takes the one that is written exactly so, or returns them all.
func (s *Source) lookUp(schema, name string) (found []tableName) {
	for _, t := range s.names {
		if t.schema == schema && t.name == name {
			return []tableName{t}
		}
		if strings.EqualFold(t.schema, schema) && strings.EqualFold(t.name, name) {
			found = append(found, t)
		}
	}
	return found
}

// lookAt reads the columns of a table and finds what to read it along.
func (s *Source) lookAt(ctx context.Context, name tableName) (*table, error) {
	t := &table{tableName: name}
	rows, err := s.session.rows(ctx, 5, selectColumns, name.id)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		t.columns = append(t.columns, column{name: text(row[0]), typ: strings.ToLower(text(row[1])), length: int(number(row[2])),
			scale: int(number(row[3])), nullable: number(row[4]) != 0})
	}
	if rows, err = s.session.rows(ctx, 5, selectIndexes, name.id); err != nil {
		return nil, err
	}
	for _, row := range rows {
		t.indexes = append(t.indexes, text(row[4]))
	}
	t.key = t.choose(rows)
	if s.way.snapshot && !t.key.clustered {
		t.key = key{}
	}
	return t, nil
}

// choose finds the best index among the rows of selectIndexes: a clustered one
// before others, a unique one before one with ties.
func (t *table) choose(rows [][]driver.Value) (best key) {
	rank := func(k key) (r int) {
		if len(k.columns) == 0 {
			return -1
		}
		if k.clustered {
			r += 2
		}
		if !k.ties {
			r++
		}
		return r
	}
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && number(rows[n][0]) == number(rows[0][0]) {
			n++
		}
		if k := t.keyOf(rows[:n]); rank(k) > rank(best) {
			best = k
		}
		rows = rows[n:]
	}
	return best
}

// maxKeyColumns is how many columns a key to read along may have.
const maxKeyColumns = 4

// keyOf makes a key from the rows of one index, or none.
func (t *table) keyOf(rows [][]driver.Value) key {
	k := key{index: text(rows[0][4]), clustered: number(rows[0][0]) == 1}
	unique := number(rows[0][1]) != 0 && len(rows) <= maxKeyColumns
	for i, row := range rows {
		var col column
		for _, c := range t.columns {
			if c.name == text(row[2]) {
				col = c
			}
		}
		comparable := !col.nullable && (kindOf[col.typ] == integer || col.typ == "datetime" || col.typ == "datetime2" || col.typ == "smalldatetime")
		// The server reads an index forwards or backwards; mixed directions
		// would have to be sorted.
		if !comparable || number(row[3]) != number(rows[0][3]) {
			unique = false
		}
		if i == 0 && !comparable {
			return key{}
		}
		k.columns = append(k.columns, col)
	}
	if !unique {
		// The date alone: integers that are not unique may be the same in
		// every row.
		if kindOf[k.columns[0].typ] != date {
			return key{}
		}
		k.columns, k.ties = k.columns[:1], true
	}
	return k
}

// pageText is how much text a page of 8192 bytes holds at most, as a share: UTF-16
// takes two bytes for a character of one.
const pageText = 2

// lookAtSize estimates how much text the table holds; 0 if the login may not
// know.
func (s *Source) lookAtSize(ctx context.Context) int64 {
	rows, err := s.session.rows(ctx, 1, selectSize, s.jm.id)
	if err != nil || len(rows) == 0 {
		return 0
	}
	return number(rows[0][0]) / pageText
}
