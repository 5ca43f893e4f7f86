package egress

import (
	"sync"
	"time"
)

const (
	maxVersions = 8192 // hosts, of about 100 bytes each
	// How long a host is taken for one of HTTP/1.1; then it may choose anew.
	versionTime = time.Hour
)

// versions remembers the https hosts that chose HTTP/1.1, by "host:port".
type versions struct {
	mu    sync.RWMutex
	until map[string]time.Time
}

func newVersions() *versions { return &versions{until: map[string]time.Time{}} }

func (v *versions) has(address string) bool {
	v.mu.RLock()
	until, ok := v.until[address]
	v.mu.RUnlock()
	return ok && time.Now().Before(until)
}

func (v *versions) add(address string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.until) >= maxVersions {
		for other := range v.until { // any: it will be asked again
			delete(v.until, other)
			break
		}
	}
	v.until[address] = time.Now().Add(versionTime)
}

func (v *versions) remove(address string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.until, address)
}
