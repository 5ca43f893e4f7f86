package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The image of the dispatcher for this machine, which several tests look at.
var dispatcher struct {
	out string // folder
	img v1.Image
}

const revision = "5c0ff1ced0000000000000000000000000000000"

func TestMain(m *testing.M) {
	code, err := withDispatcher(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withDispatcher(m *testing.M) (code int, err error) {
	if dispatcher.out, err = os.MkdirTemp("", "images-test-"); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dispatcher.out)) }()
	ctx := context.Background() //nolint:forbidigo // no test has begun
	if err := run(ctx, []string{
		"--version", "v9.8.7", "--revision", revision, "--platforms", "linux/" + runtime.GOARCH, "--out", dispatcher.out, "../../cmd/dispatcher",
	}); err != nil {
		return 0, err
	}
	index, err := open(filepath.Join(dispatcher.out, "dispatcher.tar"), filepath.Join(dispatcher.out, "layout"))
	if err != nil {
		return 0, err
	}
	if dispatcher.img, err = only(index); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// open unpacks an archive and reads it with the library's own reader of image layouts.
func open(archive, dir string) (v1.ImageIndex, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return layout.ImageIndexFromPath(dir)
		}
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, h.Name)
		b, err := io.ReadAll(r)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o600)); err != nil {
			return nil, err
		}
	}
}

// only finds the one image in the one index of an archive.
func only(archive v1.ImageIndex) (v1.Image, error) {
	for {
		m, err := archive.IndexManifest()
		if err != nil {
			return nil, err
		}
		if len(m.Manifests) != 1 {
			return nil, fmt.Errorf("there are %d manifests", len(m.Manifests))
		}
		if only := m.Manifests[0]; !only.MediaType.IsIndex() {
			return archive.Image(only.Digest)
		}
		if archive, err = archive.ImageIndex(m.Manifests[0].Digest); err != nil {
			return nil, err
		}
	}
}

// unpacked lists the files of an image: mode, owner and path of each, and what is in it.
func unpacked(t *testing.T, img v1.Image) (list []string, content map[string][]byte) {
	t.Helper()
	content = map[string][]byte{}
	r := mutate.Extract(img)
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			slices.SortFunc(list, func(a, b string) int {
				return strings.Compare(a[strings.LastIndex(a, " "):], b[strings.LastIndex(b, " "):])
			})
			return list, content
		}
		if err != nil {
			t.Fatal(err)
		}
		name := "/" + strings.TrimSuffix(h.Name, "/")
		kind := map[byte]string{tar.TypeReg: "-", tar.TypeDir: "d"}[h.Typeflag]
		list = append(list, fmt.Sprintf("%s%04o %d:%d %d %s", kind, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), name))
		if content[name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

// hello makes a module with a program that needs nothing, in a folder of its own.
func hello(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range map[string]string{
		"go.mod":        "module example.test/hello\n\ngo 1.26.0\n",
		"hello/main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEqualSourcesMakeEqualBytesWhereverTheyAre(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	var made []map[string]string
	for _, zone := range []string{"UTC", "Pacific/Kiritimati"} {
		t.Setenv("TZ", zone)
		dir := hello(t)
		t.Chdir(dir)
		if err := run(t.Context(), []string{"--version", "v1.2.3", "./hello"}); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		if err := fs.WalkDir(os.DirFS("bin/images"), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(filepath.Join("bin/images", path))
			files[path] = string(b)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		made = append(made, files)
	}
	names := slices.Sorted(maps.Keys(made[0]))
	if diff := cmp.Diff([]string{"hello.linux-amd64.cdx.json", "hello.linux-arm64.cdx.json", "hello.tar"}, names); diff != "" {
		t.Error(diff)
	}
	for _, name := range names {
		if made[0][name] != made[1][name] {
			t.Errorf("%s is not the same in both", name)
		}
	}
}

func TestAnArchiveHasAnImageForEachPlatformUnderOneName(t *testing.T) {
	t.Chdir(hello(t))
	if err := run(t.Context(), []string{"--version", "v1.2.3", "--repository", "registry.example/team", "--name", "greet", "--out", "out", "./hello"}); err != nil {
		t.Fatal(err)
	}
	archive, err := open("out/greet.tar", "layout")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(archive); err != nil {
		t.Errorf("digests, sizes or types are wrong: %v", err)
	}
	top, err := archive.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("it is %+v, %v", top, err)
	}
	if diff := cmp.Diff(map[string]string{
		"io.containerd.image.name":          "registry.example/team/greet:v1.2.3",
		"org.opencontainers.image.ref.name": "v1.2.3",
	}, top.Manifests[0].Annotations); diff != "" {
		t.Error(diff)
	}
	index, err := archive.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, d := range m.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if !c.Platform().Equals(*d.Platform) || c.Config.Entrypoint[0] != "/greet" {
			t.Errorf("the image for %s is for %s and starts %s", d.Platform, c.Platform(), c.Config.Entrypoint)
		}
		platforms = append(platforms, d.Platform.String())
	}
	if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, platforms); diff != "" {
		t.Error(diff)
	}
}

func TestTheBillsBesideAnArchiveAreItsOwn(t *testing.T) {
	t.Chdir(hello(t))
	for _, platforms := range []string{"linux/amd64,linux/arm64", "linux/arm64"} {
		if err := run(t.Context(), []string{"--version", "v1.2.3", "--platforms", platforms, "--out", "out", "./hello"}); err != nil {
			t.Fatal(err)
		}
	}
	bills, err := filepath.Glob("out/*.cdx.json")
	if diff := cmp.Diff([]string{"out/hello.linux-arm64.cdx.json"}, bills); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestAnImageHoldsTheProgramAndLittleElse(t *testing.T) {
	files, _ := unpacked(t, dispatcher.img)
	if diff := cmp.Diff([]string{
		"-0755 0:0 0 /dispatcher",
		"d0755 0:0 0 /etc",
		"-0644 0:0 0 /etc/group",
		"-0644 0:0 0 /etc/passwd",
		"d0755 0:0 0 /etc/ssl",
		"d0755 0:0 0 /etc/ssl/certs",
		"-0644 0:0 0 /etc/ssl/certs/ca-certificates.crt",
		"d1777 0:0 0 /tmp",
	}, files); diff != "" {
		t.Error(diff)
	}
}

func TestAnImageRunsAsNobodyInParticularAndSaysWhatItIs(t *testing.T) {
	c, err := dispatcher.img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{
		"org.opencontainers.image.title":    "postrider/dispatcher",
		"org.opencontainers.image.source":   "https://github.com/postrider/postrider",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version":  "v9.8.7",
		"org.opencontainers.image.revision": revision,
	}
	if diff := cmp.Diff(v1.Config{User: "65532:65532", WorkingDir: "/", Entrypoint: []string{"/dispatcher"}, Labels: labels}, c.Config); diff != "" {
		t.Error(diff)
	}
	m, err := dispatcher.img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(labels, m.Annotations); diff != "" {
		t.Error(diff)
	}
	if err := validate.Image(dispatcher.img); err != nil {
		t.Error(err)
	}
}

func TestTheProgramOfAnImageRunsAndTellsItsVersion(t *testing.T) {
	_, content := unpacked(t, dispatcher.img)
	binary := filepath.Join(t.TempDir(), "dispatcher")
	if err := os.WriteFile(binary, content["/dispatcher"], 0o700); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		"--version": "dispatcher v9.8.7 linux/" + runtime.GOARCH + " go",
		"--help":    "dispatcher takes events over HTTP",
	} {
		out, err := exec.CommandContext(t.Context(), binary, arg).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: it prints %.100s, %v", arg, out, err)
		}
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content["/dispatcher"], []byte(filepath.Dir(filepath.Dir(wd)))) {
		t.Error("the program knows where it was built")
	}
}

func TestThePublicAuthoritiesAreThoseThatAreTrustedWithoutConditions(t *testing.T) {
	_, content := unpacked(t, dispatcher.img)
	got := map[string]bool{}
	for rest := content["/etc/ssl/certs/ca-certificates.crt"]; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		got[string(block.Bytes)] = true
	}
	all := 0
	for root := range bundle.Roots() {
		all++
		if trusted := root.Constraint == nil; got[string(root.Certificate)] != trusted {
			c, err := x509.ParseCertificate(root.Certificate)
			t.Errorf("%v is there: %t, want %t (%v)", c.Subject, !trusted, trusted, err)
		}
	}
	if all < 100 || len(got) < 100 || len(got) > all {
		t.Errorf("there are %d of %d", len(got), all)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(content["/etc/ssl/certs/ca-certificates.crt"]) {
		t.Error("Go finds no certificate there")
	}
}

func TestTheFilesForAContainerEngineAreThoseOfTheImage(t *testing.T) {
	t.Chdir(hello(t))
	args := []string{"--version", "v1.2.3", "--platforms", "linux/" + runtime.GOARCH, "--out", "out", "./hello"}
	if err := errors.Join(run(t.Context(), args), run(t.Context(), append([]string{"--rootfs", "rootfs"}, args...))); err != nil {
		t.Fatal(err)
	}
	archive, err := open("out/hello.tar", "layout")
	if err != nil {
		t.Fatal(err)
	}
	img, err := only(archive)
	if err != nil {
		t.Fatal(err)
	}
	list, content := unpacked(t, img)
	if len(list) < 5 {
		t.Fatalf("there is only %q", list)
	}
	for _, line := range list {
		name := line[strings.LastIndex(line, " ")+1:]
		info, err := os.Stat(filepath.Join("rootfs", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if mode := fmt.Sprintf("%04o", tarMode(info.Mode())); line[1:5] != mode {
			t.Errorf("%s has the mode %s, in the image it is %s", name, mode, line)
		}
		if info.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join("rootfs", name))
		if err != nil || !bytes.Equal(b, content[name]) {
			t.Errorf("%s is another one than in the image (%v)", name, err)
		}
	}
	if err := run(t.Context(), append([]string{"--rootfs", "rootfs"}, args...)); err == nil || !strings.Contains(err.Error(), "rootfs is not empty") {
		t.Errorf("the second time the error is %v", err)
	}
}
