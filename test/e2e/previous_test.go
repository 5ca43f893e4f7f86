//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// envPrevious names the release to upgrade from, as git knows it. Without it
// that is the last tag of a release.
const envPrevious = "E2E_PREVIOUS"

// previousTag is of the images to upgrade from.
const previousTag = "v0.0.0-e2e"

// previous returns the chart to upgrade from, and loads its images, which are
// made of the sources of that time. While there is no release, it is the chart
// of today with images of another tag.
func (s *trial) previous(tb testing.TB) (dir string) {
	tb.Helper()
	revision := os.Getenv(envPrevious)
	if revision == "" {
		revision, _, _ = strings.Cut(run(tb, root, "", "git", "tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname"), "\n")
	}
	if revision == "" {
		tb.Log("FIGURE there is no release yet: the upgrade is from the same chart with images of another tag")
		s.load(tb, root, previousTag, "./cmd/manager", "./cmd/dispatcher")
		return chart
	}
	tb.Logf("FIGURE the upgrade is from %s", revision)
	sources := filepath.Join(tb.TempDir(), "sources")
	run(tb, root, "", "git", "worktree", "add", "--detach", sources, revision)
	tb.Cleanup(func() { run(tb, root, "", "git", "worktree", "remove", "--force", sources) })
	s.load(tb, sources, previousTag, "./cmd/manager", "./cmd/dispatcher")
	return filepath.Join(sources, chart)
}
