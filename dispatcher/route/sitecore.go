package route

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/google/uuid"
)

// sitecorePrefix begins the names of the functions by which conditions read as
// rules of Sitecore do. docs/sitecore-rules.md tells what each is for.
const sitecorePrefix = "sitecore."

// A question is one of these functions. All ask about an event. What the event
// does not carry makes the condition not hold, whatever stands around the
// function, "!" included: each then yields the error that CEL has for members
// that are not there.
type question struct {
	name     string
	result   *cel.Type
	argument argument // the second one
	answer   func(carried, string) ref.Val
}

// An argument is what a question wants besides the event.
type argument uint8

const (
	nothing argument = iota
	anID
	anIDOrPath
	anIDOrName
)

var wants = map[argument]string{
	anID:       `an id, such as "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}"`,
	anIDOrPath: `an id, or a path that begins with "/"`,
	anIDOrName: "an id or a name",
}

var questions = []question{
	{"sitecore.hasItem", cel.BoolType, nothing, func(c carried, _ string) ref.Val { return types.Bool(c.item() != nil) }},
	{"sitecore.item", cel.MapType(cel.StringType, cel.DynType), nothing, carried.theItem},
	{"sitecore.isItem", cel.BoolType, anIDOrPath, carried.isItem},
	{"sitecore.isBelow", cel.BoolType, anIDOrPath, carried.isBelow},
	{"sitecore.isOrIsBelow", cel.BoolType, anIDOrPath, carried.isOrIsBelow},
	{"sitecore.isTemplate", cel.BoolType, anIDOrName, carried.isTemplate},
	{"sitecore.isOrDescendsFromTemplate", cel.BoolType, anID, carried.isOrDescendsFromTemplate},
	{"sitecore.language", cel.StringType, nothing, func(c carried, _ string) ref.Val { return text(c.item(), "Language") }},
	{"sitecore.path", cel.StringType, nothing, func(c carried, _ string) ref.Val { return text(c.context(), "Path") }},
	{"sitecore.database", cel.StringType, nothing, func(c carried, _ string) ref.Val { return text(c.context(), "Database") }},
	{"sitecore.field", cel.StringType, anID, carried.field},
	{"sitecore.fieldChanged", cel.BoolType, anID, carried.fieldChanged},
}

// declare makes q known to CEL.
func (q question) declare() cel.EnvOption {
	arguments := []*cel.Type{cel.MapType(cel.StringType, cel.DynType)}
	if q.argument != nothing {
		arguments = append(arguments, cel.StringType)
	}
	id := strings.ReplaceAll(q.name, ".", "_")
	return cel.Function(q.name, cel.Overload(id, arguments, q.result, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
		var about types.String
		if len(args) > 1 {
			about, _ = args[1].(types.String) // CEL has checked that
		}
		return q.answer(carriedBy(args[0]), string(about))
	})))
}

func declareQuestions() []cel.EnvOption {
	options := make([]cel.EnvOption, len(questions))
	for i, q := range questions {
		options[i] = q.declare()
	}
	return options
}

// checkQuestions refuses calls that could never mean anything.
func checkQuestions(ast *celast.AST) error {
	root := celast.NavigateAST(ast)
	for _, q := range questions {
		for _, call := range celast.MatchDescendants(root, celast.FunctionMatcher(q.name)) {
			args := call.AsCall().Args()
			if args[0].Kind() != celast.IdentKind || args[0].AsIdent() != "event" {
				return fmt.Errorf("%s() asks about an event: write event as its first argument", q.name)
			}
			if len(args) < 2 || args[1].Kind() != celast.LiteralKind {
				continue
			}
			if about, ok := args[1].AsLiteral().(types.String); ok && !q.argument.fits(string(about)) {
				return fmt.Errorf("%s() wants %s as its second argument", q.name, wants[q.argument])
			}
		}
	}
	return nil
}

func (a argument) fits(s string) bool {
	switch a {
	case anID:
		return isID(s)
	case anIDOrPath:
		return isID(s) || isPath(s)
	default:
		return s != ""
	}
}

var errQuestion = errors.New("functions that begin with " + sitecorePrefix + " are not available to an ordering key, which reads of the data what it names; " +
	"name it, such as event.data.Item.Id")

// asks reports whether an expression calls one of the functions.
func asks(ast *celast.AST) bool {
	return len(celast.MatchDescendants(celast.NavigateAST(ast), func(e celast.NavigableExpr) bool {
		return e.Kind() == celast.CallKind && strings.HasPrefix(e.AsCall().FunctionName(), sitecorePrefix)
	})) > 0
}

// questionCost is what a call costs: one unit for each element that it may have
// looked at, and for ten bytes of paths. nil where function is none of these.
func questionCost(function string, args []ref.Val) *uint64 {
	if !strings.HasPrefix(function, sitecorePrefix) {
		return nil
	}
	c, cost := carriedBy(args[0]), uint64(1)
	switch function {
	case "sitecore.isItem", "sitecore.isBelow", "sitecore.isOrIsBelow":
		path, _ := c.context()["Path"].(string)
		cost += uint64(len(path))/bytesPerUnit + length(c.context(), "AncestorIds")
	case "sitecore.isOrDescendsFromTemplate":
		cost += length(c.context(), "BaseTemplateIds")
	case "sitecore.field":
		for _, list := range fieldLists {
			cost += length(c.item(), list)
		}
	case "sitecore.fieldChanged":
		cost += length(object(c.data, "Changes"), "FieldChanges")
	}
	return &cost
}

// carried is what an event carries, of what these functions look at.
type carried struct {
	eventType string
	data      map[string]any // nil when it is no object
}

func carriedBy(event ref.Val) carried {
	e, _ := event.Value().(map[string]any)
	eventType, _ := e["type"].(string)
	return carried{eventType, object(e, "data")}
}

// item is the item that the event is about, nil when it is about none. Copies are
// about their source; a workflow command about the item that it is for.
func (c carried) item() map[string]any {
	if item := object(c.data, "Item"); item != nil {
		return item
	}
	switch c.eventType {
	case "item:copied":
		return object(c.data, "Source")
	case "workflow:command":
		return object(c.data, "DataItem")
	}
	return nil
}

// context is what the producer tells of the item beyond what Sitecore's payload has.
func (c carried) context() map[string]any { return object(c.data, "$context") }

func (c carried) theItem(string) ref.Val {
	item := c.item()
	if item == nil {
		return notCarried()
	}
	return types.NewStringInterfaceMap(types.DefaultTypeAdapter, item)
}

func (c carried) isItem(x string) ref.Val {
	is, known := c.is(x)
	return verdictOf(is, known)
}

func (c carried) isBelow(x string) ref.Val {
	is, known := c.below(x)
	return verdictOf(is, known)
}

func (c carried) isOrIsBelow(x string) ref.Val {
	if is, _ := c.is(x); is {
		return types.True
	}
	return c.isBelow(x)
}

func (c carried) is(x string) (is, known bool) {
	if isPath(x) {
		path, ok := c.context()["Path"].(string)
		rest, below := pathBelow(path, x)
		return below && rest == "", ok
	}
	id, ok := c.item()["Id"].(string)
	return sameID(id, x), ok
}

func (c carried) below(x string) (below, known bool) {
	if isPath(x) {
		path, ok := c.context()["Path"].(string)
		rest, below := pathBelow(path, x)
		return below && rest != "", ok
	}
	if is, _ := c.is(x); is {
		return false, true
	}
	if parent, ok := c.item()["ParentId"].(string); ok && sameID(parent, x) {
		return true, true
	}
	return c.listed("AncestorIds", x)
}

func (c carried) isTemplate(t string) ref.Val {
	if isID(t) {
		id, ok := c.item()["TemplateId"].(string)
		return verdictOf(sameID(id, t), ok)
	}
	name, ok := c.item()["TemplateName"].(string)
	return verdictOf(strings.EqualFold(name, t), ok)
}

func (c carried) isOrDescendsFromTemplate(t string) ref.Val {
	if id, ok := c.item()["TemplateId"].(string); ok && sameID(id, t) {
		return types.True
	}
	return verdictOf(c.listed("BaseTemplateIds", t))
}

// listed reports whether a list of ids in the context has the id.
func (c carried) listed(list, id string) (listed, known bool) {
	ids, ok := c.context()[list].([]any)
	for _, element := range ids {
		if s, _ := element.(string); sameID(s, id) {
			return true, true
		}
	}
	return false, ok
}

// fieldLists are where an item has its fields. A field is in one of them alone.
var fieldLists = [...]string{"SharedFields", "UnversionedFields", "VersionedFields"}

// field is the value that the field has in the version of the item: the empty
// text when it has none, as Sitecore has it.
func (c carried) field(id string) ref.Val {
	item, known := c.item(), false
	for _, list := range fieldLists {
		fields, ok := item[list].([]any)
		known = known || ok
		for _, element := range fields {
			field, _ := element.(map[string]any)
			if s, _ := field["Id"].(string); sameID(s, id) && ofVersion(field, item) {
				value, _ := field["Value"].(string)
				return types.String(value)
			}
		}
	}
	if !known {
		return notCarried()
	}
	return types.String("")
}

// ofVersion reports whether a field is that of the version of the item that the
// event is about, if it says of which it is.
func ofVersion(field, item map[string]any) bool {
	language, ok := field["Language"].(string)
	if of, known := item["Language"].(string); ok && known && !strings.EqualFold(language, of) {
		return false
	}
	version, ok := field["Version"].(float64)
	of, known := item["Version"].(float64)
	return !ok || !known || version == of
}

func (c carried) fieldChanged(id string) ref.Val {
	changes, ok := object(c.data, "Changes")["FieldChanges"].([]any)
	for _, element := range changes {
		change, _ := element.(map[string]any)
		if s, _ := change["FieldId"].(string); sameID(s, id) {
			return types.True
		}
	}
	return verdictOf(false, ok)
}

var errNotCarried = errors.New("no such key")

// notCarried is how a question is answered about what the event does not carry. It
// is a new one each time, for CEL writes into it where it was met.
func notCarried() ref.Val { return types.WrapErr(errNotCarried) }

func verdictOf(is, known bool) ref.Val {
	if !known {
		return notCarried()
	}
	return types.Bool(is)
}

func text(of map[string]any, member string) ref.Val {
	s, ok := of[member].(string)
	if !ok {
		return notCarried()
	}
	return types.String(s)
}

func object(of map[string]any, member string) map[string]any {
	o, _ := of[member].(map[string]any)
	return o
}

func length(of map[string]any, list string) uint64 {
	l, _ := of[list].([]any)
	return uint64(len(l))
}

// isID tells ids, in any spelling that .NET has for them, from names and paths.
func isID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil
}

func sameID(a, b string) bool {
	x, err := uuid.Parse(a)
	if err != nil {
		return false
	}
	y, err := uuid.Parse(b)
	return err == nil && x == y
}

func isPath(s string) bool { return strings.HasPrefix(s, "/") }

// pathBelow returns what of path lies below base, element by element, upper and
// lower case being the same, and whether path is base or below it.
func pathBelow(path, base string) (rest string, ok bool) {
	path, base = strings.Trim(path, "/"), strings.Trim(base, "/")
	for base != "" {
		var have, want string
		have, path, _ = strings.Cut(path, "/")
		want, base, _ = strings.Cut(base, "/")
		if !strings.EqualFold(have, want) {
			return "", false
		}
	}
	return path, true
}
