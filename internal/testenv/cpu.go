//go:build unix

package testenv

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// ProcessorTime is what processes have used of it so far, with those among
// their children that have ended. It is known to a hundredth of a second, and
// on Linux alone. A process that has ended counts as nothing.
func ProcessorTime(t testing.TB, pids ...int) (sum time.Duration) {
	t.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime (proc(5)), in hundredths of a second
			var ticks int64
			if _, err := fmt.Sscan(fields[i], &ticks); err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}
