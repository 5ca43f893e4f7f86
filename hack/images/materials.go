package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"errors"
	"fmt"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/uuid"
	"github.com/package-url/packageurl-go"
)

// rootsModule is where the certificate authorities in the image come from.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// materials is the bill of materials of an image in CycloneDX: the modules that
// the linker put into the binary, as it wrote them there, Go's standard library,
// and the certificate authorities.
func materials(binary []byte, img v1.Image, platform v1.Platform, l label) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("reading which modules are in the binary: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	roots, err := ownDependency(rootsModule)
	if err != nil {
		return nil, err
	}

	main := module(debug.Module{Path: info.Main.Path, Version: l.version})
	main.Type = cyclonedx.ComponentTypeApplication
	main.Licenses = &cyclonedx.Licenses{{License: &cyclonedx.License{ID: licence}}}
	linked := []cyclonedx.Component{standardLibrary(info.GoVersion)}
	for _, m := range info.Deps {
		linked = append(linked, module(*cmp.Or(m.Replace, m)))
	}
	authorities := module(roots)
	authorities.Type = cyclonedx.ComponentTypeData
	authorities.Description = "the certificate authorities in /etc/ssl/certs/ca-certificates.crt"
	container := container(l, platform, digest)

	bom := cyclonedx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceOID, []byte(digest.String())).URN()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: l.created.Format(time.RFC3339), Component: &container}
	bom.Components = new(slices.Concat([]cyclonedx.Component{main, authorities}, linked))
	bom.Dependencies = &[]cyclonedx.Dependency{
		{Ref: container.BOMRef, Dependencies: &[]string{main.BOMRef, authorities.BOMRef}},
		{Ref: main.BOMRef, Dependencies: new(references(linked))},
	}
	var b bytes.Buffer
	err = cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
	return b.Bytes(), err
}

func references(components []cyclonedx.Component) (refs []string) {
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	return refs
}

// container is the image itself. It names no registry, for it is only in the archive yet.
func container(l label, p v1.Platform, digest v1.Hash) cyclonedx.Component {
	qualifiers := packageurl.QualifiersFromMap(map[string]string{"arch": p.Architecture, "tag": l.version})
	purl := packageurl.NewPackageURL(packageurl.TypeOCI, "", path.Base(l.title), digest.String(), qualifiers, "").String()
	return cyclonedx.Component{
		Type:       cyclonedx.ComponentTypeContainer,
		BOMRef:     purl,
		Name:       l.title,
		Version:    l.version,
		PackageURL: purl,
		Hashes:     &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: digest.Hex}},
	}
}

// module is a Go module. Its sum is that of go.sum, which is a hash of hashes
// and not of a file, so it is no hash in the sense of CycloneDX.
func module(m debug.Module) cyclonedx.Component {
	namespace, name := path.Split(m.Path)
	purl := packageurl.NewPackageURL(packageurl.TypeGolang, namespace, name, m.Version, nil, "").String()
	c := cyclonedx.Component{Type: cyclonedx.ComponentTypeLibrary, BOMRef: purl, Name: m.Path, Version: m.Version, PackageURL: purl}
	if m.Sum != "" {
		c.Properties = &[]cyclonedx.Property{{Name: "go.sum", Value: m.Sum}}
	}
	return c
}

// standardLibrary is named as the scanners for vulnerabilities know it.
func standardLibrary(goVersion string) cyclonedx.Component {
	return module(debug.Module{Path: "stdlib", Version: strings.TrimPrefix(goVersion, "go")})
}

// ownDependency is a module that this very program was built with.
func ownDependency(path string) (debug.Module, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return debug.Module{}, errors.New("this program does not know its own modules; build it with the go command")
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return *cmp.Or(m.Replace, m), nil
		}
	}
	return debug.Module{}, fmt.Errorf("this program was built without %s", path)
}
