package compile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

// Fault is a mistake in a custom resource. It is a result, not a failure of
// the compiler: it becomes a condition, and the other objects still compile.
type Fault struct {
	Condition string // which condition it makes False: Accepted or ResolvedRefs; of a warning EventsKnown
	Reason    string // CamelCase, stable
	Path      string // e.g. spec.endpoint.url
	Detail    string // one sentence, no secret
}

// String is how a person reads it.
func (f Fault) String() string { return f.Path + ": " + f.Detail }

// A Verdict is what Compile found out about one object.
type Verdict struct {
	UID        types.UID // of the object that was judged
	Generation int64     // of its spec
	Faults     []Fault   // none when all is well
	Warnings   []Fault   // what may be a mistake; it holds nothing up

	// AutoDisable are the terms of a Webhook's policy that the manager itself
	// applies; those of other kinds have none.
	AutoDisable AutoDisable
}

// AutoDisable is when failures in a row disable a Webhook: when there are so
// many, over so much time. The zero AutoDisable is never.
type AutoDisable struct {
	Failures int32
	Over     time.Duration
}

// About reports whether v is the verdict on o as it is now.
func (v Verdict) About(o metav1.Object) bool {
	return v.UID == o.GetUID() && v.Generation == o.GetGeneration()
}

// Fault returns the first fault that makes the condition False, nil when there is none.
func (v Verdict) Fault(condition string) *Fault {
	i := slices.IndexFunc(v.Faults, func(f Fault) bool { return f.Condition == condition })
	if i < 0 {
		return nil
	}
	return &v.Faults[i]
}

// Text tells all faults and warnings that make the condition False, empty when
// there is none.
func (v Verdict) Text(condition string) string {
	var all []string
	for _, f := range slices.Concat(v.Faults, v.Warnings) {
		if f.Condition == condition {
			all = append(all, f.String())
		}
	}
	return strings.Join(all, "; ")
}

// Equal reports whether v and w say the same.
func (v Verdict) Equal(w Verdict) bool {
	return v.UID == w.UID && v.Generation == w.Generation && v.AutoDisable == w.AutoDisable && slices.Equal(v.Faults, w.Faults) && slices.Equal(v.Warnings, w.Warnings)
}

func judge(o metav1.Object) Verdict {
	return Verdict{UID: o.GetUID(), Generation: o.GetGeneration()}
}

// reject notes a mistake in the spec itself.
func (v *Verdict) reject(reason, path, detail string) {
	v.Faults = append(v.Faults, Fault{v1alpha1.ConditionAccepted, reason, path, detail})
}

// unresolved notes that something which path refers to is not there or not usable.
func (v *Verdict) unresolved(reason, path, detail string) {
	v.Faults = append(v.Faults, Fault{v1alpha1.ConditionResolvedRefs, reason, path, detail})
}

func byID(a, b route.Route) int { return cmp.Compare(a.ID, b.ID) }
