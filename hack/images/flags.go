package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/postrider/postrider/hack/build"
)

// settings are what the command line says.
type settings struct {
	packages   []string // import paths or folders of Go main packages
	name       string   // of the image and its binary; empty: the last part of the import path
	repository string   // what the names of the images begin with
	version    string   // the tag, and what the programs say of themselves
	revision   string   // commit of the sources; empty: not told
	platforms  []v1.Platform
	out        string // folder for archives
	rootfs     string // folder for the files of one image, instead of an archive
	created    time.Time
}

const usage = `images builds Go main packages and makes OCI archives of images FROM scratch of them.

  go run ./hack/images --version v0.1.0 [flags] PACKAGE...

Each archive holds REPOSITORY/NAME:VERSION for all platforms: the program at /NAME, /tmp, the
public certificate authorities, and user and group 65532. "ctr images import", "podman load"
and "skopeo copy oci-archive:..." take it. NAME.OS-ARCH.cdx.json beside it is the bill of
materials (CycloneDX). $SOURCE_DATE_EPOCH, in seconds since 1970, is when the images were
created; without it that is 1970, so that the same sources always make the same bytes.

Flags:
`

// parse reads the command line. It prints help to out.
func parse(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	var s settings
	var platforms string
	f := flag.NewFlagSet("images", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		_, _ = fmt.Fprint(out, usage) // nobody is left to tell when this fails
		f.PrintDefaults()
	}
	f.StringVar(&s.name, "name", "", "`name` of the image and of the binary in it; default: the last part of PACKAGE")
	f.StringVar(&s.repository, "repository", "postrider", "what the names of images begin with, such as `registry.example/team`")
	f.StringVar(&s.version, "version", "", "`tag` of the images, and what --version of the programs tells")
	f.StringVar(&s.revision, "revision", "", "`commit` of the sources, for the labels")
	f.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "what to build for, as a `list` with commas")
	f.StringVar(&s.out, "out", "bin/images", "`folder` for the archives")
	f.StringVar(&s.rootfs, "rootfs", "", "`folder` to write the files of one image to, instead of an archive; it must not exist or be empty")
	if err := f.Parse(args); err != nil {
		return settings{}, err
	}
	s.packages = f.Args()
	var err error
	if s.platforms, err = parsePlatforms(platforms); err != nil {
		return settings{}, err
	}
	if s.created, err = parseEpoch(getenv("SOURCE_DATE_EPOCH")); err != nil {
		return settings{}, err
	}
	return s, s.check()
}

func (s settings) check() error {
	switch {
	case len(s.packages) == 0:
		return errors.New("name at least one Go main package, such as ./cmd/manager")
	case len(s.packages) > 1 && (s.name != "" || s.rootfs != ""):
		return errors.New("--name and --rootfs are for one package; run this once for each")
	case len(s.platforms) > 1 && s.rootfs != "":
		return errors.New("--rootfs is for one platform; give --platforms, such as linux/amd64")
	case strings.ContainsAny(s.name, "/:@"):
		return fmt.Errorf("--name %q must be a single word, such as receiver; --repository has what goes before it", s.name)
	case s.version == "":
		return errors.New("--version is missing; give the tag, such as v0.1.0")
	case s.version == "latest":
		return errors.New("--version is latest, which says nothing; give one such as v0.1.0")
	}
	_, err := s.reference(cmp.Or(s.name, "image"))
	return err
}

func parsePlatforms(list string) (platforms []v1.Platform, err error) {
	for s := range strings.SplitSeq(list, ",") {
		p, err := v1.ParsePlatform(s)
		if err != nil || p.OS == "" || p.Architecture == "" || p.Variant != "" || p.OSVersion != "" {
			return nil, fmt.Errorf("--platforms: %q must look like linux/amd64", s)
		}
		if p.OS != "linux" {
			return nil, fmt.Errorf("--platforms: %q is not to be had; the images are only linux", s)
		}
		if slices.ContainsFunc(platforms, p.Equals) {
			return nil, fmt.Errorf("--platforms: %q is there twice; once is enough", s)
		}
		platforms = append(platforms, *p)
	}
	return platforms, nil
}

// parseEpoch reads what https://reproducible-builds.org/docs/source-date-epoch/ defines.
func parseEpoch(s string) (time.Time, error) {
	if s == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("$SOURCE_DATE_EPOCH is %q; give seconds since 1970, or unset it", s)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// reference is the full name of an image, with registry and tag, such as
// docker.io/postrider/manager:v0.1.0. The kubelet asks containerd by it.
func (s settings) reference(image string) (string, error) {
	tag, err := name.NewTag(s.repository + "/" + image + ":" + s.version)
	if err != nil {
		return "", fmt.Errorf("--repository, --name or PACKAGE, and --version make no name of an image: %w", err)
	}
	registry := tag.RegistryStr()
	if registry == name.DefaultRegistry {
		registry = "docker.io" // as everyone else spells it
	}
	return registry + "/" + tag.RepositoryStr() + ":" + tag.TagStr(), nil
}

// label is what the image says of itself.
func (s settings) label(p build.Program) label {
	return label{
		title:    path.Join(s.repository, p.Name),
		source:   "https://" + p.Module,
		version:  s.version,
		revision: s.revision,
		created:  s.created,
	}
}
