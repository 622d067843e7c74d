//go:build !race

package testenv

// Race tells that the race detector is on: everything takes ten times as long
// and holds more memory.
const Race = false
