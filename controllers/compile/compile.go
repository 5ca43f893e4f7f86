// Package compile turns the custom resources into the routing table: a
// [Snapshot] in, a table and one [Verdict] per object out. It is pure.
package compile

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

// A Snapshot is everything that the table depends on. Compile only reads it.
type Snapshot struct {
	Webhooks           []v1alpha1.Webhook
	AuthorizationItems []v1alpha1.AuthorizationItem
	WebhookPolicies    []v1alpha1.WebhookPolicy

	// Secrets holds the data of those that exist among [References].
	Secrets map[types.NamespacedName]map[string][]byte

	// Now is when certificates have to be valid.
	Now time.Time
}

// A Result is what a Snapshot means. The table always builds, see [route.Build].
type Result struct {
	Table route.Table

	Webhooks           Verdicts
	AuthorizationItems Verdicts
	WebhookPolicies    Verdicts

	// Until is when the same Snapshot has another Result, for a certificate begins
	// or ends to be valid then; zero = never.
	Until time.Time
}

// Verdicts are the verdicts on the objects of one kind.
type Verdicts map[types.NamespacedName]Verdict

// Compile judges every object of s and makes the table. A mistake in one
// object becomes a [Fault] of that object and of those that refer to it; every
// Webhook has its route, held while something is wrong, so that what it is
// owed waits.
func Compile(s Snapshot) Result {
	c := compiler{
		secrets:    s.Secrets,
		now:        s.Now,
		items:      make(map[types.NamespacedName]item, len(s.AuthorizationItems)),
		policies:   make(map[types.NamespacedName]terms, len(s.WebhookPolicies)),
		conditions: map[string]error{},
	}
	r := Result{
		Table:              route.Table{Routes: make([]route.Route, 0, len(s.Webhooks))},
		Webhooks:           make(Verdicts, len(s.Webhooks)),
		AuthorizationItems: make(Verdicts, len(s.AuthorizationItems)),
		WebhookPolicies:    make(Verdicts, len(s.WebhookPolicies)),
	}
	for i := range s.AuthorizationItems {
		o := &s.AuthorizationItems[i]
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		it := c.item(o)
		c.items[key], r.AuthorizationItems[key] = it, it.verdict
	}
	for i := range s.WebhookPolicies {
		o := &s.WebhookPolicies[i]
		key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
		t := c.terms(o)
		c.policies[key], r.WebhookPolicies[key] = t, t.verdict
	}
	for i := range s.Webhooks {
		o := &s.Webhooks[i]
		rt, verdict := c.webhook(o)
		r.Table.Routes = append(r.Table.Routes, rt)
		r.Webhooks[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = verdict
	}
	slices.SortFunc(r.Table.Routes, byID)
	r.Until = c.until
	return r
}

// compiler holds what one run has found out so far.
type compiler struct {
	secrets    map[types.NamespacedName]map[string][]byte
	now, until time.Time // see Snapshot.Now and Result.Until
	items      map[types.NamespacedName]item
	policies   map[types.NamespacedName]terms
	conditions map[string]error // by CEL text: many Webhooks share one
}

// readable is how faults tell times.
const readable = time.RFC3339

// changesAt notes that something found out so far is otherwise from t on.
func (c *compiler) changesAt(t time.Time) {
	if c.until.IsZero() || t.Before(c.until) {
		c.until = t
	}
}
