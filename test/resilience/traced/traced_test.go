package traced_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/test/resilience/traced"
)

// The process that is traced is this test program itself, told by the
// environment to be one of the programs.
const envProgram, envFolder = "TRACED_PROGRAM", "TRACED_FOLDER"

func TestMain(m *testing.M) {
	if name := os.Getenv(envProgram); name != "" {
		if err := os.Chdir(os.Getenv(envFolder)); err != nil {
			panic(err)
		}
		programs[name]()
		return
	}
	os.Exit(m.Run())
}

// programs change files below the working folder. "old" holds "old" at first.
var programs = map[string]func(){
	"write":        func() { write("new", "new", 0) },
	"write, sync":  func() { sync(write("new", "new", 0)) },
	"O_SYNC write": func() { write("new", "new", os.O_SYNC) },
	"sync, write": func() {
		f := write("new", "new", 0)
		sync(f)
		put(f, "er")
	},
	"overwrite":       func() { write("old", "new", 0) },
	"overwrite, sync": func() { sync(write("old", "new", 0)) },
	"truncate, sync": func() {
		f := write("old", "", 0)
		must(f.Truncate(1))
		sync(f)
	},
	"remove":       func() { must(os.Remove("old")) },
	"remove, sync": func() { must(os.Remove("old")); syncFolder(".") },
	"replace": func() {
		sync(write("new", "new", 0))
		must(os.Rename("new", "old"))
	},
	"replace, sync": func() {
		sync(write("new", "new", 0))
		must(os.Rename("new", "old"))
		syncFolder(".")
	},
	"make folders, write, sync": func() {
		must(os.MkdirAll("a/b", 0o700))
		sync(write("a/b/c", "new", 0))
	},
	"rename a folder, sync": func() {
		must(os.Mkdir("a", 0o700))
		sync(write("a/b", "new", 0))
		must(os.Rename("a", "c"))
		syncFolder(".")
	},
	"sync another": func() {
		write("new", "new", 0)
		sync(write("other", "other", 0))
	},
	"link": func() { must(os.Link("old", "new")) },
	"tell the time": func() {
		before := time.Now()
		<-time.After(50 * time.Millisecond)
		after := time.Now()
		_, err := fmt.Fprintln(os.Stdout, after.Unix(), after.Sub(before) < 10*time.Second)
		must(err)
	},
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func write(name, text string, flags int) *os.File {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|flags, 0o600)
	must(err)
	put(f, text)
	return f
}

func put(f *os.File, text string) {
	_, err := f.WriteString(text)
	must(err)
}

func sync(f *os.File) { must(f.Sync()) }

func syncFolder(name string) {
	f, err := os.Open(name)
	must(err)
	sync(f)
}

func program(tb testing.TB, name, folder string) *exec.Cmd {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), self)
	cmd.Env = append(os.Environ(), envProgram+"="+name, envFolder+"="+folder)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a program on a disk that is not synced afterwards.
func run(t *testing.T, name string) (folder string, disk *traced.Disk) {
	t.Helper()
	folder = t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "old"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := traced.NewDisk(folder)
	if err != nil {
		t.Fatal(err)
	}
	trace(t, program(t, name, folder), traced.New(disk))
	return folder, disk
}

func trace(t *testing.T, cmd *exec.Cmd, tracer *traced.Tracer) {
	t.Helper()
	wait, err := tracer.Launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	wait()
	if err := tracer.Err(); err != nil {
		t.Fatal(err)
	}
}

func dice() *rand.Rand { return rand.New(rand.NewPCG(1, 0)) } //nolint:gosec // no secret

func TestAPowerCutLeavesWhatWasSynced(t *testing.T) {
	for _, tt := range []struct{ program, want string }{
		{"write", "old=old"},
		{"write, sync", "new=new old=old"},
		{"O_SYNC write", "new=new old=old"},
		{"sync, write", "new=new old=old"},
		{"overwrite", "old=old"},
		{"overwrite, sync", "old=new"},
		{"truncate, sync", "old=o"},
		{"remove", "old=old"},
		{"remove, sync", ""},
		{"replace", "new=new old=old"},
		{"replace, sync", "old=new"},
		{"make folders, write, sync", "a/b/c=new old=old"},
		{"rename a folder, sync", "c/b=new old=old"},
		{"sync another", "new= old=old other=other"}, // the journal holds the name, nobody has synced the contents
	} {
		t.Run(tt.program, func(t *testing.T) {
			t.Parallel()
			folder, disk := run(t, tt.program)
			if err := disk.Cut(traced.Forgotten, dice()); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, folder); got != tt.want {
				t.Errorf("there is %q, want %q", got, tt.want)
			}
		})
	}
}

// contents are the files below folder, by name.
func contents(t *testing.T, folder string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, fmt.Sprintf("%s=%s", strings.TrimPrefix(path, folder+"/"), text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestAChangeThatTheDiskDoesNotKnowIsAnError(t *testing.T) {
	t.Parallel()
	_, disk := run(t, "link")
	if err := disk.Cut(traced.Forgotten, dice()); err == nil || !strings.Contains(err.Error(), "new came from nowhere") {
		t.Errorf("the cut says %v", err)
	}
}

func TestADiskThatLiesKeepsNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	disk, err := traced.NewDisk(folder)
	if err != nil {
		t.Fatal(err)
	}
	disk.Deafen(func(path string) bool { return path == "new" })
	trace(t, program(t, "write, sync", folder), traced.New(disk))
	if err := disk.Cut(traced.Forgotten, dice()); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, folder); got != "" {
		t.Errorf("there is %q", got)
	}
}

func TestScatteredWritesAreAnyPartOfWhatWasNotSynced(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for seed := range uint64(40) {
		folder, disk := run(t, "sync, write")
		if err := disk.Cut(traced.Scattered, rand.New(rand.NewPCG(seed, 0))); err != nil { //nolint:gosec // no secret
			t.Fatal(err)
		}
		found[contents(t, folder)] = true
		if len(found) == 2 {
			break
		}
	}
	if !found["new=new old=old"] || !found["new=newer old=old"] {
		t.Errorf("there is %v", found)
	}
}

func TestTheClockOfAProcessJumpsAndItsTimersDoNot(t *testing.T) {
	t.Parallel()
	clock := &traced.Clock{}
	clock.Jump(-1000 * time.Hour)
	cmd := program(t, "tell the time", t.TempDir())
	var told strings.Builder
	cmd.Stdout = &told
	start := time.Now()
	trace(t, cmd, traced.New(clock))
	var unix int64
	var steady bool
	if _, err := fmt.Sscan(told.String(), &unix, &steady); err != nil {
		t.Fatalf("it says %q: %v", told.String(), err)
	}
	ahead := time.Unix(unix, 0).Sub(start)
	if ahead < -1001*time.Hour || ahead > -999*time.Hour {
		t.Errorf("its clock is ahead by %s", ahead)
	}
	if !steady {
		t.Error("its clock jumped between two looks at it, and nobody moved it")
	}
}
