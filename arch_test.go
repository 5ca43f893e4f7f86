// Package postrider_test holds the test of the architecture.
package postrider_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/postrider/postrider/"

// rooms says what each package may import: of this module, and of the families
// of modules in [families]. Everything else is free. docs/architecture.md says why.
var rooms = map[string][]string{
	"api/v1alpha1": {"apimachinery"},

	"controllers":          {"controllers/compile", "controllers/status", "controllers/rollout", "controllers/certificate", "api/v1alpha1", "dispatcher/route", "dispatcher/outcome", "apimachinery", "k8s", "controller-runtime"},
	"controllers/compile":  {"api/v1alpha1", "dispatcher/route", "dispatcher/payload", "dispatcher/sitecore", "apimachinery", "k8s"},
	"controllers/status":   {"api/v1alpha1", "controllers/compile", "controllers/rollout", "dispatcher/outcome", "apimachinery"},
	"controllers/rollout":  {"dispatcher/outcome"},
	"dispatcher":           {"dispatcher/...", "apimachinery", "k8s"},
	"dispatcher/event":     {},
	"dispatcher/outcome":   {},
	"dispatcher/problem":   {},
	"dispatcher/egress":    {"dispatcher/outcome"},
	"dispatcher/route":     {"dispatcher/event"},
	"dispatcher/trace":     {"dispatcher/event", "dispatcher/outcome", "otel"},
	"dispatcher/identity":  {"apimachinery", "k8s"},
	"dispatcher/source":    {"dispatcher/route", "apimachinery", "k8s"},
	"dispatcher/access":    {"dispatcher/event", "dispatcher/problem", "apimachinery", "k8s"},
	"dispatcher/share":     {},
	"dispatcher/ingest":    {"dispatcher/event", "dispatcher/problem", "dispatcher/share", "dispatcher/sitecore"},
	"dispatcher/sitecore":  {"dispatcher/event"},
	"dispatcher/payload":   {"dispatcher/event", "dispatcher/route", "dispatcher/sitecore"},
	"dispatcher/authorize": {"dispatcher/route", "dispatcher/share"},
	"dispatcher/sign":      {"dispatcher/route"},
	"dispatcher/answer":    {"dispatcher/event"},
	"dispatcher/validate":  {"dispatcher/event", "dispatcher/route", "dispatcher/outcome", "dispatcher/answer", "dispatcher/share"},
	// workflow takes commands as ingest takes events, and asks who calls for the log.
	"dispatcher/workflow": {"dispatcher/event", "dispatcher/problem", "dispatcher/access", "dispatcher/ingest", "dispatcher/answer", "dispatcher/validate", "dispatcher/share", "dispatcher/sitecore"},
	"dispatcher/fanout":   {"dispatcher/event", "dispatcher/route", "dispatcher/outcome"},
	// deliver makes the attempt, so it calls the leaves that an attempt goes through.
	"dispatcher/deliver":        {"dispatcher/event", "dispatcher/route", "dispatcher/outcome", "dispatcher/payload", "dispatcher/authorize", "dispatcher/sign", "dispatcher/egress", "dispatcher/answer", "dispatcher/trace", "dispatcher/share"},
	"dispatcher/queue":          {"dispatcher/event", "dispatcher/route", "dispatcher/deliver", "dispatcher/outcome", "nats"},
	"dispatcher/queue/embedded": {"nats"},
	"dispatcher/admin":          {"dispatcher/outcome", "dispatcher/problem"},
	// operate speaks of deliveries and shows events, and refuses them as ingest does.
	"dispatcher/operate": {"dispatcher/event", "dispatcher/route", "dispatcher/outcome", "dispatcher/problem", "dispatcher/access", "dispatcher/ingest", "dispatcher/deliver", "dispatcher/payload", "dispatcher/share"},

	// One plane makes certificates, the other shows them.
	"controllers/certificate": {},
	"dispatcher/certificate":  {},

	// migration makes what users apply, and checks it as the contract does.
	"migration": {"api/v1alpha1", "dispatcher/route", "apimachinery"},

	// what every program can tell of itself
	"version": {},

	"cmd/manager":    {"version", "controllers", "controllers/rollout", "api/v1alpha1", "apimachinery", "k8s", "controller-runtime"},
	"cmd/dispatcher": {"version", "dispatcher", "apimachinery", "k8s"},

	"cmd/sitecore-convert": {"migration"},

	// cli is the kubectl plugin. match and words ask the code that manager and
	// dispatcher run, so that they say what those do.
	"cli":                   {"cli/...", "api/v1alpha1", "dispatcher/event", "apimachinery", "k8s", "cobra"},
	"cli/cluster":           {"api/v1alpha1", "apimachinery", "k8s"},
	"cli/doctor":            {"cli/cluster", "cli/face", "cli/words", "api/v1alpha1", "apimachinery", "k8s"},
	"cli/face":              {},
	"cli/match":             {"api/v1alpha1", "controllers/compile", "dispatcher/event", "dispatcher/route", "dispatcher/sitecore", "apimachinery"},
	"cli/words":             {"api/v1alpha1", "controllers/compile", "dispatcher/outcome", "dispatcher/route", "apimachinery"},
	"cmd/kubectl-postrider": {"cli", "version", "k8s"},
}

// free are folders whose packages serve tests and development. No room imports them.
var free = []string{"internal/", "test/", "hack/"}

// families are modules that only some rooms may know: the queue alone knows
// what the store is made of. The longest prefix counts.
var families = map[string]string{
	"k8s.io/":                        "k8s",
	"k8s.io/apimachinery/":           "apimachinery",
	"k8s.io/utils/":                  "apimachinery",
	"sigs.k8s.io/controller-runtime": "controller-runtime",
	"github.com/nats-io/":            "nats",
	"go.opentelemetry.io/":           "otel",
	"github.com/spf13/":              "cobra",
}

type pkg struct {
	ImportPath string
	Imports    []string // by the package itself
	Deps       []string // all that it depends on
}

// packages lists the rooms that there are.
func packages(t *testing.T) []pkg {
	t.Helper()
	// The test cache does not see what the go command reads. Walking the tree
	// makes a change of any source run this test again.
	if err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(path, ".") && path != "." {
			return fs.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "./...").Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %s", failed.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		if name != p.ImportPath && !slices.ContainsFunc(free, func(f string) bool { return strings.HasPrefix(name, f) }) {
			p.ImportPath = name
			all = append(all, p)
		}
	}
}

// family is the restricted family or the room that an import belongs to, empty
// when anyone may import it.
func family(path string) string {
	if name, ok := strings.CutPrefix(path, module); ok {
		return name
	}
	longest := ""
	for prefix := range families {
		if strings.HasPrefix(path, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	return families[longest]
}

func TestEachRoomImportsOnlyWhatItMay(t *testing.T) {
	for _, p := range packages(t) {
		may, ok := rooms[p.ImportPath]
		if !ok {
			t.Errorf("%s is no room of the house: say in arch_test.go, .golangci.yml and docs/architecture.md what it may import", p.ImportPath)
			continue
		}
		for _, path := range p.Imports {
			f := family(path)
			allowed := f == "" || slices.ContainsFunc(may, func(m string) bool {
				below, tree := strings.CutSuffix(m, "...")
				return f == m || tree && strings.HasPrefix(f, below)
			})
			if !allowed {
				t.Errorf("%s imports %s, which the table in docs/architecture.md does not allow", p.ImportPath, path)
			}
		}
	}
}

func TestNeitherPlaneReachesIntoTheOther(t *testing.T) {
	plugin := []string{module + "cli", "github.com/spf13/cobra", "k8s.io/cli-runtime"}
	forbidden := map[string][]string{
		"dispatcher":     {module + "api/", module + "controllers", "sigs.k8s.io/controller-runtime"},
		"cmd/dispatcher": append([]string{module + "api/", module + "controllers", "sigs.k8s.io/controller-runtime"}, plugin...),
		"controllers":    {"github.com/nats-io/"},
		"cmd/manager":    append([]string{"github.com/nats-io/"}, plugin...),
		"api":            {module + "dispatcher", module + "controllers", "sigs.k8s.io/controller-runtime"},
		"cli":            {"github.com/nats-io/", "sigs.k8s.io/controller-runtime"},
	}
	for _, p := range packages(t) {
		for plane, paths := range forbidden {
			if p.ImportPath != plane && !strings.HasPrefix(p.ImportPath, plane+"/") {
				continue
			}
			for _, dep := range p.Deps {
				if slices.ContainsFunc(paths, func(f string) bool { return strings.HasPrefix(dep, f) }) {
					t.Errorf("%s depends on %s", p.ImportPath, dep)
				}
			}
		}
	}
}
