package queue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

// A pack is one stored message: events, or deferrals, one after the other.

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

func appendDeferral(b []byte, d deliver.Deferral) []byte {
	b = binary.AppendUvarint(b, uint64(d.Attempts))
	b = binary.AppendUvarint(b, uint64(len(d.Route)))
	b = append(b, d.Route...)
	return d.Event.Append(b)
}

var errCorrupt = errors.New("not a pack of deferrals")

func decodeDeferrals(pack []byte) ([]deliver.Deferral, error) {
	var ds []deliver.Deferral
	for len(pack) > 0 {
		attempts, n := binary.Uvarint(pack)
		if n <= 0 || attempts > 1<<20 {
			return nil, errCorrupt
		}
		pack = pack[n:]
		length, n := binary.Uvarint(pack)
		if n <= 0 || length > uint64(len(pack)-n) {
			return nil, errCorrupt
		}
		route := string(pack[n : n+int(length)])
		e, rest, err := event.Decode(pack[n+int(length):])
		if err != nil {
			return nil, fmt.Errorf("a deferral of %s: %w", route, err)
		}
		ds, pack = append(ds, deliver.Deferral{Route: route, Attempts: int(attempts), Event: e}), rest
	}
	return ds, nil
}
