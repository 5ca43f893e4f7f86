package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// A schema is what a CRD says about a field, as far as the pages show it.
type schema struct {
	Type        string
	Description string
	Properties  map[string]schema
	Items       *schema
	Required    []string
	Enum        []string

	MinLength, MaxLength *int64
	MinItems, MaxItems   *int64
	Minimum, Maximum     *float64

	AdditionalProperties *schema
	ListType             string `json:"x-kubernetes-list-type"`
	Rules                []rule `json:"x-kubernetes-validations"`
}

// A rule is a CEL expression that a value must fulfil.
type rule struct{ Rule, Message string }

// readSchema reads the schema of the newest version of a CRD.
func readSchema(path string) (schema, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return schema{}, err
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct{ OpenAPIV3Schema schema }
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return schema{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(crd.Spec.Versions) == 0 {
		return schema{}, fmt.Errorf("%s has no version", path)
	}
	return crd.Spec.Versions[len(crd.Spec.Versions)-1].Schema.OpenAPIV3Schema, nil
}

// fields is a table of all fields below s.
func fields(s schema, path string) string {
	var out strings.Builder
	out.WriteString("| field | type and bounds | meaning |\n|---|---|---|\n")
	table(&out, s, path)
	return out.String()
}

// known are lists whose members are the same in all of Kubernetes.
const known = "status.conditions"

func table(out *strings.Builder, s schema, path string) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		f, at := s.Properties[name], path+"."+name
		if f.Items != nil {
			at += "[]"
		}
		bounds := describe(f)
		if slices.Contains(s.Required, name) {
			bounds = "**required**, " + bounds
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", at, bounds, cell(f.Description))
		if at == known+"[]" {
			continue
		}
		table(out, f, at)
		if f.Items != nil {
			table(out, *f.Items, at)
		}
	}
}

// describe says what values f takes.
func describe(f schema) string {
	switch {
	case len(f.Enum) > 0:
		return "`" + strings.Join(f.Enum, "`, `") + "`"
	case f.Items != nil:
		of := describe(*f.Items)
		if f.Items.Type == "object" {
			of = "object"
		}
		return "list of " + strings.TrimPrefix(span("", f.MinItems, f.MaxItems)+": ", ", ") + of
	case f.AdditionalProperties != nil:
		return "map of " + describe(*f.AdditionalProperties)
	case isDuration(f):
		return "duration"
	case f.Type == "string":
		return "string" + span("characters", f.MinLength, f.MaxLength)
	case f.Type == "integer":
		return "integer" + span("", whole(f.Minimum), whole(f.Maximum))
	}
	return f.Type
}

// isDuration recognises a duration by the rule that reads it as one, or, in a
// status, by what is said of it.
func isDuration(f schema) bool {
	return f.Type == "string" && (slices.ContainsFunc(f.Rules, func(r rule) bool { return strings.Contains(r.Rule, "duration(") }) ||
		strings.HasPrefix(f.Description, "duration "))
}

func whole(f *float64) *int64 {
	if f == nil {
		return nil
	}
	return new(int64(*f))
}

// span is a range in words, empty when there is none.
func span(unit string, least, most *int64) string {
	if unit != "" {
		unit = " " + unit
	}
	switch {
	case least != nil && most != nil:
		return ", " + grouped(*least) + " to " + grouped(*most) + unit
	case most != nil:
		return ", at most " + grouped(*most) + unit
	case least != nil:
		return ", at least " + grouped(*least) + unit
	}
	return ""
}

// grouped writes 65536 as 65,536.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// cell makes a description fit into a table: one line, the name of the field
// left as it begins it.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`).Replace(strings.Join(strings.Fields(text), " "))
}

// refusals lists what the API server says about a spec that breaks a rule.
func refusals(s schema) string {
	var all []string
	collect(s, &all)
	slices.Sort(all)
	var out strings.Builder
	for _, message := range slices.Compact(all) {
		fmt.Fprintf(&out, "- %s\n", cell(message))
	}
	return out.String()
}

func collect(s schema, into *[]string) {
	for _, r := range s.Rules {
		*into = append(*into, r.Message)
	}
	for _, f := range s.Properties {
		collect(f, into)
	}
	if s.Items != nil {
		collect(*s.Items, into)
	}
}
