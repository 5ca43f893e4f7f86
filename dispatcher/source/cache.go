package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/postrider/postrider/dispatcher/route"
)

// cacheMode keeps the remembered table, which holds credentials, to its owner.
const cacheMode = 0o600

// Recall puts the remembered table in force, if there is one and none is yet:
// deliveries go on while the API server cannot be reached. It changes nothing
// about a newer one that was refused.
func (k *Keeper) Recall() {
	if k.current.Load() != nil {
		return
	}
	router, err := k.remembered()
	switch {
	case errors.Is(err, os.ErrNotExist):
		k.log.Warn("the API server has given no table yet and none is remembered; events are stored meanwhile")
		return
	case err != nil:
		k.log.Warn("the API server has given no table yet and the remembered one cannot be used; events are stored meanwhile", "err", err)
		return
	}
	k.mu.Lock()
	if k.current.Load() != nil { // a newer one has come meanwhile
		k.mu.Unlock()
		return
	}
	k.swap(router)
	k.mu.Unlock()
	k.log.Warn("the API server has given no table yet; the remembered one is in force", "digest", router.Digest(), "routes", router.Len())
	k.changed()
}

// tidy removes what a crash left of an earlier try to remember a table.
func (k *Keeper) tidy() {
	stale, err := filepath.Glob(k.cache + ".*")
	for _, path := range stale {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		k.log.Warn("an unfinished file of the remembered table stays; remove it, it holds credentials", "err", err)
	}
}

func (k *Keeper) remembered() (*route.Router, error) {
	if k.cache == "" {
		return nil, os.ErrNotExist
	}
	b, err := os.ReadFile(k.cache)
	if err != nil {
		return nil, err
	}
	table, err := route.Decode(split(b))
	if err != nil {
		return nil, err
	}
	return route.Build(table)
}

// remember replaces the file as a whole, so that a crash leaves the old or the new.
func (k *Keeper) remember(blobs [][]byte) error {
	if k.cache == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(k.cache), filepath.Base(k.cache)+".*")
	if err != nil {
		return fmt.Errorf("remembering the table: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already when all went well
	err = errors.Join(f.Chmod(cacheMode), write(f, join(blobs)), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.cache)
	}
	if err != nil {
		return fmt.Errorf("remembering the table: %w", err)
	}
	return nil
}

func write(f *os.File, b []byte) error {
	_, err := f.Write(b)
	return err
}

// The remembered table is the shards, each with its length before it.

func join(blobs [][]byte) []byte {
	var b []byte
	for _, blob := range blobs {
		b = binary.AppendUvarint(b, uint64(len(blob)))
		b = append(b, blob...)
	}
	return b
}

// split undoes join; of what join did not make it returns as much as fits,
// which then does not decode.
func split(b []byte) [][]byte {
	var blobs [][]byte
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return append(blobs, b)
		}
		blobs = append(blobs, b[size:size+int(n)])
		b = b[size+int(n):]
	}
	return blobs
}
