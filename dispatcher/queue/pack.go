package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unique"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
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

// appendDeferral appends the stored form of d: its numbers, its key if it has
// one (8 bytes, big endian), its route, its event. The numbers are uvarints: the
// attempts with the flags above them, the sequence, the length of the route. When
// it is due is not in it.
func appendDeferral(b []byte, d *deliver.Deferral) []byte {
	first := uint64(min(d.Attempts, maxAttempts))
	if d.Key != 0 {
		first |= flagKey
	}
	if d.Unchecked {
		first |= flagUnchecked
	}
	b = binary.AppendUvarint(b, first)
	b = binary.AppendUvarint(b, d.Seq)
	b = binary.AppendUvarint(b, uint64(len(d.Route)))
	if d.Key != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(d.Key))
	}
	b = append(b, d.Route...)
	return d.Event.Append(b)
}

// maxAttempts bounds what is believed of a stored count. The flags are in the
// bits above it, which earlier versions leave 0, and refuse when they are not.
const (
	maxAttempts = 1 << 20

	flagKey, flagUnchecked = 1 << 21, 1 << 22
)

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
		d := deliver.Deferral{Seq: numbers[1], Unchecked: numbers[0]&flagUnchecked != 0}
		if numbers[0]&flagKey != 0 {
			if len(pack) < 8 {
				return nil, errCorrupt
			}
			d.Key, pack = route.Key(binary.BigEndian.Uint64(pack)), pack[8:]
			if d.Key == 0 {
				return nil, errCorrupt
			}
		}
		attempts := numbers[0] &^ (flagKey | flagUnchecked)
		if attempts > maxAttempts || numbers[2] > uint64(len(pack)) {
			return nil, errCorrupt
		}
		d.Attempts, d.Route = int(attempts), string(pack[:numbers[2]])
		if len(ds) > 0 && ds[len(ds)-1].Route == d.Route {
			d.Route = ds[len(ds)-1].Route // rather than one copy each
		}
		var err error
		if d.Event, pack, err = event.Decode(pack[numbers[2]:]); err != nil {
			return nil, fmt.Errorf("a delivery of %s: %w", d.Route, err)
		}
		ds = append(ds, d)
	}
	return ds, nil
}

// A tally says how many deliveries there are, and how many bytes they take.
type tally struct{ count, bytes int }

// tallies are those of a pack, by queue.
type tallies map[deliver.QueueID]tally

func (t tallies) add(id deliver.QueueID, more tally) {
	old := t[id]
	t[id] = tally{old.count + more.count, old.bytes + more.bytes}
}

// headerOwed holds the tallies of a parked pack, so that what is parked is
// counted without reading it: "ns/name 3 1234,ns/other#00000000000000ff 1 99".
const headerOwed = "Postrider-Owed"

// tallySize bounds what one tally adds to the header.
func tallySize(id deliver.QueueID) int {
	return len(id.Route) + len("#00000000000000ff 1048576 8388608,")
}

func (t tallies) String() string {
	var b strings.Builder
	for id, n := range t {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(id.Route)
		if id.Key != 0 {
			fmt.Fprintf(&b, "#%016x", uint64(id.Key))
		}
		fmt.Fprintf(&b, " %d %d", n.count, n.bytes)
	}
	return b.String()
}

// parseTallies reads what [tallies.String] wrote. What is not of that form
// counts for nothing: it is looked at when the pack comes due.
func parseTallies(header string) tallies {
	t := tallies{}
	for part := range strings.SplitSeq(header, ",") {
		name, numbers, _ := strings.Cut(part, " ")
		first, second, _ := strings.Cut(numbers, " ")
		count, err1 := strconv.Atoi(first)
		bytes, err2 := strconv.Atoi(second)
		id, ok := parseQueueID(name)
		if ok && err1 == nil && err2 == nil && count > 0 && bytes >= 0 {
			t.add(id, tally{count, bytes})
		}
	}
	return t
}

func parseQueueID(name string) (id deliver.QueueID, ok bool) {
	name, digits, keyed := strings.Cut(name, "#")
	if keyed {
		if id.Key, ok = parseKey(digits); !ok {
			return deliver.QueueID{}, false
		}
	}
	id.Route = unique.Make(name).Value() // else it would keep the header in memory
	return id, name != ""
}
