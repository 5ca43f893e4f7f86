package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxEvents bounds the patterns of one route.
const MaxEvents = 64

// maxPattern bounds one pattern, in bytes: as long as the longest event type.
const maxPattern = 255

// A pattern selects event types: an exact type, or a glob in which "*" stands
// for any run of characters, the empty one included.
type pattern string

func (p pattern) isGlob() bool { return strings.Contains(string(p), "*") }

// prefix is what every type that p selects begins with.
func (p pattern) prefix() string {
	head, _, _ := strings.Cut(string(p), "*")
	return head
}

// matches compares in time proportional to len(p)·len(eventType) at worst, and
// allocates nothing.
func (p pattern) matches(eventType string) bool {
	pat, typ := string(p), eventType
	back, resume := -1, 0 // where to go on when the literal after the last "*" does not fit
	i, j := 0, 0
	for j < len(typ) {
		switch {
		case i < len(pat) && pat[i] == '*':
			back, resume = i, j
			i++
		case i < len(pat) && pat[i] == typ[j]:
			i++
			j++
		case back >= 0:
			resume++
			i, j = back+1, resume
		default:
			return false
		}
	}
	for i < len(pat) && pat[i] == '*' {
		i++
	}
	return i == len(pat)
}

// Selects reports whether one of the patterns, which have passed [CheckEvents],
// selects eventType.
func Selects(patterns []string, eventType string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return pattern(p).matches(eventType) })
}

// CheckEvents reports the first mistake in the patterns of a route.
func CheckEvents(events []string) error {
	if len(events) > MaxEvents {
		return fmt.Errorf("%d patterns are too many, the limit is %d; use globs such as \"item:*\"", len(events), MaxEvents)
	}
	for i, e := range events {
		switch {
		case e == "":
			return fmt.Errorf("pattern %d is empty; name an event type, or use \"*\" for every type", i)
		case len(e) > maxPattern:
			return fmt.Errorf("pattern %d has %d bytes, the limit is %d", i, len(e), maxPattern)
		case strings.ContainsFunc(e, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return errors.New("pattern " + fmt.Sprintf("%q", e) + " contains a space or a control character")
		}
	}
	return nil
}
