package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider/postrider/test/bench/figures"
	"github.com/postrider/postrider/test/bench/ledger"
)

// memoryReceivers is how many addresses the many routes share: a file
// descriptor for each would be more than a process may have.
const memoryReceivers = 100

// memory measures what a dispatcher with many routes takes: before it has worked,
// while it does, when it is done, and when it has rested.
func (b *Bench) memory(ctx context.Context) (err error) {
	n := b.Size.MemoryRoutes
	s, err := b.newStage(ctx, "memory", ledger.Layout{Routes: uint32(n), Fanout: 1, Receivers: memoryReceivers}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, err := quiet(s.dispatcher.Process); err != nil {
		return err
	}
	loaded, err := s.dispatcher.RSS()
	if err != nil {
		return err
	}
	m, err := s.saturateDispatcher(ctx, b.Size.Memory)
	if err != nil {
		return err
	}
	worked, err := s.dispatcher.RSS()
	if err != nil {
		return err
	}
	peak, err := s.dispatcher.PeakRSS()
	if err != nil {
		return err
	}
	select {
	case <-time.After(b.Size.Rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	rested, err := s.dispatcher.RSS()
	if err != nil {
		return err
	}
	files, err := s.dispatcher.FileRSS()
	if err != nil {
		return err
	}
	if missing := s.book.Balance(m.events, nil).Missing; missing > 0 {
		return fmt.Errorf("%d deliveries were lost", missing)
	}

	b.Figures.Memory = &figures.Memory{
		Routes: n, LoadedMB: figures.Number(megabytes(loaded)), PeakMB: figures.Number(megabytes(peak)),
		RSSMB: figures.Number(megabytes(worked)), RestedMB: figures.Number(megabytes(rested)),
	}
	t := &b.Table
	t.Part(fmt.Sprintf("MEMORY: %d routes", n))
	t.Row("RSS, routes loaded, in MB", figures.Number(megabytes(loaded)))
	t.Row(fmt.Sprintf("RSS, idle after %s saturated, in MB", b.Size.Memory), figures.Number(megabytes(worked)))
	t.Row("RSS at its peak, in MB", figures.Number(megabytes(peak)))
	t.Row(fmt.Sprintf("RSS after %s of rest, in MB", b.Size.Rest), figures.Number(megabytes(rested)))
	t.Row("  of it pages of files, the program's above all", figures.Number(megabytes(files)))
	t.Row("deliveries per second, saturated", figures.Number(m.perSecond))
	return s.book.Err()
}
