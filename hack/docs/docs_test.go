package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// schemaOf is the schema of the CRD of a page.
func schemaOf(t *testing.T, p page) schema {
	t.Helper()
	s, err := readSchema(filepath.Join(root, "config/crd/bases", p.crd))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func constantsOf(t *testing.T) []constant {
	t.Helper()
	all, err := readConstants(filepath.Join(root, "api/v1alpha1/conditions.go"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEachFieldOfASpecSaysWhatItIsAndWhatItTakes(t *testing.T) {
	for _, p := range pages {
		rows := strings.Split(fields(schemaOf(t, p).Properties["spec"], "spec"), "\n")
		if len(rows) < 10 {
			t.Errorf("%s has %d rows", p.kind, len(rows))
		}
		for _, row := range rows[2:] {
			if cells := strings.Split(row, " | "); row != "" && (len(cells) != 3 || cells[1] == "" || len(cells[2]) < 10) {
				t.Errorf("%s: the row is %q", p.kind, row)
			}
		}
	}
}

func TestWhatAFieldTakesIsSaidInWords(t *testing.T) {
	policy := fields(schemaOf(t, pages[1]).Properties["spec"], "spec")
	for _, want := range []string{
		"| `spec.timeout` | duration |",
		"| `spec.concurrency` | integer, 1 to 100 |",
		"| `spec.signing.type` | **required**, `None`, `StandardWebhooks` |",
		"| `spec.retry.backoff[]` | list of at most 20: ",
		"| `spec.rateLimit.requests` | **required**, integer, 1 to 10,000 |",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the table lacks %q:\n%s", want, policy)
		}
	}
}

func TestARuleThatRefusesIsOnThePageOnce(t *testing.T) {
	text := refusals(schemaOf(t, pages[0]).Properties["spec"])
	if n := strings.Count(text, "\n- name must be the name of an object"); n != 1 {
		t.Errorf("it is there %d times:\n%s", n, text)
	}
}

func TestEachReasonHasItsPlaceAndSaysWhatToDo(t *testing.T) {
	constants := constantsOf(t)
	if err := checkMeanings(constants); err != nil {
		t.Error(err)
	}
	for _, m := range meanings {
		if m.do == "" && m.status != "True" {
			t.Errorf("%s %s %s does not say what to do", m.condition, m.status, m.reason)
		}
	}
	if err := checkMeanings(append(constants, constant{name: "ReasonUnheardOf", value: "UnheardOf"})); err == nil || !strings.Contains(err.Error(), "ReasonUnheardOf") {
		t.Errorf("of a reason without a place it says %v", err)
	}
	if err := checkMeanings(nil); err == nil {
		t.Error("reasons that are gone may stay on the pages")
	}
}

func TestACommentBecomesASentence(t *testing.T) {
	for comment, want := range map[string]string{
		"X says that a Secret is missing, or that it is\nempty.": "A Secret is missing, or it is empty.",
		"X says whether all is well.":                            "Says whether all is well.",
		"X is why Ready is True.":                                "Why Ready is True.",
		"X says that endpoint.url is wrong.":                     "endpoint.url is wrong.",
	} {
		if got := sentence(comment, "X"); got != want {
			t.Errorf("%q becomes %q", comment, got)
		}
	}
}

func TestThePartsOfAPageAreReplacedAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	const text = "# Title\n<!-- begin spec: written by make generate, do not edit -->\nold\n<!-- end spec -->\nMore\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, map[string]string{"spec": "new\n"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Title\n<!-- begin spec: written by make generate, do not edit -->\n\nnew\n\n<!-- end spec -->\nMore\n"; string(got) != want {
		t.Errorf("the page is\n%s", got)
	}
	if err := rewrite(path, map[string]string{"status": ""}); err == nil || !strings.Contains(err.Error(), "begin status") {
		t.Errorf("of a page without the part it says %v", err)
	}
}
