package people

import (
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"archivolt/internal/problem"
)

// in lists everybody in a directory as "address name|department".
func in(d *Directory) (list []string) {
	for _, address := range slices.Sorted(maps.Keys(d.byAddress)) {
		list = append(list, address+" "+d.Name(address)+"|"+d.Department(address))
	}
	return list
}

func TestParse(t *testing.T) {
	anna, boris := "anna@example.com Anna Berg|Legal", "boris@example.com Boris Iwanow|"
	for _, c := range []struct {
		name, data string
		want       []string
	}{
		// CSV.
		{"commas", "address,name,department\nanna@example.com,Anna Berg,Legal\nboris@example.com,Boris Iwanow,\n", []string{anna, boris}},
		{"semicolons, as a German Excel writes them", "address;name;department\nanna@example.com;Anna Berg;Legal\nboris@example.com;Boris Iwanow;\n", []string{anna, boris}},
		{"semicolons, and a comma in a name", "address;name\nanna@example.com;Berg, Anna\n", []string{"anna@example.com Berg, Anna|"}},
		{"a byte order mark", "\ufeffaddress,name\nboris@example.com,Boris Iwanow\n", []string{boris}},
		{"CR LF, and none at the end", "address,name\r\nboris@example.com,Boris Iwanow", []string{boris}},
		{"quotes", "\"address\",\"name\",\"department\"\n\"anna@example.com\",\"Anna \"\"Ann\"\" Berg\",\"Legal, Berlin\"\n", []string{"anna@example.com Anna \"Ann\" Berg|Legal, Berlin"}},
		{"a line end in a cell", "address,name,department\nanna@example.com,Anna Berg,\"Legal\nBerlin\"\n", []string{"anna@example.com Anna Berg|Legal\nBerlin"}},
		{"other columns, another order", "id,Department,Name,phone,Mail\n7,Legal,Anna Berg,+49,anna@example.com\n", []string{anna}},
		{"as Active Directory calls them", "displayName,mail,department\nAnna Berg,anna@example.com,Legal\n", []string{anna}},
		{"in capitals, with blanks around", " E-MAIL , DISPLAY NAME ,TEAM\nanna@example.com,Anna Berg,Legal\n", []string{anna}},
		{"the address of the messenger goes before the one of mail", "mail,jid,name\nanna.berg@mail.example.com,anna@example.com,Anna Berg\n", []string{"anna@example.com Anna Berg|"}},
		{"a name goes before a full name", "full name,name,address\nAnna Maria Berg,Anna Berg,anna@example.com\n", []string{"anna@example.com Anna Berg|"}},
		{"addresses are comparable", "address,name\n Anna@Example.COM/Jabber ,  Anna Berg \n", []string{"anna@example.com Anna Berg|"}},
		{"a SIP address", "msRTCSIP-PrimaryUserAddress,cn\nsip:Anna@example.com,Anna Berg\n", []string{"anna@example.com Anna Berg|"}},
		{"a SIP address in capitals", "msRTCSIP-PrimaryUserAddress,cn\nSIP:Anna@example.com,Anna Berg\n", []string{"anna@example.com Anna Berg|"}},
		{"an umlaut", "address,name\nÄnne@example.com,Änne Berg\n", []string{"änne@example.com Änne Berg|"}},
		{"who has no address or no name is nobody", "address,name\n,Nobody\nx@example.com,  \nboris@example.com,Boris Iwanow\n", []string{boris}},
		{"short and long rows", "address,name,department\nboris@example.com,Boris Iwanow\n\nx@example.com\nanna@example.com,Anna Berg,Legal,more\n", []string{anna, boris}},
		{"the last one counts", "address,name\nboris@example.com,B. I.\nboris@example.com,Boris Iwanow\n", []string{boris}},
		{"a quote inside a cell", "address,name\nboris@example.com,Boris \"Bo\" Iwanow\n", []string{"boris@example.com Boris \"Bo\" Iwanow|"}},

		// LDIF (RFC 2849).
		{"several entries", "version: 1\n\ndn: cn=Anna,dc=x\nmail: anna@example.com\ndisplayName: Anna Berg\ndepartment: Legal\n\ndn: cn=Boris,dc=x\ncn: Boris Iwanow\nmail: boris@example.com\n",
			[]string{anna, boris}},
		{"CR LF", "version: 1\r\n\r\ndn: cn=Anna\r\nmail: anna@example.com\r\ncn: Anna Berg\r\nou: Legal\r\n\r\ndn: cn=Boris\r\nmail: boris@example.com\r\ncn: Boris Iwanow\r\n", []string{anna, boris}},
		{"a byte order mark", "\ufeffdn: cn=Boris\nmail: boris@example.com\ncn: Boris Iwanow\n", []string{boris}},
		{"no line end at the end", "dn: cn=Boris\nmail: boris@example.com\ncn: Boris Iwanow", []string{boris}},
		{"folded lines", "dn: cn=Anna,\n ou=very,\n ou=long\nmail: anna@exa\n mple.com\ncn: Anna\n  Berg\nou: Leg\n a\n l\n", []string{anna}},
		{"folded lines with CR LF", "dn: cn=Boris\r\nmail: boris@exam\r\n ple.com\r\ncn: Boris\r\n  Iwanow\r\n", []string{boris}},
		{"Base64", "dn:: Y249w4RubmU=\nmail: anna@example.com\ndisplayName:: w4RubmUgQmVyZw==\n", []string{"anna@example.com Änne Berg|"}},
		{"Base64, folded and without a blank", "dn: cn=x\nmail:: YW5uYUBleGFt\n cGxlLmNvbQ==\ncn::QW5uYSBCZXJn\n", []string{"anna@example.com Anna Berg|"}},
		{"Base64 that is none is no value", "dn: cn=x\nmail: anna@example.com\ndisplayName:: %%%\ncn: Anna Berg\n", []string{"anna@example.com Anna Berg|"}},
		{"comments, also folded ones", "# all people\n#  mail:\n dn: no\ndn: cn=Boris\n# cn: Nobody\nmail: boris@example.com\ncn: Boris Iwanow\n#mail: x\n", []string{boris}},
		{"options", "dn: cn=Anna\nmail;x-work: anna@example.com\ndisplayName;lang-de: Anna Berg\ndepartment;lang-de;x-y: Legal\n", []string{anna}},
		{"attributes in any case", "DN: cn=Anna\nMAIL: anna@example.com\nDISPLAYNAME: Anna Berg\nDepartment: Legal\n", []string{anna}},
		{"the first of several values", "dn: cn=Boris\nmail: boris@example.com\nmail: b.iwanow@example.com\ncn: Boris Iwanow\ncn: Iwanow\n", []string{boris}},
		{"an empty value is none", "dn: cn=Boris\ndisplayName:\ncn: Boris Iwanow\njid:\nmail: boris@example.com\n", []string{boris}},
		{"a colon in a value", "dn: cn=x\nmail: anna@example.com\ncn: Anna: Berg\n", []string{"anna@example.com Anna: Berg|"}},
		{"no blank after the colon", "dn:cn=Boris\nmail:boris@example.com\ncn:Boris Iwanow\n", []string{boris}},
		{"an entry is not filled from the one before", "dn: cn=Anna\nmail: anna@example.com\ncn: Anna Berg\nou: Legal\n\n\n\ndn: cn=Boris\nmail: boris@example.com\ncn: Boris Iwanow\n\ndn: cn=Carla\ncn: Carla\n", []string{anna, boris}},
	} {
		d, err := Parse("people", []byte(c.data))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := in(d); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestParseMistakes(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"nothing", "", "staff.csv: it holds nobody with an address"},
		{"a header alone", "address,name\n", "staff.csv: it holds nobody with an address"},
		{"no header", "anna@example.com,Anna Berg\n", "staff.csv: its header names no address or no name"},
		{"no names", "address,phone\nanna@example.com,7\n", "staff.csv: its header names no address or no name"},
		{"no addresses", "name,phone\nAnna Berg,7\n", "staff.csv: its header names no address or no name"},
		{"LDIF of machines", "dn: cn=printer\ncn: printer\n", "staff.csv: it holds nobody with an address"},
	} {
		d, err := Parse("staff.csv", []byte(c.data))
		var p *problem.Error
		if d != nil || !errors.As(err, &p) || p.Class != problem.Usage || p.Error() != c.want || p.Try == "" {
			t.Errorf("%s: %v, %v; want %s", c.name, d, err, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	d, err := Parse("people", []byte(`address,name
anna@example.com,Anna Berg
anna.maria@example.com,Anna Maria Berg
boris@example.com,Борис Иванов
gross@example.com,Jürgen Groß
otto1@example.com,Otto Klein
otto2@example.com,OTTO KLEIN
otto3@example.com,Otto van Klein
space@example.com,Pat  Double   Space
max1@example.com,Max Muster
max2@example.com,Max  Muster
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typed string
		want  string // addresses in order
	}{
		{"Anna Berg", "anna@example.com"},   // exactly so, though Anna Maria Berg has the words too
		{"anna  BERG ", "anna@example.com"}, // whatever the case and the blanks
		{"Berg Anna", "anna.maria@example.com anna@example.com"},
		{"Maria", "anna.maria@example.com"},
		{"Anna", "anna.maria@example.com anna@example.com"}, // ambiguous
		{"Ann", ""},        // words are whole
		{"Anna Klein", ""}, // all the words, of one person
		{"БОРИС иванов", "boris@example.com"},
		{"JÜRGEN GROSS", "gross@example.com"},
		{"Ju\u0308rgen", "gross@example.com"},
		{"Jurgen", ""},
		{"Otto Klein", "otto1@example.com otto2@example.com"}, // two of one name
		{"klein van", "otto3@example.com"},
		{"Pat Double Space", "space@example.com"},
		{"Max Muster", "max1@example.com max2@example.com"}, // blanks tell nobody apart
		{"", ""},
		{" \t", ""},
		{"anna@example.com", ""}, // an address is no name
	} {
		var got []string
		for _, p := range d.Find(c.typed) {
			got = append(got, p.Address)
			if d.Name(p.Address) != p.Name || p.Name == "" {
				t.Errorf("%q: %+v", c.typed, p)
			}
		}
		if list := strings.Join(got, " "); list != c.want {
			t.Errorf("%q finds %q, want %q", c.typed, list, c.want)
		}
	}
}

func TestNobody(t *testing.T) {
	var none *Directory
	if none.Name("anna@example.com") != "" || none.Department("anna@example.com") != "" || none.Find("Anna") != nil {
		t.Error("no directory knows somebody")
	}
	d, err := Parse("people", []byte("address,name\nanna@example.com,Anna\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Name("boris@example.com") != "" || d.Department("boris@example.com") != "" || d.Name("Anna@example.com") != "" {
		t.Error("a directory knows who is not in it; addresses are looked up as message.ParseJID makes them comparable")
	}
}

// TestLDIFHowever: whatever way a writer of LDIF chooses for a value, plain or
// Base64, on one line or on several, the same value comes out.
func TestLDIFHowever(t *testing.T) {
	names := rapid.StringMatching(`[A-Za-zÄÖÜäöüßé][A-Za-zÄÖÜäöüßé.' -]{0,40}[A-Za-zäöü]`)
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		write := func(attribute, value string) string {
			line := attribute + ": " + value
			if rapid.Bool().Draw(t, "Base64") {
				line = attribute + ":: " + base64.StdEncoding.EncodeToString([]byte(value))
			}
			var folded string
			for len(line) > 1 && rapid.IntRange(0, 3).Draw(t, "fold") > 0 {
				n := rapid.IntRange(1, len(line)-1).Draw(t, "at") // also inside a character
				folded, line = folded+line[:n]+end+" ", line[n:]
			}
			return folded + line + end
		}
		name, department := names.Draw(t, "name"), names.Draw(t, "department")
		text := "version: 1" + end + end + "dn: cn=x" + end + write("mail", "anna@example.com") + write("displayName", name) + write("department", department)
		d, err := Parse("people", []byte(text))
		if err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		if d.Name("anna@example.com") != name || d.Department("anna@example.com") != department {
			t.Errorf("%q of %q, want %q of %q: %q", d.Name("anna@example.com"), d.Department("anna@example.com"), name, department, text)
		}
	})
}

// FuzzParse: no panic; without an error there is somebody, everybody has an
// address and a name without blanks around it, and is found by that name.
func FuzzParse(f *testing.F) {
	f.Add([]byte("address,name,department\nanna@example.com,\"Anna \"\"A\"\" Berg\",Legal\n"), "Anna")
	f.Add([]byte("\ufeffjid;displayName;ou\r\nÄnne@example.com;Änne;x\r\n"), "änne")
	f.Add([]byte("version: 1\ndn:: eA==\nmail: anna@exam\n ple.com\ncn;lang-de:: QW5uYQ==\n#c\n\ndn: y\n"), "anna x")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		d, err := Parse("people", data)
		if err != nil {
			var p *problem.Error
			if d != nil || !errors.As(err, &p) || p.Class != problem.Usage {
				t.Fatalf("%v, %v", d, err)
			}
			return
		}
		if len(d.byAddress) == 0 {
			t.Fatal("nobody")
		}
		d.Find(name)
		for address, p := range d.byAddress {
			if address == "" || p.Address != address || p.Name == "" || p.Name != strings.TrimSpace(p.Name) {
				t.Errorf("%q is %+v", address, p)
			}
			if !slices.Contains(d.Find(p.Name), p) {
				t.Errorf("%q does not find %+v", p.Name, p)
			}
		}
	})
}
