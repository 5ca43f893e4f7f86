package route

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"strconv"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	// maxOrdering bounds the text of an ordering key, in bytes.
	maxOrdering = 1024
	// orderingLimit bounds one evaluation of it: it is made for every event
	// that the route matches, before that can go on.
	orderingLimit = 1000
)

// A Key is by what deliveries to one route are ordered: those with the same Key
// go one after the other. 0 is no order. It is kept in the store, so it is the
// same in every process and version: FNV-1a of 64 bits over the text of what the
// ordering key of the route yields, or 1 where that is 0. Texts that are
// different may share a Key; then they share their order too.
type Key uint64

// noText is the Key of the events for which an ordering key yields no text.
var noText = keyOf("")

func keyOf(text string) Key {
	h := fnv.New64a()
	_, _ = io.WriteString(h, text) // a hash never fails to write
	return max(Key(h.Sum64()), 1)
}

var anOrdering = &use{maxText: maxOrdering, costLimit: orderingLimit, check: func(ast *cel.Ast) ([]path, error) {
	switch t := ast.OutputType(); t.Kind() {
	case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.DynKind:
	default:
		return nil, fmt.Errorf("the expression yields %s; make it yield a string, a number or a bool, for example with string()", t)
	}
	// What it takes is charged afterwards only, and here that is too late.
	if len(celast.MatchDescendants(celast.NavigateAST(ast.NativeRep()), celast.FunctionMatcher("matches"))) > 0 {
		return nil, errors.New("matches() is not available to an ordering key, which is evaluated for every event; look at an attribute instead")
	}
	if asks(ast.NativeRep()) {
		return nil, errQuestion
	}
	return looks(ast)
}}

// CheckOrderingKey reports why expr is not an ordering key, nil when it is one: a
// CEL expression over "event" that yields a string, a number or a bool. The
// empty one is not.
func CheckOrderingKey(expr string) error {
	return expression{expr, anOrdering}.compile().err
}

// Why an ordering key can fail. CEL's own texts may quote values of the event,
// so they go no further.
var (
	errOrderingCost = fmt.Errorf("the ordering key costs more than %d units; look at fewer elements", orderingLimit)
	errOrdering     = errors.New("the ordering key cannot be evaluated for this event; guard its conversions with has() or type(), and name members of objects")
	errNoText       = errors.New("the ordering key yields neither a string of up to 4 KiB nor a number nor a bool for this event; name an attribute that does")
)

// A keying is what an ordering key says of an event.
type keying struct {
	key Key
	err error
}

// Key evaluates the ordering key of e: 0 when it has none. Events that lack what
// the ordering key looks at, and those for which it yields null or the empty
// string, have one Key together; with an error, which says why it could not be
// evaluated, comes that Key too: who belongs together is not known then, and
// nothing may lose its order.
func (e *Entry) Key(v *View) (Key, error) {
	if e.ordering == nil {
		return 0, nil
	}
	said, known := v.keys[e.ordering]
	if !known {
		said.key, said.err = v.key(e)
		if v.keys == nil {
			v.keys = map[cel.Program]keying{}
		}
		v.keys[e.ordering] = said
	}
	return said.key, said.err
}

func (v *View) key(e *Entry) (Key, error) {
	out, err := v.evaluate(e.ordering, v.named(e))
	switch {
	case err == nil:
		text, ok := textOf(out)
		if !ok {
			return noText, errNoText
		}
		return keyOf(text), nil
	case absent(err):
		return noText, nil
	case exceeded(err):
		return noText, errOrderingCost
	default:
		return noText, errOrdering
	}
}

// textOf writes a value as text, numbers that are equal as the same one: JSON
// knows one kind of them, CEL three.
func textOf(value ref.Val) (string, bool) {
	switch x := value.(type) {
	case types.String:
		return string(x), true
	case types.Bool:
		return strconv.FormatBool(bool(x)), true
	case types.Int:
		return strconv.FormatInt(int64(x), 10), true
	case types.Uint:
		return strconv.FormatUint(uint64(x), 10), true
	case types.Double:
		f := float64(x)
		if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			return strconv.FormatInt(int64(f), 10), true
		}
		return strconv.FormatFloat(f, 'g', -1, 64), true
	case types.Null:
		return "", true
	default:
		return "", false
	}
}
