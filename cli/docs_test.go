package cli_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli"
)

// split takes a command line apart as a shell does, as far as the documentation goes.
func split(line string) []string {
	var all []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case r == ' ' && !quoted:
			if begun {
				all = append(all, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		all = append(all, word.String())
	}
	return all
}

// substitution is where a shell puts what another command writes.
var substitution = regexp.MustCompile(`\$\(.*\)`)

// makesSense reports what is wrong with a command line of the plugin.
func makesSense(line string) error {
	root := cli.Command()
	cmd, rest, err := root.Find(split(line)[2:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

func TestTheCommandsOfTheDocumentationMakeSense(t *testing.T) {
	text, err := os.ReadFile("../docs/kubectl-plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
		if !ok || !strings.HasPrefix(line, "kubectl postrider ") {
			continue
		}
		found++
		if err := makesSense(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if found < 15 {
		t.Errorf("only %d commands were found", found)
	}
}

func TestEveryCommandIsDocumentedAndItsExamplesMakeSense(t *testing.T) {
	text, err := os.ReadFile("../docs/kubectl-plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	var visit func(prefix string, cmd *cobra.Command)
	visit = func(prefix string, cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if c.HasSubCommands() {
				visit(prefix+c.Name()+" ", c)
				continue
			}
			if !strings.Contains(string(text), "| `"+prefix+c.Use) {
				t.Errorf("docs/kubectl-plugin.md has no line of %q", prefix+c.Use)
			}
			for line := range strings.Lines(c.Example) {
				line, _, _ := strings.Cut(strings.TrimSpace(line), "  #")
				line, _, _ = strings.Cut(substitution.ReplaceAllString(line, "x"), " | ")
				if line = strings.TrimSpace(line); line == "" {
					continue
				}
				if err := makesSense(line); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		}
	}
	visit("", cli.Command())
}
