package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"cel.dev/cel-go/cel"

	"github.com/postrider/postrider/dispatcher/event"
)

// A Router is a Table built for matching. It is immutable.
type Router struct {
	digest     string
	routes     map[string]*Entry
	namespaces map[string]*index
}

// An Entry is one route as built: the data, and what was compiled from it.
type Entry struct {
	Route
	exact     []string
	globs     []pattern
	condition cel.Program  // nil: every event qualifies; shared by all routes with the same text
	ordering  cel.Program  // nil: no order; shared as well
	looks     []path       // of ordering
	names     *event.Names // of all ordering keys of the namespace
}

// index finds the entries of one namespace by event type.
type index struct {
	exact    map[string][]*Entry
	globs    map[string][]glob // by the literal prefix of the pattern
	prefixes []int             // the lengths of those prefixes, ascending
	names    event.Names       // what ordering keys look at
	ordered  bool              // an entry has an ordering key

	validations []*Entry // that are asked about workflow commands, by name
}

type glob struct {
	pattern pattern
	entry   *Entry
	nth     int // among the globs of its entry
}

// Build makes a Router from t. The operator calls it before it publishes a
// table and the dispatcher when it receives one, so a table that was published
// is a table that loads.
func Build(t Table) (*Router, error) {
	r := &Router{
		digest:     Digest(t),
		routes:     make(map[string]*Entry, len(t.Routes)),
		namespaces: map[string]*index{},
	}
	for _, rt := range t.Routes {
		if err := rt.check(); err != nil {
			return nil, fmt.Errorf("route %s: %w", rt.ID, err)
		}
		if _, twice := r.routes[rt.ID]; twice {
			return nil, fmt.Errorf("route %s: it is in the table twice", rt.ID)
		}
		e := &Entry{Route: rt}
		if err := e.compile(); err != nil {
			return nil, fmt.Errorf("route %s: %w", rt.ID, err)
		}
		r.routes[rt.ID] = e
		r.index(e)
	}
	for _, ix := range r.namespaces {
		slices.Sort(ix.prefixes)
		ix.prefixes = slices.Compact(ix.prefixes)
		slices.SortFunc(ix.validations, byID)
	}
	return r, nil
}

// compile compiles the expressions of e. A route that selects nothing more has a
// condition all the same: what waits may still have to fulfil it.
func (e *Entry) compile() error {
	if e.Condition != "" {
		c := expression{e.Condition, aCondition}.compile()
		if c.err != nil {
			return fmt.Errorf("condition: %w", c.err)
		}
		e.condition = c.program
	}
	if e.OrderingKey != "" {
		c := expression{e.OrderingKey, anOrdering}.compile()
		if c.err != nil {
			return fmt.Errorf("orderingKey: %w", c.err)
		}
		e.ordering, e.looks = c.program, c.looks
	}
	return nil
}

func (r *Router) index(e *Entry) {
	namespace, _, _ := strings.Cut(e.ID, "/")
	ix := r.namespaces[namespace]
	if ix == nil {
		ix = &index{exact: map[string][]*Entry{}, globs: map[string][]glob{}}
		r.namespaces[namespace] = ix
	}
	e.names = &ix.names
	ix.ordered = ix.ordered || e.OrderingKey != ""
	for _, p := range e.looks {
		ix.names.Add(p)
	}
	if e.Validation != nil {
		ix.validations = append(ix.validations, e)
	}
	for _, ev := range e.Events {
		p := pattern(ev)
		if !p.isGlob() {
			if !slices.Contains(e.exact, ev) {
				e.exact = append(e.exact, ev)
				ix.exact[ev] = append(ix.exact[ev], e)
			}
			continue
		}
		prefix := p.prefix()
		ix.globs[prefix] = append(ix.globs[prefix], glob{p, e, len(e.globs)})
		ix.prefixes = append(ix.prefixes, len(prefix))
		e.globs = append(e.globs, p)
	}
}

// Match appends to dst every entry of the namespace that selects eventType,
// each once, and returns it. It allocates nothing but what dst lacks; whether
// the event qualifies is [Entry.Qualifies]'s to say.
func (r *Router) Match(dst []*Entry, namespace, eventType string) []*Entry {
	ix := r.namespaces[namespace]
	if ix == nil {
		return dst
	}
	dst = append(dst, ix.exact[eventType]...)
	for _, n := range ix.prefixes {
		if n > len(eventType) {
			break
		}
		for _, g := range ix.globs[eventType[:n]] {
			if g.pattern.matches(eventType) && g.entry.firstMatch(eventType) == g.nth {
				dst = append(dst, g.entry)
			}
		}
	}
	return dst
}

// Validations returns the entries of the namespace that are asked about workflow
// commands, by name, whatever their conditions say. The list is shared.
func (r *Router) Validations(namespace string) []*Entry {
	ix := r.namespaces[namespace]
	if ix == nil {
		return nil
	}
	return ix.validations
}

// firstMatch tells which glob of e speaks for eventType, -1 when an exact
// name does, so that an entry with several fitting patterns is found once.
func (e *Entry) firstMatch(eventType string) int {
	if slices.Contains(e.exact, eventType) {
		return -1
	}
	return slices.IndexFunc(e.globs, func(p pattern) bool { return p.matches(eventType) })
}

// Orders reports whether any route of the namespace has an ordering key.
func (r *Router) Orders(namespace string) bool {
	ix := r.namespaces[namespace]
	return ix != nil && ix.ordered
}

// Lookup returns the entry with the id, nil when there is none.
func (r *Router) Lookup(id string) *Entry { return r.routes[id] }

// Digest identifies the table that r was built from.
func (r *Router) Digest() string { return r.digest }

// Len is how many routes there are.
func (r *Router) Len() int { return len(r.routes) }

// Entries returns all entries, by id.
func (r *Router) Entries() []*Entry {
	all := make([]*Entry, 0, len(r.routes))
	for _, e := range r.routes {
		all = append(all, e)
	}
	slices.SortFunc(all, byID)
	return all
}

func byID(a, b *Entry) int { return cmp.Compare(a.ID, b.ID) }

// Current holds the router in force. Readers never lock; a reader that has
// loaded a router keeps a consistent view for as long as it holds it. The zero
// Current holds none.
type Current struct{ p atomic.Pointer[Router] }

// Load returns the router in force, nil before the first.
func (c *Current) Load() *Router { return c.p.Load() }

// Swap puts r in force and reports whether that changed anything.
func (c *Current) Swap(r *Router) bool {
	old := c.p.Swap(r)
	return old == nil || old.digest != r.digest
}
