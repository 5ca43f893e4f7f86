package source

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFileThatChangesWhileItIsReadAndBackAgainIsNewsEachTime(t *testing.T) {
	t.Parallel()
	f := follow(filepath.Join(t.TempDir(), "routes.json"))
	write := func(text string) {
		if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.read = func(path string) ([]byte, error) { // it changes between the look at it and this
		write("second")
		return os.ReadFile(path)
	}
	write("first")
	assertNews(t, f, "second")
	f.read = os.ReadFile
	write("first")
	assertNews(t, f, "first")
	assertNews(t, f, "")
}

func assertNews(t *testing.T, f *follower, want string) {
	t.Helper()
	if got, err := f.news(); err != nil || string(got) != want {
		t.Errorf("the news is %q (%v), want %q", got, err, want)
	}
}
