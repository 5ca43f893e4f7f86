package egress

import (
	"net/url"
	"time"
)

// BufferOf is how large the buffer is in which a request with so many bytes of
// body waits, when others before it have left theirs.
func BufferOf(body int) (size int) {
	for range 100 {
		b := takeBuffer(body)
		size = max(size, cap(b.b))
		b.b = append(b.b[:0], make([]byte, body)...)
		b.release()
	}
	return size
}

// TakeForHTTP1 opens the short road to an https host that has not been asked.
func (c *Client) TakeForHTTP1(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	to, _ := originOf(u)
	c.http1.add(to.address)
	return nil
}

// HasShortRoad reports whether the next attempt to the host takes it.
func (c *Client) HasShortRoad(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	to, usual := originOf(u)
	return usual && c.hasShort(to)
}

// Idle is the number of pooled connections of the short road.
func (c *Client) Idle() int {
	c.idle.mu.Lock()
	defer c.idle.mu.Unlock()
	return c.idle.all.Len()
}

// BoundIdle sets the bounds of the pool of the short road.
func (c *Client) BoundIdle(most, mostEach int, timeout time.Duration) {
	c.idle = newPool(most, mostEach, timeout)
}
