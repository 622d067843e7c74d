package cisco

// Column is a column of table JM (Cisco database setup guide, "External
// database tables"), in the documented order.
type Column int

// The columns of JM. TO_JID is the recipient and FROM_JID the sender: the
// guide's prose swaps the two, its queries do not.
const (
	ToJID         Column = iota
	FromJID              // sender, mostly with a resource
	SentDate             // UTC, without a zone
	Subject              //
	ThreadID             // as the client gave it
	MsgType              // c chat, n normal, g groupchat, h headline, e error
	Direction            // I delivered to a local session, O sent from one
	BodyLen              // what it counts in encrypted rows is not documented
	MessageLen           // likewise
	BodyString           // the body, up to 4000 characters
	MessageString        // the whole stanza, up to 4000 characters
	BodyText             // the body, if longer
	MessageText          // the stanza, if longer
	HistoryFlag          // H pushed as room history to a newcomer, N live

	// Columns of other tables that are read like JM.
	NickJID      // of TC_MSGARCHIVE: room@service/nick; there TO_JID is the room and FROM_JID the sender
	RealFilename // of AFT_LOG: the name that the sender gave; there JID becomes FROM_JID
	FileSize     // of AFT_LOG, in bytes

	NumColumns // not a column: how many there are
)

// jmColumns is how many columns JM has.
const jmColumns = HistoryFlag + 1

var columnNames = [NumColumns]string{"TO_JID", "FROM_JID", "SENT_DATE", "SUBJECT", "THREAD_ID", "MSG_TYPE", "DIRECTION",
	"BODY_LEN", "MESSAGE_LEN", "BODY_STRING", "MESSAGE_STRING", "BODY_TEXT", "MESSAGE_TEXT", "HISTORY_FLAG", "NICK_JID", "REAL_FILENAME", "FILESIZE"}

// String returns the column's documented name.
func (c Column) String() string { return columnNames[c] }

// ColumnNames returns the documented names of JM's columns, in order.
func ColumnNames() []string { return columnNames[:jmColumns] }

// Row is one stored row of JM, or of a table that is read like it, as its source gives it: nothing in it is
// decoded or decrypted.
type Row struct {
	// Number counts the rows of one source from 1, in the source's order.
	Number int64
	// Cells holds the text of each column; nil is NULL, or a column that the
	// source does not have. The slices are valid until the source's next row.
	Cells [NumColumns][]byte
	// Place is where the source finds the row again.
	Place Place
	// Size is about how much of the source the row takes, in bytes.
	Size int64
	// Short tells that a value of the row was cut (ScanOptions.Short).
	Short bool
	// Problem says why the row could not be split into its columns; empty for
	// a good row. The cells of a bad row may be missing or wrong.
	Problem string
}
