package queue

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const (
	// headerPack names a pack of events within the handover.
	headerPack = "Postrider-Pack"
	// maxHandover bounds the handover, in bytes. Usually packs stay in it for
	// some milliseconds, and longer while the consumer is held back.
	maxHandover = 8 << 20
)

// A handover keeps packs of events from before they are stored until the
// consumer comes to them. Where one dispatcher has the store to itself, the
// consumer brings their headers only: what is in memory already need not be
// read, sent and copied once more. It is no part of what makes them durable:
// what is not in it is read from the store.
type handover struct {
	mu    sync.Mutex
	packs map[string][]byte
	bytes int
}

// put keeps the pack of msg, if there is room, until it is taken.
func (h *handover) put(msg *nats.Msg) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes+len(msg.Data) > maxHandover {
		return
	}
	if h.packs == nil {
		h.packs = map[string][]byte{}
	}
	name := nuid.Next()
	msg.Header.Set(headerPack, name)
	h.packs[name] = msg.Data
	h.bytes += len(msg.Data)
}

// take returns the pack of msg and keeps it no longer; nil when it was not there.
func (h *handover) take(msg *nats.Msg) []byte {
	name := msg.Header.Get(headerPack)
	if name == "" {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	pack := h.packs[name]
	delete(h.packs, name)
	h.bytes -= len(pack)
	return pack
}

// packOf returns the pack of events that msg brings or, see [handover], stands for.
func (q *Queue) packOf(seq uint64, msg *nats.Msg) ([]byte, error) {
	if !q.opts.Exclusive {
		return msg.Data, nil
	}
	if pack := q.fresh.take(msg); pack != nil {
		return pack, nil
	}
	ctx, cancel := context.WithTimeout(q.works, publishTimeout)
	defer cancel()
	stored, err := q.events.GetMsg(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("reading pack %d: %w", seq, err)
	}
	return stored.Data, nil
}
