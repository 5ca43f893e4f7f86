// Package payload makes the body that a receiver gets. Each format has a file;
// to add one, write its file and its golden files and name it in [NewForm].
package payload

import (
	"fmt"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// A Form is how the bodies of one route are written. It is made once per table.
//
// A body is a draft, which is the same for all forms of one [Shape], between what
// the form says of its own webhook.
type Form struct {
	Shape Shape

	contentType string
	render      func(*event.Event) ([]byte, error)
	head, tail  string
}

// A Shape is what a draft depends on besides the event. Shapes can be compared.
type Shape struct {
	format       route.Format
	xml          bool
	action, last bool // of a workflow, and at a state that is not left
}

// NewForm makes the form of the bodies that r sends. The empty format is
// [route.FormatStandard]. It fails for a format that it does not know.
func NewForm(r *route.Route) (*Form, error) {
	switch r.Format {
	case "", route.FormatStandard:
		return &Form{Shape: Shape{format: route.FormatStandard}, contentType: "application/json", render: standard}, nil
	case route.FormatCloudEvents:
		return &Form{Shape: Shape{format: r.Format}, contentType: "application/cloudevents+json", render: cloudEvent}, nil
	case route.FormatSitecore:
		if r.Sitecore == nil {
			return nil, fmt.Errorf("the payload format %q lacks what it says of the webhook", r.Format)
		}
		return sitecoreForm(r.Sitecore), nil
	default:
		return nil, fmt.Errorf("the payload format %q is unknown", r.Format)
	}
}

// ContentType is that of all bodies.
func (f *Form) ContentType() string { return f.contentType }

// Draft makes the draft of e. It fails for an event that ingest would not have
// accepted, and with [ErrLarge] for one of which XML would be very large.
func (f *Form) Draft(e *event.Event) ([]byte, error) {
	draft, err := f.render(e)
	if err != nil {
		return nil, fmt.Errorf("rendering the event as %s: %w", f.Shape.format, err)
	}
	return draft, nil
}

// Shared reports whether the body is the draft itself.
func (f *Form) Shared() bool { return f.head == "" && f.tail == "" }

// Body makes the body of a draft of the same shape. It depends on form and draft
// alone: make it once, and sign and send it many times.
func (f *Form) Body(draft []byte) []byte {
	if f.Shared() {
		return draft
	}
	body := make([]byte, 0, len(f.head)+len(draft)+len(f.tail))
	return append(append(append(body, f.head...), draft...), f.tail...)
}

// Render makes the body that r sends of e, and its content type. It fails as
// [NewForm] and [Form.Draft] do.
func Render(r *route.Route, e *event.Event) (body []byte, contentType string, err error) {
	f, err := NewForm(r)
	if err != nil {
		return nil, "", err
	}
	draft, err := f.Draft(e)
	if err != nil {
		return nil, "", err
	}
	return f.Body(draft), f.contentType, nil
}
