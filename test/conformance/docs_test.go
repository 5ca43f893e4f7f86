package conformance_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	definedFlag    = regexp.MustCompile(`f\.(?:\w+Var\([^"]*|Func\(|Bool\()"([a-z-]+)"`)
	flagRow        = regexp.MustCompile("(?m)^\\| (`--.*?) \\|")
	documentedFlag = regexp.MustCompile("`--([a-z-]+)`")
)

func TestEachFlagOfTheDispatcherIsInTheDocumentation(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../cmd/dispatcher/flags.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	defined, documented := map[string]bool{}, map[string]bool{}
	for _, m := range definedFlag.FindAllSubmatch(source, -1) {
		defined[string(m[1])] = true
	}
	for _, row := range flagRow.FindAllSubmatch(page, -1) {
		for _, m := range documentedFlag.FindAllSubmatch(row[1], -1) {
			documented[string(m[1])] = true
		}
	}
	if len(defined) < 20 {
		t.Fatalf("only %d flags were found", len(defined))
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(defined)), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("docs/operations.md and the flags (-source +page)\n%s", diff)
	}
}
