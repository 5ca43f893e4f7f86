// Command krew makes the archives of the kubectl plugin and the manifest from
// which krew installs them ("make plugin-archives"). The manifest has the sums
// of the very archives beside it; nothing is published.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/postrider/postrider/hack/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	pkg       string // of the plugin
	version   string
	platforms string // such as linux/amd64,darwin/arm64
	about     string // file with the manifest but for version and platforms
	licence   string // file
	url       string // below which VERSION/ARCHIVE will be
	out       string // folder
}

func parse(args []string) (s settings, err error) {
	f := flag.NewFlagSet("krew", flag.ContinueOnError)
	f.StringVar(&s.version, "version", "", "`version` of the plugin, such as v0.1.0")
	f.StringVar(&s.platforms, "platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64", "what to build for, as a `list` with commas")
	f.StringVar(&s.about, "about", "hack/krew/postrider.yaml", "manifest without version and platforms, as a `file`")
	f.StringVar(&s.licence, "licence", "LICENSE", "`file` that goes into each archive")
	f.StringVar(&s.url, "url", "https://github.com/postrider/postrider/releases/download", "`address` below which VERSION/ARCHIVE will be")
	f.StringVar(&s.out, "out", "bin/plugin", "`folder` for archives and manifest")
	if err := f.Parse(args); err != nil {
		return settings{}, err
	}
	if f.NArg() != 1 || s.version == "" {
		return settings{}, errors.New("give --version, such as v0.1.0, and the one package of the plugin, such as ./cmd/kubectl-postrider")
	}
	s.pkg = f.Arg(0)
	return s, nil
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	p, err := build.Find(ctx, s.pkg)
	if err != nil {
		return err
	}
	m, err := readManifest(s.about)
	if err != nil {
		return err
	}
	m.Spec.Version = s.version
	terms, err := os.ReadFile(s.licence)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	for name := range strings.SplitSeq(s.platforms, ",") {
		made, err := s.archive(ctx, p, name, terms)
		if err != nil {
			return err
		}
		m.Spec.Platforms = append(m.Spec.Platforms, made)
	}
	return m.write(filepath.Join(s.out, filepath.Base(s.about)))
}

// archive builds the plugin for one platform, such as linux/amd64, and writes its archive.
func (s settings) archive(ctx context.Context, p build.Program, name string, terms []byte) (platform, error) {
	goos, goarch, ok := strings.Cut(name, "/")
	if !ok {
		return platform{}, fmt.Errorf("--platforms: %q must look like linux/amd64", name)
	}
	binary, err := p.Compile(ctx, goos, goarch, s.version)
	if err != nil {
		return platform{}, err
	}
	program := p.Name
	if goos == "windows" {
		program += ".exe"
	}
	packed, err := pack(entry{program, 0o755, binary}, entry{"LICENSE", 0o644, terms})
	if err != nil {
		return platform{}, err
	}
	file := fmt.Sprintf("%s_%s_%s.tar.gz", p.Name, goos, goarch)
	fmt.Println(filepath.Join(s.out, file))
	if err := os.WriteFile(filepath.Join(s.out, file), packed, 0o644); err != nil {
		return platform{}, err
	}
	sum := sha256.Sum256(packed)
	made := platform{URI: s.url + "/" + s.version + "/" + file, SHA256: hex.EncodeToString(sum[:]), Bin: program}
	made.Selector.MatchLabels = map[string]string{"os": goos, "arch": goarch}
	return made, nil
}
