package sitecore

import (
	"maps"
	"slices"
	"strings"
)

// Known reports whether Sitecore has an event of this name.
func Known(name string) bool { return catalogue[name] != nil }

// Names returns the names of Sitecore's events, in order.
func Names() []string { return slices.Sorted(maps.Keys(catalogue)) }

// slips is how many letters may be wrong in a name that was meant to be another.
const slips = 2

// candidates are the names that another may have been meant to be.
var candidates = func() (all []candidate) {
	for _, name := range append(Names(), WorkflowCommand) {
		all = append(all, candidate{name, plain(name)})
	}
	return all
}()

type candidate struct{ name, plain string }

// Nearest returns the name that was meant by one which is not known, but nearly:
// up to two letters are missing, too many or wrong, or it is written as Sitecore
// displays it, like item_saved. ok is false when the name is known, or is a name
// of its own or a glob.
func Nearest(name string) (nearest string, ok bool) {
	if dataOf(name) != nil || strings.Contains(name, "*") {
		return "", false
	}
	written := plain(name)
	least := slips + 1
	for _, c := range candidates {
		if d := distance(written, c.plain, least); d < least {
			nearest, least = c.name, d
		}
	}
	return nearest, least <= slips
}

// plain is a name without what people get wrong first.
func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", ":")) }

// distance is how many bytes have to be added, removed or changed to make b of a
// (Levenshtein), or at least enough.
func distance(a, b string, enough int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= enough {
		return enough
	}
	row := make([]int, len(b)+1) // of a's prefix to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return min(row[len(b)], enough)
}
