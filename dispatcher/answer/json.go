package answer

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/postrider/postrider/dispatcher/event"
)

func readJSON(body []byte) (Verdict, error) {
	if !event.ValidJSON(body) {
		return Verdict{}, errJSON
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return Verdict{}, errObject
	}
	var d draft
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return Verdict{}, errJSON
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return Verdict{}, errJSON
		}
		if err := d.member(name, value); err != nil {
			return Verdict{}, err
		}
	}
	return d.finish()
}

// member takes a member of a JSON object.
func (d *draft) member(name json.Token, value json.RawMessage) error {
	text, _ := name.(string) // in valid JSON, a name is a string
	switch {
	case strings.EqualFold(text, "IsValid"):
		switch string(value) {
		case "true":
			return d.decide(true)
		case "false":
			return d.decide(false)
		default:
			return errIsValid
		}
	case strings.EqualFold(text, "Message"):
		var message *string
		if err := json.Unmarshal(value, &message); err != nil {
			return errMessage
		}
		if message == nil {
			message = new(string)
		}
		return d.tell(*message)
	}
	return nil
}
