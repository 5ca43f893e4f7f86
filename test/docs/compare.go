package docs

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	status = regexp.MustCompile(`^[1-5]\d\d$`)
	digit  = regexp.MustCompile(`\d`)
	// failing begins what a command prints that is shown to fail.
	failing = regexp.MustCompile(`^(?i:error|the \S+ ".*" is invalid|curl: )`)
)

// mayFail reports whether the page shows that the command fails.
func (s Step) mayFail() bool { return len(s.Shown) > 0 && failing.MatchString(s.Shown[0]) }

// compare returns an error unless each shown line is in what was printed, in
// that order. Words count, white space does not; a word with a digit stands for
// any, unless it is an HTTP status; … stands for anything.
func compare(shown []string, printed string) error {
	lines := strings.Split(printed, "\n")
	for _, line := range shown {
		if strings.TrimSpace(line) == "" || strings.TrimSpace(line) == "…" {
			continue
		}
		pattern := regexp.MustCompile(like(line))
		i := 0
		for i < len(lines) && !pattern.MatchString(lines[i]) {
			i++
		}
		if i == len(lines) {
			return fmt.Errorf("the page shows\n\t%s\nbut it prints\n\t%s", strings.TrimSpace(line), strings.ReplaceAll(strings.TrimSpace(printed), "\n", "\n\t"))
		}
		lines = lines[i+1:]
	}
	return nil
}

// like is a regular expression for lines like this one.
func like(line string) string {
	var words []string
	for word := range strings.FieldsSeq(line) {
		switch {
		case strings.Contains(word, "…"):
			var parts []string
			for part := range strings.SplitSeq(word, "…") {
				parts = append(parts, regexp.QuoteMeta(part))
			}
			word = strings.Join(parts, ".*")
		case digit.MatchString(word) && !status.MatchString(word):
			word = `\S+`
		default:
			word = regexp.QuoteMeta(word)
		}
		words = append(words, word)
	}
	return `^\s*` + strings.Join(words, `\s+`) + `\s*$`
}
