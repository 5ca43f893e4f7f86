package traced

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A stop is a thread that waits before or after a system call, as
// PTRACE_GET_SYSCALL_INFO describes it (ptrace(2), Linux 5.3). It is the same
// for every architecture.
type stop struct {
	op    uint8 // stopEntry or stopExit
	_     [3]uint8
	_     uint32 // architecture
	_     uint64 // instruction pointer
	stack int    // pointer
	union [8]uint64
}

const (
	stopEntry = 1
	stopExit  = 2
)

// number and argument are those of an entry, result is that of an exit.
func (s *stop) number() uint64     { return s.union[0] }
func (s *stop) argument(i int) int { return int(int64(s.union[1+i])) } // descriptors and lengths fit
func (s *stop) result() int        { return int(int64(s.union[0])) }

func readStop(tid int) (*stop, error) {
	var s stop
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(s), uintptr(unsafe.Pointer(&s)), 0, 0) //nolint:gosec // the kernel fills it
	if errno != 0 {
		return nil, os.NewSyscallError("PTRACE_GET_SYSCALL_INFO", errno)
	}
	return &s, nil
}

// memory copies n bytes out of the process.
func memory(pid, address, n int) ([]byte, error) {
	b := make([]byte, n)
	for done := 0; done < n; {
		local := []unix.Iovec{{Base: &b[done]}}
		local[0].SetLen(n - done)
		got, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(address + done), Len: n - done}}, 0)
		if err != nil {
			return nil, os.NewSyscallError("process_vm_readv", err)
		}
		done += got
	}
	return b, nil
}

// text copies a string that ends with a zero.
func text(pid, address int) (string, error) {
	const page = 4096 // what lies in the next one may not be readable
	var b []byte
	for len(b) <= unix.PathMax {
		piece, err := memory(pid, address+len(b), page-(address+len(b))%page)
		if err != nil {
			return "", err
		}
		piece, _, ends := bytes.Cut(piece, []byte{0})
		b = append(b, piece...)
		if ends {
			return string(b), nil
		}
	}
	return "", fmt.Errorf("a path of more than %d bytes", unix.PathMax)
}

// path is the absolute path that a call means with a folder's descriptor and a string.
func path(pid, folder, address int) (string, error) {
	name, err := text(pid, address)
	if err != nil || filepath.IsAbs(name) {
		return filepath.Clean(name), err
	}
	link := fmt.Sprintf("/proc/%d/cwd", pid)
	if folder != unix.AT_FDCWD {
		link = descriptor(pid, folder)
	}
	base, err := os.Readlink(link)
	return filepath.Join(base, name), err
}

func descriptor(pid, fd int) string { return fmt.Sprintf("/proc/%d/fd/%d", pid, fd) }

// position is where the next read or write of fd begins.
func position(pid, fd int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return 0, err
	}
	var at int64
	if _, err := fmt.Sscanf(string(b), "pos: %d", &at); err != nil {
		return 0, fmt.Errorf("reading the position of a file: %w", err)
	}
	return at, nil
}

const word = 8 // bytes

func readWord(pid, address int) (uint64, error) {
	b, err := memory(pid, address, word)
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b), nil
}
