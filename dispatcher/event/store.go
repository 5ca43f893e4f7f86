package event

import (
	"errors"
	"fmt"
)

// ErrFull is how a store refuses an event because it has no room: nothing was
// stored, and a later try may succeed. Any other error of a store means that it
// could not tell or could not write.
var ErrFull = errors.New("the store is full")

// ErrNotFound is how a store says that it does not hold what it was asked for:
// not any more, or not for the one who asks.
var ErrNotFound = errors.New("the store does not hold it")

// ErrNamespaceFull is the [ErrFull] of one namespace: its deliveries in trouble
// fill its share of the store. Others are accepted meanwhile.
var ErrNamespaceFull = fmt.Errorf("%w for this namespace", ErrFull)
