package main

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const repository = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The version is written down in one file. What cannot read it there says the same.
func TestEveryPlaceSpeaksOfTheSameVersion(t *testing.T) {
	version := strings.TrimSpace(read(t, "VERSION"))
	var images []string
	if err := fs.WalkDir(os.DirFS(repository), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && !strings.Contains(name, "/") && !slices.Contains([]string{".", "config", "charts"}, name):
			return fs.SkipDir
		case d.Name() == "kustomization.yaml":
			var k struct {
				Images []struct{ Name, NewTag string }
			}
			if err := yaml.Unmarshal([]byte(read(t, name)), &k); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, image := range k.Images {
				images = append(images, image.Name)
				if image.NewTag != version {
					t.Errorf("%s has %s in the version %q; VERSION says %s", name, image.Name, image.NewTag, version)
				}
			}
		case d.Name() == "Chart.yaml":
			var c struct{ Version, AppVersion string }
			if err := yaml.Unmarshal([]byte(read(t, name)), &c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if bare := strings.TrimPrefix(version, "v"); c.Version != bare || strings.TrimPrefix(c.AppVersion, "v") != bare {
				t.Errorf("%s has the version %q and the appVersion %q; VERSION says %s", name, c.Version, c.AppVersion, version)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"postrider/manager", "postrider/dispatcher"} {
		if !slices.Contains(images, program) {
			t.Errorf("no kustomization says which version of %s to install", program)
		}
	}
	if _, after, _ := strings.Cut(read(t, "Dockerfile"), "ARG VERSION="); !strings.HasPrefix(after, version+"\n") {
		t.Errorf("the Dockerfile has another version than VERSION, which says %s", version)
	}
}

// No container engine is at hand in tests, so this reads what one would do.
func TestTheDockerfileMakesTheSameImages(t *testing.T) {
	stages, command := map[string][][]string{}, ""
	var stage string
	for line := range strings.Lines(read(t, "Dockerfile")) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if words[0] == "FROM" {
			stage = words[len(words)-1]
		}
		stages[stage] = append(stages[stage], words)
		if words[0] == "RUN" {
			command = strings.Join(words[1:], " ")
		}
	}
	if strings.Contains(read(t, "Dockerfile"), "latest") {
		t.Error("it says latest somewhere")
	}

	// The same Go, the same user, and nothing below.
	goVersion, _, _ := strings.Cut(strings.SplitN(read(t, "go.mod"), "\ngo ", 2)[1], "\n")
	minor := goVersion[:strings.LastIndex(goVersion, ".")]
	if from := strings.Join(stages["build"][0], " "); !strings.Contains(from, " golang:"+minor+" ") {
		t.Errorf("go.mod asks for Go %s, and the Dockerfile builds with %s", minor, from)
	}
	c, err := dispatcher.img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := "FROM scratch AS files\nCOPY --from=build /rootfs /\nUSER " + c.Config.User
	var got []string
	for _, words := range stages["files"] {
		got = append(got, strings.Join(words, " "))
	}
	if strings.Join(got, "\n") != want {
		t.Errorf("the image is made of %q, want %q", got, want)
	}
	for _, program := range []string{"manager", "dispatcher"} {
		s := stages[program]
		if len(s) != 2 || s[0][1] != "files" || s[1][0] != "ENTRYPOINT" || s[1][1] != `["/`+program+`"]` {
			t.Errorf("the stage of %s is %q", program, s)
		}
	}

	// What it runs is understood here, and writes where the next stage reads.
	args, run := strings.CutPrefix(command, "go run ./hack/images ")
	if !run {
		t.Fatalf("it runs %q", command)
	}
	values := map[string]string{"VERSION": "v1", "TARGETOS": "linux", "TARGETARCH": "arm64", "PROGRAM": "manager"}
	s, err := parse(strings.Fields(os.Expand(args, func(name string) string { return values[name] })), unset, new(bytes.Buffer))
	if err != nil || s.rootfs != "/rootfs" || s.version != "v1" || s.platforms[0].String() != "linux/arm64" || path.Clean(s.packages[0]) != "cmd/manager" {
		t.Errorf("it is understood as %+v, %v", s, err)
	}
}
