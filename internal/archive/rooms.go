package archive

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"archivolt/internal/message"
)

// Tables beside JM (Cisco database setup guide, "External database tables").
const (
	roomArchive = "TC_MSGARCHIVE" // what was said in rooms, once
	fileLog     = "AFT_LOG"       // managed file transfer
	roomTable   = "TC_ROOMS"      // persistent and ad hoc rooms
	userTable   = "TC_USERS"      // occupants and members
)

// Room is what the database says of a room.
type Room struct {
	Name    string // the one that people see; "" if none is set
	Subject string
	Type    string // ad-hoc or persistent
}

// rooms is what the tables of rooms in one database tell of this database's
// messages. It is filled by the survey and only read later.
type rooms struct {
	database database

	known   map[string]Room   // by bare address
	current map[string]string // by localpart the address, "" if more than one room has it
	owners  map[string]string // by room@service/nick the bare address, "" if more than one had it
}

// read reads the tables of rooms.
func (r *rooms) read(ctx context.Context) error {
	r.known, r.current, r.owners = map[string]Room{}, map[string]string{}, map[string]string{}
	_, err := r.database.Table(ctx, roomTable, []string{"ROOM_JID", "SUBJECT", "TYPE", "CONFIG"}, func(cells [][]byte) error {
		bare := message.ParseJID(string(cells[0])).Bare
		if bare == "" {
			return nil
		}
		r.known[bare] = Room{Name: roomName(string(cells[3])), Subject: string(cells[1]), Type: string(cells[2])}
		local, _, _ := strings.Cut(bare, "@")
		if other, ok := r.current[local]; ok && other != bare {
			r.current[local] = ""
		} else {
			r.current[local] = bare
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = r.database.Table(ctx, userTable, []string{"NICK_JID", "REAL_JID"}, func(cells [][]byte) error {
		nick, real := message.ParseJID(string(cells[0])), message.ParseJID(string(cells[1]))
		if nick.Resource == "" || real.Bare == "" {
			return nil
		}
		key := nick.Bare + "/" + nick.Resource
		if other, ok := r.owners[key]; ok && other != real.Bare {
			r.owners[key] = ""
		} else {
			r.owners[key] = real.Bare
		}
		return nil
	})
	return err
}

// know adds to a message in a room what the tables tell: who has the sender's
// nick, and the room's current address. When an administrator moves a room to
// another service, its tables get the new address and JM keeps the old one: a
// room that TC_ROOMS does not have is taken for the only one there of the same
// localpart.
func (r *rooms) know(m *message.Message) {
	address := &m.From
	if m.ToRoom() {
		address = &m.To
	}
	if r == nil || address.Bare == "" || len(r.known) == 0 && len(r.owners) == 0 {
		return
	}
	if _, ok := r.known[address.Bare]; !ok {
		local, _, _ := strings.Cut(address.Bare, "@")
		if current := r.current[local]; current != "" {
			m.RoomWas, address.Bare = address.Bare, current
		}
	}
	if address == &m.From {
		m.NickOwner = r.owners[m.From.Bare+"/"+m.From.Resource]
	}
}

// Room returns what the database says of the room of that bare address; after
// a survey.
func (a *Archive) Room(bare string) (Room, bool) {
	for _, r := range a.rooms {
		if room, ok := r.known[bare]; ok {
			return room, true
		}
	}
	return Room{}, false
}

// roomName takes the name out of a room's configuration, a data form (XEP-0004)
// with the field muc#roomconfig_roomname (XEP-0045 section 10.1.3). The
// configuration is text that somebody sent: what is no form has no name.
func roomName(config string) string {
	d := xml.NewDecoder(strings.NewReader(config))
	var name strings.Builder
	field, value := false, false
	for {
		token, err := d.Token()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return ""
			}
			return strings.TrimSpace(name.String())
		}
		switch t := token.(type) {
		case xml.StartElement:
			value = field && t.Name.Local == "value" && name.Len() == 0
			if t.Name.Local == "field" {
				field = false
				for _, a := range t.Attr {
					field = field || a.Name.Local == "var" && a.Value == "muc#roomconfig_roomname"
				}
			}
		case xml.EndElement:
			value = false
		case xml.CharData:
			if value {
				name.Write(t)
			}
		}
	}
}
