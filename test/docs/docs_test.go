package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/test/docs"
)

// elsewhere are commands that this test does not run, by how they begin, and
// what does.
var elsewhere = map[string]string{
	"make run":                           "hack/local runs it, from the start to Ctrl-C",
	"make test":                          "it is what runs this",
	"make bench":                         "it measures for many minutes; test/bench tests its parts",
	"dispatcher --nats-url":              "test/natscluster and test/resilience start dispatchers on a NATS cluster",
	"go run ./cmd/sitecore-c":            "cmd/sitecore-convert and migration run it on serialized items, which this checkout has none of as files",
	"kubectl postrider ":                 "the tests of cli run every command of the plugin against real processes, the end-to-end test through a port-forward",
	"go install ":                        "there is no release to install yet; hack/krew builds the same",
	"ln -s ":                             "it names a plugin that is not installed here",
	"kubectl kustomize config/argocd":    "test/argocd does, with Argo CD's own code",
	"kubectl get configmap postrider-ca": "the manager here keeps no certificate; the end-to-end test reads it",
	"curl --cacert ca.crt":               "likewise; test/conformance calls a dispatcher over TLS",
	"kubectl apply -k conver":            "likewise: what it applies was made by the line before",
}

// TestTheCommandsOfThePagesDoWhatThePagesSay runs every command of a page in
// the order of the page. Those that need pods are run on a real cluster.
func TestTheCommandsOfThePagesDoWhatThePagesSay(t *testing.T) {
	w := newWorld(t)
	names, err := docs.Pages(w.root)
	if err != nil {
		t.Fatal(err)
	}
	used, ran := map[string]bool{}, 0
	here := docs.Here{
		Root: w.root,
		Env: []string{
			"PATH=" + os.Getenv("KUBEBUILDER_ASSETS") + ":" + os.Getenv("PATH"), "KUBECONFIG=" + w.kubeconfig,
			"TOKEN=" + w.token(t, "cms", "operator", "postrider"), "PASSWORD=not-a-secret",
			"WEBHOOK=" + w.events + "/v1/namespaces/cms/webhooks/page-created",
		},
		// What stands for the outside in the pages: the dispatcher, and receivers.
		Hosts: [][2]string{
			{`https://postrider\.example\.com`, w.events},
			{`https://[a-z]+\.example\.com`, w.receiver.URL("")},
		},
		Skip: func(command string) bool {
			for begins := range elsewhere {
				if strings.HasPrefix(command, begins) {
					used[begins] = true
					return true
				}
			}
			return false
		},
	}
	for _, name := range names {
		p, err := docs.Read(w.root, name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, line := range p.Strays {
			t.Errorf("%s:%d: commands stand in ```console blocks, each after %q, so that they are run", name, line, "$ ")
		}
		t.Run(name, func(t *testing.T) { ran += docs.RunHere(t, here, p) })
	}
	if ran < 20 {
		t.Errorf("only %d commands were found", ran)
	}
	for begins := range elsewhere {
		if !used[begins] {
			t.Errorf("no page has a command that begins with %q: remove it from the list of what is run elsewhere", begins)
		}
	}
	t.Run("metrics", w.documentedMetrics)
}

var (
	sample     = regexp.MustCompile(`(?m)^([a-z_]+?)(?:\{(.*)\})? \S+$`)
	labelName  = regexp.MustCompile(`([a-z_]+)="`)
	documented = regexp.MustCompile("(?m)^\\| `((?:process|controller_runtime|leader_election)_[a-z_]+)` \\| [a-z]+ \\|([^|]*)\\|")
	labelWord  = regexp.MustCompile("`([a-z_]+)`")
)

// documentedMetrics compares what docs/metrics.md says of the manager, and of
// processes, with both of them. Those of the dispatcher alone are compared
// by its conformance tests.
func (w *world) documentedMetrics(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(w.root, "docs/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := documented.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 4 {
		t.Fatalf("docs/metrics.md has %d rows about processes and the manager", len(rows))
	}
	manager, dispatcher := w.scrape(t, w.metrics+"/metrics"), w.scrape(t, w.admin+"/metrics")
	for _, row := range rows {
		pages := map[string]string{"manager": manager}
		if strings.HasPrefix(row[1], "process_") {
			pages["dispatcher"] = dispatcher
		}
		var labels []string
		for _, l := range labelWord.FindAllStringSubmatch(row[2], -1) {
			labels = append(labels, l[1])
		}
		for who, text := range pages {
			if err := has(text, row[1], labels); err != nil {
				t.Errorf("the %s: %v", who, err)
			}
		}
	}
	if want := `leader_election_master_status{name="manager.postrider.dev"} 1`; !strings.Contains(manager, want) {
		t.Errorf("the manager does not show %s", want)
	}
	for _, controller := range []string{"table", "webhook", "webhookpolicy", "authorizationitem"} {
		if want := `controller_runtime_reconcile_errors_total{controller="` + controller + `"}`; !strings.Contains(manager, want) {
			t.Errorf("the manager does not show %s", want)
		}
	}
}

// has returns an error unless a series has the name and the labels.
func has(page, name string, labels []string) error {
	for _, m := range sample.FindAllStringSubmatch(page, -1) {
		if m[1] != name {
			continue
		}
		var got []string
		for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
			got = append(got, l[1])
		}
		if strings.Join(got, " ") != strings.Join(labels, " ") {
			return fmt.Errorf("%s has the labels %v, not %v", name, got, labels)
		}
		return nil
	}
	return fmt.Errorf("%s is missing", name)
}
