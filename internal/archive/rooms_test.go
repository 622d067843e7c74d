package archive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
	"archivolt/internal/cisco/sourcetest"
	"archivolt/internal/message"
	"archivolt/internal/transcript"
)

// roomTables are the tables beside JM, as the guide has them, in SQLite.
const roomTables = `CREATE TABLE tc_msgarchive (msg_id INTEGER, to_jid TEXT, from_jid TEXT, nick_jid TEXT, sent_date TEXT, msg_type TEXT, body_len INTEGER,
		message_len INTEGER, body_string TEXT, message_string TEXT, body_text TEXT, message_text TEXT, subject TEXT);
	CREATE TABLE tc_rooms (room_jid TEXT, creator_jid TEXT, subject TEXT, type TEXT, config TEXT, spacket TEXT, start_msg_id INTEGER, next_msg_id INTEGER);
	CREATE TABLE tc_users (room_jid TEXT, real_jid TEXT, role TEXT, affiliation TEXT, nick_jid TEXT, reason TEXT, initiator_jid TEXT);
	CREATE TABLE aft_log (aft_index INTEGER, jid TEXT, to_jid TEXT, method TEXT, filename TEXT, real_filename TEXT, file_type TEXT, chat_type TEXT,
		file_server TEXT, file_path TEXT, filesize INTEGER, bytes_transferred INTEGER, timestampvalue TEXT);`

func sqlText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// TestRoomArchive: what JM and TC_MSGARCHIVE both have is said once. Every
// message in a room has one copy more than the truth about JM says.
func TestRoomArchive(t *testing.T) {
	truth := sample.New(sample.Options{Seed: 31, Utterances: 3000})
	var b strings.Builder
	b.WriteString(sourcetest.SQLiteJM + roomTables)
	added := 0
	for i, u := range truth.Utterances {
		if u.Kind != "groupchat" || u.Copies == 0 {
			continue
		}
		added++
		nick := u.Nick
		if nick == "" {
			nick = u.From + "/jabber_1"
		}
		stanza := fmt.Sprintf("<message type='groupchat' id='%s' from='%s/%s' to='%s'><body>%s</body></message>", u.ID, u.Room, nick, u.Room,
			strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(u.Text))
		if u.ID == "" {
			stanza = strings.Replace(stanza, " id=''", "", 1)
		}
		fmt.Fprintf(&b, "INSERT INTO tc_msgarchive VALUES (%d, %s, %s, %s, '%s', 'g', 0, 0, %s, %s, NULL, NULL, NULL);\n", i, sqlText(u.Room), sqlText(u.From+"/jabber_1"),
			sqlText(u.Room+"/"+nick), u.Time.Add(3*time.Millisecond).Format("2006-01-02 15:04:05.000"), sqlText(u.Text), sqlText(stanza))
	}
	a, err := Open(context.Background(), []string{sourcetest.WriteSQLite(t, b.String(), truth.Rows)}, Keys{Cisco: officerKeys(t, truth)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	got := map[string]int{}
	c := transcript.New(func(u *transcript.Utterance) {
		if u.Room != "" && u.Row.Kind == message.Groupchat && u.Row.Status.Readable() {
			got[fmt.Sprintf("%s %s %s copies=%d %q", u.Time.Format("2006-01-02T15:04:05.000"), u.From, u.Room, u.Copies, u.Text.Text)]++
		}
	})
	if err := a.ByTime(context.Background(), func(m *message.Message) error { c.Add(m); return nil }); err != nil {
		t.Fatal(err)
	}
	c.Flush()
	want := map[string]int{}
	for _, u := range truth.Utterances {
		if u.Kind == "groupchat" && u.Copies > 0 {
			want[fmt.Sprintf("%s %s %s copies=%d %q", u.Time.Format("2006-01-02T15:04:05.000"), u.From, u.Room, u.Copies+1, u.Text)]++
		}
	}
	wrong := 0
	for k, n := range want {
		if got[k] != n {
			if wrong++; wrong < 10 {
				t.Errorf("missing %d of %s", n-got[k], k)
			}
		}
	}
	for k, n := range got {
		if want[k] != n {
			if wrong++; wrong < 20 {
				t.Errorf("%d too many of %s", n-want[k], k)
			}
		}
	}
	if added < 500 || c.Counts.Rows != int64(len(truth.Rows)+added) {
		t.Errorf("%d added, %d rows", added, c.Counts.Rows)
	}
	t.Logf("%d room messages, %d wrong", added, wrong)
}

// TestRoomTables: names, owners of nicks, files, and a room that was moved.
func TestRoomTables(t *testing.T) {
	const config = `<x xmlns=''jabber:x:data'' type=''submit''><field var=''persistent''><value>1</value></field><field var=''muc#roomconfig_roomname''><value>Customs &amp; Trade</value></field></x>`
	path := sourcetest.WriteSQLite(t, sourcetest.SQLiteJM+roomTables+`
		INSERT INTO tc_rooms VALUES ('customs@conference-3-new.example.com', 'anna@example.com', 'papers', 'persistent', '`+config+`', '', 1, 2),
			('same@conference-1.example.com', '', '', 'persistent', 'no form <', '', 1, 2), ('same@conference-2.example.com', '', '', 'ad-hoc', '', '', 1, 2);
		INSERT INTO tc_users VALUES ('customs@conference-3-new.example.com', 'boris@example.com/jabber_7', 'none', 'member', 'customs@conference-3-new.example.com/Boris I.', '', ''),
			('customs@conference-3-new.example.com', 'one@example.com', 'none', 'member', 'customs@conference-3-new.example.com/shared', '', ''),
			('customs@conference-3-new.example.com', 'two@example.com', 'none', 'member', 'customs@conference-3-new.example.com/shared', '', '');
		INSERT INTO aft_log VALUES (1, 'anna@example.com/jabber_1', 'boris@example.com', 'Post', 'x1', 'Zoll 7.pdf', 'pdf', 'im', 's', '/p', 2345, 2345, '2024-01-31 09:10:00'),
			(2, 'boris@example.com/jabber_2', '', 'Get', 'x1', 'Zoll 7.pdf', 'pdf', 'im', 's', '/p', 2345, 2345, '2024-01-31 09:11:00'),
			(3, 'anna@example.com/jabber_1', 'customs@conference-3-new.example.com', 'POST', 'x2', 'list.csv', 'csv', 'persistent', 's', '/p', 10, 10, '2024-01-31 09:12:00');
		INSERT INTO tc_msgarchive VALUES (1, 'customs@conference-3-new.example.com', 'boris@example.com/jabber_7', 'customs@conference-3-new.example.com/Boris I.', '2024-01-31 09:00:00.003', 'g', 5, 9, 'first', '<message id="m1" type="groupchat"><body>first</body></message>', NULL, NULL, NULL);
		INSERT INTO jm (to_jid, from_jid, sent_date, msg_type, direction, body_string, message_string) VALUES
			('carla@example.com/x', 'customs@conference-old.example.com/Boris I.', '2024-01-31 09:00:00', 'g', 'I', 'first', '<message id="m1" type="groupchat"><body>first</body></message>'),
			('carla@example.com/x', 'customs@conference-old.example.com/Boris I.', '2024-01-31 09:01:00', 'g', 'I', 'second', '<message id="m2" type="groupchat"><body>second</body></message>'),
			('carla@example.com/x', 'customs@conference-3-new.example.com/shared', '2024-01-31 09:02:00', 'g', 'I', 'third', '<message id="m3" type="groupchat"><body>third</body></message>'),
			('carla@example.com/x', 'same@conference-old.example.com/anna', '2024-01-31 09:03:00', 'g', 'I', 'fourth', '<message id="m4" type="groupchat"><body>fourth</body></message>');`, nil)
	a, err := Open(context.Background(), []string{path}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []string
	c := transcript.New(func(u *transcript.Utterance) {
		got = append(got, fmt.Sprintf("%s %s %s>%s%s was=%s nick=%s copies=%d %v %s%v", u.Time.Format("15:04"), u.Row.Kind, u.From, u.To, u.Room, u.RoomWas, u.Nick, u.Copies, u.Recipients, u.Text.Text, u.Row.Files))
	})
	if err := a.ByTime(context.Background(), func(m *message.Message) error { c.Add(m); return nil }); err != nil {
		t.Fatal(err)
	}
	c.Flush()
	want := []string{
		"09:00 groupchat boris@example.com>customs@conference-3-new.example.com was=customs@conference-old.example.com nick=Boris I. copies=2 [carla@example.com] first[]",
		"09:01 groupchat boris@example.com>customs@conference-3-new.example.com was=customs@conference-old.example.com nick=Boris I. copies=1 [carla@example.com] second[]",
		"09:02 groupchat >customs@conference-3-new.example.com was= nick=shared copies=1 [carla@example.com] third[]",
		"09:03 groupchat >same@conference-old.example.com was= nick=anna copies=1 [carla@example.com] fourth[]",
		"09:10 file anna@example.com>boris@example.com was= nick= copies=1 [] [Zoll 7.pdf (2345 bytes)]",
		"09:12 file anna@example.com>customs@conference-3-new.example.com was= nick= copies=1 [] [list.csv (10 bytes)]",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if c.Counts.Signals != 1 {
		t.Errorf("%d downloads", c.Counts.Signals)
	}
	if r, ok := a.Room("customs@conference-3-new.example.com"); !ok || r != (Room{Name: "Customs & Trade", Subject: "papers", Type: "persistent"}) {
		t.Errorf("%+v, %v", r, ok)
	}
	if r, ok := a.Room("same@conference-1.example.com"); !ok || r.Name != "" {
		t.Errorf("%+v, %v", r, ok)
	}
}

// TestNickThatPoses: a nick that is somebody else's address does not make him
// the sender, where the tables know better; and what the tables say is said.
func TestNickThatPoses(t *testing.T) {
	path := sourcetest.WriteSQLite(t, sourcetest.SQLiteJM+roomTables+`
		INSERT INTO tc_users VALUES ('ops@conf.x', 'anna@x/1', 'none', 'member', 'ops@conf.x/boris@x', '', ''), ('ops@conf.x', 'dora@x/1', 'none', 'member', 'ops@conf.x/joe', '', '');
		INSERT INTO tc_msgarchive VALUES (1, 'ops@conf.x', 'anna@x/1', 'ops@conf.x/boris@x', '2024-01-31 09:00:00.003', 'g', 5, 9, 'I resign', '<message id="m1" type="groupchat"><body>I resign</body></message>', NULL, NULL, NULL);
		INSERT INTO jm (to_jid, from_jid, sent_date, msg_type, direction, body_string, message_string) VALUES
			('carla@x/1', 'ops@conf.x/boris@x', '2024-01-31 09:00:00', 'g', 'I', 'I resign', '<message id="m1" type="groupchat"><body>I resign</body></message>'),
			('carla@x/1', 'ops@conf.x/joe', '2024-01-31 09:01:00', 'g', 'I', 'cut', '<message id="m2" type="groupchat"><body>cut');`, nil)
	a, err := Open(context.Background(), []string{path}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []string
	c := transcript.New(func(u *transcript.Utterance) {
		got = append(got, fmt.Sprintf("%s %d %s | %s", u.From, u.Copies, u.Text.Text, u.Row.Reason))
	})
	if err := a.ByTime(context.Background(), func(m *message.Message) error { c.Add(m); return nil }); err != nil {
		t.Fatal(err)
	}
	c.Flush()
	if len(got) != 2 || got[0] != "anna@x 2 I resign | the nick is an address; TC_USERS gives it to another person, who is taken for the sender" ||
		!strings.HasPrefix(got[1], "dora@x 1 cut | MESSAGE_STRING is not read to its end") || !strings.HasSuffix(got[1], "; the sender is who had this nick when TC_USERS was read") {
		t.Errorf("%q", got)
	}
}

// TestTwoDatabases: each one's tables speak of its own rooms, and a row that
// both hold is said once, with an id or without.
func TestTwoDatabases(t *testing.T) {
	row := func(room, text string) string {
		return "INSERT INTO jm (to_jid, from_jid, sent_date, msg_type, direction, body_string) VALUES ('carla@x/1', '" + room + "/anna@x/1', '2024-01-31 09:00:00', 'g', 'I', '" + text + "');"
	}
	berlin := sourcetest.WriteSQLite(t, sourcetest.SQLiteJM+row("ops@conf-1.berlin", "hello"), nil)
	tokyo := sourcetest.WriteSQLite(t, sourcetest.SQLiteJM+roomTables+row("ops@conf-1.berlin", "hello")+`INSERT INTO tc_rooms VALUES ('other@conf-2.tokyo', '', '', 'persistent', '', '', 1, 2);`, nil)
	third := sourcetest.WriteSQLite(t, sourcetest.SQLiteJM+roomTables+`INSERT INTO tc_rooms VALUES ('ops@conf-2.tokyo', '', '', 'persistent', '', '', 1, 2);`, nil)
	a, err := Open(context.Background(), []string{berlin, tokyo, third}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var got []string
	c := transcript.New(func(u *transcript.Utterance) {
		got = append(got, fmt.Sprintf("%s %d %s", u.Room, u.Copies, u.Text.Text))
	})
	if err := a.ByTime(context.Background(), func(m *message.Message) error { c.Add(m); return nil }); err != nil {
		t.Fatal(err)
	}
	c.Flush()
	if len(got) != 1 || got[0] != "ops@conf-1.berlin 2 hello" {
		t.Errorf("%q", got)
	}
}

// TestOnlyRoomArchive: a file of which TC_MSGARCHIVE is the only table is read
// once.
func TestOnlyRoomArchive(t *testing.T) {
	path := sourcetest.WriteSQLite(t, roomTables+"INSERT INTO tc_msgarchive VALUES (1, 'r@c.x', 'a@x/1', 'r@c.x/Anna', '2024-01-31 09:00:00', 'g', 5, 9, 'hi', NULL, NULL, NULL, NULL);", nil)
	a, err := Open(context.Background(), []string{path}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	rows := 0
	if err := a.Rows(context.Background(), func(*message.Message) error { rows++; return nil }); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestRoomArchiveAlone: TC_MSGARCHIVE exported to a file is read like JM.
func TestRoomArchiveAlone(t *testing.T) {
	dir := t.TempDir()
	text := "msg_id,to_jid,from_jid,nick_jid,sent_date,msg_type,body_len,message_len,body_string,message_string,body_text,message_text,subject\n" +
		"1,r@conf.x,anna@x/jabber_1,r@conf.x/Anna,2024-01-31 09:00:00,g,2,3,hi,,,,\n"
	if err := os.WriteFile(filepath.Join(dir, "tc_msgarchive.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Open(context.Background(), []string{dir}, Keys{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if len(a.Notes()) > 0 {
		t.Errorf("notes %q", a.Notes())
	}
	n := 0
	c := transcript.New(func(u *transcript.Utterance) {
		if n++; u.From != "anna@x" || u.Room != "r@conf.x" || u.Nick != "Anna" || u.Row.Table != "TC_MSGARCHIVE" || u.Text.Text != "hi" {
			t.Errorf("%+v", u)
		}
	})
	if err := a.ByTime(context.Background(), func(m *message.Message) error { c.Add(m); return nil }); err != nil || n > 0 {
		t.Fatal(n, err)
	}
	if c.Flush(); n != 1 {
		t.Errorf("%d messages", n)
	}
}
