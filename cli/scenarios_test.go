package cli_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/cli"
	"github.com/postrider/postrider/cli/match"
	"github.com/postrider/postrider/cli/words"
	"github.com/postrider/postrider/internal/scenario"
)

// Of the files of a scenario, objects.yaml and the events are read; what is written
// about them is list.txt, describe.txt, and explain.txt for each event.
func TestScenarios(t *testing.T) {
	scenario.Each(t, func(t *testing.T, a *txtar.Archive) []txtar.File {
		t.Helper()
		now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
		texts := cli.TextsAt(now)
		var files []txtar.File
		var o objects
		add := func(name string, text string, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, txtar.File{Name: name, Data: []byte(trimLines(text))})
		}
		for _, f := range a.Files {
			if strings.HasSuffix(f.Name, ".txt") {
				continue
			}
			files = append(files, f)
			if f.Name == "objects.yaml" {
				o = readObjects(t, f.Data)
				text, err := texts.List(&o.webhooks)
				add("list.txt", text, err)
				text, err = o.describe(texts)
				add("describe.txt", text, err)
				continue
			}
			events, err := match.Read("shop", match.MediaType(f.Data), f.Data, now)
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			text, err := texts.Explain(&events[0], o.webhooks.Items)
			add(strings.TrimSuffix(f.Name, ".json")+".explain.txt", text, err)
		}
		return files
	})
}

// trimLines leaves out blanks at the ends of lines, which editors do too.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

type objects struct {
	webhooks v1alpha1.WebhookList
	policies map[string]*v1alpha1.WebhookPolicy
	items    map[string]*v1alpha1.AuthorizationItem
}

func readObjects(t *testing.T, text []byte) objects {
	t.Helper()
	o := objects{policies: map[string]*v1alpha1.WebhookPolicy{}, items: map[string]*v1alpha1.AuthorizationItem{}}
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		var err error
		switch {
		case strings.Contains(doc, "kind: WebhookPolicy"):
			var p v1alpha1.WebhookPolicy
			err = yaml.UnmarshalStrict([]byte(doc), &p)
			p.Namespace = "shop"
			o.policies[p.Name] = &p
		case strings.Contains(doc, "kind: AuthorizationItem"):
			var i v1alpha1.AuthorizationItem
			err = yaml.UnmarshalStrict([]byte(doc), &i)
			i.Namespace = "shop"
			o.items[i.Name] = &i
		default:
			var w v1alpha1.Webhook
			err = yaml.UnmarshalStrict([]byte(doc), &w)
			w.Namespace = "shop"
			o.webhooks.Items = append(o.webhooks.Items, w)
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
	}
	return o
}

func (o *objects) describe(texts cli.Texts) (string, error) {
	var all []string
	for i := range o.webhooks.Items {
		s := words.Subject{Webhook: &o.webhooks.Items[i]}
		if ref := s.Webhook.Spec.PolicyRef; ref != nil {
			s.Policy = o.policies[ref.Name]
		}
		if ref := s.Webhook.Spec.AuthorizationRef; ref != nil {
			s.Item = o.items[ref.Name]
		}
		text, err := texts.Describe(s)
		if err != nil {
			return "", err
		}
		all = append(all, text)
	}
	return strings.Join(all, "\n========\n\n"), nil
}
