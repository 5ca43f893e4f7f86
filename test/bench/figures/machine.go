package figures

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine says in one line where figures were measured: without it they mean
// nothing. The store is in dir.
func Machine(dir string) string {
	return fmt.Sprintf("%s, %d cores, Linux %s, %s, store on %s",
		cpuModel(), runtime.NumCPU(), kernel(), runtime.Version(), FileSystem(dir))
}

// A Meter measures what others do on the machine: nobody measures well in a
// crowd.
type Meter struct {
	began      time.Time
	busy, mine time.Duration
}

// NewMeter begins to measure.
func NewMeter() Meter { return Meter{time.Now(), busy(), mine()} }

// Others is the share of the machine, from 0 to 1, that others took since the
// beginning, the host of a virtual machine among them. It counts what this
// process has started only once that has ended.
func (m Meter) Others() float64 {
	whole := time.Since(m.began).Seconds() * float64(runtime.NumCPU())
	return max((busy()-m.busy-(mine()-m.mine)).Seconds()/whole, 0)
}

// busy is how long the cores have computed since the machine started.
func busy() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var sum time.Duration
	for i, field := range strings.Fields(line) { // cpu user nice system idle iowait irq softirq steal guest ...
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// mine is how long this process and those that it has started, as far as they
// have ended, have computed.
func mine() time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range bytes.Lines(text) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// FileSystem is the kind of file system that dir is on, such as ext4.
func FileSystem(dir string) string {
	const unknown = "an unknown file system"
	dir, err := filepath.Abs(dir)
	if err != nil {
		return unknown
	}
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		return unknown
	}
	defer func() { _ = mounts.Close() }() // only read
	kind, longest := unknown, -1
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // device, where, kind, ...
		if len(fields) < 3 {
			continue
		}
		where := strings.TrimSuffix(fields[1], "/")
		if len(where) >= longest && (dir == where || strings.HasPrefix(dir, where+"/")) {
			kind, longest = fields[2], len(where)
		}
	}
	return kind
}
