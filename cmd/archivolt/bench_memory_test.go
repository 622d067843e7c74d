//go:build unix

package main

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"archivolt/internal/cisco/sample"
)

// BenchmarkPeakMemory exports archives of two sizes in a process of its own
// and reports the most memory that it held. The large one takes minutes to
// make, so it needs ARCHIVOLT_BENCH_LARGE=1, which "make bench" sets.
func BenchmarkPeakMemory(b *testing.B) {
	for _, size := range []struct {
		name       string
		utterances int
		large      bool
	}{{"100k_rows", 27_000, false}, {"2M_rows", 540_000, true}} {
		b.Run(size.name, func(b *testing.B) {
			if size.large && os.Getenv("ARCHIVOLT_BENCH_LARGE") == "" {
				b.Skip("skipped: set ARCHIVOLT_BENCH_LARGE=1")
			}
			b.Chdir(b.TempDir())
			rows := len(makeArchive(b, sample.Options{Seed: 12, Utterances: size.utterances}).Rows)
			most := 0.0
			for b.Loop() {
				cmd := exec.Command("archivolt", slices.Concat([]string{"export", "jm.csv", "--format", "jsonl", "--out", "out", "--overwrite", "--quiet"}, allKeys)...)
				if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 3 {
					b.Fatal(err)
				}
				peak := float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
				if runtime.GOOS == "darwin" {
					peak /= 1024 // bytes there, kilobytes elsewhere
				}
				most = max(most, peak/1024)
			}
			b.ReportMetric(most, "peak-MB")
			b.ReportMetric(float64(rows), "rows")
		})
	}
}
