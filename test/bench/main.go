// Command bench measures a real dispatcher: what a delivery costs and how long
// it takes, what dead receivers do to the others, how deferred deliveries come
// due, what many routes weigh. Beside it, in the same minutes on the same
// machine, it measures two yardsticks. It checks every delivery.
// docs/performance.md says how to read its figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/postrider/postrider/test/bench/figures"
	"github.com/postrider/postrider/test/bench/role"
	"github.com/postrider/postrider/test/bench/scenario"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says, and the environment, for make.
type options struct {
	role       string
	dispatcher string
	dir        string
	out        string
	profiles   string
	only       string
	size       string
}

var sizes = map[string]scenario.Size{"full": scenario.Full, "short": scenario.Short, "tiny": scenario.Tiny}

func parse(args []string) (options, error) {
	var o options
	size := "full"
	if os.Getenv("BENCH_SHORT") != "" {
		size = "short"
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.role, "role", "", "for the processes that the benchmark starts itself")
	f.StringVar(&o.dispatcher, "dispatcher", "", "`path` of the dispatcher; empty = the one of this source, built first")
	f.StringVar(&o.dir, "dir", ".", "`folder` on the disk to measure; the stores go into a new one below it")
	f.StringVar(&o.out, "out", os.Getenv("BENCH_OUT"), "`file` to write the figures to, as JSON; default from BENCH_OUT")
	f.StringVar(&o.profiles, "profile", os.Getenv("BENCH_PROFILE"), "`folder` for CPU profiles of the dispatcher; default from BENCH_PROFILE")
	f.StringVar(&o.only, "only", os.Getenv("BENCH_ONLY"), "some of "+strings.Join(scenario.Names(), ",")+"; default from BENCH_ONLY, or all but stored")
	f.StringVar(&o.size, "size", size, "full (6 minutes), short (1 minute; also by BENCH_SHORT=1) or tiny (to see that it works)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag; see --help", f.Arg(0))
	}
	if _, ok := sizes[o.size]; !ok {
		return o, fmt.Errorf("--size is %q; use full, short or tiny", o.size)
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.role != "" {
		return role.Play(o.role, os.Stdin, os.Stdout)
	}
	return measure(ctx, o, os.Stdout, os.Stderr)
}

// measure runs the benchmark, prints the table and writes the figures, of what
// was measured before an error too.
func measure(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	dir, err := os.MkdirTemp(o.dir, ".bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the stores: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.dispatcher == "" {
		o.dispatcher = filepath.Join(dir, "dispatcher")
		if err := build(ctx, o.dispatcher); err != nil {
			return err
		}
	}
	meter, began := figures.NewMeter(), time.Now()
	b := &scenario.Bench{Options: scenario.Options{
		Self: self, Dispatcher: o.dispatcher, Dir: dir, Profiles: o.profiles, Size: sizes[o.size], Progress: progress,
	}}
	if o.only != "" {
		b.Only = strings.Split(o.only, ",")
	}
	err = b.Run(ctx)

	b.Table.Head = []string{
		"Postrider: events of 1 KiB, signed, on disk (fsync) before the 202; every delivery checked",
		figures.Machine(dir),
		fmt.Sprintf("size %s, took %s; meanwhile others took %.0f %% of the machine", o.size, time.Since(began).Round(time.Second), 100*meter.Others()),
	}
	err = errors.Join(err, b.Table.Print(stdout))
	if o.out != "" {
		err = errors.Join(err, b.Figures.Write(o.out))
	}
	return errors.Join(err, b.Figures.Err())
}

// build builds the dispatcher as the Makefile does.
func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/postrider/postrider/cmd/dispatcher")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the dispatcher: %w\n%s", err, out)
	}
	return nil
}
