package bacpac

import (
	"path/filepath"
	"reflect"
	"testing"

	"archivolt/internal/problem"
	"archivolt/internal/testenv"
)

// TestRealFile reads a file that SqlPackage wrote (version 13.0.3485.1, from
// SQL Server 2014). What is expected was read from its bytes by hand: five rows
// of 33 bytes in one table, none in the other.
func TestRealFile(t *testing.T) {
	path := filepath.Join(testenv.Material(t, "bacpac"), "Nsaga.bacpac")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []TableInfo{
		{"NSaga", "Headers", []ColumnInfo{{"CorrelationId", "uniqueidentifier", false, false}, {"Key", "nvarchar(max)", false, false}, {"Value", "nvarchar(max)", true, false}}},
		{"NSaga", "Sagas", []ColumnInfo{{"CorrelationId", "uniqueidentifier", false, false}, {"BlobData", "nvarchar(max)", true, false}}}}
	if got := f.Tables(); !reflect.DeepEqual(got, want) {
		t.Errorf("tables %+v", got)
	}
	rows, err := rowsOf(f, "NSaga", "Sagas")
	if want := [][]string{{"7BC43700-1ED3-4046-BD69-6F623058D0A7", "test"}, {"7E513979-3804-40BD-91F5-702F57319B8B", "test"},
		{"A99992E6-DEFF-47EE-B9B0-96EB0C17DFD7", "test"}, {"0CF879C9-9E35-4904-B2A3-9832B905FAF6", "test"},
		{"7B6E794E-3E61-4259-BB72-D7BBF79E3BDA", "test"}}; err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("Sagas: %q, %v", rows, err)
	}
	if rows, err := rowsOf(f, "", "headers"); err != nil || len(rows) != 0 {
		t.Errorf("Headers: %q, %v", rows, err)
	}
	if rows, err := rowsOf(f, "", "sagas", "blobdata", "none"); err != nil || len(rows) != 5 || !reflect.DeepEqual(rows[4], []string{"test", null}) {
		t.Errorf("one column: %q, %v", rows, err)
	}
	if len(f.notes) > 0 {
		t.Errorf("notes %q: the model has the checksum that Origin.xml gives", f.notes)
	}
	_, err = Open(path, Options{})
	wantProblem(t, err, problem.Failed, "no table JM", "NSaga.Headers, NSaga.Sagas")
	_, err = Open(path, Options{Table: "sagas"})
	wantProblem(t, err, problem.Failed, "this table lacks the columns TO_JID, FROM_JID, SENT_DATE and BODY_STRING")
}
