package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plugin goes to a module with a program that needs nothing, in a folder of its own.
func plugin(t *testing.T) {
	t.Helper()
	about, err := os.ReadFile("postrider.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"go.mod":                 "module example.test/plugin\n\ngo 1.26.0\n",
		"kubectl-sample/main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
		"postrider.yaml":         string(about),
		"LICENSE":                "terms\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

func entries(t *testing.T, archive []byte) (list []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%04o %s", h.Mode, h.Name))
	}
}

func TestTheManifestHasTheSumsOfTheArchivesBesideIt(t *testing.T) {
	plugin(t)
	args := []string{"--version", "v1.2.3", "--platforms", "linux/amd64,windows/amd64", "--about", "postrider.yaml", "--url", "https://example.test/x", "./kubectl-sample"}
	if err := run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	m, err := readManifest("bin/plugin/postrider.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind != "Plugin" || m.Metadata.Name != "postrider" || m.Spec.Version != "v1.2.3" || len(m.Spec.Platforms) != 2 {
		t.Fatalf("it is %+v", m)
	}
	for i, program := range []string{"kubectl-sample", "kubectl-sample.exe"} {
		p := m.Spec.Platforms[i]
		if !strings.HasPrefix(p.URI, "https://example.test/x/v1.2.3/kubectl-sample_") || p.Bin != program {
			t.Errorf("it is %+v", p)
		}
		archive, err := os.ReadFile(filepath.Join("bin/plugin", path.Base(p.URI)))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(archive); hex.EncodeToString(sum[:]) != p.SHA256 {
			t.Errorf("%s has the sum %x, the manifest says %s", p.URI, sum, p.SHA256)
		}
		if diff := cmp.Diff([]string{"0755 " + program, "0644 LICENSE"}, entries(t, archive)); diff != "" {
			t.Errorf("%s: %s", p.URI, diff)
		}
	}

	first, err := os.ReadFile("bin/plugin/postrider.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile("bin/plugin/postrider.yaml"); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the second time it is\n%s\n%v; the first time it was\n%s", again, err, first)
	}
}

func TestWhatMakesNoSenseIsRefusedWithARemedy(t *testing.T) {
	plugin(t)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no version", []string{"./kubectl-sample"}, "give --version"},
		{"no package", []string{"--version", "v1"}, "the one package of the plugin"},
		{"no platform", []string{"--version", "v1", "--about", "postrider.yaml", "--platforms", "linux", "./kubectl-sample"}, `"linux" must look like linux/amd64`},
		{"a manifest that is none", []string{"--version", "v1", "--about", "LICENSE", "./kubectl-sample"}, "LICENSE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := run(t.Context(), tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want one with %q", err, tt.want)
			}
		})
	}
}
