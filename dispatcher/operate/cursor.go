package operate

import (
	"strconv"
	"strings"
	"time"
)

// A position is where a replay stands in the history: everything in messages
// before seq is done, and the first done events of seq itself.
type position struct {
	seq  uint64
	done int
}

// A cursor is what a caller goes on with: a position, and the end of the time
// range, so that "until now" means the same now in every call.
type cursor struct {
	position
	to time.Time
}

// String is the cursor for the caller: opaque, but easy to look at.
func (c cursor) String() string {
	return formatNumber(c.seq) + "-" + strconv.Itoa(c.done) + "-" + strconv.FormatInt(c.to.UnixNano(), 10)
}

// parseCursor reads what [cursor.String] wrote.
func parseCursor(text string) (cursor, bool) {
	parts := strings.Split(text, "-")
	if len(parts) != 3 {
		return cursor{}, false
	}
	seq, seqErr := strconv.ParseUint(parts[0], 10, 64)
	done, doneErr := strconv.ParseUint(parts[1], 10, 31)
	to, toErr := strconv.ParseInt(parts[2], 10, 64)
	c := cursor{position{seq, int(done)}, time.Unix(0, to).UTC()} //nolint:gosec // done has 31 bits
	return c, seqErr == nil && doneErr == nil && toErr == nil && seq > 0 && c.String() == text
}
