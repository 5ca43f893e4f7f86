package source

import "github.com/postrider/postrider/dispatcher/route"

// incomplete stands for every hold but those of [disabled]: the spec or
// something that it refers to is wrong. Which, is said on the object.
const incomplete = "Incomplete"

// disabled are the holds of routes that are complete.
var disabled = []string{"SpecDisabled", "ConsecutiveFailures", "ReceiverGone"}

// countHeld shows how many of the routes are held, by why.
func (k *Keeper) countHeld(entries []*route.Entry) {
	count := map[string]int{incomplete: 0}
	for _, hold := range disabled {
		count[hold] = 0
	}
	for _, e := range entries {
		hold := e.Hold
		if hold == "" {
			continue
		}
		if _, known := count[hold]; !known {
			hold = incomplete
		}
		count[hold]++
	}
	for hold, n := range count {
		k.held.WithLabelValues(hold).Set(float64(n))
	}
}
