package main

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// archive is an image for several platforms: an index of images.
type archive struct{ images []mutate.IndexAddendum }

func (a *archive) add(img v1.Image, p v1.Platform) {
	a.images = append(a.images, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &p}})
}

// containerdName is the annotation by which containerd and podman name what they import.
const containerdName = "io.containerd.image.name"

// write writes an OCI image layout as a tar file, and returns the digest of the index.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
func (a *archive) write(path, reference string) (v1.Hash, error) {
	dir, err := os.MkdirTemp("", "images-")
	if err != nil {
		return v1.Hash{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays of a temporary folder does no harm
	index := mutate.AppendManifests(empty.Index, a.images...)
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := at.AppendIndex(index, layout.WithAnnotations(map[string]string{
		containerdName:            reference,
		ocispec.AnnotationRefName: reference[strings.LastIndex(reference, ":")+1:],
	})); err != nil {
		return v1.Hash{}, err
	}
	if err := pack(dir, path); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// pack writes the files below dir to a tar file, which is there in whole or not at all.
func pack(dir, path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
			_ = os.Remove(f.Name()) // the failure is told, and a part of a file is of no use
		}
	}()
	if err := writeTar(f, dir); err != nil {
		_ = f.Close() // likewise
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// writeTar has nothing of the machine in it: names in order, and times and owners that are always the same.
func writeTar(f *os.File, dir string) error {
	w := tar.NewWriter(f)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Size: int64(len(content)), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}
