//go:build e2e

package docs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/postrider/postrider/test/docs"
)

// TestTheCommandsThatNeedAClusterDoWhatThePagesSay installs Postrider on the
// cluster of KUBECONFIG, several times, and removes it. DOCS_REPLACE has what
// stands for what the pages say, as lines of "page=>here".
func TestTheCommandsThatNeedAClusterDoWhatThePagesSay(t *testing.T) {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		t.Fatal("KUBECONFIG is not set: name that of a cluster without Postrider")
	}
	replace := map[string]string{}
	for line := range strings.SplitSeq(os.Getenv("DOCS_REPLACE"), "\n") {
		if page, here, ok := strings.Cut(line, "=>"); ok {
			replace[page] = here
		}
	}
	docs.RunOnCluster(t, docs.Cluster{Root: "../..", Kubeconfig: kubeconfig, Replace: replace})
}
