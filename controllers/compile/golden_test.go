package compile_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/scenario"
)

// TestScenarios is the specification of the compiler: each file in testdata
// says in one sentence what it shows, then the objects, the table and the
// verdicts.
func TestScenarios(t *testing.T) {
	scenario.Each(t, func(t *testing.T, a *txtar.Archive) []txtar.File {
		t.Helper()
		in := section(a, "in.yaml")
		s := read(t, in)
		r := compile.Compile(s)
		if _, err := route.Build(r.Table); err != nil {
			t.Errorf("the table does not build: %v", err)
		}
		conditions := verdicts(r)
		refuseLeaks(t, s, conditions)

		return []txtar.File{
			{Name: "in.yaml", Data: in},
			{Name: "table.json", Data: table(t, r.Table)},
			{Name: "conditions.txt", Data: []byte(conditions)},
		}
	})
}

func section(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// read makes a Snapshot of YAML documents, with the Secrets that are referred to.
func read(t *testing.T, in []byte) compile.Snapshot {
	t.Helper()
	s := compile.Snapshot{Now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	secrets := map[types.NamespacedName]map[string][]byte{}
	docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(in)))
	for n := int64(1); ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var kind struct{ Kind string }
		decode(t, doc, &kind)
		switch kind.Kind {
		case "Webhook":
			s.Webhooks = append(s.Webhooks, decode(t, doc, &v1alpha1.Webhook{}))
		case "AuthorizationItem":
			s.AuthorizationItems = append(s.AuthorizationItems, decode(t, doc, &v1alpha1.AuthorizationItem{}))
		case "WebhookPolicy":
			s.WebhookPolicies = append(s.WebhookPolicies, decode(t, doc, &v1alpha1.WebhookPolicy{}))
		case "Secret":
			o := decode(t, doc, &corev1.Secret{})
			data := o.Data
			if data == nil {
				data = map[string][]byte{}
			}
			for k, v := range o.StringData {
				data[k] = []byte(v)
			}
			secrets[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = data
		default:
			t.Fatalf("document %d has the unknown kind %q", n, kind.Kind)
		}
	}
	refs := compile.References(s)
	maps.DeleteFunc(secrets, func(k types.NamespacedName, _ map[string][]byte) bool { _, ok := refs[k]; return !ok })
	s.Secrets = secrets
	return s
}

func decode[T any](t *testing.T, doc []byte, into *T) T {
	t.Helper()
	if err := yaml.Unmarshal(doc, into); err != nil {
		t.Fatalf("%v in:\n%s", err, doc)
	}
	return *into
}

func table(t *testing.T, tab route.Table) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(tab.Routes); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func verdicts(r compile.Result) string {
	var b strings.Builder
	list := func(kind string, all compile.Verdicts) {
		for _, key := range slices.SortedFunc(maps.Keys(all), func(a, b types.NamespacedName) int {
			return strings.Compare(a.String(), b.String())
		}) {
			fmt.Fprintf(&b, "%s %s\n", kind, key)
			for _, typ := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs} {
				if all[key].Fault(typ) == nil {
					fmt.Fprintf(&b, "  %s=True\n", typ)
				}
				for _, f := range all[key].Faults {
					if f.Condition == typ {
						fmt.Fprintf(&b, "  %s=False %s (%s)\n", typ, f.Reason, f)
					}
				}
			}
			for _, f := range all[key].Warnings {
				fmt.Fprintf(&b, "  %s=False %s (%s)\n", f.Condition, f.Reason, f)
			}
		}
	}
	list("Webhook", r.Webhooks)
	list("AuthorizationItem", r.AuthorizationItems)
	list("WebhookPolicy", r.WebhookPolicies)
	return b.String()
}

// refuseLeaks fails when the text holds a value of a Secret.
func refuseLeaks(t *testing.T, s compile.Snapshot, text string) {
	t.Helper()
	for name, data := range s.Secrets {
		for key, value := range data {
			for word := range strings.FieldsSeq(string(value)) {
				if len(word) >= 6 && strings.Contains(text, word) {
					t.Errorf("a verdict tells what key %q of Secret %s holds", key, name)
				}
			}
		}
	}
}
