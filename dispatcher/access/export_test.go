package access

import (
	"context"
	"log/slog"
	"time"
)

// Recall makes a memory of strings and returns its get.
func Recall(log *slog.Logger) func(ctx context.Context, key string, ask func(context.Context) (string, bool, error)) (string, error) {
	return newMemory[string, string](log, time.Now).get
}

// Plausible reports whether a token is worth a review.
func Plausible(token, audience string, now time.Time) bool {
	c, ok := readClaims(token)
	return ok && c.plausible(audience, now)
}
