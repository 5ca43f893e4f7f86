package payload

import (
	"bytes"
	"encoding/base64"
	"errors"
	"unicode/utf8"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sitecore"
)

// sitecoreForm is what the webhooks of Sitecore XM and XM Cloud send. Of an event:
//
//	{"EventName":"item:added","Item":{...},"WebhookItemId":"95398c44-...","WebhookItemName":"..."}
//
// To a workflow action:
//
//	{"ActionID":"2f00a4eb-...","ActionName":"...","Comments":[],"DataItem":{...},...,"WebhookItemId":"2f00a4eb-...","WebhookItemName":"..."}
//
// XML has the same members as elements, see [appendXML].
func sitecoreForm(s *route.Sitecore) *Form {
	f := &Form{
		Shape:       Shape{format: route.FormatSitecore, xml: s.XML, action: s.Action, last: s.AtState},
		contentType: "application/json; charset=utf-8",
		render:      sitecoreEvent,
	}
	if s.Action {
		f.render = func(e *event.Event) ([]byte, error) { return sitecoreAction(e, s.AtState) }
	}
	item := pair("WebhookItemId", s.ItemID, "WebhookItemName", s.ItemName)
	action := pair("ActionID", s.ItemID, "ActionName", s.ItemName)
	if s.XML {
		f.inXML(action, item, s.Action)
		return f
	}
	f.head, f.tail = "{", string(item)+"}"
	if s.Action {
		f.head += string(action[1:])
	}
	return f
}

// inXML makes f one in XML. Its draft is made of the one in JSON.
func (f *Form) inXML(action, item []byte, isAction bool) {
	f.contentType = "application/xml; charset=utf-8"
	root, inJSON := "event", f.render
	if isAction {
		root = "data"
		f.head = string(mustXML(action))
	}
	f.head = "<" + root + ">" + f.head
	f.tail = string(mustXML(item)) + "</" + root + ">"
	f.render = func(e *event.Event) ([]byte, error) {
		draft, err := inJSON(e)
		if err != nil {
			return nil, err
		}
		return appendXML(make([]byte, 0, len(draft)+len(draft)/4), draft, MaxXML(len(e.Data)))
	}
}

// pair is two members with strings, each with a comma before it.
func pair(name, value, name2, value2 string) []byte {
	b := appendString(append(append([]byte(`,"`), name...), `":`...), value)
	return appendString(append(append(append(b, `,"`...), name2...), `":`...), value2)
}

// sitecoreEvent makes the draft of what an event handler gets, without braces. The
// first member follows no comma, the tail begins with one.
func sitecoreEvent(e *event.Event) ([]byte, error) {
	draft := make([]byte, 0, len(e.Data)+len(e.Data)/8+len(e.Type)+64)
	draft = appendString(append(draft, `"EventName":`...), e.Type)
	object, err := objectOf(e)
	switch {
	case err != nil:
		return nil, err
	case object != nil:
		return sitecore.AppendEvent(draft, e.Type, object), nil
	case len(e.Data) == 0:
		return draft, nil
	case e.IsJSON():
		return sitecore.AppendValue(append(draft, `,"Data":`...), bytes.TrimSpace(e.Data)), nil
	case isText(e.ContentType) && utf8.Valid(e.Data):
		return appendString(append(draft, `,"Data":`...), string(e.Data)), nil
	default:
		draft = base64.StdEncoding.AppendEncode(append(draft, `,"DataBase64":"`...), e.Data)
		return append(draft, '"'), nil
	}
}

// sitecoreAction makes the draft of what a workflow action gets. Each member has a
// comma before it. An event that is no workflow command, as a test may be, has none
// of what a command has.
func sitecoreAction(e *event.Event, atState bool) ([]byte, error) {
	object, err := objectOf(e)
	if err != nil {
		return nil, err
	}
	if object == nil {
		object = []byte("{}")
	}
	return sitecore.AppendAction(make([]byte, 0, len(e.Data)+256), object, atState), nil
}

// objectOf returns the data of e if it is a JSON object, nil if it is something else.
func objectOf(e *event.Event) ([]byte, error) {
	if len(e.Data) == 0 || !e.IsJSON() {
		return nil, nil
	}
	// As in appendData: ingest has checked it, and what is not JSON would be signed.
	if !event.ValidJSON(e.Data) {
		return nil, errors.New("the data is declared as JSON and is not")
	}
	data := bytes.TrimSpace(e.Data)
	if data[0] != '{' {
		return nil, nil
	}
	return data, nil
}
