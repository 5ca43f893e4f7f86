package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

// A pack is one stored message: events, or deliveries, one after the other.

func decodeEvents(pack []byte) ([]*event.Event, error) {
	var events []*event.Event
	for len(pack) > 0 {
		e, rest, err := event.Decode(pack)
		if err != nil {
			return nil, err
		}
		events, pack = append(events, e), rest
	}
	return events, nil
}

// appendDeferral appends the stored form of d: its numbers, its route with the
// length before it, its event. When it is due is not in it.
func appendDeferral(b []byte, d *deliver.Deferral) []byte {
	b = binary.AppendUvarint(b, uint64(d.Attempts))
	b = binary.AppendUvarint(b, d.Seq)
	b = binary.AppendUvarint(b, uint64(len(d.Route)))
	b = append(b, d.Route...)
	return d.Event.Append(b)
}

// maxAttempts bounds what is believed of a stored count.
const maxAttempts = 1 << 20

var errCorrupt = errors.New("not a pack of deliveries")

func decodeDeferrals(pack []byte) ([]deliver.Deferral, error) {
	var ds []deliver.Deferral
	for len(pack) > 0 {
		var numbers [3]uint64 // attempts, sequence, length of the route
		for i := range numbers {
			v, n := binary.Uvarint(pack)
			if n <= 0 {
				return nil, errCorrupt
			}
			numbers[i], pack = v, pack[n:]
		}
		if numbers[0] > maxAttempts || numbers[2] > uint64(len(pack)) {
			return nil, errCorrupt
		}
		route := string(pack[:numbers[2]])
		if len(ds) > 0 && ds[len(ds)-1].Route == route {
			route = ds[len(ds)-1].Route // rather than one copy each
		}
		e, rest, err := event.Decode(pack[numbers[2]:])
		if err != nil {
			return nil, fmt.Errorf("a delivery of %s: %w", route, err)
		}
		d := deliver.Deferral{Route: route, Attempts: int(numbers[0]), Seq: numbers[1], Event: e}
		ds, pack = append(ds, d), rest
	}
	return ds, nil
}

// A tally says how many deliveries there are, and how many bytes they take.
type tally struct{ count, bytes int }

// tallies are those of a pack, by route.
type tallies map[string]tally

func (t tallies) add(route string, more tally) {
	old := t[route]
	t[route] = tally{old.count + more.count, old.bytes + more.bytes}
}

// headerOwed holds the tallies of a parked pack, so that what is parked is
// counted without reading it: "ns/name 3 1234,ns/other 1 99".
const headerOwed = "Postrider-Owed"

// tallySize bounds what one tally adds to the header.
func tallySize(route string) int { return len(route) + len(" 1048576 8388608,") }

func (t tallies) String() string {
	var b strings.Builder
	for route, n := range t {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s %d %d", route, n.count, n.bytes)
	}
	return b.String()
}

// parseTallies reads what [tallies.String] wrote. What is not of that form
// counts for nothing: it is looked at when the pack comes due.
func parseTallies(header string, visit func(route string, n tally)) {
	for part := range strings.SplitSeq(header, ",") {
		route, numbers, _ := strings.Cut(part, " ")
		first, second, _ := strings.Cut(numbers, " ")
		count, err1 := strconv.Atoi(first)
		bytes, err2 := strconv.Atoi(second)
		if err1 == nil && err2 == nil && route != "" && count > 0 && bytes >= 0 {
			visit(route, tally{count, bytes})
		}
	}
}
