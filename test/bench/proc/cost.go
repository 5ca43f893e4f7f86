package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is how long the process has computed so far, user and system, on all
// cores together. It is exact to the nanosecond, where /proc counts ticks.
func (p *Process) CPU() (time.Duration, error) {
	// The kernel makes the clock of a process from its id (MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h).
	const scheduled = 2 // CPUCLOCK_SCHED
	clock := ^int32(p.cmd.Process.Pid)<<3 | scheduled
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("reading the CPU time of the %s: %w\n%s", p.name, err, p.Complaints())
	}
	return time.Duration(t.Nano()), nil
}

// RSS is the memory that the process has resident now, in bytes.
func (p *Process) RSS() (int64, error) { return p.status("VmRSS:") }

// FileRSS is how much of RSS are pages of files, which the kernel may drop and read again.
func (p *Process) FileRSS() (int64, error) { return p.status("RssFile:") }

// PeakRSS is the most memory that the process ever had resident, in bytes.
func (p *Process) PeakRSS() (int64, error) { return p.status("VmHWM:") }

func (p *Process) status(name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of the %s: %w", p.name, err)
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading the memory of the %s: %w", p.name, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("reading the memory of the %s: there is no %s; has it ended?", p.name, name)
}
