package migration_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/postrider/postrider/internal/scenario"
	"github.com/postrider/postrider/migration"
)

// TestScenarios is the specification of the conversion: each file says in one
// sentence what it shows, then the items as Sitecore writes them, what is told
// besides (ID=NAME), the manifests and the notes.
func TestScenarios(t *testing.T) {
	scenario.Each(t, func(t *testing.T, a *txtar.Archive) []txtar.File {
		t.Helper()
		var got []txtar.File
		var items []migration.Item
		for _, f := range a.Files {
			switch {
			case f.Name == "known.txt":
				items = append(items, known(t, string(f.Data))...)
			case strings.HasSuffix(f.Name, ".yml"):
				items = append(items, parse(t, f.Data))
			default:
				continue
			}
			got = append(got, f)
		}
		manifests, notes := convert(t, items)
		got = append(got, txtar.File{Name: "objects.yaml", Data: manifests}, txtar.File{Name: "notes.txt", Data: notes})
		for _, word := range []string{"hunter2", "s3cr3t"} {
			if bytes.Contains(manifests, []byte(word)) || bytes.Contains(notes, []byte(word)) {
				t.Errorf("the credential %q is written", word)
			}
		}
		return got
	})
}

func convert(t *testing.T, items []migration.Item) (manifests, notes []byte) {
	t.Helper()
	r := migration.Convert(items, migration.Options{Namespace: "cms", Policy: "sitecore"})
	for _, o := range r.Objects {
		text, err := o.YAML("cms")
		if err != nil {
			t.Fatal(err)
		}
		manifests = append(append(manifests, "---\n"...), text...)
	}
	for _, n := range r.Notes {
		notes = append(notes, n.String()+"\n"...)
	}
	return manifests, notes
}

func parse(t *testing.T, text []byte) migration.Item {
	t.Helper()
	item, ok, err := migration.Parse(text)
	if err != nil || !ok {
		t.Fatalf("it is no item (%v):\n%s", err, text)
	}
	return item
}

func known(t *testing.T, text string) []migration.Item {
	t.Helper()
	var items []migration.Item
	for line := range strings.Lines(text) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), "=")
		item, ok := migration.Known(id, name)
		if !ok {
			t.Fatalf("%q is not told of an item", line)
		}
		items = append(items, item)
	}
	return items
}

func TestWhatIsNoItemIsNotRead(t *testing.T) {
	for name, text := range map[string]string{
		"another YAML":           "namespaces: \"*\"\nitems: []\n",
		"an item without a path": "ID: 963e04bb-585b-4681-bc22-42d25ba22dfb\nTemplate: f05212ce-30a7-4733-a7f4-ed6e13f26692\n",
		"an id that is none":     "ID: x\nTemplate: f05212ce-30a7-4733-a7f4-ed6e13f26692\nPath: /a\n",
		"fields that are none":   "ID: 963e04bb-585b-4681-bc22-42d25ba22dfb\nTemplate: f05212ce-30a7-4733-a7f4-ed6e13f26692\nPath: /a\nSharedFields: 7\n",
		"a list":                 "- a\n", "nothing": "", "several documents' first": "a: 1\n---\nb: 2\n",
	} {
		if _, ok, err := migration.Parse([]byte(text)); ok || err != nil {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
	}
	if _, _, err := migration.Parse([]byte("a: [")); err == nil {
		t.Error("broken YAML is no error")
	}
}

func FuzzEveryItemBecomesManifestsThatAreYAML(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		f.Fatalf("there are no seeds: %v", err)
	}
	for _, file := range archives {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range a.Files {
			if strings.HasSuffix(section.Name, ".yml") {
				f.Add(section.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		item, ok, err := migration.Parse(text)
		if !ok || err != nil {
			return
		}
		for _, o := range migration.Convert([]migration.Item{item}, migration.Options{Policy: "sitecore"}).Objects {
			manifest, err := o.YAML("")
			if err != nil {
				t.Fatal(err)
			}
			checkManifest(t, manifest, o)
		}
	})
}
