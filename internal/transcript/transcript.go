// Package transcript keeps what a program says while a test listens.
package transcript

import (
	"bytes"
	"sync"
)

// A Transcript is a log that may be read while it is written, by anybody. Its
// zero value is empty.
type Transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String is all that was written so far.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
