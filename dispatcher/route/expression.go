package route

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
)

// maxNesting bounds how deep an expression may nest.
const maxNesting = 50

// environment is what an expression may use: the variable "event", CEL's
// standard library and macros, and what asks about items and workflows of Sitecore. Nothing in it reads a clock, a file or a
// network, and nothing makes a value much larger than what it is made of before
// the cost of that is known: CEL's string extension, with replace() and join(),
// does.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(append(declareQuestions(),
		cel.Variable("event", cel.MapType(cel.StringType, cel.DynType)),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(maxCondition),
		namedFunction,
	)...)
})

// A use is what expressions are for: how long they may be, what one evaluation
// may cost, and what they have to look like besides, which also says what of the
// data they look at if that is not all of it.
type use struct {
	maxText   int // bytes
	costLimit uint64
	check     func(*cel.Ast) ([]path, error)
}

// An expression is a CEL text and its use.
type expression struct {
	text string
	use  *use
}

// maxCompiled bounds the expressions that are remembered.
const maxCompiled = 10_000

// compiled remembers expressions by their text and use, so that a rebuild of the
// table compiles only what is new: a long one takes milliseconds.
var compiled struct {
	mu sync.Mutex
	by map[expression]compilation
}

type compilation struct {
	program cel.Program
	looks   []path
	err     error
}

// compile returns the program of x, or why there is none. Equal expressions share one.
func (x expression) compile() compilation {
	compiled.mu.Lock()
	c, known := compiled.by[x]
	compiled.mu.Unlock()
	if known {
		return c
	}
	c.err = x.compileAnew(&c)
	compiled.mu.Lock()
	defer compiled.mu.Unlock()
	if compiled.by == nil || len(compiled.by) >= maxCompiled {
		compiled.by = map[expression]compilation{} // what is in use comes back at the next rebuild
	}
	compiled.by[x] = c
	return c
}

func (x expression) compileAnew(c *compilation) error {
	if len(x.text) > x.use.maxText {
		return fmt.Errorf("the expression has %d bytes, the limit is %d", len(x.text), x.use.maxText)
	}
	env, err := environment()
	if err != nil {
		return fmt.Errorf("setting up CEL: %w", err)
	}
	ast, issues := env.Compile(x.text)
	if err := issues.Err(); err != nil {
		return errors.New(firstLine(err.Error()))
	}
	if c.looks, err = x.use.check(ast); err != nil {
		return err
	}
	c.program, err = env.Program(ast, cel.OptimizeRegex(boundedMatches), cel.CustomDecoratorV2(foldNames), cel.CostTracking(sizes{}), cel.CostLimit(x.use.costLimit))
	if err != nil {
		return errors.New(firstLine(err.Error()))
	}
	return nil
}

// firstLine drops the source excerpt that CEL draws below each message.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimPrefix(line, "ERROR: <input>:")
}
