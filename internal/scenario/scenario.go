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
			want := string(txtar.Format(a))
			got := txtar.Format(&txtar.Archive{Comment: a.Comment, Files: play(t, a)})
			hold(t, file, want, got)
		})
	}
}

// Golden holds what was made against a golden file.
func Golden(t *testing.T, file string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatalf("%v (go test -update makes it)", err)
	}
	hold(t, file, string(want), got)
}

func hold(t *testing.T, file, want string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-golden +made; go test -update accepts it)\n%s", diff)
	}
}
