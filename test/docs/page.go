// Package docs runs the commands of the user's pages as a reader would, and
// compares what they print with what the page shows. Those that need pods are
// marked by "console cluster"; a test on a real cluster runs them with
// [RunOnCluster].
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A Page is a Markdown page with what can be run of it.
type Page struct {
	Name   string // from the root of the checkout, such as docs/install.md
	Blocks []Block
	Files  map[string]string // that the page has the reader write, by name
	Strays []int             // lines of blocks of commands that are no console blocks
}

// A Block is what stands between two fences.
type Block struct {
	Line    int  // of the first fence
	Cluster bool // it needs a cluster with pods
	Steps   []Step
}

// A Step is one command with what it prints.
type Step struct {
	Line    int
	Command string   // may have several lines
	Shown   []string // of its output; a line or a word may be cut short with …
}

// String is how a person finds it.
func (s Step) String() string { return fmt.Sprintf("line %d: $ %s", s.Line, s.Command) }

const prompt = "$ "

var (
	fence    = regexp.MustCompile("^( *)```+(.*)$")
	fileLine = regexp.MustCompile(`^# ([a-z0-9-]+\.yaml)$`)
	fileNote = regexp.MustCompile(`^<!-- file: (\S+) -->$`) // before a block whose language has no comments
)

// Read reads a page of the checkout in root.
func Read(root, name string) (Page, error) {
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return Page{}, err
	}
	p := Page{Name: name, Files: map[string]string{}}
	var indent, info, note string
	var body []string
	opened := 0 // the line of the fence
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && opened == 0:
			opened, indent, info, body, note = i+1, m[1], strings.TrimSpace(m[2]), nil, ""
			if i > 0 {
				note = lines[i-1]
			}
		case m != nil:
			if err := p.add(opened, info, note, body); err != nil {
				return Page{}, fmt.Errorf("%s:%d: %w", name, opened, err)
			}
			opened = 0
		case opened > 0:
			body = append(body, strings.TrimPrefix(line, indent)) // a block may stand in a list
		}
	}
	if opened > 0 {
		return Page{}, fmt.Errorf("%s:%d: the block has no end", name, opened)
	}
	return p, nil
}

// add takes what stood between two fences; note is the line before.
func (p *Page) add(line int, info, note string, body []string) error {
	words := strings.Fields(info)
	if len(words) == 0 || len(body) == 0 {
		return nil
	}
	text := strings.Join(body, "\n") + "\n"
	for _, name := range []*regexp.Regexp{fileNote, fileLine} {
		for _, line := range []string{note, body[0]} {
			if m := name.FindStringSubmatch(line); m != nil {
				p.Files[m[1]] = text
			}
		}
	}
	switch words[0] {
	case "console":
		b := Block{Line: line, Cluster: slices.Equal(words[1:], []string{"cluster"})}
		if len(words) > 1 && !b.Cluster {
			return fmt.Errorf("after console there is %q; only cluster may be", words[1:])
		}
		var err error
		if b.Steps, err = steps(line+1, body); err != nil {
			return err
		}
		p.Blocks = append(p.Blocks, b)
	case "sh", "bash", "shell", "zsh":
		p.Strays = append(p.Strays, line)
	}
	return nil
}

// steps are the commands of a block. A command goes on in the next line after a
// backslash, and until the end of what it reads after <<EOF.
func steps(line int, body []string) ([]Step, error) {
	var all []Step
	for i := 0; i < len(body); i++ {
		command, ok := strings.CutPrefix(body[i], prompt)
		if !ok {
			if len(all) == 0 {
				return nil, fmt.Errorf("it begins with %q, and not with a command after %q", body[i], prompt)
			}
			all[len(all)-1].Shown = append(all[len(all)-1].Shown, body[i])
			continue
		}
		s := Step{Line: line + i, Command: command}
		for unfinished(s.Command) && i+1 < len(body) {
			i++
			s.Command += "\n" + body[i]
		}
		all = append(all, s)
	}
	return all, nil
}

// unfinished reports whether a command goes on: after a backslash, within
// quotes, or in a document that it reads.
func unfinished(command string) bool {
	if strings.Contains(command, "<<EOF") {
		return !strings.HasSuffix(command, "\nEOF")
	}
	quotes := strings.Count(command, "'")
	return strings.HasSuffix(command, `\`) || quotes%2 == 1
}

// Pages are the names of all pages that users read.
func Pages(root string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	names := []string{"README.md"}
	for _, path := range all {
		names = append(names, "docs/"+filepath.Base(path))
	}
	return names, nil
}
