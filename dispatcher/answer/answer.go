// Package answer reads what the receiver of a validation action answers: whether
// a workflow command may be carried out.
package answer

import (
	"bytes"
	"errors"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Verdict is what a receiver says of a workflow command.
type Verdict struct {
	IsValid bool
	Message string // for people; at most MaxMessage bytes of UTF-8, may be empty
}

// MaxMessage bounds a message, in bytes: it is shown to an editor.
const MaxMessage = 1 << 10

// Ellipsis is how a text ends that was cut.
const Ellipsis = "…"

// Why an answer is no verdict. The texts are fixed: nothing of the answer is in them.
var (
	errEmpty   = errors.New("answer is empty")
	errKind    = errors.New("answer is neither JSON nor XML")
	errCharset = errors.New("answer is not UTF-8")

	errJSON   = errors.New("answer is not valid JSON")
	errObject = errors.New("answer is no JSON object")

	errXML     = errors.New("answer is not valid XML")
	errRoot    = errors.New("root element of the answer is not data")
	errDoctype = errors.New("answer has a document type")
	errMixed   = errors.New("answer has text or elements where none belong")

	errTwice     = errors.New("answer has a member twice")
	errNoIsValid = errors.New("answer has no IsValid")
	errIsValid   = errors.New("IsValid of the answer is no boolean")
	errMessage   = errors.New("Message of the answer is no string") //nolint:staticcheck // the name of the member
)

// Read reads an answer:
//
//	{"IsValid": false, "Message": "The title is missing."}
//	<data><IsValid>false</IsValid><Message>The title is missing.</Message></data>
//
// The media type says which of the two it is, or, where that says nothing, its
// first character. Names are taken in any case, as .NET does; Message may be
// absent, and other members are left out. An answer that is anything else is
// no verdict: the error says why, in words that do not quote it.
func Read(contentType string, body []byte) (Verdict, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	media, err := mediaOf(contentType)
	if err != nil {
		return Verdict{}, err
	}
	first := bytes.TrimLeft(body, " \t\r\n")
	if len(first) == 0 {
		return Verdict{}, errEmpty
	}
	if !utf8.Valid(body) {
		return Verdict{}, errCharset
	}
	switch {
	case strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"):
		return readJSON(body)
	case strings.HasSuffix(media, "/xml") || strings.HasSuffix(media, "+xml"):
		return readXML(body)
	case media != "" && media != "text/plain" && media != "application/octet-stream":
		return Verdict{}, errKind
	case first[0] == '{':
		return readJSON(body)
	case first[0] == '<':
		return readXML(body)
	default:
		return Verdict{}, errKind
	}
}

// mediaOf returns the media type of an answer, "" when it has none.
func mediaOf(contentType string) (string, error) {
	if strings.TrimSpace(contentType) == "" {
		return "", nil
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", errKind
	}
	switch strings.ToLower(parameters["charset"]) {
	case "", "utf-8", "utf8":
		return media, nil
	default:
		return "", errCharset
	}
}

// A draft is a Verdict of which not all is known yet.
type draft struct {
	Verdict
	decided, told bool
}

// decide takes IsValid.
func (d *draft) decide(isValid bool) error {
	if d.decided {
		return errTwice
	}
	d.IsValid, d.decided = isValid, true
	return nil
}

// tell takes Message.
func (d *draft) tell(message string) error {
	if d.told {
		return errTwice
	}
	d.Message, d.told = shown(message), true
	return nil
}

func (d *draft) finish() (Verdict, error) {
	if !d.decided {
		return Verdict{}, errNoIsValid
	}
	return d.Verdict, nil
}

// shown is a message as it may be shown: without what moves the cursor of a
// terminal, and bounded.
func shown(message string) string {
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.TrimSpace(message))
	return Cut(message, MaxMessage)
}

// Cut returns text, or the beginning of it and an [Ellipsis] that have at most
// limit bytes together.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit - len(Ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + Ellipsis
}
