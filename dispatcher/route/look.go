package route

import (
	"errors"
	"reflect"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/postrider/postrider/dispatcher/event"
)

var errNotNamed = errors.New("an ordering key looks at data by names that are written out, such as event.data.items[0].id; " +
	"it selects from nothing else, and does not go through lists and objects of the event")

// A path leads from the data of an event to a value: a string for a member, an
// int for an element of an array.
type path []any

// looks returns what of the data an expression looks at, nothing if it looks at
// attributes alone. All of it has to be named: what is not named is not parsed.
func looks(ast *cel.Ast) ([]path, error) {
	root := celast.NavigateAST(ast.NativeRep())
	for _, e := range celast.MatchDescendants(root, celast.KindMatcher(celast.ComprehensionKind)) {
		if p, ok := pathOf(e.AsComprehension().IterRange()); ok && len(p) > 0 && p[0] == "data" {
			return nil, errNotNamed
		}
	}
	for _, e := range celast.MatchDescendants(root, celast.KindMatcher(celast.IdentKind)) {
		if parent, ok := e.Parent(); e.AsIdent() == "event" && (!ok || !selects(parent)) {
			return nil, errNotNamed
		}
	}
	var at []path
	for _, e := range celast.MatchDescendants(root, selects) {
		p, ok := pathOf(e)
		if !ok {
			return nil, errNotNamed
		}
		if p[0] == "data" {
			at = append(at, p[1:])
		}
	}
	return at, nil
}

func selects(e celast.NavigableExpr) bool {
	return e.Kind() == celast.SelectKind || e.Kind() == celast.CallKind && e.AsCall().FunctionName() == operators.Index
}

// pathOf returns the path from event to what e selects.
func pathOf(e celast.Expr) (path, bool) {
	var from celast.Expr
	var step any
	switch e.Kind() {
	case celast.IdentKind:
		return nil, e.AsIdent() == "event"
	case celast.SelectKind:
		from, step = e.AsSelect().Operand(), e.AsSelect().FieldName()
	case celast.CallKind:
		if e.AsCall().FunctionName() != operators.Index {
			return nil, false
		}
		from, step = e.AsCall().Args()[0], literal(e.AsCall().Args()[1])
	default:
	}
	if step == nil {
		return nil, false
	}
	p, ok := pathOf(from)
	return append(p, step), ok
}

// literal returns the step that e is, nil when it is none.
func literal(e celast.Expr) any {
	if e.Kind() != celast.LiteralKind {
		return nil
	}
	switch x := e.AsLiteral().(type) {
	case types.String:
		return string(x)
	case types.Int:
		return int(x)
	}
	return nil
}

// A part is an object or an array as ordering keys see it. It yields what was
// named, and can do nothing else: what is not named is not known.
type part struct{ of *event.Part }

// valueOf is a value that was read by name, as CEL has it.
func valueOf(value any) ref.Val {
	if p, ok := value.(*event.Part); ok {
		return part{p}
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

func (p part) find(index ref.Val) (value any, ok bool) {
	switch i := index.(type) {
	case types.String:
		value, ok = p.of.Members[string(i)]
	case types.Int:
		value, ok = p.of.Elements[int(i)]
	}
	return value, ok
}

// Get implements [traits.Indexer].
func (p part) Get(index ref.Val) ref.Val {
	value, ok := p.find(index)
	if !ok {
		return types.NewErr("no such key")
	}
	return valueOf(value)
}

// IsSet implements [traits.FieldTester].
func (p part) IsSet(field ref.Val) ref.Val {
	_, ok := p.find(field)
	return types.Bool(ok)
}

var (
	partType  = types.NewObjectType("part", traits.IndexerType|traits.FieldTesterType)
	errOpaque = errors.New("not named")
)

// Type implements [ref.Val].
func (part) Type() ref.Type { return partType }

// Value implements [ref.Val].
func (p part) Value() any { return p.of }

// Equal implements [ref.Val].
func (part) Equal(ref.Val) ref.Val { return types.WrapErr(errOpaque) }

// ConvertToType implements [ref.Val].
func (part) ConvertToType(ref.Type) ref.Val { return types.WrapErr(errOpaque) }

// ConvertToNative implements [ref.Val].
func (part) ConvertToNative(reflect.Type) (any, error) { return nil, errOpaque }
