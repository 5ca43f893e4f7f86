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
	if err := auth.Check(); err != nil { // the rest was checked before, so it is the values
		v.unresolved(v1alpha1.ReasonSecretInvalid, path, err.Error())
		return it
	}
	if cc := auth.ClientCertificate; cc != nil && !c.isValid(v, cc, path) {
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
		auth.Basic, ok = c.login(v, ns, spec.Basic.SecretRef, path)
		return auth, path, ok

	case spec.Type == v1alpha1.AuthorizationDigest && spec.Digest != nil:
		path = "spec.digest.secretRef"
		auth.Digest, ok = c.login(v, ns, spec.Digest.SecretRef, path)
		return auth, path, ok

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

	case spec.Type == v1alpha1.AuthorizationOAuth2ClientCredentials && spec.OAuth2ClientCredentials != nil:
		path = "spec.oauth2ClientCredentials"
		auth.OAuth2, ok = c.oauth2(v, ns, &spec.OAuth2ClientCredentials.OAuth2, nil, path)
		return auth, path, ok

	case spec.Type == v1alpha1.AuthorizationOAuth2Password && spec.OAuth2Password != nil:
		path = "spec.oauth2Password"
		auth.OAuth2, ok = c.oauth2(v, ns, &spec.OAuth2Password.OAuth2, &spec.OAuth2Password.UserSecretRef, path)
		return auth, path, ok

	case spec.Type == v1alpha1.AuthorizationClientCertificate && spec.ClientCertificate != nil:
		path = "spec.clientCertificate.secretRef"
		auth.ClientCertificate, ok = c.certificate(v, ns, spec.ClientCertificate.SecretRef, path)
		return auth, path, ok

	case spec.Type == v1alpha1.AuthorizationServiceAccountToken && spec.ServiceAccountToken != nil:
		path = "spec.serviceAccountToken"
		m := spec.ServiceAccountToken
		auth.ServiceAccountToken = &route.ServiceAccountToken{Name: m.ServiceAccountName, Audience: m.Audience}
		if err := auth.Check(); err != nil {
			v.reject(v1alpha1.ReasonInvalidAuthorization, path, err.Error())
			return auth, path, false
		}
		return auth, path, true

	default:
		v.reject(v1alpha1.ReasonInvalidType, "spec.type", fmt.Sprintf("the member that belongs to type %q is not set, or this version does not know the type; use Basic, Digest, Bearer, APIKey, OAuth2ClientCredentials, OAuth2Password, ClientCertificate or ServiceAccountToken and set its member", spec.Type))
		return auth, path, false
	}
}

// login reads a user name and a password.
func (c *compiler) login(v *Verdict, namespace string, ref v1alpha1.LocalReference, path string) (*route.Basic, bool) {
	username, ok1 := c.read(v, secretKey{namespace, ref.Name, keyOfUsername, path})
	password, ok2 := c.read(v, secretKey{namespace, ref.Name, keyOfPassword, path})
	return &route.Basic{Username: username.Reveal(), Password: password}, ok1 && ok2
}

// oauth2 collects a grant: of a user, if there is one.
func (c *compiler) oauth2(v *Verdict, namespace string, o *v1alpha1.OAuth2, user *v1alpha1.LocalReference, path string) (*route.OAuth2, bool) {
	grant := &route.OAuth2{
		Authority: o.AuthorityURL, BaseAddresses: o.AdditionalEndpointBaseAddresses, TokenURL: o.TokenURL,
		ClientID: "any", ClientSecret: "any", Scopes: o.Scopes, Prefix: o.HeaderPrefix,
	}
	for _, p := range o.Parameters {
		grant.Parameters = append(grant.Parameters, route.Parameter{Name: p.Name, Value: p.Value})
	}
	if err := (&route.Authorization{OAuth2: grant}).Check(); err != nil { // whatever the Secrets hold
		v.reject(v1alpha1.ReasonInvalidAuthorization, path, err.Error())
		return nil, false
	}
	client := path + ".clientSecretRef"
	id, ok1 := c.read(v, secretKey{namespace, o.ClientSecretRef.Name, keyOfClientID, client})
	secret, ok2 := c.read(v, secretKey{namespace, o.ClientSecretRef.Name, keyOfClientSecret, client})
	grant.ClientID, grant.ClientSecret = id.Reveal(), secret
	if user == nil || !ok1 || !ok2 {
		return grant, ok1 && ok2
	}
	login, ok := c.login(v, namespace, *user, path+".userSecretRef")
	grant.Username, grant.Password = login.Username, login.Password
	if ok && grant.Username == "" { // which would make it another grant
		v.unresolved(v1alpha1.ReasonSecretInvalid, path+".userSecretRef", "the user name is empty")
		return nil, false
	}
	return grant, ok
}

// certificate reads a certificate and its key.
func (c *compiler) certificate(v *Verdict, namespace string, ref v1alpha1.LocalReference, path string) (*route.ClientCertificate, bool) {
	chain, ok1 := c.read(v, secretKey{namespace, ref.Name, keyOfCertificate, path})
	key, ok2 := c.read(v, secretKey{namespace, ref.Name, keyOfPrivateKey, path})
	return &route.ClientCertificate{Chain: chain.Reveal(), Key: key}, ok1 && ok2
}

// isValid judges a certificate by the clock, and sees to it that this is done
// again when it may be otherwise.
func (c *compiler) isValid(v *Verdict, cc *route.ClientCertificate, path string) bool {
	from, until, err := cc.Validity()
	switch {
	case err != nil:
		v.unresolved(v1alpha1.ReasonSecretInvalid, path, err.Error())
		return false
	case c.now.Before(from):
		c.changesAt(from)
		v.unresolved(v1alpha1.ReasonSecretInvalid, path, fmt.Sprintf("the certificate is not valid before %s; correct it, or wait", from.UTC().Format(readable)))
		return false
	case c.now.After(until):
		v.unresolved(v1alpha1.ReasonSecretInvalid, path, fmt.Sprintf("the certificate expired at %s; renew it", until.UTC().Format(readable)))
		return false
	}
	c.changesAt(until)
	return true
}
