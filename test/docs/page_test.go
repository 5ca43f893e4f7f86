package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/test/docs"
)

// page reads a page with this text; ~~~ stands for a fence.
func page(t *testing.T, text string) (docs.Page, error) {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "page.md"), []byte(strings.ReplaceAll(text, "~~~", "```")), 0o600); err != nil {
		t.Fatal(err)
	}
	return docs.Read(root, "page.md")
}

func TestAPageIsReadAsAReaderWould(t *testing.T) {
	t.Parallel()
	p, err := page(t, `# Title
~~~console
$ kubectl get webhooks \
    -n shop
NAME   AGE
one    3s
$ kubectl apply -f - <<EOF
kind: Webhook
EOF
$ curl -d '{
  "type": "a"}'
~~~
~~~yaml
# one.yaml
kind: Webhook
~~~
<!-- file: two.json -->
~~~json
{}
~~~
~~~console cluster
$ helm list
~~~
~~~bash
ls
~~~
`)
	if err != nil {
		t.Fatal(err)
	}
	want := docs.Page{
		Name: "page.md",
		Blocks: []docs.Block{
			{Line: 2, Steps: []docs.Step{
				{Line: 3, Command: "kubectl get webhooks \\\n    -n shop", Shown: []string{"NAME   AGE", "one    3s"}},
				{Line: 7, Command: "kubectl apply -f - <<EOF\nkind: Webhook\nEOF"},
				{Line: 10, Command: "curl -d '{\n  \"type\": \"a\"}'"},
			}},
			{Line: 21, Cluster: true, Steps: []docs.Step{{Line: 22, Command: "helm list"}}},
		},
		Files:  map[string]string{"one.yaml": "# one.yaml\nkind: Webhook\n", "two.json": "{}\n"},
		Strays: []int{24},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
}

func TestAPageThatNobodyCouldRunIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"it begins with": "~~~console\nNAME\n~~~\n",
		"only cluster":   "~~~console later\n$ ls\n~~~\n",
		"has no end":     "~~~console\n$ ls\n",
	} {
		if _, err := page(t, text); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: the error is %v", text, err)
		}
	}
}

func TestWhatIsPrintedIsComparedByItsWords(t *testing.T) {
	t.Parallel()
	const printed = "NAME     READY   LAST ERROR      AGE\norders   True    404 Not Found   12s\n\nmails    False                   1m\n"
	for _, tt := range []struct {
		name  string
		shown []string
		same  bool
	}{
		{"the same", []string{"NAME READY LAST ERROR AGE", "orders True 404 Not Found 3s"}, true},
		{"less of it", []string{"mails   False   5m"}, true},
		{"cut short", []string{"orders …"}, true},
		{"a word cut short", []string{"or… True 404 Not Found 3s"}, true},
		{"another word", []string{"orders False 404 Not Found 3s"}, false},
		{"another status", []string{"orders True 410 Not Found 3s"}, false},
		{"a line too many", []string{"orders True 404 Not Found 3s", "more"}, false},
		{"another order", []string{"mails False 1m", "orders True 404 Not Found 3s"}, false},
		{"half a line", []string{"orders True"}, false},
	} {
		if err := docs.Compare(tt.shown, printed); (err == nil) != tt.same {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
