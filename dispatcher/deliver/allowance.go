package deliver

import "time"

const (
	// A lane keeps a record of so many attempts per second, and of so many at
	// once: enough to see what happens, little enough to cost nothing.
	recordRate  = 2
	recordBurst = 100
)

// An allowance says which attempts of a lane are recorded. The zero allowance
// is a full one.
type allowance struct {
	spent   float64 // of recordBurst
	at      time.Time
	skipped int // since the last one that was recorded
}

// take reports whether the attempt that begins now is recorded, and how many
// before it were not.
func (a *allowance) take(now time.Time) (recorded bool, skipped int) {
	a.spent = max(a.spent-recordRate*now.Sub(a.at).Seconds(), 0)
	a.at = now
	if a.spent > recordBurst-1 {
		a.skipped++
		return false, 0
	}
	a.spent++
	skipped, a.skipped = a.skipped, 0
	return true, skipped
}
