package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// licence is that of the project, by its SPDX identifier.
const licence = "Apache-2.0"

// label is what an image says of itself.
type label struct {
	title    string // such as postrider/manager
	source   string // URL
	version  string
	revision string // commit; may be empty
	created  time.Time
}

// annotations has the names that the OCI defines:
// https://github.com/opencontainers/image-spec/blob/main/annotations.md
func (l label) annotations() map[string]string {
	a := map[string]string{
		ocispec.AnnotationTitle:    l.title,
		ocispec.AnnotationSource:   l.source,
		ocispec.AnnotationLicenses: licence,
		ocispec.AnnotationVersion:  l.version,
	}
	if l.revision != "" {
		a[ocispec.AnnotationRevision] = l.revision
	}
	return a
}

// image makes the image of a program for one platform: a layer that rarely
// changes, and one with the program.
func image(name string, binary []byte, platform v1.Platform, l label) (v1.Image, error) {
	files, err := scaffold()
	if err != nil {
		return nil, err
	}
	below, err := layer(files, l)
	if err != nil {
		return nil, err
	}
	above, err := layer([]file{binaryFile(name, binary)}, l)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS:           platform.OS,
		Architecture: platform.Architecture,
		Created:      v1.Time{Time: l.created},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       fmt.Sprintf("%d:%[1]d", nonroot),
			WorkingDir: "/",
			Entrypoint: []string{"/" + name},
			Labels:     maps.Clone(l.annotations()),
		},
	})
	if err != nil {
		return nil, err
	}
	if img, err = mutate.Append(img, below, above); err != nil {
		return nil, err
	}
	annotated, ok := mutate.Annotations(img, l.annotations()).(v1.Image)
	if !ok {
		return nil, errors.New("an annotated image is none") // which is how mutate says what it returns
	}
	return annotated, nil
}

// layer packs files in the order given, all as old as Unix.
func layer(files []file, l label) (mutate.Addendum, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     f.path,
			Size:     int64(len(f.content)),
			Mode:     tarMode(f.mode),
			ModTime:  time.Unix(0, 0),
			Format:   tar.FormatUSTAR,
		}
		if f.mode.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return mutate.Addendum{}, err
		}
		if _, err := w.Write(f.content); err != nil {
			return mutate.Addendum{}, err
		}
	}
	if err := w.Close(); err != nil {
		return mutate.Addendum{}, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	packed, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	history := v1.History{Created: v1.Time{Time: l.created}, CreatedBy: "hack/images", Comment: files[len(files)-1].path}
	return mutate.Addendum{Layer: packed, History: history}, err
}

// tarMode is the mode as Unix has it: there the sticky bit is another one than in Go.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}
