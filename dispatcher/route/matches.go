package route

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// CEL charges for a regular expression only after it has run, and matching
// takes time proportional to the text times the program. So both are bounded
// here: the program when the condition is compiled, the text when it runs.
const (
	maxProgram = 500     // instructions of a regular expression
	maxSubject = 4 << 10 // bytes of the text that it is matched against
)

// errSubject says that a text is too long for matches().
var errSubject = fmt.Errorf("matches() takes texts of at most %d bytes; use contains(), startsWith() or endsWith()", maxSubject)

// checkMatches refuses calls of matches() that could not be bounded.
func checkMatches(ast *celast.AST) error {
	for _, call := range celast.MatchDescendants(celast.NavigateAST(ast), celast.FunctionMatcher("matches")) {
		args := call.AsCall().Args()
		pattern := args[len(args)-1]
		if pattern.Kind() != celast.LiteralKind {
			return errors.New("matches() wants its pattern as a literal, so that it is compiled once")
		}
		text, ok := pattern.AsLiteral().(types.String)
		if !ok {
			continue // the type checker has refused it
		}
		if _, err := compilePattern(string(text)); err != nil {
			return err
		}
	}
	return nil
}

func compilePattern(text string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("matches(): %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("matches(): %w", err)
	}
	if n := len(program.Inst); n > maxProgram {
		return nil, fmt.Errorf("matches(): the pattern compiles to %d instructions, the limit is %d; repeat fewer things", n, maxProgram)
	}
	return regexp.Compile(text)
}

// boundedMatches compiles the pattern of matches() with the condition, and
// keeps it from running over long texts.
var boundedMatches = &interpreter.RegexOptimization{
	Function:   "matches",
	RegexIndex: 1,
	Factory: func(call interpreter.InterpretableCall, text string) (interpreter.InterpretableCall, error) {
		pattern, err := compilePattern(text)
		if err != nil {
			return nil, err
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(values ...ref.Val) ref.Val {
			subject, ok := values[0].(types.String)
			switch {
			case !ok:
				return types.NoSuchOverloadErr()
			case len(subject) > maxSubject:
				return types.WrapErr(errSubject)
			}
			return types.Bool(pattern.MatchString(string(subject)))
		}), nil
	},
}
