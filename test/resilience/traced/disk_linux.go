package traced

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Disk is the one below a folder. A power cut makes it forget what was not synced.
type Disk struct {
	platter *platter
	deaf    atomic.Pointer[func(path string) bool]

	// For the goroutine that traces.
	pid   int
	calls map[int]*call // by the thread that is in it: those that concern the folder
	files map[int]*file // by descriptor: what is open of the folder
}

// A file is an open one.
type file struct {
	*node
	path   string // when it was opened, below the folder
	synced bool   // each write is (O_SYNC)
}

// A call is one that a thread is in.
type call struct {
	done   func(result int) error // follows what a call that did not fail has done
	unsure []*node                // until then
}

// NewDisk makes the Disk below folder, which exists, for one process. All that
// is stored there counts as synced.
func NewDisk(folder string) (*Disk, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of the disk: %w", err)
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return nil, fmt.Errorf("finding the folder of the disk: %w", err)
	}
	p, err := load(folder)
	return &Disk{platter: p, calls: map[int]*call{}, files: map[int]*file{}}, err
}

// Deafen makes the disk lie from now on: syncs of the files whose path below
// the folder only agrees to seem to succeed, and keep nothing. A test that
// loses nothing on such a disk proves nothing.
func (d *Disk) Deafen(only func(path string) bool) { d.deaf.Store(&only) }

func (d *Disk) begin(pid int) error { //nolint:unparam // as every part
	d.pid = pid
	return nil
}

func (d *Disk) enter(thread int, s *stop) error {
	c, err := d.call(s)
	if c != nil {
		d.calls[thread] = c
	}
	return err
}

func (d *Disk) leave(thread int, s *stop) error {
	c := d.calls[thread]
	delete(d.calls, thread)
	if c == nil || s.result() < 0 {
		return nil
	}
	return c.done(s.result())
}

// call looks at a call before the kernel does it, nil when it does not concern the folder.
func (d *Disk) call(s *stop) (*call, error) {
	switch s.number() {
	case unix.SYS_OPENAT:
		return d.enterOpen(s)
	case unix.SYS_CLOSE:
		delete(d.files, s.argument(0)) // its number may be taken again before the call returns
		return nil, nil
	case unix.SYS_MKDIRAT, unix.SYS_UNLINKAT:
		return d.enterName(s)
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		return d.enterRename(s)
	}
	f := d.files[s.argument(0)]
	if f == nil {
		return nil, nil
	}
	fd, address := s.argument(0), s.argument(1)
	switch s.number() {
	case unix.SYS_WRITE:
		return &call{unsure: []*node{f.node}, done: func(n int) error {
			end, err := position(d.pid, fd)
			if err != nil {
				return err
			}
			return d.wrote(f, address, n, end-int64(n))
		}}, nil
	case unix.SYS_PWRITE64:
		at := int64(s.argument(3))
		return &call{unsure: []*node{f.node}, done: func(n int) error { return d.wrote(f, address, n, at) }}, nil
	case unix.SYS_FTRUNCATE:
		length := int64(s.argument(1))
		return &call{unsure: []*node{f.node}, done: func(int) error {
			f.edits = append(f.edits, edit{at: length, length: true})
			return nil
		}}, nil
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		b := d.platter.begin(f.node)
		return &call{done: func(int) error { d.sync(f, b); return nil }}, nil
	}
	return nil, nil
}

func (d *Disk) enterOpen(s *stop) (*call, error) {
	flags := s.argument(2)
	c := &call{done: func(fd int) error { return d.opened(fd, flags) }}
	if flags&(unix.O_CREAT|unix.O_TRUNC) != 0 {
		where, err := path(d.pid, s.argument(0), s.argument(1))
		if err != nil || !d.platter.holds(where) {
			return nil, err
		}
		c.unsure = d.platter.around(d.platter.rel(where))
	}
	return c, nil
}

func (d *Disk) opened(fd, flags int) error {
	delete(d.files, fd)
	where, err := os.Readlink(descriptor(d.pid, fd))
	if err != nil || !d.platter.holds(where) {
		return nil //nolint:nilerr // the process was killed
	}
	f := &file{path: d.platter.rel(where), synced: flags&unix.O_DSYNC != 0}
	f.node = d.platter.now[f.path]
	switch {
	case f.node == nil && strings.HasSuffix(where, " (deleted)"):
		f.node = &node{}
	case f.node == nil:
		f.node = d.platter.make(f.path, false)
	case flags&unix.O_TRUNC != 0:
		f.edits = append(f.edits, edit{length: true})
	}
	d.files[fd] = f
	return nil
}

func (d *Disk) wrote(f *file, address, n int, at int64) error {
	b, err := memory(d.pid, address, n)
	if err != nil {
		return err
	}
	f.edits = append(f.edits, edit{at: at, bytes: b})
	if f.synced {
		d.sync(f, d.platter.begin(f.node))
	}
	return nil
}

func (d *Disk) sync(f *file, b barrier) {
	if deaf := d.deaf.Load(); deaf == nil || !(*deaf)(f.path) {
		d.platter.sync(b)
	}
}

// enterName follows a call that makes a folder or removes a file or folder.
func (d *Disk) enterName(s *stop) (*call, error) {
	where, err := path(d.pid, s.argument(0), s.argument(1))
	if err != nil || !d.platter.holds(where) {
		return nil, err
	}
	rel := d.platter.rel(where)
	if s.number() == unix.SYS_MKDIRAT {
		return &call{unsure: d.platter.around(rel), done: func(int) error { d.platter.make(rel, true); return nil }}, nil
	}
	return &call{unsure: d.platter.around(rel), done: func(int) error { d.platter.remove(rel); return nil }}, nil
}

func (d *Disk) enterRename(s *stop) (*call, error) {
	from, err := path(d.pid, s.argument(0), s.argument(1))
	if err != nil {
		return nil, err
	}
	to, err := path(d.pid, s.argument(2), s.argument(3))
	if err != nil {
		return nil, err
	}
	switch in, out := d.platter.holds(to), d.platter.holds(from); {
	case !in && !out:
		return nil, nil
	case !in || !out:
		return nil, fmt.Errorf("%s is renamed to %s, across the border of the disk", from, to)
	}
	old, fresh := d.platter.rel(from), d.platter.rel(to)
	return &call{unsure: append(d.platter.around(old), d.platter.around(fresh)...), done: func(int) error { d.platter.rename(old, fresh); return nil }}, nil
}

// Cut makes the folder what a power cut would have left of it at the moment at
// which the process ended. It must have ended. Cut returns an error when the
// process has changed files in a way that the Disk does not know: then nothing
// that it says about a power cut is to be trusted.
func (d *Disk) Cut(fate Fate, dice *rand.Rand) error {
	missed, err := d.missed()
	if err != nil {
		return err
	}
	if len(missed) > 0 {
		return fmt.Errorf("the disk has not seen all that the process changed: %s", strings.Join(missed, ", "))
	}
	return d.platter.cut(fate, dice)
}

// missed says what the folder holds that the Disk has not seen coming, but
// for what the calls were about in which the process was killed.
func (d *Disk) missed() ([]string, error) {
	unsure := map[*node]bool{}
	for _, c := range d.calls {
		for _, n := range c.unsure {
			unsure[n] = true
		}
	}
	delete(unsure, nil)
	return d.platter.differences(unsure)
}
