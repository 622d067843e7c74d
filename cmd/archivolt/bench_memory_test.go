//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"archivolt/internal/cisco/sample"
)

// BenchmarkPeakMemory exports archives in a process of its own and reports the
// most memory that it held. The large ones take minutes to make, so they need
// ARCHIVOLT_BENCH_LARGE=1, which "make bench" sets.
func BenchmarkPeakMemory(b *testing.B) {
	for _, c := range []struct {
		format     string
		name       string
		utterances int
		large      bool
	}{
		{"jsonl", "100k_rows", 27_000, false}, {"jsonl", "2M_rows", 540_000, true},
		{"rsmf", "100k_rows", 27_000, false}, {"rsmf", "1M_rows", 270_000, true},
		{"html", "100k_rows", 27_000, false}, {"html", "1M_rows", 270_000, true},
	} {
		b.Run(c.format+"/"+c.name, func(b *testing.B) {
			if c.large && os.Getenv("ARCHIVOLT_BENCH_LARGE") == "" {
				b.Skip("skipped: set ARCHIVOLT_BENCH_LARGE=1")
			}
			b.Chdir(b.TempDir())
			rows := len(makeArchive(b, sample.Options{Seed: 12, Utterances: c.utterances}).Rows)
			most := 0
			for b.Loop() {
				cmd := exec.Command("archivolt", slices.Concat([]string{"export", "jm.csv", "--format", c.format, "--out", "out", "--overwrite", "--quiet"}, allKeys)...)
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				for running := true; running; {
					select {
					case err := <-ended:
						if err != nil && cmd.ProcessState.ExitCode() != 3 {
							b.Fatal(err)
						}
						running = false
					case <-time.After(5 * time.Millisecond):
						most = max(most, highWater(cmd.Process.Pid))
					}
				}
			}
			files, err := os.ReadDir("out")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(files)), "files")
			b.ReportMetric(float64(most)/1024, "peak-MB")
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(rows), "rows")
		})
	}
}

// highWater is the most memory that a process has held, in kilobytes; 0 when it
// has ended. What wait(2) tells is of no use: it counts what this process held
// when it forked.
func highWater(pid int) (kilobytes int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	_, _ = fmt.Sscan(after, &kilobytes)
	return kilobytes
}
