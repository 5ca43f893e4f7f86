package deliver

import (
	"sync"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/route"
)

// A parcel is an event as it is sent. Its id and each of its bodies are made
// once, however many routes it goes to.
type parcel struct {
	event *event.Event
	id    string // the webhook-id

	mu     sync.Mutex
	bodies map[route.Format]body
}

type body struct {
	bytes       []byte
	contentType string
	err         error
}

func newParcel(e *event.Event) *parcel {
	return &parcel{event: e, id: e.Key().String()}
}

// body renders the event in format f, or returns what an earlier call rendered.
func (p *parcel) body(f route.Format) body {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.bodies[f]; ok {
		return b
	}
	var b body
	b.bytes, b.contentType, b.err = payload.Render(f, p.event)
	if p.bodies == nil {
		p.bodies = make(map[route.Format]body, 1)
	}
	p.bodies[f] = b
	return b
}
