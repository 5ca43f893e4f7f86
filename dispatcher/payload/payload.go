// Package payload makes the body that a receiver gets. Each format has a file;
// to add one, write its file and its golden files and name it in the table.
package payload

import (
	"fmt"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// A format renders an event. What it returns is nobody else's.
type format struct {
	contentType string
	render      func(*event.Event) ([]byte, error)
}

var formats = map[route.Format]format{
	route.FormatStandard:    {"application/json", standard},
	route.FormatCloudEvents: {"application/cloudevents+json", cloudEvent},
}

// Render makes the body of e in format f, and its content type. The empty
// format is [route.FormatStandard]. It fails for a format that it does not know
// and for an event that ingest would not have accepted, so for events and
// routes of this version it does not fail.
//
// The body depends on its arguments alone: render once, and sign and send it
// many times.
func Render(f route.Format, e *event.Event) (body []byte, contentType string, err error) {
	if f == "" {
		f = route.FormatStandard
	}
	chosen, ok := formats[f]
	if !ok {
		return nil, "", fmt.Errorf("the payload format %q is unknown", f)
	}
	body, err = chosen.render(e)
	if err != nil {
		return nil, "", fmt.Errorf("rendering the event as %s: %w", f, err)
	}
	return body, chosen.contentType, nil
}
