package route

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// bytesPerUnit is how many bytes of text are worked off for one unit, as CEL has it.
const bytesPerUnit = 10

// sizes charges for calls by the size of what they work on. CEL does so where it
// knows types before it evaluates. Of what is in an event it does not, and takes
// each call for a small one.
type sizes struct{}

// CallCost returns nil where CEL may say what a call costs.
func (sizes) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	switch function {
	case named:
		return namedCost(args[1])
	case operators.In:
		list, ok := args[1].(traits.Lister)
		if !ok {
			return nil // the members of a map are not looked through
		}
		n, _ := list.Size().(types.Int) // a list always has a size
		return new(1 + uint64(max(n, 0)))
	case operators.Add, overloads.TypeConvertString, overloads.TypeConvertBytes:
		switch x := result.(type) {
		case types.String:
			return new(1 + uint64(len(x))/bytesPerUnit)
		case types.Bytes:
			return new(1 + uint64(len(x))/bytesPerUnit)
		}
	}
	return questionCost(function, args)
}
