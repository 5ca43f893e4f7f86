package workflow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	strictjson "sigs.k8s.io/json"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
	"github.com/postrider/postrider/dispatcher/sitecore"
)

const (
	// maxID bounds the id of a command, in bytes.
	maxID = 255

	mediaJSON = "application/json"
)

// A command is what a caller sends. docs/workflow.md describes it.
type command struct {
	ID            string          `json:"id"`
	Workflow      *thing          `json:"workflow"`
	Command       *thing          `json:"command"`
	PreviousState *state          `json:"previousState"`
	NextState     *state          `json:"nextState"`
	Item          json.RawMessage `json:"item"`
	Context       json.RawMessage `json:"$context"`
	Comments      []comment       `json:"comments"`
	UserName      string          `json:"userName"`
	Message       string          `json:"message"`
}

// A thing is a workflow or a command.
type thing struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// A state of a workflow, as Sitecore has it.
type state struct {
	DisplayName              string   `json:"DisplayName"`
	FinalState               bool     `json:"FinalState"`
	Icon                     string   `json:"Icon"`
	StateID                  string   `json:"StateID,omitempty"` // what is no id is not there
	PreviewPublishingTargets []string `json:"PreviewPublishingTargets"`
}

type comment struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

// eventData is the data of the event that a command is, see [sitecore.WorkflowCommand].
type eventData struct {
	Workflow      called
	Command       called
	PreviousState *state
	NextState     *state // null when the item stays in its state
	DataItem      json.RawMessage
	Comments      []comment
	Message       string
	UserName      string
	Context       json.RawMessage `json:"$context,omitempty"`
}

// called is a thing in the names of the event's data.
type called struct {
	ID   string `json:"Id,omitempty"`
	Name string `json:"Name,omitempty"`
}

// refusal is why a request holds no command.
func refusal(name problem.Name, format string, args ...any) *problem.Problem {
	return &problem.Problem{Name: name, Detail: fmt.Sprintf(format, args...)}
}

func refuse(format string, args ...any) *problem.Problem {
	return refusal(problem.InvalidRequest, format, args...)
}

// checkMedia refuses a body that is not declared to be JSON.
func checkMedia(contentType string) *problem.Problem {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || media != mediaJSON {
		return refusal(problem.UnsupportedContentType, "Send the command with Content-Type: %s.", mediaJSON)
	}
	return nil
}

// read makes of a body the event that the command is, and the id that the caller
// knows it by. The same command with the same id is the same event each time: its
// source tells commands apart that differ in anything but the id.
func read(body []byte, namespace string, now time.Time) (*event.Event, *problem.Problem) {
	c, refused := decode(body)
	if refused == nil {
		refused = c.check(body)
	}
	if refused != nil {
		return nil, refused
	}
	data, refused := c.data()
	if refused != nil {
		return nil, refused
	}
	if c.ID == "" {
		c.ID = uuid.Must(uuid.NewV7()).String() // reading random bytes never fails (crypto/rand.Read)
	}
	sum := sha256.Sum256(data)
	return &event.Event{
		Namespace: namespace, ID: c.ID, Type: sitecore.WorkflowCommand,
		Source: sitecore.CommandSources(namespace) + hex.EncodeToString(sum[:16]),
		Time:   now.UTC(), ContentType: mediaJSON, Data: data, Accepted: now,
	}, nil
}

// decode reads a command, and nothing else.
func decode(body []byte) (*command, *problem.Problem) {
	if !event.ValidJSON(body) {
		var ignored json.RawMessage
		if err := json.Unmarshal(body, &ignored); err != nil { // which says where
			return nil, refusal(problem.InvalidJSON, "The body is not valid JSON: %v.", err)
		}
		return nil, refusal(problem.InvalidJSON, "The body is not UTF-8: send UTF-8.")
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); first[0] != '{' {
		return nil, refuse("A command is a JSON object: send one.")
	}
	c := &command{}
	found, err := strictjson.UnmarshalStrict(body, c)
	if err != nil {
		return nil, refuseType(body)
	}
	if len(found) > 0 {
		if f, ok := errors.AsType[strictjson.FieldError](found[0]); ok && strings.HasPrefix(f.Error(), "duplicate") {
			return nil, refuse("%q is there twice: send it once.", f.FieldPath())
		} else if ok {
			return nil, refuse("%q is no member of a command: correct or remove it. Members are spelled as the documentation has them.", f.FieldPath())
		}
		return nil, refuse("The command is not valid: %v.", found[0])
	}
	return c, nil
}

// refuseType names the member that is of the wrong type.
func refuseType(body []byte) *problem.Problem {
	// The package that is strict names Go types in its errors.
	err := json.Unmarshal(body, &command{})
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return refuse("%q must not be a JSON %s: send %s.", wrong.Field, strings.Fields(wrong.Value)[0], kinds[wrong.Type.Kind().String()])
	}
	return refuse("A member of the command is of the wrong type: compare it with the documentation.")
}

// kinds are what JSON calls the types that members have.
var kinds = map[string]string{"string": "a string", "bool": "true or false", "struct": "an object", "slice": "an array", "ptr": "an object"}

// check refuses a command that lacks something. body is what it was read from.
func (c *command) check(body []byte) *problem.Problem {
	if len(c.ID) > maxID || strings.ContainsFunc(c.ID, unicode.IsControl) {
		return refuse(`"id" has more than %d bytes, or control characters: send another, or none.`, maxID)
	}
	for _, t := range []struct {
		member string
		thing  *thing
	}{{"workflow", c.Workflow}, {"command", c.Command}} {
		if t.thing == nil || t.thing.ID == "" && t.thing.Name == "" {
			return refuse(`%q is missing, or has neither "id" nor "name": send at least one of the two.`, t.member)
		}
	}
	if !c.PreviousState.known() {
		return refuse(`"previousState" is missing, or has neither "StateID" nor "DisplayName": send the state that the item is in.`)
	}
	if c.NextState == nil && !isNull(body, "nextState") || c.NextState != nil && !c.NextState.known() {
		return refuse(`"nextState" is missing, or has neither "StateID" nor "DisplayName": send the state that the command leads to, or null when the item stays in its state.`)
	}
	if !isObject(c.Item) {
		return refuse(`"item" is missing, or no object: send the item that the command is about, as events have it.`)
	}
	if c.Context != nil && !isObject(c.Context) {
		return refuse(`"$context" is no object: correct or remove it.`)
	}
	return nil
}

// known reports whether s says which state it is.
func (s *state) known() bool { return s != nil && (s.StateID != "" || s.DisplayName != "") }

// isObject reports whether valid JSON is an object with members.
func isObject(text json.RawMessage) bool {
	if len(text) == 0 || text[0] != '{' {
		return false
	}
	inside := bytes.TrimLeft(text[1:], " \t\r\n")
	return inside[0] != '}'
}

// data is the data of the event.
func (c *command) data() (json.RawMessage, *problem.Problem) {
	for _, s := range []*state{c.PreviousState, c.NextState} {
		if s != nil && s.PreviewPublishingTargets == nil {
			s.PreviewPublishingTargets = []string{}
		}
	}
	if c.Comments == nil {
		c.Comments = []comment{}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // the item goes on as it came
	err := encoder.Encode(eventData{
		Workflow: called{c.Workflow.ID, c.Workflow.Name}, Command: called{c.Command.ID, c.Command.Name},
		PreviousState: c.PreviousState, NextState: c.NextState, DataItem: c.Item, Comments: c.Comments,
		Message: c.Message, UserName: c.UserName, Context: c.Context,
	})
	if err != nil {
		return nil, refuse("The command cannot be passed on: %v.", err)
	}
	if b.Len() > event.MaxBody {
		return nil, tooLarge()
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// isNull reports whether an object has the member, and it is null. A caller that
// forgot it is told: nobody would hear of the state.
func isNull(object []byte, member string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return false
	}
	return string(members[member]) == "null"
}

func tooLarge() *problem.Problem {
	return &problem.Problem{
		Name: problem.BodyTooLarge, Limit: event.MaxBody,
		Detail: fmt.Sprintf("A command has at most %d bytes: send fewer fields of the item.", event.MaxBody),
	}
}
