package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const handler = `---
ID: "0a1b2c3d-0000-4000-8000-000000000001"
Parent: "7d2fa73d-6ae7-47cb-8d0b-d64671768c82"
Template: "f05212ce-30a7-4733-a7f4-ed6e13f26692"
Path: "/sitecore/system/Webhooks/Page Added"
SharedFields:
- ID: "70bcf39c-e567-4bc5-9dfa-3503810ef820"
  Hint: Enabled
  Value: 1
- ID: "81ad5a23-de34-4ff2-9276-035230250a37"
  Hint: Events
  Value: "{AA89B3D8-F2FE-412C-B511-9DB9BF2FEA3F}"
- ID: "f9f59338-045d-4da8-80f0-ce7f7d92e4af"
  Hint: Url
  Value: "https://receiver.example.com/hooks"
`

// serialized is a folder as "dotnet sitecore ser pull" leaves it.
func serialized(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Webhooks/Webhooks/Page Added.yml": handler,
		"Webhooks/.scindex":                "not: [yaml",
		"other.yaml":                       "replicas: 3\n",
		"readme.md":                        "- [\n",
		"large.yml":                        strings.Repeat("# large\n", maxFile/8+1) + "a: [\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFoldersOfSerializedItemsBecomeManifests(t *testing.T) {
	var out, notes bytes.Buffer
	if err := run([]string{"--namespace", "cms", serialized(t)}, &out, &notes); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kind: WebhookPolicy\n", "\n---\n# From /sitecore/system/Webhooks/Page Added.\n", "  name: page-added\n  namespace: cms\n", "disabled: true\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in:\n%s", want, &out)
		}
	}
	if !strings.Contains(notes.String(), "say it with --item {AA89B3D8-F2FE-412C-B511-9DB9BF2FEA3F}=") {
		t.Errorf("the notes are %q", &notes)
	}
}

func TestWhatIsToldIsUsedAndFilesHaveOneObjectEach(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	args := []string{"--item", "{AA89B3D8-F2FE-412C-B511-9DB9BF2FEA3F}=item:moved", "--policy", "terms", "--output", dir, serialized(t)}
	var out, notes bytes.Buffer
	if err := run(args, &out, &notes); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 0 || notes.Len() > 0 {
		t.Errorf("it says %q and %q", &out, &notes)
	}
	for file, want := range map[string]string{
		"webhook_page-added.yaml":  "    - item:moved\n",
		"webhookpolicy_terms.yaml": "  name: terms\n",
		"kustomization.yaml":       "resources:\n  - webhookpolicy_terms.yaml\n  - webhook_page-added.yaml\n",
	} {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !strings.Contains(string(b), want) || strings.Contains(string(b), "namespace") {
			t.Errorf("%s: %v\n%s", file, err, b)
		}
	}
	if err := run(args, &out, &notes); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("it writes over what is there: %v", err)
	}
}

func TestWhatMakesNoSenseIsRefusedWithARemedy(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yml")
	if err := os.WriteFile(broken, []byte("a: ["), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"give files or folders", nil},
		{"it must look like", []string{"--item", "item:added", dir}},
		{"it must look like", []string{"--item", "{AA89B3D8-F2FE-412C-B511-9DB9BF2FEA3F}= ", dir}},
		{"--namespace", []string{"--namespace", "CMS", dir}},
		{"--policy", []string{"--policy", "", dir}},
		{"none of the 0 items", []string{t.TempDir()}},
		{"no such file", []string{filepath.Join(dir, "missing")}},
		{"broken.yml: yaml", []string{dir}},
	} {
		err := run(tt.args, new(bytes.Buffer), new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v", tt.args, err)
		}
	}
	var help bytes.Buffer
	if err := run([]string{"--help"}, new(bytes.Buffer), &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-item ID=NAME") {
		t.Errorf("help: %v\n%s", err, &help)
	}
}
