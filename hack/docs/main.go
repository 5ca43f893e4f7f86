// Command docs writes the parts of the user's pages that follow from the code:
// the fields of each kind from its CRD, the conditions and reasons from the
// constants of the API ("make generate"). A part stands between two comments,
// the rest of the page is written by hand.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "hack/docs:", err)
		os.Exit(1)
	}
}

// A page is about one kind.
type page struct {
	path string // of the page
	crd  string // file name in config/crd/bases
	kind string
}

var pages = []page{
	{"docs/webhook.md", "postrider.dev_webhooks.yaml", "Webhook"},
	{"docs/webhookpolicy.md", "postrider.dev_webhookpolicies.yaml", "WebhookPolicy"},
	{"docs/authorizationitem.md", "postrider.dev_authorizationitems.yaml", "AuthorizationItem"},
}

// run writes the parts of all pages of the checkout in root.
func run(root string) error {
	constants, err := readConstants(filepath.Join(root, "api/v1alpha1/conditions.go"))
	if err != nil {
		return err
	}
	if err := checkMeanings(constants); err != nil {
		return err
	}
	for _, p := range pages {
		schema, err := readSchema(filepath.Join(root, "config/crd/bases", p.crd))
		if err != nil {
			return err
		}
		path := filepath.Join(root, p.path)
		if err := rewrite(path, map[string]string{
			"spec":       fields(schema.Properties["spec"], "spec"),
			"refusals":   refusals(schema.Properties["spec"]),
			"status":     fields(schema.Properties["status"], "status"),
			"conditions": conditions(constants, p.kind),
		}); err != nil {
			return err
		}
	}
	outcomes, err := readConstants(filepath.Join(root, "dispatcher/outcome/outcome.go"))
	if err != nil {
		return err
	}
	text, err := outcomeTable(outcomes)
	if err != nil {
		return err
	}
	return rewrite(filepath.Join(root, "docs/troubleshooting.md"), map[string]string{"outcomes": text})
}

const (
	begin = "<!-- begin %s: written by make generate, do not edit -->\n"
	end   = "<!-- end %s -->\n"
)

// rewrite replaces the named parts of the page.
func rewrite(path string, parts map[string]string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fresh := text
	for name, part := range parts {
		if fresh, err = replace(fresh, name, part); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if bytes.Equal(fresh, text) {
		return nil
	}
	return os.WriteFile(path, fresh, 0o644)
}

func replace(text []byte, name, part string) ([]byte, error) {
	open, shut := fmt.Appendf(nil, begin, name), fmt.Appendf(nil, end, name)
	before, rest, ok := bytes.Cut(text, open)
	if !ok {
		return nil, fmt.Errorf("it lacks the line %q", bytes.TrimSpace(open))
	}
	_, after, ok := bytes.Cut(rest, shut)
	if !ok {
		return nil, fmt.Errorf("it lacks the line %q", bytes.TrimSpace(shut))
	}
	return bytes.Join([][]byte{before, open, []byte("\n" + part + "\n"), shut, after}, nil), nil
}
