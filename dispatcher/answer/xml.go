package answer

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// readXML reads an answer in XML. Entities are those that XML itself has, and
// there is no document type that could declare others.
func readXML(body []byte) (Verdict, error) {
	decoder := xml.NewDecoder(bytes.NewReader(body)) // without a CharsetReader it takes UTF-8 alone
	root, err := next(decoder)
	if errors.Is(err, io.EOF) {
		return Verdict{}, errXML
	}
	if err != nil {
		return Verdict{}, err
	}
	start, ok := root.(xml.StartElement)
	if !ok || !strings.EqualFold(start.Name.Local, "data") {
		return Verdict{}, errRoot
	}
	var d draft
	for {
		token, err := next(decoder)
		if err != nil {
			return Verdict{}, err
		}
		child, ok := token.(xml.StartElement)
		if !ok {
			break
		}
		if err := d.element(decoder, child); err != nil {
			return Verdict{}, err
		}
	}
	switch _, err := next(decoder); {
	case err == nil:
		return Verdict{}, errMixed // a second root
	case !errors.Is(err, io.EOF):
		return Verdict{}, err
	}
	return d.finish()
}

// next returns the next start or end of an element, past what says nothing. At the
// end of the document its error is io.EOF.
func next(decoder *xml.Decoder) (xml.Token, error) {
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, errXML
		}
		switch x := token.(type) {
		case xml.Directive:
			return nil, errDoctype
		case xml.CharData:
			if len(bytes.TrimSpace(x)) > 0 {
				return nil, errMixed
			}
		case xml.StartElement, xml.EndElement:
			return token, nil
		}
	}
}

// element takes a child of the root.
func (d *draft) element(decoder *xml.Decoder, e xml.StartElement) error {
	isValid, isMessage := strings.EqualFold(e.Name.Local, "IsValid"), strings.EqualFold(e.Name.Local, "Message")
	if !isValid && !isMessage {
		if decoder.Skip() != nil {
			return errXML
		}
		return nil
	}
	text, err := textOf(decoder)
	if err != nil {
		return err
	}
	if isMessage {
		return d.tell(text)
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "1":
		return d.decide(true)
	case "false", "0":
		return d.decide(false)
	default:
		return errIsValid
	}
}

// textOf returns the text of an element up to its end.
func textOf(decoder *xml.Decoder) (string, error) {
	var text strings.Builder
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", errXML
		}
		switch x := token.(type) {
		case xml.CharData:
			text.Write(x)
		case xml.EndElement:
			return text.String(), nil
		case xml.StartElement:
			return "", errMixed
		case xml.Directive:
			return "", errDoctype
		}
	}
}
