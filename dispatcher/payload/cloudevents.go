package payload

import (
	"errors"
	"fmt"
	"unicode/utf8"

	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/postrider/postrider/dispatcher/event"
)

// cloudEvent is CloudEvents 1.0 in the JSON format, structured mode
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
// It has the attributes that the event came with and no others. The values of
// extensions are strings, for their type is not kept.
func cloudEvent(e *event.Event) ([]byte, error) {
	attributes, err := cloudEventAttributes(e)
	if err != nil {
		return nil, fmt.Errorf("the event is not a CloudEvent: %w", err)
	}
	body, err := ce.Event{Context: attributes}.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding the attributes: %w", err)
	}
	if !utf8.Valid(body) { // the SDK copies strings as they are
		return nil, errors.New("an attribute is not UTF-8")
	}
	if len(e.Data) == 0 {
		return body, nil
	}
	// The data is added here, for the SDK writes that of a type that ends in
	// "+json" as a string, against section 3.1.1 of the format.
	body[len(body)-1] = ','
	if body, err = appendData(body, e); err != nil {
		return nil, err
	}
	return append(body, '}'), nil
}

// cloudEventAttributes fills the fields of the SDK's context and not its
// setters, which would trim what the producer chose.
func cloudEventAttributes(e *event.Event) (*ce.EventContextV1, error) {
	source := types.ParseURIRef(e.Source)
	if source == nil {
		return nil, errors.New("its source is not a URI reference")
	}
	out := &ce.EventContextV1{ID: e.ID, Source: *source, Type: e.Type}
	if e.Subject != "" {
		out.Subject = &e.Subject
	}
	if !e.Time.IsZero() {
		out.Time = &types.Timestamp{Time: e.Time}
	}
	if e.ContentType != "" {
		out.DataContentType = &e.ContentType
	}
	if e.Schema != "" {
		if out.DataSchema = types.ParseURI(e.Schema); out.DataSchema == nil {
			return nil, errors.New("its dataschema is not a URI")
		}
	}
	for name, value := range e.Extensions {
		if err := out.SetExtension(name, value); err != nil {
			return nil, err
		}
	}
	if err := out.Validate(); err != nil {
		return nil, err
	}
	return out, nil
}
