package cisco

import (
	"encoding/base64"
	"strings"

	"archivolt/internal/message"
)

// Lookup finds the rows of some addresses by what their TO_JID or FROM_JID
// begins with, without decrypting. With one key and one initialisation vector
// equal beginnings give equal ciphertexts, so "user@domain/" has a beginning
// that a database can search for, whatever resource follows.
//
// It finds more than is wanted: each hit is to be confirmed when it is opened.
// It does not find addresses in other letter case than as given and in lower
// case, damaged ones, ciphertexts that are not Base64, and, in rooms, senders
// behind other rooms than those given.
type Lookup struct {
	Starts []string // a cell of TO_JID or FROM_JID begins with one of these
	Equals []string // or is one of these
}

// NewLookup makes a Lookup of bare addresses, which may be those of people or
// of rooms, and of the same people as senders in rooms. short lists the
// addresses that are too short to have a beginning of one cipher block: their
// encrypted rows cannot be looked up.
func NewLookup(list []*Key, addresses, rooms []string) (l Lookup, short []string) {
	has := map[string]bool{}
	add := func(to *[]string, text string) {
		if !has[text] {
			has[text] = true
			*to = append(*to, text)
		}
	}
	person := func(bare string) {
		add(&l.Starts, bare+"/")
		add(&l.Equals, bare)
		for _, k := range list {
			add(&l.Equals, base64.StdEncoding.EncodeToString(k.Encrypt(nil, []byte(bare))))
			if start := certain(k, bare+"/"); start != "" {
				add(&l.Starts, start)
			}
		}
	}
	for _, address := range addresses {
		for _, bare := range forms(address) {
			if len(list) > 0 && len(bare)+1 < BlockSize {
				short = append(short, bare)
			}
			person(bare)
			for _, room := range rooms {
				for _, r := range forms(room) {
					person(r + "/" + bare)
				}
			}
		}
	}
	return l, short
}

// forms are the ways in which an address may be written in an archive.
func forms(address string) (list []string) {
	lower := strings.ToLower(address)
	for _, f := range []string{address, lower, message.ParseJID(address).Bare, message.Escape(address), message.Escape(lower)} {
		known := f == ""
		for _, l := range list {
			known = known || l == f
		}
		if !known {
			list = append(list, f)
		}
	}
	return list
}

// certain is what the Base64 of a value that begins with start begins with,
// under a key: that of its whole cipher blocks, without the last character if
// it holds bits of the next block. It is empty where there is no whole block.
func certain(k *Key, start string) string {
	n := len(start) / BlockSize * BlockSize
	if n == 0 {
		return ""
	}
	text := base64.StdEncoding.EncodeToString(k.Encrypt(nil, []byte(start[:n]))[:n])
	return text[:n*8/6]
}

// Match tells whether a cell of TO_JID or FROM_JID is one that is looked for.
func (l *Lookup) Match(cell []byte) bool {
	for _, s := range l.Starts {
		if strings.HasPrefix(string(cell), s) {
			return true
		}
	}
	for _, e := range l.Equals {
		if string(cell) == e {
			return true
		}
	}
	return false
}
