package compile

import (
	"fmt"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

// item is an AuthorizationItem as Webhooks use it. Without faults,
// authorization is set.
type item struct {
	authorization *route.Authorization
	verdict       Verdict
}

func (c *compiler) item(o *v1alpha1.AuthorizationItem) item {
	it := item{verdict: judge(o)}
	v := &it.verdict
	auth, path, ok := c.authorization(v, o)
	if !ok {
		return it
	}
	if err := auth.Check(); err != nil { // the names were checked before, so it is the values
		v.unresolved(v1alpha1.ReasonSecretInvalid, path, err.Error())
		return it
	}
	it.authorization = &auth
	return it
}

// authorization collects what o names, and tells the path of the reference to
// the Secret. It notes a fault on v and returns false when something is missing.
func (c *compiler) authorization(v *Verdict, o *v1alpha1.AuthorizationItem) (auth route.Authorization, path string, ok bool) {
	ns, spec := o.Namespace, &o.Spec
	switch {
	case spec.Type == v1alpha1.AuthorizationBasic && spec.Basic != nil:
		path = "spec.basic.secretRef"
		username, ok1 := c.read(v, secretKey{ns, spec.Basic.SecretRef.Name, keyOfUsername, path})
		password, ok2 := c.read(v, secretKey{ns, spec.Basic.SecretRef.Name, keyOfPassword, path})
		auth.Basic = &route.Basic{Username: username.Reveal(), Password: password}
		return auth, path, ok1 && ok2

	case spec.Type == v1alpha1.AuthorizationBearer && spec.Bearer != nil:
		path = "spec.bearer.secretKeyRef"
		token, ok := c.read(v, refTo(ns, spec.Bearer.SecretKeyRef, keyOfToken, path))
		auth.Bearer = &route.Bearer{Token: token}
		return auth, path, ok

	case spec.Type == v1alpha1.AuthorizationAPIKey && spec.APIKey != nil:
		path = "spec.apiKey.secretKeyRef"
		k := spec.APIKey
		if k.In != "" && k.In != v1alpha1.APIKeyInHeader && k.In != v1alpha1.APIKeyInQuery {
			v.reject(v1alpha1.ReasonInvalidType, "spec.apiKey.in", fmt.Sprintf("%q is unknown to this version; use Header or Query", k.In))
			return auth, path, false
		}
		auth.APIKey = &route.APIKey{Name: k.Name, Query: k.In == v1alpha1.APIKeyInQuery, Value: "any"}
		if err := auth.Check(); err != nil { // whatever the key is, it cannot be sent under this name
			v.reject(v1alpha1.ReasonInvalidHeader, "spec.apiKey.name", err.Error())
			return auth, path, false
		}
		auth.APIKey.Value, ok = c.read(v, refTo(ns, k.SecretKeyRef, keyOfAPIKey, path))
		return auth, path, ok

	default:
		v.reject(v1alpha1.ReasonInvalidType, "spec.type", fmt.Sprintf("the member that belongs to type %q is not set, or this version does not know the type; use Basic, Bearer or APIKey and set its member", spec.Type))
		return auth, path, false
	}
}
