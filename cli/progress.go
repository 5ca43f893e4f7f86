package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A progress tells how far a long order has come: a bar on a terminal, lines
// elsewhere.
type progress struct {
	out      io.Writer
	what     string
	total    int // 0 = not known
	terminal bool
}

func (p *plugin) progress(what string, total int) *progress {
	f, ok := p.ErrOut.(*os.File)
	return &progress{p.ErrOut, what, total, ok && term.IsTerminal(int(f.Fd()))}
}

const barWidth = 30

// at says that so many are done.
func (g *progress) at(done int) {
	line := fmt.Sprintf("%d %s", done, g.what)
	if g.total > 0 {
		line = fmt.Sprintf("%d of %d %s", done, max(g.total, done), g.what)
	}
	if !g.terminal {
		_, _ = fmt.Fprintln(g.out, line) // nobody is left to tell when this fails
		return
	}
	bar := ""
	if g.total > 0 {
		full := min(done, g.total) * barWidth / g.total
		bar = "[" + strings.Repeat("#", full) + strings.Repeat("-", barWidth-full) + "] "
	}
	_, _ = fmt.Fprintf(g.out, "\r\x1b[K%s%s", bar, line) // likewise
}

// end leaves the line of the bar.
func (g *progress) end() {
	if g.terminal {
		_, _ = fmt.Fprintln(g.out) // likewise
	}
}
