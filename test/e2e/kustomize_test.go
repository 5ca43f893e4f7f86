//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// deploy installs the kustomizations, over the kinds that Helm has left, and
// removes them with all that users have made.
func (s *trial) deploy(t *testing.T) {
	run(t, root, "", "make", "deploy", "KUBECTL="+s.kubectl, "MANAGER_IMG=postrider/manager:"+tag, "DISPATCHER_IMG=postrider/dispatcher:"+tag)
	for _, component := range []string{"manager", "dispatcher"} {
		s.run(t, "rollout", "status", "-n", system, "deployment/postrider-"+component, "--timeout=120s")
	}
	s.run(t, "wait", "-n", "shop", "webhook/first", "--for=condition=Ready", "--timeout=60s")

	run(t, root, "", "make", "undeploy", "KUBECTL="+s.kubectl)
	within(t, time.Minute, "nothing to be left", func() error {
		if left := s.left(t); len(left) > 0 {
			return fmt.Errorf("there are:\n  %s", strings.Join(left, "\n  "))
		}
		return nil
	})
}
