package controllers_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTheScenariosShowEveryReason keeps the golden files complete: a reason is
// API, so each has a file that shows what it means.
func TestTheScenariosShowEveryReason(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../api/v1alpha1/conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value) //nolint:errcheck // reasons are literals
		if err != nil {
			t.Fatal(err)
		}
		reasons[v.Names[0].Name] = value
		return true
	})
	if len(reasons) == 0 {
		t.Fatal("there are no reasons")
	}

	files, err := filepath.Glob("*/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// Of each file, what came out of it.
		for _, mark := range []string{"-- conditions.txt --", "-- status.yaml --"} {
			if _, out, ok := strings.Cut(string(b), mark); ok {
				shown.WriteString(out)
			}
		}
	}
	for name, value := range reasons {
		if value == "Accepted" || value == "ResolvedRefs" { // are types too, and in every file of package status
			value = "reason: " + value
		}
		if !regexp.MustCompile(`\b` + value + `\b`).MatchString(shown.String()) {
			t.Errorf("no file in testdata shows %s", name)
		}
	}
}
