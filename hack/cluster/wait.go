package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// poll asks until there is no error, for at most patience.
func poll(ctx context.Context, patience time.Duration, what string, ask func(context.Context) error) error {
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

func answersOK(ctx context.Context, client *http.Client, url string) error {
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
