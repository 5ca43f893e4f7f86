//go:build e2e

package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// followNotes does what the notes of the chart say: a webhook, an event through a
// port that kubectl forwards, and a look at what became of it.
func (s *trial) followNotes(t *testing.T) {
	notes, after, ok := strings.Cut(s.helm(t, 0, "get", "notes", release, "--namespace", system), `"helm uninstall" leaves`)
	if !ok || !strings.Contains(after, "kubectl delete crd") {
		t.Fatalf("the notes do not end with what is left after an uninstallation:\n%s", notes)
	}
	var script strings.Builder
	for line := range strings.Lines(notes) {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			script.WriteString(command)
		}
	}
	path := t.TempDir()
	program, err := filepath.Abs(s.kubectl)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(path, "kubectl")); err != nil {
		t.Fatal(err)
	}
	said := run(t, root, "", "env", "PATH="+path+":"+os.Getenv("PATH"), "bash", "-euo", "pipefail", "-c", script.String())
	for _, want := range []string{"webhook.postrider.dev/first created", `{"events":[{"id":`, "LAST DELIVERY"} {
		if !strings.Contains(said, want) {
			t.Errorf("there is no %q in what the commands said:\n%s", want, said)
		}
	}
	within(t, 30*time.Second, "the webhook to tell of the attempt", func() error {
		if s.run(t, "get", "webhook", "-n", "default", "first", "-o", "jsonpath={.status.lastDelivery.time}") == "" {
			return errors.New("it tells of none")
		}
		return nil
	})
	s.run(t, "delete", "-n", "default", "webhook/first", "serviceaccount/producer", "rolebinding/producer")
}
