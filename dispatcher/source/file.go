package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

// poll is how often the file is looked at.
const poll = 500 * time.Millisecond

// File follows the table in a JSON file, {"routes": [...]}, until ctx is done:
// for a dispatcher without Kubernetes. The first table must be there and good.
func (k *Keeper) File(ctx context.Context, path string) error {
	follower := follow(path)
	first, err := follower.news()
	if err != nil {
		return fmt.Errorf("reading the routes file: %w", err)
	}
	if err := k.offerJSON(first); err != nil {
		return fmt.Errorf("the routes file %s: %w", path, err)
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		text, err := follower.news()
		if err != nil {
			k.reject(fmt.Errorf("reading the routes file: %w", err))
			continue
		}
		if text == nil {
			continue
		}
		if err := k.offerJSON(text); err != nil {
			k.reject(err)
		}
	}
}

// A follower of a file keeps nothing of it but a sum: the routes of a large
// table are in memory once.
type follower struct {
	path string
	read func(path string) ([]byte, error)
	seed maphash.Seed
	sum  uint64 // of what was read last; 0 = nothing was
}

func follow(path string) *follower {
	return &follower{path: path, read: os.ReadFile, seed: maphash.MakeSeed()}
}

// news returns what is in the file, nil when that is as it was. After an error
// it is news once more.
func (f *follower) news() ([]byte, error) {
	before := f.sum
	f.sum = 0
	sum, err := f.look()
	if err != nil {
		return nil, err
	}
	if sum == before {
		f.sum = sum
		return nil, nil
	}
	text, err := f.read(f.path)
	if err != nil {
		return nil, err
	}
	f.sum = maphash.Bytes(f.seed, text) // it may have changed since it was looked at
	return text, nil
}

func (f *follower) look() (uint64, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	var h maphash.Hash
	h.SetSeed(f.seed)
	if _, err := io.Copy(&h, file); err != nil {
		return 0, err
	}
	return h.Sum64(), nil
}

func (k *Keeper) offerJSON(b []byte) error {
	var file struct {
		Routes []route.Route `json:"routes"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	router, err := route.Build(route.Table{Routes: file.Routes})
	if err != nil {
		return err
	}
	k.accept(router)
	return nil
}
