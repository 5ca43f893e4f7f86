package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postrider/postrider/migration"
)

// maxFile bounds one serialized item, in bytes. Items with media have their bytes
// in them, and are none of ours.
const maxFile = 4 << 20

// read reads the items in files, and in the YAML files below folders.
func read(paths []string) ([]migration.Item, error) {
	var items []migration.Item
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
			named := file == path // by the user, whatever its extension
			if err != nil || d.IsDir() || !named && !isYAML(file) || !named && !d.Type().IsRegular() {
				return err
			}
			item, ok, err := readItem(file)
			if ok {
				items = append(items, item)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading serialized items: %w", err)
		}
	}
	return items, nil
}

func isYAML(file string) bool {
	return slices.Contains([]string{".yml", ".yaml"}, strings.ToLower(filepath.Ext(file)))
}

func readItem(file string) (item migration.Item, ok bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return item, false, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(text) > maxFile {
		return item, false, err
	}
	item, ok, err = migration.Parse(text)
	if err != nil {
		return item, false, fmt.Errorf("%s: %w", file, err)
	}
	return item, ok, nil
}

// writeFolder writes each object into a file of its own, and a kustomization of all.
func writeFolder(folder string, objects []migration.Object, namespace string) error {
	entries, err := os.ReadDir(folder)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("--output %s is not empty; give a new folder", folder)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var all strings.Builder
	all.WriteString("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n")
	for _, o := range objects {
		text, err := o.YAML(namespace)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, o.FileName()), text, 0o644); err != nil {
			return err
		}
		all.WriteString("  - " + o.FileName() + "\n")
	}
	return os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(all.String()), 0o644)
}
