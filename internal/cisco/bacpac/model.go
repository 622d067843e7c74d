package bacpac

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds for model.xml. A real one has some megabytes and a depth of twelve.
const (
	maxModel   = 512 << 20 // bytes of the whole
	maxToken   = 16 << 20  // bytes of one tag or text: the body of a procedure
	maxDepth   = 64        // nested elements
	maxColumns = 1 << 20   // of all tables
)

// model is what is needed of model.xml.
type model struct {
	collation string // of the database
	tables    []*table
	aliases   map[string]*column // user-defined alias types by their folded name
}

// table is a SqlTable element.
type table struct {
	schema, name string
	columns      []column
}

// column is a SqlSimpleColumn or SqlComputedColumn element, or an alias type.
type column struct {
	name     string
	element  string // SqlSimpleColumn, SqlComputedColumn or something unknown
	typeName string // as referenced, without brackets: "nvarchar", "dbo.address"
	isMax    bool
	nullable string // "", "True" or "False"
	length   int    // 0 if not given, as are the next two
	prec     int
	scale    int
	hasScale bool
	collate  string
}

func (c *column) computed() bool { return c.element == "SqlComputedColumn" }

// errModel is a fault of model.xml, in words for a problem.
type errModel string

func (e errModel) Error() string { return string(e) }

// tokenReader fails when too much is read without a token being finished.
type tokenReader struct {
	r     io.Reader
	token int // since the last token
	total int
}

func (t *tokenReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.token += n
	t.total += n
	switch {
	case t.total > maxModel:
		return 0, errModel(fmt.Sprintf("is larger than %d MiB", maxModel>>20))
	case t.token > maxToken:
		return 0, errModel(fmt.Sprintf("has a value of more than %d MiB", maxToken>>20))
	}
	return n, err
}

// node is an open XML element: its tag and its Type, or Name for a Relationship.
type node struct{ tag, kind string }

// modelParser walks model.xml with the path of open elements.
type modelParser struct {
	m       model
	path    []node
	table   *table
	column  *column // of the table, or an alias type
	columns int
}

// parseModel reads model.xml. Errors are an errModel, an xml.SyntaxError, or
// what the reader gave.
func parseModel(r io.Reader) (*model, error) {
	tokens := &tokenReader{r: r}
	d := xml.NewDecoder(tokens)
	p := &modelParser{m: model{aliases: map[string]*column{}}}
	root := false
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !root {
				return nil, errModel("is empty")
			}
			return &p.m, nil
		}
		if err != nil {
			return nil, err
		}
		tokens.token = 0
		switch t := t.(type) {
		case xml.StartElement:
			if !root && t.Name.Local != "DataSchemaModel" {
				return nil, errModel("is no model of a database: its root is not DataSchemaModel")
			}
			root = true
			if len(p.path) == maxDepth {
				return nil, errModel("nests too deeply")
			}
			if err := p.open(t); err != nil {
				return nil, err
			}
		case xml.EndElement:
			p.close()
		}
	}
}

// up returns the n-th open element from the inside, from 1.
func (p *modelParser) up(n int) node {
	if n > len(p.path) {
		return node{}
	}
	return p.path[len(p.path)-n]
}

// The depths of elements in the path, whose first is DataSchemaModel.
const (
	depthTop    = 2 // inside Model: tables, alias types, options
	depthColumn = 5 // inside Element, Relationship Columns, Entry
)

// open takes a start tag.
func (p *modelParser) open(t xml.StartElement) error {
	n := node{tag: t.Name.Local}
	name := attr(t, "Name")
	n.kind = name
	if n.tag == "Element" {
		n.kind = attr(t, "Type")
	}
	switch n.tag {
	case "Element":
		if err := p.element(n.kind, name); err != nil {
			return err
		}
	case "Property":
		if err := p.property(name, attr(t, "Value")); err != nil {
			return err
		}
	case "References":
		p.reference(name)
	}
	p.path = append(p.path, n)
	return nil
}

// element begins a table, a column or an alias type.
func (p *modelParser) element(kind, name string) error {
	switch {
	case len(p.path) == depthTop && p.up(1).tag == "Model":
		parts, ok := splitName(name)
		switch kind {
		case "SqlTable":
			if !ok || len(parts) != 2 {
				return errModel("has a table with the name " + printable(name))
			}
			p.table = &table{schema: parts[0], name: parts[1]}
			p.m.tables = append(p.m.tables, p.table)
			p.columns++
		case "SqlUserDefinedDataType":
			if !ok || len(parts) != 2 {
				return errModel("has a type with the name " + printable(name))
			}
			p.column = &column{name: name}
			p.m.aliases[fold(parts[0]+"."+parts[1])] = p.column
			p.columns++
		}
	case p.table != nil && len(p.path) == depthColumn && p.up(2) == (node{"Relationship", "Columns"}):
		parts, ok := splitName(name)
		if !ok || len(parts) != 3 {
			return errModel("has a column with the name " + printable(name))
		}
		p.table.columns = append(p.table.columns, column{name: parts[2], element: kind})
		p.column = &p.table.columns[len(p.table.columns)-1]
		p.columns++
	}
	if p.columns > maxColumns {
		return errModel(fmt.Sprintf("has more than %d tables and columns", maxColumns))
	}
	return nil
}

// inSpecifier tells whether the innermost element is the type of the current
// column: the column or alias type itself, or its type specifier.
func (p *modelParser) inSpecifier() bool {
	if p.column == nil || p.up(1).tag != "Element" {
		return false
	}
	return len(p.path) == p.columnDepth() ||
		len(p.path) == p.columnDepth()+3 && p.up(3) == (node{"Relationship", "TypeSpecifier"})
}

func (p *modelParser) columnDepth() int {
	if p.table != nil {
		return depthColumn + 1
	}
	return depthTop + 1
}

// property takes a Property of the database's options or of a column.
func (p *modelParser) property(name, value string) error {
	if len(p.path) == depthTop+1 && p.up(1) == (node{"Element", "SqlDatabaseOptions"}) && name == "Collation" {
		p.m.collation = value
	}
	if !p.inSpecifier() {
		return nil
	}
	c := p.column
	number := func(to *int) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > 1<<16 {
			return errModel("has the " + name + " " + printable(value) + " at column " + printable(c.name))
		}
		*to = n
		return nil
	}
	switch name {
	case "IsNullable":
		c.nullable = value
	case "IsMax":
		c.isMax = strings.EqualFold(value, "true")
	case "Length":
		if strings.EqualFold(value, "max") {
			c.isMax = true
			return nil
		}
		return number(&c.length)
	case "Precision":
		return number(&c.prec)
	case "Scale":
		c.hasScale = true
		return number(&c.scale)
	case "Collation":
		c.collate = value
	}
	return nil
}

// reference takes the type that a column's specifier, or an alias type, names.
func (p *modelParser) reference(name string) {
	if p.column == nil || p.up(1).tag != "Entry" || p.up(2) != (node{"Relationship", "Type"}) || p.column.typeName != "" {
		return
	}
	if d := len(p.path) - 2; d != p.columnDepth()+3 && d != p.columnDepth() {
		return
	}
	parts, ok := splitName(name)
	if !ok {
		p.column.typeName = name
		return
	}
	if len(parts) == 2 && strings.EqualFold(parts[0], "sys") {
		parts = parts[1:]
	}
	p.column.typeName = strings.Join(parts, ".")
}

// close takes an end tag.
func (p *modelParser) close() {
	p.path = p.path[:len(p.path)-1]
	switch {
	case len(p.path) == depthTop:
		p.table, p.column = nil, nil
	case len(p.path) == depthColumn && p.table != nil:
		p.column = nil
	}
}

func attr(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// resolve follows an alias type to its base type. What the column says itself
// comes first.
func (m *model) resolve(c column) column {
	for range 8 { // aliases of aliases do not exist in T-SQL
		alias := m.aliases[fold(c.typeName)]
		if alias == nil {
			break
		}
		c.typeName = alias.typeName
		c.isMax = c.isMax || alias.isMax
		c.length = cmp.Or(c.length, alias.length)
		c.prec = cmp.Or(c.prec, alias.prec)
		if !c.hasScale {
			c.scale, c.hasScale = alias.scale, alias.hasScale
		}
		c.nullable = cmp.Or(c.nullable, alias.nullable)
		c.collate = cmp.Or(c.collate, alias.collate)
	}
	if fold(c.typeName) == "sysname" {
		c.typeName, c.length = "nvarchar", 128
	}
	c.collate = cmp.Or(c.collate, m.collation)
	return c
}

// isNullable tells whether NULL may occur; the model leaves the default out.
func (c *column) isNullable() bool { return !strings.EqualFold(c.nullable, "false") }

// String returns the type as T-SQL writes it: "nvarchar(4000)".
func (c *column) String() string {
	switch t := fold(c.typeName); {
	case c.isMax:
		return t + "(max)"
	case c.length > 0:
		return fmt.Sprintf("%s(%d)", t, c.length)
	case c.prec > 0:
		return fmt.Sprintf("%s(%d,%d)", t, c.prec, c.scale)
	case c.hasScale:
		return fmt.Sprintf("%s(%d)", t, c.scale)
	default:
		return t
	}
}
