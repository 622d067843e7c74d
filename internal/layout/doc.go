// Package layout holds no code: its test is the plan of the house, executed.
// Which package may import which, how long a file may be and what may not be
// called are in layout_test.go.
package layout
