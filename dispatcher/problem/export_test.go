package problem

import (
	"maps"
	"slices"
)

// Names is the closed list, sorted.
func Names() []Name { return slices.Sorted(maps.Keys(kinds)) }
