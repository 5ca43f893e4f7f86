package docs

import (
	"regexp"
	"testing"
)

// Here is where [RunHere] runs what needs no pods.
type Here struct {
	Root string   // of the checkout
	Env  []string // such as KUBECONFIG=…
	// Hosts of the pages, as regular expressions, and what stands for them: the
	// first that fits counts.
	Hosts [][2]string
	// Skip says which commands something else runs.
	Skip func(command string) bool
}

// RunHere runs the commands of a page that need no cluster with pods, and
// returns how many there were.
func RunHere(t *testing.T, h Here, p Page) int {
	t.Helper()
	var replaced []replacement
	for _, host := range h.Hosts {
		replaced = append(replaced, replacement{regexp.MustCompile(host[0]), host[1]})
	}
	var steps []Step
	for _, b := range p.Blocks {
		for _, s := range b.Steps {
			if !b.Cluster && !h.Skip(s.Command) {
				steps = append(steps, s)
			}
		}
	}
	if len(steps) == 0 {
		return 0
	}
	s := newShell(t, h.Root, p, h.Env, replaced)
	for _, step := range steps {
		if err := s.follow(step); err != nil {
			t.Errorf("%s, %v\n%v", p.Name, step, err)
			if s.ended {
				break
			}
		}
	}
	return len(steps)
}
