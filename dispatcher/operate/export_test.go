package operate

import "time"

// ReadCursor returns the cursor of text as it would be written, if it is one.
func ReadCursor(text string) (string, bool) {
	c, ok := parseCursor(text)
	return c.String(), ok
}

// ReadReplay reads body as the order of a replay, and returns the limit and the
// number of patterns of what would be done.
func ReadReplay(body []byte, now time.Time) (limit, types int, err error) {
	var order replayOrder
	if err := decodeOrder(body, &order); err != nil {
		return 0, 0, err
	}
	s, err := order.selection(now)
	return s.limit, len(s.types), err
}
