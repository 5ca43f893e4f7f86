package migration

import (
	"net/url"
	"slices"
	"strings"

	"github.com/postrider/postrider/api/v1alpha1"
)

// authorization makes the AuthorizationItem of an item. Of credentials it names the
// Secret that they are to be in.
func (c *converter) authorization(it *Item) {
	c.begin(it)
	name := c.nameOf("AuthorizationItem", it.name())
	c.items[idOf(it.ID)] = name

	var spec v1alpha1.AuthorizationItemSpec
	switch spec.Type = c.authorizationType(it); spec.Type {
	case v1alpha1.AuthorizationBasic:
		spec.Basic = &v1alpha1.BasicAuthorization{SecretRef: c.secret(name, "username", "password")}
	case v1alpha1.AuthorizationDigest:
		spec.Digest = &v1alpha1.DigestAuthorization{SecretRef: c.secret(name, "username", "password")}
	case v1alpha1.AuthorizationAPIKey:
		spec.APIKey = c.apiKey(it, name)
	case v1alpha1.AuthorizationOAuth2ClientCredentials:
		spec.OAuth2ClientCredentials = &v1alpha1.OAuth2ClientCredentials{OAuth2: c.oauth2(it, name)}
	case v1alpha1.AuthorizationOAuth2Password:
		spec.OAuth2Password = &v1alpha1.OAuth2Password{OAuth2: c.oauth2(it, name), UserSecretRef: c.secret(name+"-user", "username", "password")}
	default:
		c.note("nothing tells what type of authorization it is, so no AuthorizationItem was written; Webhooks that refer to %q wait until there is one: give its template with --item %s=Basic (or Digest, ...), or serialize the templates below /sitecore/templates/System/Webhooks too", name, it.Template)
		return
	}
	c.unread(it, "Username", "User name", "Password", "Key", "Value", "Add to", "Authority URL", "Client ID", "Client Secret", "Scope", "Header Prefix",
		"Additional endpoint base addresses", "Optional Parameter", "Optional Parameters", "Description")
	if it.value("Description") != "" {
		c.comments = append(c.comments, oneLine(it.value("Description")))
	}
	c.add("AuthorizationItem", name, spec)
}

// authorizationType is told by the template, or by fields that one type alone has.
func (c *converter) authorizationType(it *Item) v1alpha1.AuthorizationType {
	template := key(c.library.nameOf(it.Template))
	user := it.has("Username") || it.has("User name")
	switch {
	case strings.Contains(template, "digest"):
		return v1alpha1.AuthorizationDigest
	case strings.Contains(template, "basic"):
		return v1alpha1.AuthorizationBasic
	case strings.Contains(template, "apikey"), it.has("Add to"), it.has("Key") && it.has("Value"):
		return v1alpha1.AuthorizationAPIKey
	case strings.Contains(template, "oauth") && strings.Contains(template, "password"), it.has("Client ID") && user:
		return v1alpha1.AuthorizationOAuth2Password
	case strings.Contains(template, "oauth"), it.has("Client ID"), it.has("Client Secret"):
		return v1alpha1.AuthorizationOAuth2ClientCredentials
	}
	return ""
}

// secret names the Secret for the keys, and says how to make it.
func (c *converter) secret(name string, keys ...string) v1alpha1.LocalReference {
	name = c.nameOf("Secret", name)
	command := []string{"kubectl create secret generic", name}
	if c.options.Namespace != "" {
		command = append(command, "--namespace", c.options.Namespace)
	}
	for _, k := range keys {
		command = append(command, "--from-file="+k+"=FILE")
	}
	c.remark("Credentials are not carried over. Make the Secret: %s", strings.Join(command, " "))
	return v1alpha1.LocalReference{Name: name}
}

func (c *converter) apiKey(it *Item, name string) *v1alpha1.APIKeyAuthorization {
	a := &v1alpha1.APIKeyAuthorization{Name: it.value("Key"), SecretKeyRef: v1alpha1.SecretKeyReference{Name: c.secret(name, "key").Name}}
	place := it.value("Add to")
	if n := c.library.nameOf(place); n != "" {
		place = n
	}
	switch where := key(place); {
	case strings.Contains(where, "query"):
		a.In = v1alpha1.APIKeyInQuery
	case strings.Contains(where, "header"):
		a.In = v1alpha1.APIKeyInHeader
	default:
		a.In = v1alpha1.APIKeyInHeader
		c.remark("Where the key is sent is not known; it is taken to be a header. Set spec.apiKey.in to Query if it was the query.")
	}
	if a.Name == "" {
		a.Name = "X-API-Key"
		c.remark("The name of the key is missing; set spec.apiKey.name.")
	}
	return a
}

func (c *converter) oauth2(it *Item, name string) v1alpha1.OAuth2 {
	o := v1alpha1.OAuth2{
		AuthorityURL:    strings.TrimRight(it.value("Authority URL"), "/"),
		ClientSecretRef: c.secret(name, "clientID", "clientSecret"),
		Scopes:          strings.Fields(it.value("Scope")),
	}
	if prefix := it.value("Header Prefix"); prefix != "Bearer" {
		o.HeaderPrefix = prefix
	}
	if u, err := url.Parse(o.AuthorityURL); err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		o.AuthorityURL = "https://authority.invalid"
		c.remark("Its Authority URL is missing, or is no address without user name and query; set spec.authorityURL.")
	}
	for _, address := range strings.FieldsFunc(it.value("Additional endpoint base addresses"), func(r rune) bool { return r == ';' || r == '\n' || r == ' ' }) {
		if !slices.Contains(o.AdditionalEndpointBaseAddresses, address) {
			o.AdditionalEndpointBaseAddresses = append(o.AdditionalEndpointBaseAddresses, address)
		}
	}
	parameters := it.value("Optional Parameter") + "\n" + it.value("Optional Parameters")
	for _, p := range strings.FieldsFunc(parameters, func(r rune) bool { return r == '&' || r == ';' || r == '\n' }) {
		c.parameter(&o, p)
	}
	return o
}

// secretWords are in the names of parameters that may hold credentials.
var secretWords = []string{"secret", "password", "assertion", "token", "key", "code"}

func (c *converter) parameter(o *v1alpha1.OAuth2, text string) {
	name, value, ok := strings.Cut(text, "=")
	name, errName := url.QueryUnescape(strings.TrimSpace(name))
	value, errValue := url.QueryUnescape(strings.TrimSpace(value))
	switch {
	case !ok || errName != nil || errValue != nil || name == "" || value == "":
		c.remark("An optional parameter is not of the form name=value and was left out; see spec.parameters.")
	case slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(strings.ToLower(name), w) }):
		c.remark("The optional parameter %q may hold a credential and was left out.", name)
	case slices.Contains([]string{"grant_type", "client_id", "username", "scope"}, name),
		slices.ContainsFunc(o.Parameters, func(p v1alpha1.OAuth2Parameter) bool { return p.Name == name }):
		c.remark("The optional parameter %q is one that Postrider sets itself, or is there twice, and was left out.", name)
	default:
		o.Parameters = append(o.Parameters, v1alpha1.OAuth2Parameter{Name: name, Value: value})
	}
}
