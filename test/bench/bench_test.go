package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/internal/eventually"
)

// programs is the folder where the benchmark and the dispatcher have been built.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "postrider-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(programs) }()                                                                   // a file that stays in the folder for temporary ones fails no test
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-w", "-o", programs+"/", ".", "../../cmd/dispatcher") //nolint:noctx // it serves all tests, so it ends with none of them
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// bench is a run that is over in a few seconds. It stores in dir.
func bench(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"--size", "tiny", "--dir", dir, "--dispatcher", filepath.Join(programs, "dispatcher")}, args...)
	return exec.CommandContext(t.Context(), filepath.Join(programs, "bench"), args...)
}

func TestTheBenchmarkLosesNothingAndWritesItsFigures(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "figures.json")
	cmd := bench(t, dir, "--out", out)
	table, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, table)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var figures map[string]map[string]float64
	if err := json.Unmarshal(text, &figures); err != nil {
		t.Fatal(err)
	}

	fanout := []string{
		"cpu_ratio_client", "cpu_ratio_null_relay", "cpu_us_per_delivery", "deliveries_per_s",
		"duplicates", "lost", "p50_ms", "p99_ms",
	}
	want := map[string][]string{
		"fanout_1": fanout, "fanout_10": fanout, "fanout_100": fanout,
		"isolation": {"healthy_ratio", "lost", "p99_ratio"},
		"deferred":  {"early", "fired_per_s", "lost", "pending", "restart_ms"},
		"memory":    {"loaded_mb", "peak_mb", "rested_mb", "routes", "rss_mb"},
	}
	got := map[string][]string{}
	for name, object := range figures {
		got[name] = slices.Sorted(maps.Keys(object))
		for key, value := range object {
			switch never := key == "lost" || key == "early" || key == "duplicates"; {
			case never && value != 0:
				t.Errorf("%s: %s is %v", name, key, value)
			case key == "fired_per_s" || key == "pending": // depend on how much time there was
			case !never && value <= 0:
				t.Errorf("%s: %s is %v: it was not measured", name, key, value)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if t.Failed() {
		t.Logf("%s", table)
	}
	if left := processes(t); left != 0 {
		t.Errorf("%d processes are left", left)
	}
}

func TestKillingTheBenchmarkEndsAllThatItStarted(t *testing.T) {
	cmd := bench(t, t.TempDir(), "--only", "fanout_1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Itself, receiver, generator, dispatcher, relay and client.
	eventually.True(t, "all processes to run", func() bool { return processes(t) == 6 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it was not killed")
	}
	eventually.True(t, "all processes to end", func() bool { return processes(t) == 0 })
}

func TestWhatIsNoBenchmarkIsRefused(t *testing.T) {
	out, err := bench(t, t.TempDir(), "--only", "fanout_2").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("there are fanout_1, fanout_10")) {
		t.Errorf("%v: %s", err, out)
	}
}

// processes counts those that run one of the programs.
func processes(t *testing.T) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range all {
		if path, err := os.Readlink(exe); err == nil && filepath.Dir(path) == programs { // those that have ended have no program
			n++
		}
	}
	return n
}
