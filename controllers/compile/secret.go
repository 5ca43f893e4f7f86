package compile

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

// The keys that a reference without key means.
const (
	keyOfUsername = "username" // these two as in Secrets of type kubernetes.io/basic-auth
	keyOfPassword = "password"
	keyOfToken    = "token"
	keyOfAPIKey   = "key"
	keyOfHeader   = "value"

	keyOfClientID, keyOfClientSecret  = "clientID", "clientSecret"
	keyOfCertificate, keyOfPrivateKey = "tls.crt", "tls.key" // as in Secrets of type kubernetes.io/tls
)

// maxSecretValue bounds one credential, in bytes: all of a request's header
// has to fit into what receivers commonly read, 8 to 16 KiB.
const maxSecretValue = 8 << 10

// A secretKey is one key of one Secret, and where it is referred to.
type secretKey struct {
	namespace, name, key string
	path                 string // of the reference
}

func refTo(namespace string, r v1alpha1.SecretKeyReference, absent, path string) secretKey {
	return secretKey{namespace, r.Name, cmp.Or(r.Key, absent), path}
}

// read returns the value without the line breaks at its end; it may be empty.
// It notes a fault on v and returns false when there is none.
func (c *compiler) read(v *Verdict, k secretKey) (route.Secret, bool) {
	secret, ok := c.secrets[types.NamespacedName{Namespace: k.namespace, Name: k.name}]
	if !ok {
		v.unresolved(v1alpha1.ReasonSecretNotFound, k.path, fmt.Sprintf("Secret %q does not exist; create it with the key %q", k.name, k.key))
		return "", false
	}
	raw, ok := secret[k.key]
	if !ok {
		v.unresolved(v1alpha1.ReasonSecretKeyMissing, k.path, fmt.Sprintf("Secret %q has no key %q; add it, or name another key", k.name, k.key))
		return "", false
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if len(value) > maxSecretValue {
		v.unresolved(v1alpha1.ReasonSecretInvalid, k.path, fmt.Sprintf("key %q of Secret %q has %d bytes, the limit is %d", k.key, k.name, len(value), maxSecretValue))
		return "", false
	}
	if !utf8.ValidString(value) { // the table is JSON, which would change it
		v.unresolved(v1alpha1.ReasonSecretInvalid, k.path, fmt.Sprintf("key %q of Secret %q is not UTF-8 text; put text there, binary values as base64", k.key, k.name))
		return "", false
	}
	return route.Secret(value), true
}
