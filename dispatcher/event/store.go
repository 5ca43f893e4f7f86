package event

import "errors"

// ErrFull is how a store refuses an event because it has no room: nothing was
// stored, and a later try may succeed. Any other error of a store means that it
// could not tell or could not write.
var ErrFull = errors.New("the store is full")
