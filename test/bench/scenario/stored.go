package scenario

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/postrider/postrider/test/bench/figures"
	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/role"
)

const (
	storedSize = 64 << 10 // of an event's data, in bytes
	// storedHold is until when the receivers refuse: long after the end.
	storedHold = time.Hour
	storedStep = 5 * time.Second // between two looks at the disk
)

// stored fills the store with deliveries that wait, kills the dispatcher, and
// measures how long a restart takes. It writes gigabytes, so it is not part of
// the default run.
func (b *Bench) stored(ctx context.Context) (err error) {
	s, err := b.newStage(ctx, "stored", ledger.Layout{Routes: fanoutRoutes + 1, Fanout: 1, Receivers: fanoutRoutes + 1}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	due := time.Now().Add(storedHold).Truncate(time.Second)
	if err := s.conduct(role.Conduct{RefuseUntil: due, Spared: fanoutRoutes}); err != nil {
		return err
	}
	for used := int64(0); used < b.Size.StoredBytes; {
		if _, _, err := s.post(role.Load{Size: storedSize, Duration: storedStep, Events: int(b.Size.StoredBytes / storedSize), Window: b.Size.Window}); err != nil {
			return err
		}
		if used, err = diskUsage(s.dir); err != nil {
			return err
		}
	}
	calm, err := s.settle(ctx, time.Now().Add(stallPatience))
	if err != nil {
		return err
	}
	s.dispatcher.Kill()
	restart, err := s.restart(ctx)
	if err != nil {
		return err
	}
	t := &b.Table
	t.Part("STORED: kill -9 with much in the store")
	t.Row("on disk, in MB", figures.Number(megabytes(calm.disk)))
	t.Row("deliveries pending", calm.pending)
	t.Row("restart until a new event arrives, in ms", figures.Number(restart.Seconds()*1000))
	if early := s.book.Early(); early > 0 {
		return fmt.Errorf("%d attempts were early", early)
	}
	return s.book.Err()
}

// diskUsage is how many bytes the files below dir have.
func diskUsage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the disk: %w", err)
	}
	return sum, nil
}
