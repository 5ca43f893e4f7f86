package deliver

import (
	"slices"
	"sync"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/route"
)

// A parcel is an event as it is sent. Its id and each of its drafts are made
// once, however many routes it goes to, and not before the first attempt.
type parcel struct {
	event *event.Event

	mu     sync.Mutex
	id     string // the webhook-id, empty until it is asked for
	drafts []draft
	one    [1]draft // where the first of drafts is kept

	flight  sync.Mutex // a lane may wait for it, and not for mu: drafts are rendered under that
	sharing int        // attempts under way whose body is a draft
	charged []charge   // once for those, and for each other attempt
	once    [1]charge  // where the first of charged is kept
}

// A charge is so many bytes of room, and what they were taken from.
type charge struct {
	of    *portion
	bytes int
}

// A draft is an event in one shape, of which the bodies of many routes are made.
type draft struct {
	shape payload.Shape
	bytes []byte
	err   error
}

func newParcel(e *event.Event) *parcel { return &parcel{event: e} }

// overhead is about what a delivery takes in memory besides the data.
const overhead = 256

// weight is how many bytes the event takes in memory.
func (p *parcel) weight() int { return overhead + len(p.event.Data) }

// body is how many bytes the body of an attempt by e may have: XML may be much
// larger than the event. It is never more than an event may have, for which there
// is room in the smallest of processes.
func (p *parcel) body(e *route.Entry) int {
	if e.Sitecore == nil || !e.Sitecore.XML {
		return p.weight()
	}
	return overhead + min(payload.MaxXML(len(p.event.Data)), event.MaxBody)
}

// enter takes room for an attempt under way by e, if the namespace may have it.
// However many attempts share a body, it takes its room once; one that is apart
// takes room of its own.
func (p *parcel) enter(t *tenant, e *route.Entry) bool {
	p.flight.Lock()
	defer p.flight.Unlock()
	apart := isApart(e)
	if apart || p.sharing == 0 {
		bytes := p.body(e)
		room := t.room(bytes)
		if room == nil {
			return false
		}
		if p.charged == nil {
			p.charged = p.once[:0]
		}
		p.charged = append(p.charged, charge{room, bytes})
	}
	if !apart {
		p.sharing++
	}
	return true
}

// leave gives back what enter took.
func (p *parcel) leave(e *route.Entry) {
	p.flight.Lock()
	defer p.flight.Unlock()
	if !isApart(e) {
		if p.sharing--; p.sharing > 0 {
			return
		}
	}
	bytes := p.body(e)
	for i, c := range slices.Backward(p.charged) {
		if c.bytes == bytes { // whichever: those of one size are alike
			c.of.force(-bytes)
			p.charged = slices.Delete(p.charged, i, i+1)
			return
		}
	}
}

// isApart reports whether each attempt of a route has a body of its own, because
// it says what webhook it is of.
func isApart(e *route.Entry) bool { return e.Sitecore != nil }

// webhookID is what receivers know the event by.
func (p *parcel) webhookID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.identify()
}

func (p *parcel) identify() string {
	if p.id == "" {
		p.id = p.event.Key().String()
	}
	return p.id
}

// wrap renders the event in form f, of what an earlier call rendered if it can be
// had, and returns it with the webhook-id.
func (p *parcel) wrap(f *payload.Form) (id string, body []byte, err error) {
	id, d := p.draft(f)
	if d.err != nil {
		return id, nil, d.err
	}
	return id, f.Body(d.bytes), nil
}

func (p *parcel) draft(f *payload.Form) (id string, d draft) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id = p.identify()
	for _, d := range p.drafts {
		if d.shape == f.Shape {
			return id, d
		}
	}
	d.shape = f.Shape
	d.bytes, d.err = f.Draft(p.event)
	if p.drafts == nil {
		p.drafts = p.one[:0]
	}
	p.drafts = append(p.drafts, d)
	return id, d
}
