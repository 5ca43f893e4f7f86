package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

const (
	// maxCondition bounds the text of a condition, in bytes.
	maxCondition = 4096
	// costLimit bounds one evaluation, in CEL's abstract cost units: roughly
	// one unit per step or per ten bytes compared. A condition that walks
	// every field of a large event stays well below it; nested comprehensions
	// over them do not.
	costLimit = 20_000
)

var aCondition = &use{maxText: maxCondition, costLimit: costLimit, check: func(ast *cel.Ast) ([]path, error) {
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression yields %s; make it yield a bool, for example with a comparison", t)
	}
	if err := checkMatches(ast.NativeRep()); err != nil {
		return nil, err
	}
	return nil, checkQuestions(ast.NativeRep())
}}

// CheckCondition reports why expr is not a condition, nil when it is one: a
// CEL expression over "event" that yields a bool. The empty one is not.
func CheckCondition(expr string) error {
	return expression{expr, aCondition}.compile().err
}

// Why a condition can fail other than by not holding. CEL's own texts may quote
// values of the event, so they go no further.
var (
	errCost     = fmt.Errorf("the condition costs more than %d units; look at fewer elements", costLimit)
	errOverload = errors.New("the condition compares or combines values of types that do not fit; convert them, or test with type()")
	errEvaluate = errors.New("the condition cannot be evaluated for this event; guard its conversions and macros with has() or type()")
	errNotBool  = errors.New("the condition yields no bool for this event; make it a comparison")
)

// A verdict is what a condition says of an event.
type verdict struct {
	holds bool
	err   error
}

// Qualifies evaluates the condition of e, if it has one.
func (e *Entry) Qualifies(v *View) (bool, error) {
	if e.condition == nil {
		return true, nil
	}
	said, known := v.conditions[e.condition]
	if !known {
		said.holds, said.err = v.holds(e.condition)
		if v.conditions == nil {
			v.conditions = map[cel.Program]verdict{}
		}
		v.conditions[e.condition] = said
	}
	return said.holds, said.err
}

// Lacks says what the event lacks of that which the condition of e looks at, empty
// when it lacks nothing. It is for whoever has the event: the text may quote it.
func (e *Entry) Lacks(v *View) string {
	if e.condition == nil {
		return ""
	}
	if _, err := v.evaluate(e.condition, v.parsed()); err != nil && absent(err) {
		return err.Error()
	}
	return ""
}

// holds reports whether the condition holds. A condition over something that
// the event does not have does not hold.
func (v *View) holds(p cel.Program) (bool, error) {
	out, err := v.evaluate(p, v.parsed())
	if err == nil {
		holds, ok := out.(types.Bool)
		if !ok {
			return false, errNotBool
		}
		return bool(holds), nil
	}
	switch {
	case absent(err):
		return false, nil
	case errors.Is(err, errSubject):
		return false, errSubject
	case exceeded(err):
		return false, errCost
	case strings.HasPrefix(err.Error(), "no such overload"):
		return false, errOverload
	default:
		return false, errEvaluate
	}
}

// absences are how CEL says that the event lacks what an expression looks at; it
// gives these errors no type of their own.
var absences = []string{"no such key", "no such attribute", "index out of bounds", "unsupported index type"}

// absent reports whether the event lacks what an expression looks at.
func absent(err error) bool {
	return slices.ContainsFunc(absences, func(a string) bool { return strings.HasPrefix(err.Error(), a) })
}

// exceeded reports whether an evaluation was ended because of its cost.
func exceeded(err error) bool { return strings.Contains(err.Error(), "cost limit exceeded") }
