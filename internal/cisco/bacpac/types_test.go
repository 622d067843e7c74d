package bacpac

import (
	"reflect"
	"strings"
	"testing"

	"archivolt/internal/problem"
)

// Rows of two columns: the type under test, then "tail int not null" with the
// value 7, so that a wrong length shows.
var typeCases = []struct{ typ, bytes, want string }{
	// The prefix lengths are those of Microsoft's table ("Specify prefix length in data files by using bcp").
	{"int not null", "2a000000", "42"},
	{"int not null", "feffffff", "-2"},
	{"int", "04 2a000000", "42"},
	{"int", "ff", null},
	{"bigint not null", "ffffffffffffff7f", "9223372036854775807"},
	{"bigint", "08 0000000000000080", "-9223372036854775808"},
	{"bigint", "ff", null},
	{"smallint not null", "0080", "-32768"},
	{"smallint", "02 ff7f", "32767"},
	{"tinyint not null", "ff", "255"},
	{"tinyint", "01 ff", "255"},
	{"tinyint", "ff", null},
	{"bit", "01 01", "1"},
	{"bit", "ff", null},
	{"bit not null", "01 00", "0"}, // with a length in SqlPackage's files
	{"real not null", "0000c03f", "1.5"},
	{"real", "04 cdcccc3d", "0.1"},
	{"float not null", "9a9999999999b93f", "0.1"},
	{"float", "08 000000000000f0bf", "-1"},
	{"float(24) not null", "0000c03f", "1.5"},
	{"float", "ff", null},

	{"nvarchar(10) not null", "0600 61006200e400", "abä"},
	{"nvarchar(10)", "0000", ""},
	{"nvarchar(10)", "ffff", null},
	{"nvarchar(10)", "0400 3dd800de", "😀"}, // a surrogate pair
	{"nvarchar(10)", "0400 3dd86100", "\ufffda"},
	{"nvarchar(10)", "0200 00de", "\ufffd"},
	{"nvarchar(10)", "0a00 61003dd800de62006300", "a😀bc"},
	{"nvarchar(10)", "1000 6100620063006400650066006700e500", "abcdefgå"},
	{"nvarchar(10)", "0200 0000", "\x00"},
	{"nvarchar(max)", "0800000000000000 7400650073007400", "test"}, // as in a file that SqlPackage wrote
	{"nvarchar(max)", "0000000000000000", ""},
	{"nvarchar(max)", "ffffffffffffffff", null},
	{"nvarchar(max) not null", "0200000000000000 ac20", "€"},
	{"nchar(3) not null", "0600 610020002000", "a  "},
	{"nchar(3)", "ffff", null},
	{"ntext", "04000000 61006200", "ab"},
	{"ntext", "ffffffff", null},
	{"xml", "0800000000000000 3c0061002f003e00", "<a/>"},
	{"sysname not null", "0200 6100", "a"},
	// The char types are UTF-16 too.
	{"varchar(10)", "0400 6100e400", "aä"},
	{"varchar(10) not null", "0000", ""},
	{"varchar(max)", "0400000000000000 6100e400", "aä"},
	{"varchar(max)", "ffffffffffffffff", null},
	{"char(3)", "0600 610020002000", "a  "},
	{"char(3)", "ffff", null},
	{"char(3) not null", "610020002000", "a  "}, // no length
	{"text", "04000000 6100e400", "aä"},

	{"varbinary(8)", "0300 00ff10", "0x00FF10"},
	{"varbinary(8)", "0000", "0x"},
	{"varbinary(8)", "ffff", null},
	{"varbinary(max) not null", "0200000000000000 abcd", "0xABCD"},
	{"binary(2) not null", "0200 abcd", "0xABCD"},
	{"image", "02000000 abcd", "0xABCD"},
	{"timestamp not null", "0800 00000000000007d1", "0x00000000000007D1"},
	{"rowversion", "0800 00000000000007d1", "0x00000000000007D1"},
	{"uniqueidentifier not null", "10 00 37 c4 7b d3 1e 46 40 bd 69 6f 62 30 58 d0 a7", "7BC43700-1ED3-4046-BD69-6F623058D0A7"},
	{"uniqueidentifier", "ff", null},
	{"hierarchyid", "0100000000000000 58", "0x58"},

	// decimal: precision, scale, sign, sixteen bytes.
	{"decimal(10,2) not null", "13 0a 02 01 39300000000000000000000000000000", "123.45"},
	{"decimal(10,2)", "13 0a 02 00 05000000000000000000000000000000", "-0.05"},
	{"decimal(38,0)", "13 26 00 01 ffffffff3f228a097ac4865aa84c3b4b", "99999999999999999999999999999999999999"},
	{"numeric(5,0)", "13 05 00 01 00000000000000000000000000000000", "0"},
	{"numeric(5,0)", "ff", null},
	{"decimal(9,1) not null", "07 09 01 01 0f000000", "1.5"},
	// money: the high half first. 1.2345 is 12345 = 0x3039; -1 is -10000 = 0xffffffffffffd8f0;
	// 922337203685477.5807 is the largest.
	{"money not null", "00000000 39300000", "1.2345"},
	{"money", "08 ffffffff f0d8ffff", "-1.0000"},
	{"money not null", "ffffff7f ffffffff", "922337203685477.5807"},
	{"smallmoney not null", "39300000", "1.2345"},
	{"smallmoney", "04 ffffffff", "-0.0001"},

	// datetime: days since 1900-01-01, 1/300 seconds. 2003-02-01 is day 37651 = 0x9313; 11:22:33.123
	// is 40953123 ms * 0.3 = 12285937 = 0xbb77f1.
	{"datetime not null", "13930000 f177bb00", "2003-02-01 11:22:33.123"},
	{"datetime", "08 13930000 f177bb00", "2003-02-01 11:22:33.123"},
	{"datetime", "ff", null},
	{"datetime not null", "00000000 00000000", "1900-01-01 00:00:00.000"},
	{"datetime not null", "00000000 01000000", "1900-01-01 00:00:00.003"},
	{"datetime not null", "00000000 02000000", "1900-01-01 00:00:00.007"},
	{"datetime not null", "ffffffff ff818b01", "1899-12-31 23:59:59.997"},
	{"datetime not null", "462effff 00000000", "1753-01-01 00:00:00.000"},
	// smalldatetime: days since 1900, minutes. 11:23 is 683 = 0x2ab.
	{"smalldatetime not null", "1393 ab02", "2003-02-01 11:23:00.000"},
	{"smalldatetime", "04 1393 ab02", "2003-02-01 11:23:00.000"},
	// date: days since 0001-01-01. 2003-02-01 is 731246 = 0x0b286e.
	{"date not null", "6e280b", "2003-02-01"},
	{"date", "03 000000", "0001-01-01"},
	{"date", "03 dab937", "9999-12-31"},
	{"date", "ff", null},
	// time: 100 ns in five bytes whatever the scale. 11:22:33.1234567 is 409531234567 = 0x5f59f6b907.
	{"time(7) not null", "07b9f6595f", "11:22:33.1234567"},
	{"time(3)", "05 30a7f6595f", "11:22:33.123"},
	{"time(0)", "05 80e2e3595f", "11:22:33"},
	{"datetime2(7) not null", "07b9f6595f 6e280b", "2003-02-01 11:22:33.1234567"},
	{"datetime2 not null", "07b9f6595f 6e280b", "2003-02-01 11:22:33.1234567"},
	{"datetime2(3)", "08 80e2e3595f 6e280b", "2003-02-01 11:22:33.000"},
	{"datetime2(0) not null", "80e2e3595f 6e280b", "2003-02-01 11:22:33.000"},
	{"datetime2", "ff", null},
	// datetimeoffset: UTC, then the zone's minutes. 2003-02-01 11:22:33.1234567 +04:55 is 06:27:33.1234567 UTC
	// = 232531234567 = 0x3623f10f07; 295 minutes = 0x0127.
	{"datetimeoffset not null", "07" + "0f" + "f1" + "2336 6e280b 2701", "2003-02-01 06:27:33.1234567"},
	{"datetimeoffset(0)", "0a 80e2e3595f 6e280b d4fe", "2003-02-01 11:22:33.000"},
	{"datetimeoffset", "ff", null},

	// Alias types; the second is NOT NULL by itself.
	{"[dbo].[address]", "0200 6100", "a"},
	{"[dbo].[Number]", "2a000000", "42"},
}

const aliases = `<Element Type="SqlUserDefinedDataType" Name="[dbo].[address]"><Property Name="Length" Value="20" />` +
	`<Relationship Name="Type"><Entry><References ExternalSource="BuiltIns" Name="[nvarchar]" /></Entry></Relationship></Element>` +
	`<Element Type="SqlUserDefinedDataType" Name="[dbo].[number]"><Property Name="IsNullable" Value="False" />` +
	`<Relationship Name="Type"><Entry><References ExternalSource="BuiltIns" Name="[int]" /></Entry></Relationship></Element>`

func TestTypes(t *testing.T) {
	for _, c := range typeCases {
		model := modelXML(tableXML("[dbo].[t]", "v", c.typ, "tail", "int not null"), aliases)
		row := append(unhex(c.bytes), 7, 0, 0, 0)
		for _, n := range []int{1, 3} {
			f, err := openBytes(bacpacOf(t, model, "dbo.t", []byte(strings.Repeat(string(row), n))))
			if err != nil {
				t.Fatalf("%s: %v", c.typ, err)
			}
			rows, err := rowsOf(f, "", "t")
			want := [][]string{{c.want, "7"}, {c.want, "7"}, {c.want, "7"}}[:n]
			if err != nil || !reflect.DeepEqual(rows, want) {
				t.Errorf("%s %s: %q, %v, want %q", c.typ, c.bytes, rows, err, want)
			}
		}
	}
}

// TestTypeNames: what Tables says.
func TestTypeNames(t *testing.T) {
	model := modelXML(tableXML("[dbo].[t]", "a", "nvarchar(20) not null", "b", "decimal(10,2)", "c", "computed", "d", "[dbo].[address]", "e", "datetime2(3)",
		"f", "varchar(max)", "g", "int", "h]]x", "[dbo].[cube]"), aliases)
	f, err := openBytes(bacpacOf(t, model, "dbo.t"))
	if err != nil {
		t.Fatal(err)
	}
	want := []TableInfo{{"dbo", "t", []ColumnInfo{{"a", "nvarchar(20)", false, false}, {"b", "decimal(10,2)", true, false}, {"c", "", true, true},
		{"d", "nvarchar(20)", true, false}, {"e", "datetime2(3)", true, false}, {"f", "varchar(max)", true, false}, {"g", "int", true, false},
		{"h]x", "dbo.cube", true, false}}}}
	if got := f.Tables(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestBadValues: bytes that a type cannot have are an error that names the
// column and what was read before.
func TestBadValues(t *testing.T) {
	for _, c := range []struct{ typ, bytes, want string }{
		{"int", "03 2a0000", "length 3 instead of 4"},
		{"bit not null", "01 02", "value that its type does not have"},
		{"nvarchar(2)", "0600 610062006300", "length 6, more than the 4"},
		{"nvarchar(2)", "0300 610062", "odd length 3"},
		{"nvarchar(max)", "ffffffffffffff7f", "more than the 268435456"},
		{"nvarchar(max)", "feffffffffffffff", "pieces of unknown length"},
		{"nvarchar(max)", "0000000f00000000", "and only 4 bytes are left"},
		{"decimal(5,2)", "02 0502", "too short"},
		{"decimal(5,2)", "13 00 02 01 39300000000000000000000000000000", "does not have"},
		{"decimal(5,2)", "13 05 06 01 39300000000000000000000000000000", "does not have"},
		{"decimal(5,2)", "13 05 02 02 39300000000000000000000000000000", "does not have"},
		{"datetime not null", "13930000 0082 8b01", "does not have"}, // 24:00
		{"datetime not null", "ffffff7f 00000000", "does not have"},
		{"datetime not null", "00000080 00000000", "does not have"},
		{"smalldatetime not null", "1393 a005", "does not have"},
		{"date not null", "dbb937", "does not have"},
		{"time not null", "ffffffffff", "does not have"},
	} {
		model := modelXML(tableXML("[dbo].[t]", "tail", "int not null", "v", c.typ, "end", "int not null"))
		good := "07000000" + map[bool]string{true: "ff", false: ""}[!strings.Contains(c.typ, "not null")] + "07000000"
		if strings.Contains(c.typ, "not null") || strings.HasPrefix(c.typ, "nvarchar") {
			good = ""
		}
		f, err := openBytes(bacpacOf(t, model, "dbo.t", unhex(good+"07000000"+c.bytes+"07000000")))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := rowsOf(f, "dbo", "t")
		wantProblem(t, err, problem.Failed, c.want, "column v", "Data/dbo.t/TableData-000-00000.BCP", map[bool]string{true: "; 1 row was", false: "; 0 rows were"}[good != ""])
		if len(rows) != map[bool]int{true: 1, false: 0}[good != ""] {
			t.Errorf("%s: %d rows", c.typ, len(rows))
		}
	}
}

// TestUnknownTypes: a type that is not known spoils its own table only.
func TestUnknownTypes(t *testing.T) {
	model := modelXML(tableXML("[dbo].[odd]", "a", "int", "b", "sql_variant"), tableXML("[dbo].[t]", "v", "int not null"),
		strings.ReplaceAll(tableXML("[dbo].[odder]", "a", "int"), "SqlSimpleColumn", "SqlStrangeColumn"),
		tableXML("[dbo].[wide]", "a", "nvarchar(9000)"), tableXML("[dbo].[fine]", "a", "datetime2(9)"))
	f, err := openBytes(bacpacOf(t, model, "dbo.t", unhex("2a000000")))
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := rowsOf(f, "", "t"); err != nil || !reflect.DeepEqual(rows, [][]string{{"42"}}) {
		t.Errorf("%q, %v", rows, err)
	}
	for table, words := range map[string][]string{"odd": {"column b", "sql_variant"}, "odder": {"column a", "SqlStrangeColumn"},
		"wide": {"nvarchar(9000)"}, "fine": {"datetime2(9)"}} {
		_, err := rowsOf(f, "", table)
		wantProblem(t, err, problem.Failed, append(words, "dbo."+table)...)
	}
}

// TestLayouts: rows as bcp is documented to write them, with bit NOT NULL
// without a length and char(n) NOT NULL with one; -n with the char types in
// the code page.
func TestLayouts(t *testing.T) {
	const native = "has its rows as bcp -n writes them, in a code page"
	german := "0500 4b f6 6c 6e 80" // Köln€ in 1252
	for _, c := range []struct {
		name, collation string
		columns         []string
		bytes           string
		want            [][]string
		note            string
	}{
		{"1252", "Latin1_General_CI_AS", []string{"v", "varchar(10)", "n", "bit not null", "c", "char(2) not null", "r", "rowversion"},
			german + "01 0200 6162 08 00000000000007d1" + "ffff 00 0200 6320 08 00000000000007d2",
			[][]string{{"Köln€", "1", "ab", "0x00000000000007D1"}, {null, "0", "c ", "0x00000000000007D2"}}, native},
		{"UTF-8", "Latin1_General_100_CI_AS_SC_UTF8", []string{"v", "varchar(10)", "w", "varchar(max)"},
			"0500 c3a4e282ac 0100000000000000 41", [][]string{{"ä€", "A"}}, native},
		{"invalid UTF-8", "Latin1_General_100_CI_AS_SC_UTF8", []string{"v", "varchar(10)"}, "0300 41ff42", [][]string{{"A\ufffdB"}}, native},
		{"1251", "Cyrillic_General_CI_AS", []string{"v", "varchar(10)"}, "0300 c4e0 21", [][]string{{"Да!"}}, native},
		{"even ASCII", "Latin1_General_CI_AS", []string{"v", "varchar(10)"}, "0400 61626364", [][]string{{"abcd"}}, native},
		{"bcp -N", "Latin1_General_CI_AS", []string{"v", "varchar(10)", "n", "bit not null", "c", "char(2) not null", "r", "rowversion"},
			"0400 6100e400 01 0400 61006200 08 00000000000007d1", [][]string{{"aä", "1", "ab", "0x00000000000007D1"}}, "has its rows as bcp -N writes them"},
		{"bcp -N, bit alone", "Latin1_General_CI_AS", []string{"v", "int not null", "n", "bit not null"}, "05000000 01 06000000 00", [][]string{{"5", "1"}, {"6", "0"}},
			"has its rows as bcp -N writes them"},
		{"unknown page", "Japanese_CI_AS", []string{"v", "varchar(10)"}, "0400 2d4e8765", [][]string{{"中文"}}, ""},
		{"UTF-16", "Latin1_General_CI_AS", []string{"v", "varchar(10)", "n", "bit not null"}, "0400 6100e400 01 01", [][]string{{"aä", "1"}}, ""},
		{"UTF-16 of Chinese", "Latin1_General_CI_AS", []string{"v", "varchar(10)"}, "0400 2d4e8765", [][]string{{"中文"}}, ""},
		{"no text", "Latin1_General_CI_AS", []string{"v", "varchar(10)"}, "0000ffff", [][]string{{""}, {null}}, ""},
	} {
		model := strings.Replace(modelXML(tableXML("[dbo].[t]", c.columns...)), "SQL_Latin1_General_CP1_CI_AS", c.collation, 1)
		f, err := openBytes(bacpacOf(t, model, "dbo.t", unhex(c.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := rowsOf(f, "", "t")
		if err != nil || !reflect.DeepEqual(rows, c.want) {
			t.Errorf("%s: %q, %v", c.name, rows, err)
		}
		_, note, err := f.reader(t.Context(), f.model.tables[0], func(string) int { return -1 })
		if err != nil || note != c.note {
			t.Errorf("%s: note %q, %v", c.name, note, err)
		}
	}
}

func TestPageOf(t *testing.T) {
	for collation, want := range map[string]string{"SQL_Latin1_General_CP1_CI_AS": "Windows 1252", "SQL_Latin1_General_CP437_BIN": "IBM Code Page 437",
		"Latin1_General_CI_AS": "Windows 1252", "SQL_Polish_CP1250_CI_AS": "Windows 1250", "Greek_CI_AI": "Windows 1253", "Japanese_CI_AS": "", "": ""} {
		got := ""
		if p := pageOf(collation); p != nil {
			got = p.table.String()
		}
		if got != want {
			t.Errorf("%s: %q", collation, got)
		}
	}
	if p := pageOf("Latin1_General_100_BIN2_UTF8"); p == nil || p.table != nil {
		t.Error("UTF-8")
	}
}
