package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

// poll is how often the file is looked at.
const poll = 500 * time.Millisecond

// File follows the table in a JSON file, {"routes": [...]}, until ctx is done:
// for a dispatcher without Kubernetes. The first table must be there and good.
func (k *Keeper) File(ctx context.Context, path string) error {
	last, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the routes file: %w", err)
	}
	if err := k.offerJSON(last); err != nil {
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
		b, err := os.ReadFile(path)
		if err != nil {
			k.reject(fmt.Errorf("reading the routes file: %w", err))
			last = nil // once it is back it is news, even when it is as it was
			continue
		}
		if bytes.Equal(b, last) {
			continue
		}
		last = b
		if err := k.offerJSON(b); err != nil {
			k.reject(err)
		}
	}
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
