package write

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sqlc-dev/teesql/parser"
)

// TestTSQL has the statements parsed, which is all that is known about them.
func TestTSQL(t *testing.T) {
	all := append(SQLServerSchema(), SQLServerSession, SQLServerDurability, SQLServerHead, SQLServerTakeOver, SQLServerMarks, SQLServerAdvance, SQLServerMark, SQLServerEvent, SQLServerInsert())
	for _, text := range all {
		if _, err := parser.Parse(context.Background(), strings.NewReader(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]int{SQLServerAdvance: 4, SQLServerMark: 2, SQLServerEvent: len(EventColumns), SQLServerInsert(): len(Columns)} {
		for i := 1; i <= 20; i++ {
			if got := regexp.MustCompile(fmt.Sprintf(`@p%d\b`, i)).MatchString(text); got != (i <= want) {
				t.Errorf("parameter %d used: %v, in %s", i, got, text)
			}
		}
	}
	// The types of the guide (External database tables).
	jm := SQLServerSchema()[0]
	for _, want := range []string{"[TO_JID] nvarchar(3071) NOT NULL", "[SENT_DATE] datetime NOT NULL", "[SUBJECT] nvarchar(128),", "[BODY_LEN] int NOT NULL", "[MESSAGE_STRING] nvarchar(4000),",
		"[MESSAGE_TEXT] nvarchar(MAX),", "[HISTORY_FLAG] nvarchar(1) NOT NULL)"} {
		if !strings.Contains(jm, want) {
			t.Errorf("%s is not in %s", want, jm)
		}
	}
	for _, text := range []string{"INSERT [x] VALUES (", "UPDATE [x] SET [a] = WHERE"} {
		if _, err := parser.Parse(context.Background(), strings.NewReader(text)); err == nil {
			t.Errorf("the parser takes %s", text)
		}
	}
}
