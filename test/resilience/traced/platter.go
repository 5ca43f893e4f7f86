package traced

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A platter is a folder in two states: as programs see it now, and as it would be
// after a power cut.
//
// Contents of a file are kept from its sync on. Changes of names (made, renamed,
// removed) are kept in the order in which they happened, as file systems with a
// journal do it (ext4, XFS): the sync of a file or folder keeps the changes up
// to the last one that concerns it, and none after. So the sync of a new file
// keeps its name too, and a rename is kept by the sync of the file or of its folder.
type platter struct {
	root    string
	now     names
	kept    names
	journal []change // of now, and not yet of kept
}

// names maps paths below the root, "." being the root, to what they name.
type names map[string]*node

// A node is a file or a folder, whatever its names.
type node struct {
	folder bool
	kept   []byte // contents after a cut
	edits  []edit // since the last sync, in order
}

// An edit is a write, or a new length.
type edit struct {
	at     int64
	bytes  []byte
	length bool // the file ends at "at"
}

// A change is one of names: made (from is empty), removed (to is empty) or renamed.
type change struct {
	from, to string
	node     *node
	folders  []*node // whose entries it changes
}

// load takes the folder root as it is: all of it counts as synced.
func load(root string) (*platter, error) {
	p := &platter{root: root, now: names{}}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n := &node{folder: entry.IsDir()}
		if entry.Type().IsRegular() {
			if n.kept, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		p.now[p.rel(path)] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the folder of the disk: %w", err)
	}
	p.kept = maps.Clone(p.now)
	return p, nil
}

func (p *platter) rel(path string) string {
	rel, err := filepath.Rel(p.root, path)
	if err != nil {
		panic(err) // both are absolute
	}
	return rel
}

// holds reports whether path is that of the folder or below it.
func (p *platter) holds(path string) bool {
	return path == p.root || strings.HasPrefix(path, p.root+string(filepath.Separator))
}

// around is what a change of the name path concerns, with nils for what is not there.
func (p *platter) around(path string) []*node {
	return []*node{p.now[path], p.now[filepath.Dir(path)]}
}

func (p *platter) make(path string, folder bool) *node {
	n := &node{folder: folder}
	p.change(change{to: path, node: n})
	return n
}

func (p *platter) remove(path string) {
	if n := p.now[path]; n != nil {
		p.change(change{from: path, node: n})
	}
}

func (p *platter) rename(from, to string) {
	if n := p.now[from]; n != nil {
		p.change(change{from: from, to: to, node: n})
	}
}

func (p *platter) change(c change) {
	for _, path := range []string{c.from, c.to} {
		if path != "" {
			c.folders = append(c.folders, p.now[filepath.Dir(path)])
		}
	}
	p.now.apply(c)
	p.journal = append(p.journal, c)
}

func (ns names) apply(c change) {
	switch {
	case c.from == "":
		ns[c.to] = c.node
	case c.to == "":
		delete(ns, c.from)
	default:
		for path, n := range maps.Clone(ns) {
			if rest, below := strings.CutPrefix(path, c.from); below && (rest == "" || rest[0] == filepath.Separator) {
				delete(ns, path)
				ns[c.to+rest] = n
			}
		}
	}
}

// A barrier is what a sync covers: what was done before it began.
type barrier struct {
	node  *node
	edits int
	names int // of the journal, counted from the start of it
}

// begin notes what a sync of n that begins now covers.
func (p *platter) begin(n *node) barrier {
	b := barrier{node: n, edits: len(n.edits)}
	for i, c := range p.journal {
		if c.node == n || slices.Contains(c.folders, n) {
			b.names = i + 1
		}
	}
	return b
}

// sync keeps what b covers. Between begin and sync nothing else was synced, or
// it covers less than it could: that is on the safe side.
func (p *platter) sync(b barrier) {
	for _, e := range b.node.edits[:min(b.edits, len(b.node.edits))] {
		b.node.kept = e.apply(b.node.kept)
	}
	b.node.edits = b.node.edits[min(b.edits, len(b.node.edits)):]
	p.keepNames(min(b.names, len(p.journal)))
}

func (p *platter) keepNames(n int) {
	for _, c := range p.journal[:n] {
		p.kept.apply(c)
	}
	p.journal = p.journal[n:]
}

func (e edit) apply(b []byte) []byte {
	end := e.at + int64(len(e.bytes))
	if grow := end - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	if e.length {
		return b[:e.at]
	}
	copy(b[e.at:], e.bytes)
	return b
}

// A Fate is what becomes at a cut of what was not synced.
type Fate int

// The fates.
const (
	Forgotten Fate = iota // none of it is on the disk
	Scattered             // any part of it is on the disk: writes in any order, whole or torn
)

// sector is what a disk writes in one piece.
const sector = 512

// cut makes the folder what it is after a power cut. Nothing may use it.
func (p *platter) cut(fate Fate, dice *rand.Rand) error {
	if fate == Scattered {
		p.keepNames(dice.IntN(len(p.journal) + 1))
	}
	p.journal = nil
	if err := empty(p.root); err != nil {
		return fmt.Errorf("cutting the power: %w", err)
	}
	for _, path := range slices.Sorted(maps.Keys(p.kept)) { // folders before what is in them
		n := p.kept[path]
		if fate == Scattered {
			n.scatter(dice)
		}
		if err := n.write(filepath.Join(p.root, path)); err != nil {
			return fmt.Errorf("cutting the power: %w", err)
		}
	}
	return nil
}

// scatter keeps any part of what was not synced.
func (n *node) scatter(dice *rand.Rand) {
	for _, e := range n.edits {
		switch dice.IntN(3) {
		case 0: // forgotten
		case 1:
			n.kept = e.apply(n.kept)
		default: // torn at the border of a sector
			torn := int64(len(e.bytes)) * dice.Int64N(101) / 100
			torn = max(0, (e.at+torn)/sector*sector-e.at)
			e.bytes = e.bytes[:min(torn, int64(len(e.bytes)))]
			n.kept = e.apply(n.kept)
		}
	}
}

func (n *node) write(path string) error {
	if n.folder {
		return os.MkdirAll(path, 0o700)
	}
	return os.WriteFile(path, n.kept, 0o600)
}

// empty removes all that is in the folder.
func empty(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// differences says where the folder is not what p takes it for now: there the
// tracer has missed something. It leaves out the nodes of unsure.
func (p *platter) differences(unsure map[*node]bool) ([]string, error) {
	there, err := load(p.root)
	if err != nil {
		return nil, err
	}
	var found []string
	for path, n := range p.now {
		other := there.now[path]
		switch {
		case unsure[n]:
		case other == nil || other.folder != n.folder:
			found = append(found, path+" is not there")
		case !bytes.Equal(n.contents(), other.kept):
			found = append(found, path+" has other contents")
		}
	}
	for path := range there.now {
		if parent := p.now[filepath.Dir(path)]; p.now[path] == nil && !unsure[parent] {
			found = append(found, path+" came from nowhere")
		}
	}
	slices.Sort(found)
	return found, nil
}

// contents are what programs see.
func (n *node) contents() []byte {
	b := slices.Clone(n.kept)
	for _, e := range n.edits {
		b = e.apply(b)
	}
	return b
}
