package deliver

import (
	"sync"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/route"
)

// A parcel is an event as it is sent. Its id and each of its bodies are made
// once, however many routes it goes to, and not before the first attempt.
type parcel struct {
	event *event.Event

	mu     sync.Mutex
	id     string // the webhook-id, empty until it is asked for
	bodies []body
	one    [1]body // where the first of bodies is kept

	flight   sync.Mutex // a lane may wait for it, and not for mu: bodies are rendered under that
	underWay int        // attempts
	charged  *portion   // what the room for them was taken from, nil while there are none
}

// A body is an event in one format.
type body struct {
	format      route.Format
	bytes       []byte
	contentType string
	err         error
}

func newParcel(e *event.Event) *parcel { return &parcel{event: e} }

// overhead is about what a delivery takes in memory besides the data.
const overhead = 256

// weight is how many bytes the event takes in memory.
func (p *parcel) weight() int { return overhead + len(p.event.Data) }

// enter takes room for an attempt under way, if the namespace may have it.
// However many attempts are made of an event at once, it takes its room once.
func (p *parcel) enter(t *tenant) bool {
	p.flight.Lock()
	defer p.flight.Unlock()
	if p.underWay == 0 {
		if p.charged = t.room(p.weight()); p.charged == nil {
			return false
		}
	}
	p.underWay++
	return true
}

// leave gives back what enter took.
func (p *parcel) leave() {
	p.flight.Lock()
	defer p.flight.Unlock()
	if p.underWay--; p.underWay == 0 {
		p.charged.force(-p.weight())
		p.charged = nil
	}
}

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

// wrap renders the event in format f, or returns what an earlier call rendered,
// and the webhook-id.
func (p *parcel) wrap(f route.Format) (id string, b body) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id = p.identify()
	for _, b := range p.bodies {
		if b.format == f {
			return id, b
		}
	}
	b.format = f
	b.bytes, b.contentType, b.err = payload.Render(f, p.event)
	if p.bodies == nil {
		p.bodies = p.one[:0]
	}
	p.bodies = append(p.bodies, b)
	return id, b
}
