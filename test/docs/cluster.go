package docs

import (
	"path/filepath"
	"regexp"
	"testing"
)

// A Cluster is where [RunOnCluster] runs what needs pods.
type Cluster struct {
	Root       string // of the checkout
	Kubeconfig string
	Env        []string // such as PATH=…, with kubectl, helm and curl in it
	// Replace has what stands for what a page says, such as an image that the
	// cluster cannot pull. It counts in commands and in files.
	Replace map[string]string
}

// away removes what a page has installed.
const away = "helm uninstall postrider -n postrider-system --ignore-not-found --wait; " +
	"kubectl delete namespace postrider-system shop --ignore-not-found; " +
	"kubectl delete crd authorizationitems.postrider.dev webhookpolicies.postrider.dev webhooks.postrider.dev --ignore-not-found"

// RunOnCluster runs the commands of the pages that need a cluster with pods. Each
// page begins with a cluster that has no Postrider, and so does whoever comes after.
func RunOnCluster(t *testing.T, c Cluster) {
	t.Helper()
	kubeconfig, err := filepath.Abs(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		t.Fatal(err)
	}
	var replaced []replacement
	for page, here := range c.Replace {
		replaced = append(replaced, replacement{regexp.MustCompile(regexp.QuoteMeta(page)), here})
	}
	names, err := Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, name := range names {
		p, err := Read(root, name)
		if err != nil {
			t.Fatal(err)
		}
		if !p.needsCluster() {
			continue
		}
		ran++
		t.Run(name, func(t *testing.T) {
			s := newShell(t, root, p, append([]string{"KUBECONFIG=" + kubeconfig}, c.Env...), replaced)
			s.patience = clusterPatience
			t.Cleanup(func() {
				if printed, code, err := s.run(away); err != nil || code != 0 {
					t.Errorf("removing what %s has installed: %d %v\n%s", name, code, err, printed)
				}
			})
			for _, b := range p.Blocks {
				if !b.Cluster {
					continue
				}
				for _, step := range b.Steps {
					if err := s.follow(step); err != nil {
						t.Fatalf("%s, %v\n%v", name, step, err)
					}
				}
			}
		})
	}
	if ran == 0 {
		t.Error("no page has commands for a cluster")
	}
}

func (p Page) needsCluster() bool {
	for _, b := range p.Blocks {
		if b.Cluster {
			return true
		}
	}
	return false
}
