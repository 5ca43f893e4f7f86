// Package await waits for what other processes do.
package await

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Until asks until there is no error, for at most patience; what completes
// "waited for". When ctx ends first, its cause is the error.
func Until(ctx context.Context, patience time.Duration, what string, ask func(context.Context) error) error {
	const pause = 100 * time.Millisecond
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(limited)
		if err == nil {
			return nil
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("waited %s for %s in vain: %w", patience, what, err)
		case <-time.After(pause):
		}
	}
}

// OK returns no error when the address answers 200.
func OK(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(url + " answers " + resp.Status)
	}
	return nil
}
