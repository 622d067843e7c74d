package tdstest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
)

const (
	name = `\[((?:[^\]]|\]\])+)\]`
	// lookup compares the beginning of an address, or all of it, with a constant.
	lookup = `(?:LEFT\(` + name + `, 64\)|` + name + `) (=|LIKE) N('(?:[^']|'')*')( ESCAPE N'\\')?`
	// value is a key's parameter.
	value = `CONVERT\((tinyint|smallint|int|bigint|datetime|smalldatetime|datetime2\(\d\)), (@p\d+)(?:, 126)?\)`
)

// The parts of a statement that selects rows.
var (
	selects = regexp.MustCompile(`^SELECT TOP \(@p1\) (WITH TIES )?(.+) FROM ` + name + `\.` + name +
		`(?: WITH \(INDEX\(` + name + `\)\))?(?: WHERE (.+?))?(?: ORDER BY (.+?))? OPTION \(MAXDOP 1\); SELECT ROWCOUNT_BIG\(\)$`)
	conditionRE = regexp.MustCompile(`^(?:\(|\)| AND | OR |1 = 0|` + name + ` (?:>=|<=|>|<|=) ` + value + `|` + lookup + `)+$`)
	lookupRE    = regexp.MustCompile(lookup)
	valueRE     = regexp.MustCompile(value)
	orderRE     = regexp.MustCompile(`^` + name + `(?:, ` + name + `)*$`)

	plainRE   = regexp.MustCompile(`^` + name + `$`)
	convertRE = regexp.MustCompile(`^CONVERT\(nvarchar\(max\), ` + name + `\)$`)
	styleRE   = regexp.MustCompile(`^CONVERT\(nvarchar\(33\), ` + name + `, 126\)$`)
	binaryRE  = regexp.MustCompile(`^CONVERT\(nvarchar\(max\), CONVERT\(varbinary\(max\), ` + name + `\), 1\)$`)
	pieceRE   = regexp.MustCompile(`^SUBSTRING\(` + name + `, 1, 128\)$`)
	ansiRE    = regexp.MustCompile(`^CONVERT\(nvarchar\(max\), SUBSTRING\(` + name + `, 1, 128\)\)$`)
	otherRE   = regexp.MustCompile(`^SUBSTRING\(CONVERT\(nvarchar\(max\), ` + name + `\), 1, 128\)$`)
	longerRE  = regexp.MustCompile(`^CONVERT\(bit, CASE WHEN (.+) THEN 1 ELSE 0 END\)$`)
	longerOne = regexp.MustCompile(`^DATALENGTH\((?:CONVERT\(nvarchar\(max\), )?` + name + `\)?\) > DATALENGTH\(SUBSTRING\((?:CONVERT\(nvarchar\(max\), )?` + name + `\)?, 1, 128\)\)$`)
)

// item is one expression of a SELECT list.
type item struct {
	typ  columnType
	eval func(row map[string]any) any
}

func unquote(name string) string { return strings.ReplaceAll(name, "]]", "]") }

// units are a text's code units as bytes.
func units(v any) []byte {
	if text, ok := v.(string); ok {
		return utf16le(text)
	}
	b, _ := v.([]byte)
	return b
}

// piece is the first 128 code units, as SUBSTRING gives them under a collation
// without supplementary characters.
func piece(v any) any {
	if v == nil {
		return nil
	}
	b := units(v)
	return bytes.Clone(b[:min(len(b), 256)])
}

// splitList splits at commas that stand outside of all brackets.
func splitList(list string) (items []string) {
	depth, from, quoted := 0, 0, false
	for i, c := range list {
		switch {
		case c == '[' || c == ']':
			quoted = !quoted // a doubled ] leaves and enters again
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			items = append(items, strings.TrimSpace(list[from:i]))
			from = i + 1
		}
	}
	return append(items, strings.TrimSpace(list[from:]))
}

// parseItem understands one expression, over columns that table has.
func parseItem(text string, table []declared) (item, error) {
	find := func(name string) (declared, error) {
		i := slices.IndexFunc(table, func(d declared) bool { return d.name == unquote(name) })
		if i < 0 {
			return declared{}, refuse(207, "Invalid column name '"+name+"'.")
		}
		return table[i], nil
	}
	all := columnType{name: "nvarchar", size: -1}
	if text == "0" {
		return item{columnType{name: "int"}, func(map[string]any) any { return int64(0) }}, nil
	}
	if m := plainRE.FindStringSubmatch(text); m != nil {
		d, err := find(m[1])
		switch d.typ.name {
		case "tinyint", "smallint":
			d.typ.name = "int"
		}
		return item{d.typ, func(row map[string]any) any { return row[d.name] }}, err
	}
	for _, form := range []struct {
		re   *regexp.Regexp
		typ  columnType
		eval func(any) any
	}{
		{convertRE, all, func(v any) any { return asText(v) }},
		{styleRE, columnType{name: "nvarchar", size: 33}, func(v any) any { return asText(v) }},
		{binaryRE, all, func(v any) any { return asHex(v) }},
		{pieceRE, all, piece},
		{ansiRE, all, piece},
		{otherRE, all, piece},
	} {
		if m := form.re.FindStringSubmatch(text); m != nil {
			d, err := find(m[1])
			if d.typ.name == "nvarchar" && form.re != pieceRE || d.typ.name == "varchar" && (form.re == pieceRE || form.re == otherRE) {
				return item{}, refuse(102, "Not the form for the type of "+d.name)
			}
			return item{form.typ, func(row map[string]any) any { return form.eval(row[d.name]) }}, err
		}
	}
	if m := longerRE.FindStringSubmatch(text); m != nil {
		var names []string
		for one := range strings.SplitSeq(m[1], " OR ") {
			m := longerOne.FindStringSubmatch(one)
			if m == nil || m[1] != m[2] {
				return item{}, refuse(102, "Incorrect syntax near '"+one+"'.")
			}
			d, err := find(m[1])
			if err != nil {
				return item{}, err
			}
			names = append(names, d.name)
		}
		return item{columnType{name: "bit"}, func(row map[string]any) any {
			return slices.ContainsFunc(names, func(n string) bool { return len(units(row[n])) > len(units(piece(row[n]))) })
		}}, nil
	}
	return item{}, refuse(102, "Incorrect syntax near '"+text+"'.")
}

func asText(v any) any {
	switch v.(type) {
	case nil, string, []byte:
		return v
	}
	return fmt.Sprint(v)
}

func asHex(v any) any {
	if v == nil {
		return nil
	}
	b, ok := v.([]byte)
	if !ok {
		b = []byte(v.(string))
	}
	return fmt.Sprintf("0x%X", b)
}

// selectRows executes a statement that selects rows of a table, and tells how
// many there were.
func (c *client) selectRows(text string, args []any, r *reply) error {
	m := selects.FindStringSubmatch(text)
	if m == nil || m[6] != "" && !conditionRE.MatchString(m[6]) || m[7] != "" && !orderRE.MatchString(m[7]) {
		return refuse(102, "Incorrect syntax near '"+text[:min(len(text), 40)]+"'.")
	}
	return c.selectFrom(r, query{ties: m[1] != "", list: m[2], schema: unquote(m[3]), table: unquote(m[4]), index: unquote(m[5]),
		where: m[6], order: m[7], args: args})
}

// query is a statement in its parts.
type query struct {
	ties                              bool
	list, schema, table, index, where string
	order                             string
	args                              []any
}

func (c *client) selectFrom(r *reply, q query) error {
	table, err := c.declared(q.table)
	if err != nil {
		return err
	}
	if q.schema != "dbo" || len(table) == 0 {
		return refuse(208, "Invalid object name '"+q.schema+"."+q.table+"'.")
	}
	c.server.mu.Lock()
	denied := c.server.behaviour.Deny
	c.server.mu.Unlock()
	if denied {
		return refuse(229, "The SELECT permission was denied on the object '"+q.table+"'.")
	}
	var items []item
	var types []columnType
	for _, text := range splitList(q.list) {
		i, err := parseItem(text, table)
		if err != nil {
			return err
		}
		items, types = append(items, i), append(types, i.typ)
	}
	if err := r.begin(types...); err != nil {
		return err
	}
	if err := c.send(r, q, table, items); err != nil {
		return err
	}
	n := int64(r.rows)
	r.finish(false)
	if err := r.begin(long); err != nil {
		return err
	}
	if err := r.row(n); err != nil {
		return err
	}
	r.finish(true)
	return nil
}

// send sends the rows. The lock is given back at each of them, so that a stall
// stops nobody else.
func (c *client) send(r *reply, q query, table []declared, items []item) error {
	limit, ok := q.args[0].(int64)
	if !ok {
		return refuse(1060, "The number of rows provided for a TOP clause must be an integer.")
	}
	var names []string
	for _, d := range table {
		names = append(names, `"`+strings.ReplaceAll(d.name, `"`, `""`)+`"`)
	}
	text := "SELECT " + strings.Join(names, ", ") + ` FROM "` + q.table + `"`
	if q.index != "" {
		text += ` INDEXED BY "` + q.index + `"`
	}
	kinds := map[string]columnType{}
	if q.where != "" {
		for _, m := range valueRE.FindAllStringSubmatch(q.where, -1) {
			kinds[m[2]] = columnType{name: strings.TrimRight(m[1], "()0123456789")}
			if strings.HasPrefix(m[1], "datetime2") {
				kinds[m[2]] = columnType{name: "datetime2"}
			}
		}
		text += " WHERE " + lookupRE.ReplaceAllStringFunc(valueRE.ReplaceAllString(q.where, "$2"), func(one string) string {
			m := lookupRE.FindStringSubmatch(one)
			left, escape := "["+m[2]+"]", ""
			if m[1] != "" {
				left = "substr([" + m[1] + "], 1, 64)"
			}
			if m[5] != "" {
				escape = ` ESCAPE '\'`
			}
			return left + " " + m[3] + " " + m[4] + escape
		})
	}
	if q.order != "" {
		text += " ORDER BY " + q.order
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	stmt, _, err := c.db.PrepareTransient(text)
	if err != nil {
		return refuse(102, err.Error())
	}
	defer stmt.Finalize()
	for i, arg := range q.args[1:] {
		parameter := fmt.Sprintf("@p%d", i+2)
		switch v := arg.(type) {
		case int64:
			stmt.SetInt64(parameter, v)
		case string:
			date, err := kinds[parameter].canonical(v)
			if err != nil {
				return refuse(241, "Conversion failed when converting date and/or time from character string.")
			}
			stmt.SetText(parameter, date)
		}
	}
	var last any
	for {
		lose := false
		if err := c.interrupt(r.rows); err == errLose {
			lose = true
		} else if err != nil {
			return err
		}
		more, err := stmt.Step()
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
		row := map[string]any{}
		for i, d := range table {
			if row[d.name], err = cell(stmt, i, d.typ); err != nil {
				return err
			}
		}
		var key any
		if q.order != "" {
			key = row[unquote(plainRE.FindStringSubmatch(splitList(q.order)[0])[1])]
		}
		if int64(r.rows) >= limit && (!q.ties || key != last) {
			return nil
		}
		last = key
		values := make([]any, len(items))
		for i, item := range items {
			values[i] = item.eval(row)
		}
		if lose {
			r.rows++
		} else if err := r.row(values...); err != nil {
			return err
		}
	}
}

func cell(stmt *sqlite.Stmt, i int, t columnType) (any, error) {
	switch stmt.ColumnType(i) {
	case sqlite.TypeNull:
		return nil, nil
	case sqlite.TypeInteger:
		return stmt.ColumnInt64(i), nil
	case sqlite.TypeBlob:
		b := make([]byte, stmt.ColumnLen(i))
		stmt.ColumnBytes(i, b)
		return b, nil
	}
	text := stmt.ColumnText(i)
	if strings.HasPrefix(t.name, "datetime") || t.name == "smalldatetime" {
		return t.canonical(text)
	}
	return text, nil
}

// interrupt looks, after n rows, whether the client gives up or something is
// to go wrong. It is called with the server's lock held, and holds it again
// when it returns.
func (c *client) interrupt(n int) error {
	c.server.mu.Unlock()
	defer c.server.mu.Lock()
	select {
	case m, ok := <-c.in:
		if !ok || m.kind == packetAttention {
			return errGone
		}
	default:
	}
	f, ok := c.server.fault(n)
	switch {
	case !ok:
		return nil
	case f.Cut:
		_ = c.flush(false)
		_, _ = c.transport.Write([]byte{packetReply, 0, 1, 0, 0, 0}) // the beginning of a packet
		return errCut
	case f.Short:
		return errQuiet
	case f.Lose:
		return errLose
	case f.Stall:
		_ = c.flush(false)
		for m := range c.in {
			if m.kind == packetAttention && !f.Deaf {
				return errGone
			}
		}
		return errCut
	}
	return refuse(f.Error, "as the test wants it")
}
