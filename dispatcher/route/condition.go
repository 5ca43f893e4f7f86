package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// maxCondition bounds the text of a condition, in bytes.
	maxCondition = 4096
	// costLimit bounds one evaluation, in CEL's abstract cost units: roughly
	// one unit per step or per ten bytes compared. A condition that walks
	// every field of a large event stays well below it; a triple nested
	// comprehension over them does not.
	costLimit = 100_000
	// maxNesting bounds how deep an expression may nest.
	maxNesting = 50
)

// environment is what a condition may use: the variable "event", CEL's
// standard library and macros, and its string extension. Nothing in it reads
// a clock, a file or a network.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("event", cel.MapType(cel.StringType, cel.DynType)),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(maxCondition),
		ext.Strings(),
	)
})

// CheckCondition reports why expr is not a condition, nil when it is one: a
// CEL expression over "event" that yields a bool. The empty one is not.
func CheckCondition(expr string) error {
	_, err := compileCondition(expr)
	return err
}

func compileCondition(expr string) (cel.Program, error) {
	if len(expr) > maxCondition {
		return nil, fmt.Errorf("the expression has %d bytes, the limit is %d", len(expr), maxCondition)
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("setting up CEL: %w", err)
	}
	ast, issues := env.Compile(expr)
	if err := issues.Err(); err != nil {
		return nil, errors.New(firstLine(err.Error()))
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression yields %s; make it yield a bool, for example with a comparison", t)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit))
	if err != nil {
		return nil, errors.New(firstLine(err.Error()))
	}
	return program, nil
}

// firstLine drops the source excerpt that CEL draws below each message.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimPrefix(line, "ERROR: <input>:")
}

// A View is one event as conditions see it, made at most once per event and
// shared by every condition that looks at it:
//
//	event.id, event.source, event.type, event.subject, event.datacontenttype: string
//	event.time: timestamp, absent when the event has none
//	event.extensions: map of string to string
//	event.data: the parsed data when it is JSON, absent otherwise
//
// A View is for one goroutine.
type View struct {
	event *event.Event
	vars  map[string]any
}

// NewView wraps e; nothing is parsed until a condition asks.
func NewView(e *event.Event) *View { return &View{event: e} }

// Event returns the event of the view.
func (v *View) Event() *event.Event { return v.event }

func (v *View) activation() map[string]any {
	if v.vars != nil {
		return v.vars
	}
	e := v.event
	attributes := map[string]any{
		"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject,
		"datacontenttype": e.ContentType, "extensions": e.Extensions,
	}
	if !e.Time.IsZero() {
		attributes["time"] = e.Time
	}
	if len(e.Data) > 0 && e.IsJSON() {
		var data any
		// Invalid JSON was refused at ingest; should some come all the same,
		// it is an event without data, and a condition over data does not hold.
		if json.Unmarshal(e.Data, &data) == nil {
			attributes["data"] = data
		}
	}
	v.vars = map[string]any{"event": attributes}
	return v.vars
}

// Why a condition can fail other than by not holding. CEL's own texts may quote
// values of the event, so they go no further.
var (
	errCost     = fmt.Errorf("the condition costs more than %d units; look at fewer elements", costLimit)
	errOverload = errors.New("the condition compares or combines values of types that do not fit; convert them, or test with type()")
	errEvaluate = errors.New("the condition cannot be evaluated for this event; guard its conversions and macros with has() or type()")
	errNotBool  = errors.New("the condition yields no bool for this event; make it a comparison")
)

// evaluate reports whether the condition holds. A condition over something
// that the event does not have does not hold.
func evaluate(p cel.Program, v *View) (bool, error) {
	out, _, err := p.Eval(v.activation())
	if err == nil {
		holds, ok := out.(types.Bool)
		if !ok {
			return false, errNotBool
		}
		return bool(holds), nil
	}
	text := err.Error()
	switch {
	case slices.ContainsFunc(absences, func(a string) bool { return strings.HasPrefix(text, a) }):
		return false, nil
	case strings.Contains(text, "cost limit exceeded"):
		return false, errCost
	case strings.HasPrefix(text, "no such overload"):
		return false, errOverload
	default:
		return false, errEvaluate
	}
}

// absences are how CEL says that the event lacks what a condition looks at; it
// gives these errors no type of their own.
var absences = []string{"no such key", "no such attribute", "index out of bounds", "unsupported index type"}
