package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxPage bounds the messages of one page.
	maxPage = 1000
	// maxPageBytes bounds one page: beyond it a page has fewer messages than
	// were asked for, though never none.
	maxPageBytes = 8 << 20

	// stepMessages and stepBytes bound one request to the store; the message
	// that passes the bytes still comes.
	stepMessages = 256
	stepBytes    = 4 << 20

	// readTimeout ends a request whose answer does not come.
	readTimeout = 10 * time.Second
)

// A shelf is what a stream holds under one subject. It is read by direct gets,
// several messages to a request (NATS ADR-31): that needs no consumer, and
// whoever reads slowly holds back nobody. In a cluster any replica may answer,
// and one that lags does not know what came or went in the last moment. The
// stream has to allow them.
type shelf struct {
	js              jetstream.JetStream
	stream, subject string
}

// An item is a message on a shelf.
type item struct {
	seq    uint64
	at     time.Time // when it was stored
	header nats.Header
	data   []byte
	after  uint64 // how many follow it on the shelf
}

// A request is for a few items, oldest first, from a sequence or from a time on.
type request struct {
	Seq      uint64     `json:"seq,omitempty"`
	Since    *time.Time `json:"start_time,omitempty"`
	Subject  string     `json:"next_by_subj"`
	Messages int        `json:"batch"`
	Bytes    int        `json:"max_bytes"`
}

// read returns what r asks for: none when nothing is there.
func (s shelf) read(ctx context.Context, r request) ([]item, error) {
	items, err := s.ask(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("reading the store: %w", err)
	}
	return items, nil
}

func (s shelf) ask(ctx context.Context, r request) ([]item, error) {
	r.Subject = s.subject
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answers := make(chan *nats.Msg, r.Messages+1) // all of them: the client drops what finds no room
	nc := s.js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only where the connection is gone
	if err := nc.PublishRequest(api+"DIRECT.GET."+s.stream, inbox, body); err != nil {
		return nil, err
	}
	var items []item
	for {
		select {
		case msg := <-answers:
			if msg.Header.Get("Status") != "" {
				return items, ended(msg)
			}
			it, err := toItem(msg)
			if err != nil {
				return nil, err
			}
			items = append(items, it)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ended says how an answer ended.
func ended(msg *nats.Msg) error {
	switch status := msg.Header.Get("Status"); status {
	case statusEnd, statusNone:
		return nil
	case statusNobody:
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("%s %s", status, msg.Header.Get("Description"))
	}
}

func toItem(msg *nats.Msg) (item, error) {
	seq, err := strconv.ParseUint(msg.Header.Get("Nats-Sequence"), 10, 64)
	at, timeErr := time.Parse(time.RFC3339Nano, msg.Header.Get("Nats-Time-Stamp"))
	if err = errors.Join(err, timeErr); err != nil {
		return item{}, fmt.Errorf("an answer without its place: %w", err)
	}
	after, _ := strconv.ParseUint(msg.Header.Get("Nats-Num-Pending"), 10, 64) // only where several were asked for
	return item{seq: seq, at: at, header: msg.Header, data: msg.Data, after: after}, nil
}

// get returns the item with that sequence, and whether it is on this shelf.
func (s shelf) get(ctx context.Context, seq uint64) (item, bool, error) {
	if seq == 0 {
		return item{}, false, nil
	}
	items, err := s.read(ctx, request{Seq: seq, Messages: 1})
	if err != nil || len(items) == 0 || items[0].seq != seq {
		return item{}, false, err
	}
	return items[0], true, nil
}

// has reports whether the item with that sequence is on this shelf. It asks the
// leader: what a replica that lags says must not decide what is removed.
func (s shelf) has(ctx context.Context, seq uint64) (bool, error) {
	if seq == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var answer struct {
		Message struct {
			Subject string `json:"subject"`
		} `json:"message"`
	}
	err := ask(ctx, s.js.Conn(), &nats.Msg{Subject: api + "STREAM.MSG.GET." + s.stream, Data: fmt.Appendf(nil, `{"seq":%d}`, seq)}, &answer)
	switch {
	case hasCode(err, codeNoMessage):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading the store: %w", err)
	}
	return answer.Message.Subject == s.subject, nil
}

// end is the sequence after the last of the stream. JetStream can be asked for
// the last item under a subject, but version 2.15 finds none once those after
// it have been removed.
func (s shelf) end(ctx context.Context) (uint64, error) {
	stream, err := s.js.Stream(ctx, s.stream)
	if err != nil {
		return 0, fmt.Errorf("reading the store: %w", err)
	}
	return stream.CachedInfo().State.LastSeq + 1, nil
}

// first is the oldest item from seq on, and how many there are from there;
// zeros when there is none.
func (s shelf) first(ctx context.Context, seq uint64) (it item, count uint64, err error) {
	items, err := s.read(ctx, request{Seq: seq, Messages: 1})
	if err != nil || len(items) == 0 {
		return item{}, 0, err
	}
	return items[0], items[0].after + 1, nil
}

// upTo counts the items up to a sequence, which is counted too.
func (s shelf) upTo(ctx context.Context, last uint64) (uint64, error) {
	_, all, err := s.first(ctx, 0)
	if err != nil {
		return 0, err
	}
	_, beyond, err := s.first(ctx, last+1)
	return all - min(all, beyond), err
}

// purge removes the items up to a sequence, which goes too, and says how many
// that were.
func (s shelf) purge(ctx context.Context, last uint64) (int, error) {
	body, err := json.Marshal(map[string]any{"filter": s.subject, "seq": last + 1})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var answer struct {
		Purged int `json:"purged"`
	}
	err = ask(ctx, s.js.Conn(), &nats.Msg{Subject: api + "STREAM.PURGE." + s.stream, Data: body}, &answer)
	return answer.Purged, err
}

// each visits what there is from r on, before the sequence end, oldest first,
// until visit returns an error. It asks for r.Messages at once, if that is set.
func (s shelf) each(ctx context.Context, r request, end uint64, visit func(item) error) error {
	if r.Messages == 0 || r.Messages > stepMessages {
		r.Messages = stepMessages
	}
	r.Bytes = stepBytes
	for {
		items, err := s.read(ctx, r)
		if err != nil || len(items) == 0 {
			return err
		}
		for _, it := range items {
			if it.seq >= end {
				return nil
			}
			if err := visit(it); err != nil {
				return err
			}
		}
		r.Since, r.Seq = nil, items[len(items)-1].seq+1
	}
}

// page returns the newest items before the sequence before, or of all when that
// is 0: newest first, at most limit and about maxPageBytes. next is the before
// of the page that follows, 0 when there are no older ones.
//
// JetStream reads forward only. So the page is found by its size: how many
// items lie behind a sequence is known without reading them.
func (s shelf) page(ctx context.Context, before uint64, limit int) (page []item, next uint64, err error) {
	limit = max(1, min(limit, maxPage))
	end, err := s.end(ctx)
	if err != nil {
		return nil, 0, err
	}
	if before > 0 {
		end = min(before, end)
	}
	oldest, _, err := s.first(ctx, 0)
	if err != nil || oldest.seq == 0 {
		return nil, 0, err
	}
	// Once is enough, unless items come or go meanwhile.
	for len(page) < limit && oldest.seq < end {
		start, err := s.seek(ctx, oldest.seq, end, limit-len(page))
		if err != nil {
			return nil, 0, err
		}
		older, cut, err := s.tail(ctx, start, end, limit-len(page))
		if err != nil {
			return nil, 0, err
		}
		page = append(page, older...)
		if cut {
			return page, page[len(page)-1].seq, nil
		}
		end = start
	}
	if oldest.seq < end {
		return page, end, nil
	}
	return page, 0, nil
}

// seek returns a sequence from which on, before end, there are at least want
// items and at most twice as many; or oldest, where there are not so many. Its
// first guess is that they lie evenly, then it halves.
func (s shelf) seek(ctx context.Context, oldest, end uint64, want int) (uint64, error) {
	_, all, err := s.first(ctx, oldest)
	if err != nil {
		return 0, err
	}
	_, beyond, err := s.first(ctx, end)
	if err != nil {
		return 0, err
	}
	few, many := uint64(want), 2*uint64(want)
	n := all - min(all, beyond)
	if n <= many {
		return oldest, nil
	}
	low, high := oldest, end // from low on there are too many, from high on too few
	at := end - uint64(float64(end-oldest)*1.5*float64(want)/float64(n))
	for high-low > 1 {
		if at <= low || at >= high {
			at = low + (high-low)/2
		}
		_, count, err := s.first(ctx, at)
		if err != nil {
			return 0, err
		}
		switch n := count - min(count, beyond); {
		case n > many:
			low = at
		case n >= few:
			return at, nil
		default:
			high = at
		}
		at = low + (high-low)/2
	}
	return low, nil
}

// tail returns the newest of the items from start on, before end: newest first,
// at most limit and about maxPageBytes. cut says that older ones were left out.
func (s shelf) tail(ctx context.Context, start, end uint64, limit int) (newest []item, cut bool, err error) {
	size := 0
	err = s.each(ctx, request{Seq: start, Messages: 2 * limit}, end, func(it item) error {
		newest, size = append(newest, it), size+len(it.data)
		for len(newest) > limit || size > maxPageBytes && len(newest) > 1 {
			size -= len(newest[0].data)
			newest[0] = item{}
			newest, cut = newest[1:], true
		}
		return nil
	})
	slices.Reverse(newest)
	return newest, cut, err
}
