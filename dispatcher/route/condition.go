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

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// maxCondition bounds the text of a condition, in bytes.
	maxCondition = 4096
	// costLimit bounds one evaluation, in CEL's abstract cost units: roughly
	// one unit per step or per ten bytes compared. A condition that walks
	// every field of a large event stays well below it; nested comprehensions
	// over them do not.
	costLimit = 20_000
	// evaluationCost is what an evaluation costs at least, whatever the
	// condition: about a microsecond.
	evaluationCost = 20
	// maxNesting bounds how deep an expression may nest.
	maxNesting = 50
)

// environment is what a condition may use: the variable "event" and CEL's
// standard library and macros. Nothing in it reads a clock, a file or a
// network, and nothing makes a value much larger than what it is made of before
// the cost of that is known: CEL's string extension, with replace() and join(),
// does.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("event", cel.MapType(cel.StringType, cel.DynType)),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(maxCondition),
	)
})

// CheckCondition reports why expr is not a condition, nil when it is one: a
// CEL expression over "event" that yields a bool. The empty one is not.
func CheckCondition(expr string) error {
	_, err := compileCondition(expr)
	return err
}

// maxCompiled bounds the conditions that are remembered.
const maxCompiled = 10_000

// compiled remembers conditions by their text, so that a rebuild of the table
// compiles only what is new: a long condition takes milliseconds.
var compiled struct {
	mu sync.Mutex
	by map[string]compilation
}

type compilation struct {
	program cel.Program
	err     error
}

// compileCondition returns the program of expr. Equal texts share one.
func compileCondition(expr string) (cel.Program, error) {
	compiled.mu.Lock()
	c, known := compiled.by[expr]
	compiled.mu.Unlock()
	if known {
		return c.program, c.err
	}
	c.program, c.err = compileAnew(expr)
	compiled.mu.Lock()
	defer compiled.mu.Unlock()
	if compiled.by == nil || len(compiled.by) >= maxCompiled {
		compiled.by = map[string]compilation{} // what is in use comes back at the next rebuild
	}
	compiled.by[expr] = c
	return c.program, c.err
}

func compileAnew(expr string) (cel.Program, error) {
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
	if err := checkMatches(ast.NativeRep()); err != nil {
		return nil, err
	}
	program, err := env.Program(ast, cel.OptimizeRegex(boundedMatches), cel.CostLimit(costLimit))
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
// A View is for one goroutine at a time.
type View struct {
	cost    int
	event   *event.Event
	vars    map[string]any
	results map[cel.Program]result // of the conditions so far: many routes share a text
}

type result struct {
	holds bool
	err   error
}

// NewView wraps e; nothing is parsed until a condition asks.
func NewView(e *event.Event) *View { return &View{event: e} }

// Cost is what the conditions have cost so far, in the units of costLimit: 50 to
// 100 ns each.
func (v *View) Cost() int { return v.cost }

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

// holds reports whether the condition holds, evaluating it at most once.
func (v *View) holds(p cel.Program) (bool, error) {
	r, known := v.results[p]
	if !known {
		r.holds, r.err = evaluate(p, v)
		if v.results == nil {
			v.results = map[cel.Program]result{}
		}
		v.results[p] = r
	}
	return r.holds, r.err
}

// evaluate reports whether the condition holds. A condition over something
// that the event does not have does not hold.
func evaluate(p cel.Program, v *View) (bool, error) {
	out, details, err := p.Eval(v.activation())
	v.cost += evaluationCost
	if spent := details.ActualCost(); spent != nil {
		v.cost += int(min(*spent, costLimit))
	}
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
	case errors.Is(err, errSubject):
		return false, errSubject
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
