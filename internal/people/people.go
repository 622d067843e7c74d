// Package people knows who is behind an address: an officer knows names, and
// an archive knows addresses. It reads what a directory exports, CSV or LDIF.
package people

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"slices"
	"strings"

	"archivolt/internal/message"
	"archivolt/internal/problem"
)

// Person is one entry of a directory.
type Person struct {
	Address    string // bare, comparable
	Name       string
	Department string
}

// Directory is a list of people. A nil Directory knows nobody.
type Directory struct {
	byAddress map[string]Person
}

// Parse reads the directory in the file name: CSV with a header, or LDIF (RFC
// 2849).
func Parse(name string, data []byte) (*Directory, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d := &Directory{byAddress: map[string]Person{}}
	var err error
	if isLDIF(data) {
		err = d.readLDIF(data)
	} else {
		err = d.readCSV(name, data)
	}
	if err != nil {
		return nil, err
	}
	if len(d.byAddress) == 0 {
		return nil, problem.New(problem.Usage, name, "it holds nobody with an address", needColumns)
	}
	return d, nil
}

const needColumns = "it needs a column address (or jid, mail) and a column name (or displayName), or LDIF with mail and displayName"

// What columns and attributes are called, in order of preference.
var (
	addressNames    = []string{"address", "jid", "jabberid", "imaddress", "xmpp", "msrtcsip-primaryuseraddress", "mail", "email", "e-mail", "userprincipalname"}
	personNames     = []string{"name", "displayname", "display name", "cn", "fullname", "full name"}
	departmentNames = []string{"department", "ou", "departmentnumber", "team"}
)

func (d *Directory) add(p Person) {
	address := strings.TrimSpace(p.Address)
	if scheme, rest, ok := strings.Cut(address, ":"); ok && strings.EqualFold(scheme, "sip") {
		address = rest
	}
	p.Address = message.ParseJID(address).Bare
	if p.Address != "" && strings.TrimSpace(p.Name) != "" {
		p.Name, p.Department = strings.TrimSpace(p.Name), strings.TrimSpace(p.Department)
		d.byAddress[p.Address] = p
	}
}

func (d *Directory) readCSV(name string, data []byte) error {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	if first, _, _ := bytes.Cut(data, []byte("\n")); bytes.Count(first, []byte(";")) > bytes.Count(first, []byte(",")) {
		r.Comma = ';'
	}
	rows, err := r.ReadAll()
	if err != nil {
		return problem.New(problem.Usage, name, "it is no CSV: "+err.Error(), needColumns)
	}
	if len(rows) == 0 {
		return nil
	}
	find := func(names []string) int {
		for _, n := range names {
			if i := slices.IndexFunc(rows[0], func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), n) }); i >= 0 {
				return i
			}
		}
		return -1
	}
	address, person, department := find(addressNames), find(personNames), find(departmentNames)
	if address < 0 || person < 0 {
		return problem.New(problem.Usage, name, "its header names no address or no name", needColumns)
	}
	cell := func(row []string, i int) string {
		if i < 0 || i >= len(row) {
			return ""
		}
		return row[i]
	}
	for _, row := range rows[1:] {
		d.add(Person{Address: cell(row, address), Name: cell(row, person), Department: cell(row, department)})
	}
	return nil
}

func isLDIF(data []byte) bool {
	for _, line := range bytes.SplitN(data, []byte("\n"), 50) {
		if l := strings.ToLower(string(line)); strings.HasPrefix(l, "dn:") || strings.HasPrefix(l, "version: 1") {
			return true
		}
	}
	return false
}

func (d *Directory) readLDIF(data []byte) error {
	attributes := map[string]string{}
	flush := func() {
		get := func(names []string) string {
			for _, n := range names {
				if v := attributes[n]; v != "" {
					return v
				}
			}
			return ""
		}
		d.add(Person{Address: get(addressNames), Name: get(personNames), Department: get(departmentNames)})
		clear(attributes)
	}
	record := func(line string) {
		attribute, value, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") {
			return
		}
		if encoded, isBase64 := strings.CutPrefix(value, ":"); isBase64 {
			text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
			if err != nil {
				return
			}
			value = string(text)
		}
		attribute, _, _ = strings.Cut(strings.ToLower(attribute), ";") // options such as lang-de
		if attributes[attribute] == "" {
			attributes[attribute] = strings.TrimSpace(value)
		}
	}
	line := ""
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, len(data)+1)
	for s.Scan() {
		next := strings.TrimSuffix(s.Text(), "\r")
		switch {
		case strings.HasPrefix(next, " "): // a folded line goes on
			line += next[1:]
			continue
		case next == "":
			record(line)
			flush()
			line = ""
			continue
		}
		record(line)
		line = next
	}
	record(line)
	flush()
	return s.Err()
}

// Name returns the name behind a bare address, or "".
func (d *Directory) Name(address string) string {
	if d == nil {
		return ""
	}
	return d.byAddress[address].Name
}

// Department returns the department of the person behind a bare address, or "".
func (d *Directory) Department(address string) string {
	if d == nil {
		return ""
	}
	return d.byAddress[address].Department
}

// Find returns the people whose name is the given one, whatever the case; if
// there is none, those whose name has all its words.
func (d *Directory) Find(name string) (found []Person) {
	if d == nil {
		return nil
	}
	fold := func(name string) string { return message.Fold(strings.Join(strings.Fields(name), " ")) }
	wanted := fold(name)
	var close []Person
	for _, p := range d.byAddress {
		folded := fold(p.Name)
		if folded == wanted {
			found = append(found, p)
		} else if hasWords(folded, wanted) {
			close = append(close, p)
		}
	}
	if len(found) == 0 {
		found = close
	}
	slices.SortFunc(found, func(a, b Person) int { return strings.Compare(a.Address, b.Address) })
	return found
}

func hasWords(text, words string) bool {
	have := strings.Fields(text)
	for _, w := range strings.Fields(words) {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return words != ""
}
