package sample

import (
	"archive/zip"
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// bacpacType is the type of a column of JM as Cisco's guide gives it for SQL
// Server ("External database tables").
type bacpacType struct {
	name    string
	length  int // characters; 0 is max for nvarchar
	notNull bool
}

// bacpacTypes are the types of Columns. SENT_DATE is datetime in the guide,
// whose steps are 1/300 s: with datetime2(3), which a database may be moved to,
// the milliseconds of a Row come back as they are.
var bacpacTypes = [14]bacpacType{{"nvarchar", 3071, true}, {"nvarchar", 3071, true}, {"datetime2", 0, true}, {"nvarchar", 128, false},
	{"nvarchar", 128, false}, {"nvarchar", 1, true}, {"nvarchar", 1, true}, {"int", 0, true}, {"int", 0, true}, {"nvarchar", 4000, false},
	{"nvarchar", 4000, false}, {"nvarchar", 0, false}, {"nvarchar", 0, false}, {"nvarchar", 1, true}}

// bacpacPart is about how many bytes of rows a part holds before the next is
// begun.
const bacpacPart = 4 << 20

// bacpacTime is the time of all entries, so that equal rows make equal files.
var bacpacTime = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)

// WriteBacpac writes rows as table dbo.JM of a bacpac, as SqlPackage exports
// one (docs/format/bacpac.md): model.xml, Origin.xml, the relationships, and
// the rows in bcp's Unicode native format. A cell that its column cannot hold
// is an error.
func WriteBacpac(w io.Writer, rows []Row) error {
	archive := zip.NewWriter(w)
	model := bacpacModel()
	rels := xmlHeader + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`
	err := writeEntry(archive, "model.xml", model)
	if err == nil {
		err = writeEntry(archive, "DacMetadata.xml", xmlHeader+`<DacType xmlns="`+dacSpace+`"><Name>tcmadb</Name><Version>0.0.0.0</Version></DacType>`)
	}
	for piece, from := 0, 0; err == nil && from < len(rows); piece++ {
		name := fmt.Sprintf("Data/dbo.JM/TableData-000-%05d.BCP", piece)
		rels += fmt.Sprintf(`<Relationship Type="table=JM" Target="/%s" Id="Rt%d" /><Relationship Type="schema=dbo" Target="/%s" Id="Rs%d" />`,
			name, piece, name, piece)
		var n int
		n, err = writePart(archive, name, rows[from:], from+1)
		from += n
	}
	if err == nil {
		err = writeEntry(archive, "_rels/.rels", rels+"</Relationships>")
	}
	if err == nil {
		err = writeEntry(archive, "Origin.xml", bacpacOrigin(model, len(rows)))
	}
	if err == nil {
		err = writeEntry(archive, "[Content_Types].xml", xmlHeader+`<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">`+
			`<Default Extension="xml" ContentType="text/xml" /><Default Extension="BCP" ContentType="application/octet-stream" />`+
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml" /></Types>`)
	}
	if err != nil {
		return err
	}
	return archive.Close()
}

const (
	xmlHeader = "\ufeff" + `<?xml version="1.0" encoding="utf-8"?>`
	dacSpace  = "http://schemas.microsoft.com/sqlserver/dac/Serialization/2012/02"
)

func writeEntry(archive *zip.Writer, name, text string) error {
	w, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: bacpacTime})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

// bacpacModel writes model.xml.
func bacpacModel() string {
	var b strings.Builder
	b.WriteString(xmlHeader + `<DataSchemaModel FileFormatVersion="1.2" SchemaVersion="2.6" DspName="Microsoft.Data.Tools.Schema.Sql.Sql130DatabaseSchemaProvider"` +
		` CollationLcid="1033" CollationCaseSensitive="False" xmlns="` + dacSpace + `"><Model>` +
		`<Element Type="SqlDatabaseOptions"><Property Name="Collation" Value="SQL_Latin1_General_CP1_CI_AS" /></Element>` +
		`<Element Type="SqlTable" Name="[dbo].[JM]"><Property Name="IsAnsiNullsOn" Value="True" /><Relationship Name="Columns">`)
	for i, c := range bacpacTypes {
		b.WriteString(`<Entry><Element Type="SqlSimpleColumn" Name="[dbo].[JM].[` + Columns[i] + `]">`)
		if c.notNull {
			b.WriteString(`<Property Name="IsNullable" Value="False" />`)
		}
		b.WriteString(`<Relationship Name="TypeSpecifier"><Entry><Element Type="SqlTypeSpecifier">`)
		switch {
		case c.name == "datetime2":
			b.WriteString(`<Property Name="Scale" Value="3" />`)
		case c.length > 0:
			fmt.Fprintf(&b, `<Property Name="Length" Value="%d" />`, c.length)
		case c.name == "nvarchar":
			b.WriteString(`<Property Name="IsMax" Value="True" />`)
		}
		b.WriteString(`<Relationship Name="Type"><Entry><References ExternalSource="BuiltIns" Name="[` + c.name + `]" /></Entry></Relationship>` +
			`</Element></Entry></Relationship></Element></Entry>`)
	}
	b.WriteString(`</Relationship><Relationship Name="Schema"><Entry><References ExternalSource="BuiltIns" Name="[dbo]" /></Entry></Relationship>` +
		`</Element></Model></DataSchemaModel>`)
	return b.String()
}

// bacpacOrigin writes Origin.xml with the checksum of the model.
func bacpacOrigin(model string, rows int) string {
	return xmlHeader + `<DacOrigin xmlns="` + dacSpace + `"><PackageProperties><Version>3.1.0.0</Version><ContainsExportedData>true</ContainsExportedData>` +
		`<StreamVersions><Version StreamName="Data">2.0.0.0</Version></StreamVersions></PackageProperties>` +
		`<Operation><Start>` + bacpacTime.Format(time.RFC3339) + `</Start><ProductName>a sample</ProductName></Operation>` +
		`<Server><ServerVersion>Microsoft SQL Server 2019 (a sample)</ServerVersion></Server>` +
		fmt.Sprintf(`<ExportStatistics><TableRowCountTotalTag>%d</TableRowCountTotalTag></ExportStatistics>`, rows) +
		fmt.Sprintf(`<Checksums><Checksum Uri="/model.xml">%X</Checksum></Checksums>`, sha256.Sum256([]byte(model))) +
		`<ModelSchemaVersion>2.6</ModelSchemaVersion></DacOrigin>`
}

// writePart writes rows until the part is full and returns how many it took.
// number is the first one's, from 1.
func writePart(archive *zip.Writer, name string, rows []Row, number int) (n int, err error) {
	entry, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: bacpacTime})
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriter(entry)
	var row []byte
	for size := 0; n < len(rows) && size < bacpacPart; n++ {
		row = row[:0]
		for i, cell := range rows[n].Cells {
			if row, err = appendNative(row, bacpacTypes[i], cell); err != nil {
				return n, fmt.Errorf("row %d, %s: %w", number+n, Columns[i], err)
			}
		}
		size += len(row)
		if _, err := w.Write(row); err != nil {
			return n, err
		}
	}
	return n, w.Flush()
}

// appendNative appends a cell in bcp's native format.
func appendNative(b []byte, t bacpacType, cell string) ([]byte, error) {
	if cell == NULL && t.notNull {
		return b, fmt.Errorf("NULL in a column that is NOT NULL")
	}
	switch t.name {
	case "int": // NOT NULL: four bytes without a length
		n, err := strconv.ParseInt(cell, 10, 32)
		return binary.LittleEndian.AppendUint32(b, uint32(n)), err
	case "datetime2": // NOT NULL: units of 100 ns in five bytes, days since 0001-01-01 in three
		at, err := time.Parse("2006-01-02 15:04:05.999999999", cell)
		if err != nil {
			return b, err
		}
		day := at.Truncate(24 * time.Hour)
		days := uint32((day.Unix() - time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) / (24 * 60 * 60))
		units := binary.LittleEndian.AppendUint64(nil, uint64(at.Sub(day)/100))
		return append(append(b, units[:5]...), byte(days), byte(days>>8), byte(days>>16)), nil
	}
	prefix := 2
	if t.length == 0 {
		prefix = 8
	}
	if cell == NULL {
		return append(b, "\xff\xff\xff\xff\xff\xff\xff\xff"[:prefix]...), nil
	}
	units := utf16.Encode([]rune(cell))
	if t.length > 0 && len(units) > t.length {
		return b, fmt.Errorf("%d characters in a column of %d", len(units), t.length)
	}
	b = append(b, binary.LittleEndian.AppendUint64(nil, uint64(2*len(units)))[:prefix]...)
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b, nil
}
