package route

import (
	"errors"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// named is the function by which a condition selects what a workflow command is
// about:
//
//	sitecore.named(event.data.Command, ["Approve", "{9D3A5C7B-…}"])
//
// It holds for a workflow, a command or a state that has one of the names,
// whatever their case, or one of the ids, with or without braces; "*" is the name
// of all. It holds for nothing else, null included.
const named = "sitecore.named"

// everything is the name that all have.
const everything = "*"

// namedMembers are what workflows, commands and states are called by.
var namedMembers = [...]types.String{"Name", "DisplayName", "Id", "StateID"}

var errNames = errors.New(named + `() wants its names as a list of literals, such as ["Approve"], so that it is made once`)

var namedFunction = cel.Function(named, cel.Overload("sitecore_named_dyn_list_string",
	[]*cel.Type{cel.DynType, cel.ListType(cel.StringType)}, cel.BoolType, cel.BinaryBinding(isNamed)))

// isNamed tells whether thing has one of the names, which are bare.
func isNamed(thing, names ref.Val) ref.Val {
	list, ok := names.Value().([]string)
	if !ok {
		return types.NoSuchOverloadErr()
	}
	switch x := thing.(type) {
	case types.Null:
		return types.False
	case traits.Mapper:
		for _, member := range namedMembers {
			if value, ok := x.Find(member); ok && oneOf(value, list) {
				return types.True
			}
		}
		return types.False
	default:
		return types.NoSuchOverloadErr()
	}
}

func oneOf(value ref.Val, names []string) bool {
	text, ok := value.(types.String)
	if !ok || text == "" {
		return false
	}
	is := bare(string(text))
	for _, name := range names {
		if name == everything || strings.EqualFold(name, is) {
			return true
		}
	}
	return false
}

// bare is an id without its braces. What is no id in braces stays as it is.
func bare(s string) string {
	const braced = 38 // characters of a GUID in braces
	if len(s) == braced && s[0] == '{' && s[braced-1] == '}' {
		return s[1 : braced-1]
	}
	return s
}

// foldNames makes the list of names of each call when the expression is compiled.
func foldNames(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || call.Function() != named {
		return i, nil
	}
	list, ok := call.Args()[1].(interpreter.InterpretableConstructor)
	if !ok {
		return nil, errNames
	}
	var names []string
	for _, element := range list.InitVals() {
		constant, ok := element.(interpreter.InterpretableConst)
		if !ok {
			return nil, errNames
		}
		name, ok := constant.Value().(types.String)
		if !ok {
			return nil, errNames
		}
		names = append(names, bare(string(name)))
	}
	folded := interpreter.NewConstValue(list.ID(), types.NewStringList(types.DefaultTypeAdapter, names))
	return interpreter.NewCall(call.ID(), named, call.OverloadID(), []interpreter.InterpretableV2{call.Args()[0], folded},
		func(values ...ref.Val) ref.Val { return isNamed(values[0], values[1]) }), nil
}

// namedCost is what a call with such names costs: it may compare all of them.
func namedCost(names ref.Val) *uint64 {
	list, _ := names.Value().([]string) // see foldNames
	cost := 1 + uint64(len(list))
	for _, name := range list {
		cost += uint64(len(name)) / bytesPerUnit
	}
	return &cost
}
