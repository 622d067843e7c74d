package bacpac

import (
	"archivolt/internal/problem"
)

// MaxValue bounds one value, and all values of one row together, in bytes as
// they lie in the file.
const MaxValue = 256 << 20

// kind is how a value's bytes are to be understood.
type kind int

const (
	kindUTF16 kind = iota
	kindCodePage
	kindBinary
	kindInt // little-endian, of 1, 2, 4 or 8 bytes; the one of 1 byte has no sign
	kindBit
	kindFloat
	kindMoney
	kindDecimal
	kindGUID
	kindDate
	kindTime
	kindDateTime
	kindSmallDateTime
	kindDateTime2
	kindDateTimeOffset
)

// field is one column in the order and form in which it lies in a row.
type field struct {
	name   string
	kind   kind
	prefix int   // bytes of the length before the value: 0, 1, 2, 4 or 8
	width  int   // bytes of every value; 0 if they vary
	most   int64 // bytes that a value may have
	scale  int   // decimals of a second
	page   *codePage
	target int  // what the value is for, or -1 to skip it
	char   bool // of a type that has a code page: char, varchar or text
}

// layout is one of the ways in which rows have been seen or documented.
type layout int

const (
	// asExported is what most have found in files that SqlPackage wrote: bcp's
	// Unicode native format, but for the lengths before bit, char(n) and
	// rowversion.
	asExported layout = iota
	// asUnicode is bcp's Unicode native format as documented.
	asUnicode
	// asNative is bcp's native format: the char types in the code page of the
	// column.
	asNative
)

// layouts are tried in this order.
func layouts() []layout { return []layout{asExported, asUnicode, asNative} }

// String says how the rows lie, for a note.
func (l layout) String() string {
	return [...]string{"as SqlPackage writes them", "as bcp -N writes them", "as bcp -n writes them, in a code page"}[l]
}

// fieldOf works out how a column lies in a row. differs tells that the layouts
// do not agree on it. A type that is not known gives an error in words.
//
// The lengths of prefixes are from "Specify prefix length in data files using
// bcp" in Microsoft's documentation, and for the types that it leaves out, or
// gets wrong, from docs/format/bacpac.md.
func fieldOf(c column, l layout) (f field, differs bool, err error) {
	f = field{name: c.name, target: -1}
	fixed := func(k kind, width int) {
		f.kind, f.width, f.most = k, width, int64(width)
		if c.isNullable() {
			f.prefix = 1
		}
	}
	varying := func(k kind, prefix int, most int64) { f.kind, f.prefix, f.most = k, prefix, most }
	length := max(c.length, 1) // varchar without a length is varchar(1)
	sized := func(k kind, unit int) {
		if c.isMax {
			varying(k, 8, MaxValue)
		} else {
			varying(k, 2, int64(length*unit))
		}
	}
	chars, unit := kindUTF16, 2
	if l == asNative {
		chars, unit, f.page = kindCodePage, 1, pageOf(c.collate)
	}
	if c.scale > 7 && !isDecimal(c.typeName) || length > 8000 {
		return f, false, errModel("has the type " + printable(c.String()) + ", which does not exist")
	}
	f.scale = 7
	if c.hasScale {
		f.scale = c.scale
	}
	typeName := fold(c.typeName)
	f.char = typeName == "char" || typeName == "varchar" || typeName == "text"
	switch typeName {
	case "nvarchar", "nchar":
		sized(kindUTF16, 2)
	case "varchar":
		sized(chars, unit)
		differs = true
	case "char":
		sized(chars, unit)
		if l == asExported && !c.isNullable() {
			f.prefix, f.width = 0, 2*length
		}
		differs = true
	case "text":
		varying(chars, 4, MaxValue)
		differs = true
	case "ntext":
		varying(kindUTF16, 4, MaxValue)
	case "xml":
		varying(kindUTF16, 8, MaxValue)
	case "varbinary", "binary":
		sized(kindBinary, 1)
	case "image":
		varying(kindBinary, 4, MaxValue)
	case "hierarchyid", "geometry", "geography":
		varying(kindBinary, 8, MaxValue)
	case "timestamp", "rowversion":
		fixed(kindBinary, 8)
		f.prefix = 1
		if l == asExported {
			f.prefix = 2
		}
		differs = true
	case "tinyint":
		fixed(kindInt, 1)
	case "smallint":
		fixed(kindInt, 2)
	case "int":
		fixed(kindInt, 4)
	case "bigint":
		fixed(kindInt, 8)
	case "bit":
		fixed(kindBit, 1)
		differs = !c.isNullable()
		if l == asExported {
			f.prefix = 1
		}
	case "real":
		fixed(kindFloat, 4)
	case "float":
		fixed(kindFloat, 8)
		if c.prec > 0 && c.prec <= 24 { // float(24) is real
			fixed(kindFloat, 4)
		}
	case "money":
		fixed(kindMoney, 8)
	case "smallmoney":
		fixed(kindMoney, 4)
	case "decimal", "numeric":
		varying(kindDecimal, 1, 19)
	case "uniqueidentifier":
		fixed(kindGUID, 16)
		f.prefix = 1
	case "date":
		fixed(kindDate, 3)
	case "time":
		fixed(kindTime, 5)
	case "datetime":
		fixed(kindDateTime, 8)
	case "smalldatetime":
		fixed(kindSmallDateTime, 4)
	case "datetime2":
		fixed(kindDateTime2, 8)
	case "datetimeoffset":
		fixed(kindDateTimeOffset, 10)
	default:
		return f, false, errModel("has the type " + printable(c.String()) + ", which this program does not read")
	}
	return f, differs, nil
}

func isDecimal(typeName string) bool {
	t := fold(typeName)
	return t == "decimal" || t == "numeric"
}

// fields lays out the rows of a table. Computed columns are in the model and
// not in the data. target says what a column is for, -1 if for nothing.
func (f *File) fields(t *table, l layout, target func(name string) int) (fields []field, differs bool, err error) {
	fail := func(c *column, what string) error {
		return problem.New(problem.Failed, f.name, "table "+t.String()+": the column "+printable(c.name)+" "+what,
			"copy the columns that are needed into another table, in a restored copy of the database, and export that")
	}
	for i := range t.columns {
		c := &t.columns[i]
		if c.computed() {
			continue
		}
		if c.element != "SqlSimpleColumn" {
			return nil, false, fail(c, "is a "+printable(c.element)+", which this program does not read")
		}
		field, other, err := fieldOf(f.model.resolve(*c), l)
		if err != nil {
			return nil, false, fail(c, err.Error())
		}
		field.target = target(c.name)
		fields = append(fields, field)
		differs = differs || other
	}
	return fields, differs, nil
}
