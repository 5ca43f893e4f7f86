package main

import (
	"bytes"
	"errors"
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func unset(string) string { return "" }

func TestFlagsThatMakeNoSenseAreRefusedWithARemedy(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing to build", []string{"--version", "v1"}, "name at least one Go main package"},
		{"no version", []string{"./a"}, "--version is missing; give the tag"},
		{"a version that says nothing", []string{"--version", "latest", "./a"}, "--version is latest"},
		{"a version that is no tag", []string{"--version", "v1+x", "./a"}, "make no name of an image"},
		{"a repository that is none", []string{"--version", "v1", "--repository", "Postrider", "./a"}, "make no name of an image"},
		{"a name with a slash", []string{"--version", "v1", "--name", "a/b", "./a"}, "must be a single word"},
		{"a name that is no name of an image", []string{"--version", "v1", "--name", "Probe", "./a"}, "make no name of an image"},
		{"one name for two", []string{"--version", "v1", "--name", "a", "./a", "./b"}, "run this once for each"},
		{"one folder for two", []string{"--version", "v1", "--rootfs", "a", "--platforms", "linux/amd64", "./a", "./b"}, "run this once for each"},
		{"one folder for two platforms", []string{"--version", "v1", "--rootfs", "a", "./a"}, "--rootfs is for one platform"},
		{"no architecture", []string{"--version", "v1", "--platforms", "linux", "./a"}, `"linux" must look like linux/amd64`},
		{"no platform", []string{"--version", "v1", "--platforms", "", "./a"}, "must look like linux/amd64"},
		{"a variant", []string{"--version", "v1", "--platforms", "linux/arm/v7", "./a"}, "must look like linux/amd64"},
		{"not for containers of Linux", []string{"--version", "v1", "--platforms", "windows/amd64", "./a"}, "only linux"},
		{"the same platform twice", []string{"--version", "v1", "--platforms", "linux/amd64,linux/amd64", "./a"}, "is there twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.args, unset, new(bytes.Buffer))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestATimeThatIsNoneIsRefused(t *testing.T) {
	for _, epoch := range []string{"yesterday", "-1", "1.5"} {
		_, err := parse([]string{"--version", "v1", "./a"}, func(string) string { return epoch }, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), "give seconds since 1970") {
			t.Errorf("%s: the error is %v", epoch, err)
		}
	}
	s, err := parse([]string{"--version", "v1", "./a"}, func(string) string { return "1700000000" }, new(bytes.Buffer))
	if err != nil || !s.created.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("the time is %s, %v", s.created, err)
	}
}

func TestHelpIsNoError(t *testing.T) {
	var out bytes.Buffer
	if _, err := parse([]string{"--help"}, unset, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "ctr images import") {
		t.Errorf("the error is %v, the help %s", err, &out)
	}
}

func TestImagesAreNamedAsContainerdNamesThem(t *testing.T) {
	for repository, want := range map[string]string{
		"postrider":               "docker.io/postrider/manager:v1",
		"registry.example/team/a": "registry.example/team/a/manager:v1",
		"localhost:5000":          "localhost:5000/manager:v1",
	} {
		s, err := parse([]string{"--version", "v1", "--repository", repository, "./a"}, unset, new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.reference("manager"); err != nil || got != want {
			t.Errorf("%s: it is %s, %v; want %s", repository, got, err, want)
		}
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	for pkg, want := range map[string]string{
		"../../dispatcher/event": `is no program: its package is "event"`,
		"./nowhere":              "nowhere",
		"../../cmd/...":          "must be one package, not a pattern",
	} {
		err := run(t.Context(), []string{"--version", "v1", "--out", filepath.Join(t.TempDir(), "out"), pkg})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want one with %q", pkg, err, want)
		}
	}
}
