package message

import (
	"strings"
	"unicode/utf8"

	"mellium.im/xmpp/jid"
)

// JID is an XMPP address (RFC 7622). The text of the archive is kept; Bare is
// for comparing only.
type JID struct {
	Raw      string // as it stands in the archive
	Bare     string // localpart@domainpart in comparable form; "" for an empty address
	Resource string // resourcepart as written; in a room the occupant's nick
}

// ParseJID splits and normalises an address. It never fails: what is no valid
// address is compared by its letters, since a row with an odd address is still
// a row.
func ParseJID(raw string) JID {
	bare, resource, _ := strings.Cut(raw, "/")
	return JID{Raw: raw, Bare: normalise(bare), Resource: resource}
}

// normalise brings a bare address into comparable form: the case folding of
// RFC 7622 section 3, which for ASCII is lower case.
func normalise(bare string) string {
	for i := range len(bare) {
		if bare[i] >= 0x80 {
			if j, err := jid.Parse(bare); err == nil {
				return j.Bare().String()
			}
			break
		}
	}
	if !utf8.ValidString(bare) {
		return lowerASCII(bare) // strings.ToLower would make one of all letters that are no text
	}
	return strings.ToLower(bare)
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// NickIsAddress tells whether the resource looks like an address itself: the
// nick that IM&P gives to an occupant of a room is his full JID.
func (j JID) NickIsAddress() bool { return strings.Contains(j.Resource, "@") }

// Unescape undoes JID escaping (XEP-0106) in the localpart of a bare address,
// for showing it to people: "legal\20team@conf" is "legal team@conf".
func Unescape(bare string) string {
	local, domain, ok := strings.Cut(bare, "@")
	if !ok || !strings.Contains(local, `\`) {
		return bare
	}
	return unescaper.Replace(local) + "@" + domain
}

// Escape writes the localpart of a bare address as XMPP does where people
// write characters that it must not have (XEP-0106): the inverse of Unescape.
// What is escaped already stays.
func Escape(bare string) string {
	at := strings.LastIndexByte(bare, '@')
	if at < 0 || strings.Contains(bare[:at], `\`) {
		return bare
	}
	return escaper.Replace(bare[:at]) + bare[at:]
}

var escaper = strings.NewReplacer(" ", `\20`, `"`, `\22`, "&", `\26`, "'", `\27`, "/", `\2f`, ":", `\3a`, "<", `\3c`, ">", `\3e`, "@", `\40`)

// unescaper knows the ten sequences of XEP-0106 section 4.2. The jid library's
// own transformer gets them wrong when another character follows.
var unescaper = strings.NewReplacer(`\20`, " ", `\22`, `"`, `\26`, "&", `\27`, "'", `\2f`, "/", `\3a`, ":", `\3c`, "<", `\3e`, ">", `\40`, "@", `\5c`, `\`)
