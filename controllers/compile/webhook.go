package compile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

const (
	// maxHeaders is what the CRD promises too.
	maxHeaders = 32
	// maxWeight bounds what the header values and credentials of one route have
	// together, in bytes: more than that receivers refuse, and a table of many
	// such routes would outgrow the memory of those who hold it.
	maxWeight = 16 << 10
)

// webhook makes the route of o. What is wrong with o holds the route: a Webhook
// that is disabled and a spec that makes no sense select nothing, a reference
// that does not resolve lets events come and wait. Either way the backlog is
// kept. A validation action that is held refuses, unless it is disabled. A
// disabled Webhook that is whole keeps what an attempt needs, so that it can be
// tested.
func (c *compiler) webhook(o *v1alpha1.Webhook) (route.Route, Verdict) {
	v := judge(o)
	rt := route.Route{
		ID:         o.Namespace + "/" + o.Name,
		Generation: o.Generation,
		Epoch:      Epoch(o),
		URL:        o.Spec.Endpoint.URL,
		Events:     o.Spec.Events,
	}
	if o.Spec.Ordering != nil {
		rt.OrderingKey = o.Spec.Ordering.Key
	}
	c.checkSpec(&v, &o.Spec)
	v.warnAboutEvents(o.Spec.Events)
	rt.Format, rt.Sitecore = v.payload(o)
	rt.Condition = c.condition(&v, &o.Spec)
	if isAction(&o.Spec) {
		c.action(&v, &rt, &o.Spec)
	}
	rt.Headers = c.headers(&v, o)
	rt.Authorization = c.resolveItem(&v, o)
	checkWeight(&v, &rt, o)

	t := c.resolvePolicy(&v, o)
	t.apply(&rt)
	v.AutoDisable = t.autoDisable
	if rt.Validation != nil {
		validationTerms(&v, &rt, &o.Spec)
	}

	if len(v.Faults) > 0 {
		rt.Hold = v.Faults[0].Reason
		strip(&rt)
	}
	if invalid := v.Fault(v1alpha1.ConditionAccepted); invalid != nil {
		rt.Hold = invalid.Reason
		if rt.Validation == nil { // else nothing that it is for may pass
			selectNothing(&rt)
		}
	}
	if reason := disabled(o); reason != "" {
		rt.Hold = reason
		selectNothing(&rt)
	}
	return rt, v
}

// selectNothing takes away what is asked about an event: there will be none. What
// waits already goes out in the order that it was given when it came. A validation
// action stays one, of no command, so that a test reads the verdict in the answer.
func selectNothing(rt *route.Route) {
	rt.Events, rt.Condition, rt.OrderingKey = nil, "", ""
	if rt.Validation != nil {
		rt.Condition = "false"
	}
}

// strip takes away what an attempt would need: there can be none, and a
// credential that is not used is better not passed on. What selects events
// stays, and so do the terms, for what waits grows old meanwhile.
func strip(rt *route.Route) {
	rt.URL, rt.Headers, rt.Authorization, rt.Signing, rt.Format, rt.Sitecore = "", nil, nil, nil, "", nil
}

// checkSpec judges what can be judged without looking elsewhere.
func (c *compiler) checkSpec(v *Verdict, spec *v1alpha1.WebhookSpec) {
	if spec.Type != v1alpha1.WebhookEventHandler && !isAction(spec) {
		v.reject(v1alpha1.ReasonInvalidType, "spec.type", fmt.Sprintf("%q is unknown to this version; use EventHandler, SubmitAction or ValidationAction", spec.Type))
	}
	if err := route.CheckURL(spec.Endpoint.URL); err != nil {
		v.reject(v1alpha1.ReasonInvalidURL, "spec.endpoint.url", err.Error())
	}
	if err := route.CheckEvents(spec.Events); err != nil {
		v.reject(v1alpha1.ReasonInvalidEvents, "spec.events", err.Error())
	}
	if spec.Ordering != nil {
		if err := route.CheckOrderingKey(spec.Ordering.Key); err != nil {
			v.reject(v1alpha1.ReasonInvalidOrdering, "spec.ordering.key", err.Error())
		}
	}
}

func (c *compiler) headers(v *Verdict, o *v1alpha1.Webhook) []route.Header {
	const path = "spec.endpoint.headers"
	list := o.Spec.Endpoint.Headers
	if len(list) > maxHeaders {
		v.reject(v1alpha1.ReasonInvalidHeader, path, fmt.Sprintf("%d are too many, the limit is %d", len(list), maxHeaders))
		return nil
	}
	var headers []route.Header
	for _, h := range list {
		at := path + "[" + h.Name + "]"
		value, ok := route.Secret(h.Value), true
		switch {
		case !httpguts.ValidHeaderFieldName(h.Name):
			v.reject(v1alpha1.ReasonInvalidHeader, path, fmt.Sprintf("%q is not an HTTP header name; use one such as X-Team", h.Name))
			ok = false
		case h.ValueFrom != nil:
			value, ok = c.headerValue(v, refTo(o.Namespace, h.ValueFrom.SecretKeyRef, keyOfHeader, at+".valueFrom.secretKeyRef"))
		case !httpguts.ValidHeaderFieldValue(h.Value) || !utf8.ValidString(h.Value):
			v.reject(v1alpha1.ReasonInvalidHeader, at, "the value holds line breaks or control characters, or is not UTF-8; remove them")
			ok = false
		}
		if ok {
			headers = append(headers, route.Header{Name: h.Name, Value: value})
		}
	}
	return headers
}

func (c *compiler) headerValue(v *Verdict, k secretKey) (route.Secret, bool) {
	value, ok := c.read(v, k)
	if ok && (value == "" || !httpguts.ValidHeaderFieldValue(value.Reveal())) {
		v.unresolved(v1alpha1.ReasonSecretInvalid, k.path,
			fmt.Sprintf("key %q of Secret %q is empty, or holds line breaks or control characters, which an HTTP header cannot carry; put one line of text there", k.key, k.name))
		return "", false
	}
	return value, ok
}

// checkWeight holds a route that is too heavy against the spec when the values
// in it are already, and against what it refers to otherwise.
func checkWeight(v *Verdict, rt *route.Route, o *v1alpha1.Webhook) {
	const path = "spec.endpoint.headers"
	inline, all := 0, 0
	if rt.Authorization != nil {
		all = rt.Authorization.Size()
	}
	for _, h := range o.Spec.Endpoint.Headers {
		inline += len(h.Value)
	}
	for _, h := range rt.Headers {
		all += len(h.Value.Reveal())
	}
	switch {
	case inline > maxWeight:
		v.reject(v1alpha1.ReasonInvalidHeader, path, fmt.Sprintf("the values have %d bytes together, the limit is %d; shorten them", inline, maxWeight))
	case all > maxWeight:
		v.unresolved(v1alpha1.ReasonSecretInvalid, path, fmt.Sprintf("the values and the credentials have %d bytes together, the limit is %d; shorten what the Secrets hold", all, maxWeight))
	}
}

func (c *compiler) resolveItem(v *Verdict, o *v1alpha1.Webhook) *route.Authorization {
	ref := o.Spec.AuthorizationRef
	if ref == nil {
		return nil
	}
	it, found := c.items[types.NamespacedName{Namespace: o.Namespace, Name: ref.Name}]
	const path = "spec.authorizationRef"
	if !v.follow(path, "AuthorizationItem", ref.Name, found, it.verdict) {
		return nil
	}
	if err := it.authorization.Fits(o.Spec.Endpoint.URL); err != nil {
		v.unresolved(v1alpha1.ReasonRefInvalid, path, fmt.Sprintf("AuthorizationItem %q: %v", ref.Name, err))
		return nil
	}
	return it.authorization
}

// resolvePolicy returns the default terms when there is no usable policy. In
// case one was asked for, the fault that it notes holds the route, what waits
// may grow as old as any policy could allow, and nothing disables the Webhook:
// nothing is given up because a policy is being replaced.
func (c *compiler) resolvePolicy(v *Verdict, o *v1alpha1.Webhook) terms {
	if ref := o.Spec.PolicyRef; ref != nil {
		t, found := c.policies[types.NamespacedName{Namespace: o.Namespace, Name: ref.Name}]
		if v.follow("spec.policyRef", "WebhookPolicy", ref.Name, found, t.verdict) {
			return t
		}
		t = c.terms(&v1alpha1.WebhookPolicy{})
		t.retry.MaxAge, t.autoDisable = maxAge, AutoDisable{}
		return t
	}
	return c.terms(&v1alpha1.WebhookPolicy{})
}

// follow reports whether the object that path refers to is usable, and notes a
// fault when it is not. What its references lack, the Webhook lacks for the
// same reason.
func (v *Verdict) follow(path, kind, name string, found bool, of Verdict) bool {
	switch {
	case !found:
		v.unresolved(v1alpha1.ReasonRefNotFound, path, fmt.Sprintf("%s %q does not exist; create it, or remove the reference", kind, name))
		return false
	case of.Fault(v1alpha1.ConditionAccepted) != nil:
		v.unresolved(v1alpha1.ReasonRefInvalid, path, fmt.Sprintf("%s %q is not accepted: %s", kind, name, of.Fault(v1alpha1.ConditionAccepted)))
		return false
	case len(of.Faults) > 0:
		f := of.Faults[0]
		v.unresolved(f.Reason, path, fmt.Sprintf("%s %q: %s", kind, name, strings.TrimPrefix(f.String(), "spec.")))
		return false
	}
	return true
}
