package match

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/sitecore"
)

// The media types of what a file holds.
const (
	mediaPlain      = "application/json"
	mediaStructured = "application/cloudevents+json"
	mediaBatch      = "application/cloudevents-batch+json"
)

// MediaType says in which of the forms that a dispatcher takes a JSON text is: a
// CloudEvent, a batch of them, or a plain event.
func MediaType(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) > 0 && body[0] == '[' {
		return mediaBatch
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil && members["specversion"] != nil {
		return mediaStructured
	}
	return mediaPlain
}

// Read reads events as the dispatcher does. Its errors say what to correct.
func Read(namespace, mediaType string, body []byte, now time.Time) ([]event.Event, error) {
	return event.Read(http.Header{"Content-Type": {mediaType}}, bytes.Clone(body), namespace, now)
}

// Refusal is why a dispatcher with its usual flags would not take e, nil when it would.
func Refusal(e *event.Event) error {
	if e.Type == sitecore.WorkflowCommand {
		return errCommand
	}
	return sitecore.Check(e)
}

var errCommand = errors.New("events of type workflow:command are made of workflow commands, which applications post to …/workflow-commands; producers cannot post them")
