package traced

import (
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Clock is the time of day of a process, which may jump. The clock that only
// goes forward, by which timers run, does not: it is the same when somebody sets
// the time of a machine. The zero Clock is right. It may be used for one process after the other.
type Clock struct {
	offset atomic.Int64 // nanoseconds

	// For the goroutine that traces.
	pid   int
	asked map[int]int // where the answer goes to, by thread
}

// Kinds of entries of an auxiliary vector.
const auxNull, auxIgnore, auxVDSO = 0, 1, 33

// Jump moves the clock by d.
func (c *Clock) Jump(d time.Duration) { c.offset.Add(int64(d)) }

// Offset is how far the clock is ahead of the time.
func (c *Clock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// begin makes the process ask the kernel for the time. Usually it reads it from
// a page of memory (vdso(7)), the address of which is in its auxiliary vector
// (getauxval(3)): it finds none there.
func (c *Clock) begin(pid int) error {
	c.pid, c.asked = pid, map[int]int{}
	s, err := readStop(pid)
	if err != nil {
		return err
	}
	at, end := s.stack+word, 2 // behind the number of arguments: those, the environment, then the vector
	for end > 0 {
		pointer, err := readWord(pid, at)
		if err != nil {
			return err
		}
		if pointer == 0 {
			end--
		}
		at += word
	}
	for ; ; at += 2 * word {
		switch kind, err := readWord(pid, at); {
		case err != nil:
			return err
		case kind == auxNull:
			return errors.New("the process has no vdso to hide")
		case kind == auxVDSO:
			_, err := unix.PtracePokeData(pid, uintptr(at), binary.NativeEndian.AppendUint64(nil, auxIgnore))
			return os.NewSyscallError("PTRACE_POKEDATA", err)
		}
	}
}

func (c *Clock) enter(thread int, s *stop) error { //nolint:unparam // as every part
	if s.number() == unix.SYS_CLOCK_GETTIME && s.argument(0) == unix.CLOCK_REALTIME {
		c.asked[thread] = s.argument(1)
	}
	return nil
}

func (c *Clock) leave(thread int, s *stop) error {
	at, asked := c.asked[thread]
	if !asked {
		return nil
	}
	delete(c.asked, thread)
	if s.result() < 0 {
		return nil
	}
	answer, err := memory(c.pid, at, 2*word)
	if err != nil {
		return err
	}
	seconds := int64(binary.NativeEndian.Uint64(answer))
	nanoseconds := int64(binary.NativeEndian.Uint64(answer[word:]))
	now := time.Unix(seconds, nanoseconds).Add(c.Offset())
	answer = binary.NativeEndian.AppendUint64(answer[:0], uint64(now.Unix()))
	answer = binary.NativeEndian.AppendUint64(answer, uint64(now.Nanosecond()))
	_, err = unix.PtracePokeData(thread, uintptr(at), answer)
	return os.NewSyscallError("PTRACE_POKEDATA", err)
}
