package eventually

import (
	"testing/synctest"
	"time"
)

// After returns when d has passed in the bubble of a test, where no time is spent
// on it, and nobody else there has anything left to do.
func After(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
