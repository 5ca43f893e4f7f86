package chart_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the table of values into the chart's README.md")

// A value is a line of values.yaml that users may set.
type value struct{ path, standard, meaning string }

func TestTheReadmeHasEveryValue(t *testing.T) {
	const path, begin, end = chart + "/README.md", "<!-- values: go test ./test/chart -run Readme -update -->\n", "<!-- end -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("README.md has not %q and %q", begin, end)
	}
	want := "\n| value | default | |\n|---|---|---|\n"
	for _, v := range values(t) {
		want += fmt.Sprintf("| `%s` | %s | %s |\n", v.path, v.standard, v.meaning)
	}
	want += "\n"
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table, want); diff != "" {
		t.Errorf("(-README.md +values.yaml; go test -update accepts it)\n%s", diff)
	}
}

func TestTheSchemaKnowsEveryValueAndNoOther(t *testing.T) {
	b, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	var inSchema, inValues []string
	for _, path := range paths(t, schema, schema) {
		if path != "global" { // which Helm adds by itself
			inSchema = append(inSchema, path)
		}
	}
	for _, v := range values(t) {
		inValues = append(inValues, v.path)
	}
	slices.Sort(inSchema)
	slices.Sort(inValues)
	if diff := cmp.Diff(inSchema, inValues); diff != "" {
		t.Errorf("(-schema +values.yaml)\n%s", diff)
	}
}

// values reads values.yaml: what has a comment is a value, what has none a group.
func values(t *testing.T) []value {
	t.Helper()
	b, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	return under(t, "", document.Content[0])
}

func under(t *testing.T, prefix string, group *yaml.Node) []value {
	t.Helper()
	var all []value
	for i := 0; i < len(group.Content); i += 2 {
		key, v := group.Content[i], group.Content[i+1]
		path := prefix + key.Value
		comment := key.HeadComment
		switch {
		case comment == "" && v.Kind == yaml.MappingNode && len(v.Content) > 0:
			all = append(all, under(t, path+".", v)...)
		case comment == "":
			t.Errorf("%s has no comment", path)
		default:
			meaning := strings.ReplaceAll(strings.ReplaceAll(strings.TrimPrefix(comment, "# "), "\n# ", " "), "|", `\|`)
			all = append(all, value{path: path, standard: standard(t, v), meaning: meaning})
		}
	}
	return all
}

// standard is a default in one line, empty for nothing.
func standard(t *testing.T, v *yaml.Node) string {
	t.Helper()
	if v.Value == "" && len(v.Content) == 0 {
		return ""
	}
	if v.Kind == yaml.ScalarNode {
		return "`" + v.Value + "`"
	}
	var plain any
	if err := v.Decode(&plain); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(plain)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + string(b) + "`"
}

// paths lists what a schema lets users set: objects with properties are groups,
// save those whose parts the API server knows.
func paths(t *testing.T, root, schema map[string]any) []string {
	t.Helper()
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		t.Fatalf("no properties in %v", schema)
	}
	var all []string
	for name, property := range properties {
		part, ok := property.(map[string]any)
		if !ok {
			t.Fatalf("%s is a %T", name, property)
		}
		if ref, ok := part["$ref"].(string); ok && ref == "#/definitions/image" {
			definitions, ok := root["definitions"].(map[string]any)
			if !ok {
				t.Fatal("the schema has no definitions")
			}
			if part, ok = definitions["image"].(map[string]any); !ok {
				t.Fatal("the schema has no definition of an image")
			}
		}
		if part["properties"] == nil || name == "issuerRef" {
			all = append(all, name)
			continue
		}
		for _, path := range paths(t, root, part) {
			all = append(all, name+"."+path)
		}
	}
	return all
}
