package archive

import (
	"context"
	"errors"
	"strings"

	"archivolt/internal/cisco"
)

// transfers makes table AFT_LOG read like JM: an upload is a row from its
// sender (JID) to the user or room (TO_JID) that says which file it was. A
// download has no recipient; its row is read and says nothing.
type transfers struct {
	database
}

var transferColumns = []string{"JID", "TO_JID", "TIMESTAMPVALUE", "METHOD", "CHAT_TYPE", "REAL_FILENAME", "FILESIZE"}

// Describe names the table.
func (t *transfers) Describe() string { return t.database.Describe() + ", beside it " + fileLog }

// Notes are those of the table itself: none.
func (t *transfers) Notes() []string { return nil }

// Size is not known.
func (t *transfers) Size() int64 { return 0 }

// batchRows is how many transfers are a batch.
const batchRows = 1024

var errStopped = errors.New("stopped")

// Scan gives every transfer.
func (t *transfers) Scan(ctx context.Context, _ cisco.ScanOptions, emit func(cisco.Batch) bool) error {
	b, number := &cisco.RowBuffer{}, int64(0)
	_, err := t.Table(ctx, fileLog, transferColumns, func(cells [][]byte) error {
		number++
		b.Begin(number, 0)
		set := func(c cisco.Column, cell []byte) {
			if cell != nil {
				b.Set(c, cell)
			}
		}
		set(cisco.FromJID, cells[0])
		set(cisco.ToJID, cells[1])
		set(cisco.SentDate, cells[2])
		direction, kind := "O", "c"
		if !strings.EqualFold(string(cells[3]), "post") { // the guide writes Post and POST
			direction = "I"
		}
		if strings.EqualFold(string(cells[4]), "groupchat") || strings.EqualFold(string(cells[4]), "persistent") {
			kind = "g"
		}
		b.Set(cisco.Direction, []byte(direction))
		b.Set(cisco.MsgType, []byte(kind))
		b.Set(cisco.RealFilename, cells[5])
		set(cisco.FileSize, cells[6])
		if b.Len() == batchRows {
			full := b
			b = &cisco.RowBuffer{}
			if !emit(full) {
				return errStopped
			}
		}
		return nil
	})
	if errors.Is(err, errStopped) {
		return nil
	}
	if err == nil && b.Len() > 0 {
		emit(b)
	}
	return err
}
