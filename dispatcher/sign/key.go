package sign

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
)

const redacted = "[redacted]"

// Key is a signing key. It prints, logs and marshals as "[redacted]"; the only
// way to its bytes is inside this package. They are in a variable of a function
// because fmt calls no method on an unexported field and, with a verb that does
// not fit, follows a pointer there.
type Key struct{ reveal func() []byte }

// NewKey copies b into a Key.
func NewKey(b []byte) Key {
	b = slices.Clone(b)
	return Key{func() []byte { return b }}
}

// String redacts.
func (Key) String() string { return redacted }

// Format redacts, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt offers no way to report a failed write

// LogValue redacts.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, for JSON too.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
