package figures

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Table is for people: what was measured, in rows, with units.
type Table struct {
	Head  []string // lines before all else: what, where
	parts []part
}

type part struct {
	title   string
	columns []string
	rows    []row
}

type row struct {
	name   string
	values []string
}

// Part begins a part of the table with its own columns.
func (t *Table) Part(title string, columns ...string) {
	t.parts = append(t.parts, part{title: title, columns: columns})
}

// Row adds a row to the part begun last: a name with its unit, and a value for
// each column that has one.
func (t *Table) Row(name string, values ...any) {
	r := row{name: name}
	for _, v := range values {
		r.values = append(r.values, fmt.Sprint(v))
	}
	p := &t.parts[len(t.parts)-1]
	p.rows = append(p.rows, r)
}

const nameWidth, valueWidth = 58, 10 // characters; columns of all parts stand below each other

// Print writes the table.
func (t *Table) Print(w io.Writer) error {
	var text strings.Builder
	text.WriteString("\n" + strings.Join(t.Head, "\n") + "\n")
	for _, p := range t.parts {
		fmt.Fprintf(&text, "\n%s\n", p.title)
		if len(p.columns) > 0 {
			p.rows = append([]row{{values: p.columns}}, p.rows...)
		}
		for _, r := range p.rows {
			text.WriteString("  " + r.name + strings.Repeat(" ", max(nameWidth-utf8.RuneCountInString(r.name), 0)))
			for _, v := range r.values {
				fmt.Fprintf(&text, " %*s", valueWidth, v)
			}
			text.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}
