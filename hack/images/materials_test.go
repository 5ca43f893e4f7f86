package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func dispatcherMaterials(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dispatcher.out, "dispatcher.linux-"+runtime.GOARCH+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goList asks the go command something about a module.
func goList(t *testing.T, format, module string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", format, module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestTheBillOfMaterialsNamesWhatTheImageIsMadeOf(t *testing.T) {
	bom := new(cyclonedx.BOM)
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(dispatcherMaterials(t)), cyclonedx.BOMFileFormatJSON).Decode(bom); err != nil {
		t.Fatal(err)
	}
	digest, err := dispatcher.img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	subject := bom.Metadata.Component
	if subject.Type != "container" || subject.Name != "postrider/dispatcher" || subject.Version != "v9.8.7" || (*subject.Hashes)[0].Value != digest.Hex {
		t.Errorf("it is about %+v", subject)
	}
	versions, known := map[string]string{}, map[string]bool{subject.BOMRef: true}
	for _, c := range *bom.Components {
		if known[c.BOMRef] {
			t.Errorf("%s is there twice", c.BOMRef)
		}
		versions[c.Name], known[c.BOMRef] = c.Version, true
		if !strings.HasPrefix(c.PackageURL, "pkg:golang/") || c.Version == "" {
			t.Errorf("%s has the address %q and the version %q", c.Name, c.PackageURL, c.Version)
		}
	}
	for name, want := range map[string]string{
		"github.com/postrider/postrider":         "v9.8.7",
		"stdlib":                                 strings.TrimPrefix(runtime.Version(), "go"),
		"github.com/nats-io/nats-server/v2":      goList(t, "{{.Version}}", "github.com/nats-io/nats-server/v2"),
		"k8s.io/client-go":                       goList(t, "{{.Version}}", "k8s.io/client-go"),
		"golang.org/x/crypto/x509roots/fallback": goList(t, "{{.Version}}", "golang.org/x/crypto/x509roots/fallback"),
	} {
		if versions[name] != want {
			t.Errorf("%s has the version %q, want %q", name, versions[name], want)
		}
	}
	if v, there := versions["sigs.k8s.io/controller-runtime"]; there {
		t.Errorf("controller-runtime %s is of the manager, not of the dispatcher", v)
	}
	for _, d := range *bom.Dependencies {
		for _, ref := range append(*d.Dependencies, d.Ref) {
			if !known[ref] {
				t.Errorf("%s is a dependency, and no component", ref)
			}
		}
	}
}

func TestTheBillOfMaterialsIsAsCycloneDXDefinesIt(t *testing.T) {
	// The library brings the schemas along.
	folder := filepath.Join(goList(t, "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"), "schema")
	compiler := jsonschema.NewCompiler()
	for id, file := range map[string]string{
		"http://cyclonedx.org/schema/bom-1.6.schema.json":  "bom-1.6.schema.json",
		"http://cyclonedx.org/schema/spdx.schema.json":     "spdx.schema.json",
		"http://cyclonedx.org/schema/jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		b, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(id, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(bom []byte) error {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(bom))
		if err != nil {
			return err
		}
		return schema.Validate(document)
	}
	good := dispatcherMaterials(t)
	if err := check(good); err != nil {
		t.Error(err)
	}
	if err := check(bytes.Replace(good, []byte("urn:uuid:"), []byte("uuid:"), 1)); err == nil {
		t.Error("the schema has nothing against a serial number that is none")
	}
}
