// Package migration turns the webhooks of Sitecore XM and XM Cloud, as "dotnet
// sitecore ser pull" writes their items to files, into Webhooks, AuthorizationItems
// and a WebhookPolicy. It is pure: items in, objects and notes out.
//
// What it cannot carry over it says in a [Note]. A Webhook that would send more, or
// otherwise, than it did in Sitecore is written disabled; no credential is written
// at all.
package migration

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
)

// Options say how objects are written.
type Options struct {
	Namespace string // of the objects; empty = none is written, and kubectl's is used
	Policy    string // the name of the WebhookPolicy
}

// A Result is what items became.
type Result struct {
	Objects []Object // in the order in which they are best applied
	Notes   []Note
}

// An Object is one manifest.
type Object struct {
	Kind, Name string
	Comments   []string // what the reader has to know, each a sentence or an original
	spec       any
}

// A Note is what the reader has to do, or to know, about one item.
type Note struct {
	Path string // of the item
	Text string
}

func (n Note) String() string { return n.Path + ": " + n.Text }

// converter holds what one conversion knows and has found out so far.
type converter struct {
	options  Options
	library  *library
	names    map[string]*names // by kind
	items    map[guid]string   // AuthorizationItems by the item that they were
	result   Result
	comments []string // of the object in the making
	path     string   // of its item
}

// Convert makes objects of the items. Those that are neither webhooks nor
// authorizations are looked at only for what others refer to.
func Convert(items []Item, o Options) Result {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b Item) int { return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.ID, b.ID)) })
	c := &converter{options: o, library: newLibrary(items), names: map[string]*names{}, items: map[guid]string{}}
	for i := range items {
		if it := &items[i]; isAuthorization(it) {
			c.authorization(it)
		}
	}
	var webhooks bool
	for i := range items {
		it := &items[i]
		if kind := c.library.kindOf(it); kind != "" {
			webhooks = c.webhook(it, kind) || webhooks
		} else if looksLikeAction(it) {
			c.begin(it)
			c.note("it looks like a webhook of a workflow, and nothing tells whether it is a submit action or a validation action, so it was left out: give its template with --item %s='Webhook Submit Action' or 'Webhook Validation Action', or serialize the templates below /sitecore/templates/System/Workflow too", it.Template)
		}
	}
	if webhooks {
		c.policy()
	}
	return c.result
}

// policy is that of all Webhooks: as Sitecore has it, what it lacks at its defaults.
func (c *converter) policy() {
	timeout := metav1.Duration{Duration: 3 * time.Second}
	c.result.Objects = slices.Insert(c.result.Objects, 0, Object{
		Kind: "WebhookPolicy", Name: c.options.Policy,
		Comments: []string{"Sitecore's own timeout (Sitecore.HttpClientTimeout); raise it if yours was raised. What Sitecore lacks, such as retries, is at its defaults."},
		spec:     v1alpha1.WebhookPolicySpec{Timeout: &timeout},
	})
}

// begin begins the object of an item.
func (c *converter) begin(it *Item) { c.path, c.comments = it.Path, []string{"From " + it.Path + "."} }

// note tells something of the item.
func (c *converter) note(format string, args ...any) {
	c.result.Notes = append(c.result.Notes, Note{c.path, sprintf(format, args...)})
}

// remark tells it in the manifest too.
func (c *converter) remark(format string, args ...any) {
	c.note(format, args...)
	c.comments = append(c.comments, sprintf(format, args...))
}

func (c *converter) add(kind, name string, spec any) {
	c.result.Objects = append(c.result.Objects, Object{Kind: kind, Name: name, Comments: c.comments, spec: spec})
}

// nameOf returns the name of a new object of a kind.
func (c *converter) nameOf(kind string, wish ...string) string {
	n := c.names[kind]
	if n == nil {
		n = &names{taken: map[string]bool{}}
		c.names[kind] = n
	}
	return n.take(strings.Join(wish, " "))
}
