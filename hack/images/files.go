package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// User and group that the program runs as.
const nonroot = 65532

// file is a file of an image, or a folder when the mode says so. All belong to root.
type file struct {
	path    string // from the root, without the slash before it
	mode    fs.FileMode
	content []byte
}

// scaffold is all of an image but the program.
func scaffold() ([]file, error) {
	roots, err := publicRoots()
	if err != nil {
		return nil, err
	}
	folder := func(path string, mode fs.FileMode) file { return file{path: path, mode: fs.ModeDir | mode} }
	return []file{
		folder("etc", 0o755),
		{"etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", nonroot)},
		{"etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%d:%[1]d:nonroot:/:/sbin/nologin\n", nonroot)},
		folder("etc/ssl", 0o755),
		folder("etc/ssl/certs", 0o755),
		{"etc/ssl/certs/ca-certificates.crt", 0o644, roots},
		folder("tmp", fs.ModeSticky|0o777),
	}, nil
}

// binaryFile is the program in the image.
func binaryFile(name string, binary []byte) file { return file{name, 0o755, binary} }

// publicRoots are Mozilla's certificate authorities, as the Go project keeps
// them, in PEM. Authorities that are only trusted under conditions are left
// out: PEM cannot say the conditions.
func publicRoots() ([]byte, error) {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// writeTree writes files below a folder that is new or empty.
func writeTree(dir string, files []file) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		return errors.Join(err, fmt.Errorf("%s is not empty; name a folder that is, or that does not exist", dir))
	}
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.path))
		var err error
		if f.mode.IsDir() {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.WriteFile(path, f.content, 0o644)
		}
		// The umask has a say above, but not here.
		if err := errors.Join(err, os.Chmod(path, f.mode)); err != nil {
			return err
		}
	}
	return nil
}
