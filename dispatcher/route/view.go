package route

import (
	"encoding/json"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// evaluationCost is what an evaluation costs at least, whatever the
	// expression: about a microsecond.
	evaluationCost = 20
	// parsedPerUnit is how many bytes of data are parsed for one unit of cost.
	parsedPerUnit = 4
	// readPerUnit is how many are, where only what is named is decoded.
	readPerUnit = 10
	// maxCharge bounds what one evaluation is charged with. It may cost more than
	// its limit, for CEL looks at the sum after each call.
	maxCharge = 1 << 20
)

// A View is one event as expressions see it, made at most once per event and
// shared by every expression that looks at it:
//
//	event.id, event.source, event.type, event.subject, event.datacontenttype: string
//	event.time: timestamp, absent when the event has none
//	event.extensions: map of string to string
//	event.data: the parsed data when it is JSON, absent otherwise
//
// Ordering keys see of the data what they name, see [part].
//
// A View is for one goroutine at a time.
type View struct {
	cost       int
	parsing    int
	event      *event.Event
	whole      map[string]any          // as conditions see it
	partial    map[string]any          // as ordering keys do
	attributes map[string]any          // as those do that look at nothing else
	conditions map[cel.Program]verdict // so far: many routes share a text
	keys       map[cel.Program]keying
}

// NewView wraps e; nothing is parsed until an expression asks.
func NewView(e *event.Event) *View { return &View{event: e} }

// Cost is what the expressions have cost so far, in CEL's units: 50 to 100 ns each.
func (v *View) Cost() int { return v.cost }

// Parsing is what it has cost, in the same units, to parse the data for them.
func (v *View) Parsing() int { return v.parsing }

// Event returns the event of the view.
func (v *View) Event() *event.Event { return v.event }

// parsed is the event with all its data.
func (v *View) parsed() map[string]any {
	if v.whole == nil {
		var data any
		// Invalid JSON was refused at ingest; should some come all the same,
		// it is an event without data, and a condition over data does not hold.
		ok := v.hasJSON(parsedPerUnit) && json.Unmarshal(v.event.Data, &data) == nil
		v.whole = v.activation(data, ok)
	}
	return v.whole
}

// named is the event as the ordering key of e sees it. The entries of one
// namespace share it, and those that look at attributes alone another one.
func (v *View) named(e *Entry) map[string]any {
	if len(e.looks) == 0 {
		if v.attributes == nil {
			v.attributes = v.activation(nil, false)
		}
		return v.attributes
	}
	if v.partial == nil {
		var data any
		ok := v.hasJSON(readPerUnit)
		if ok {
			data, ok = e.names.Read(v.event.Data)
			data = valueOf(data)
		}
		v.partial = v.activation(data, ok)
	}
	return v.partial
}

// hasJSON reports whether there is data to be parsed, and charges for it.
func (v *View) hasJSON(perUnit int) bool {
	if !v.event.IsJSON() {
		return false
	}
	v.parsing += len(v.event.Data) / perUnit
	return len(v.event.Data) > 0
}

func (v *View) activation(data any, ok bool) map[string]any {
	e := v.event
	attributes := map[string]any{
		"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject,
		"datacontenttype": e.ContentType, "extensions": e.Extensions,
	}
	if !e.Time.IsZero() {
		attributes["time"] = e.Time
	}
	if ok {
		attributes["data"] = data
	}
	return map[string]any{"event": attributes}
}

// evaluate returns what p yields, and charges for it.
func (v *View) evaluate(p cel.Program, vars map[string]any) (ref.Val, error) {
	out, details, err := p.Eval(vars)
	v.cost += evaluationCost
	if spent := details.ActualCost(); spent != nil {
		v.cost += int(min(*spent, maxCharge))
	}
	return out, err
}
