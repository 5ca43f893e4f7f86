// Package scenario holds pure code against golden files that people can read.
package scenario

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what the code does into the golden files")

// Each plays every scenario in testdata: a txtar archive whose comment says in one
// sentence what it shows. play returns what the files of the archive should be,
// those that it reads as they are.
func Each(t *testing.T, play func(t *testing.T, a *txtar.Archive) []txtar.File) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			Golden(t, file, txtar.Format(&txtar.Archive{Comment: a.Comment, Files: play(t, a)}))
		})
	}
}

// Golden holds what was made against a golden file.
func Golden(t *testing.T, file string, made []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, made, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if diff := cmp.Diff(string(want), string(made)); diff != "" {
		t.Errorf("(-golden +made; go test -update accepts it)\n%s", diff)
	}
}
