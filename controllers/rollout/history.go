package rollout

import "slices"

// maxHistory bounds how many published tables are remembered. A dispatcher
// that is further behind is simply not up to date.
const maxHistory = 256

// history numbers the tables in the order of their publication, from 1.
type history struct {
	digests []string // the newest last
	last    uint64   // the number of the newest
}

// publish returns the number of the table with the digest, a new one unless it
// is the newest already.
func (h *history) publish(digest string) uint64 {
	if n := len(h.digests); n > 0 && h.digests[n-1] == digest {
		return h.last
	}
	if len(h.digests) == maxHistory {
		h.digests = append(h.digests[:0], h.digests[1:]...)
	}
	h.digests = append(h.digests, digest)
	h.last++
	return h.last
}

// number returns the newest number of the table with the digest, 0 when it is
// not remembered. The newest counts: equal digests are equal tables.
func (h *history) number(digest string) uint64 {
	for i, d := range slices.Backward(h.digests) {
		if d == digest {
			return h.last - uint64(len(h.digests)-1-i)
		}
	}
	return 0
}
