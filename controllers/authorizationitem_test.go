package controllers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
)

func TestAnItemOfEachKindFollowsItsSecrets(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: Secret
metadata: {name: login}
stringData: {username: sample-user, password: sample-password}
---
kind: Secret
metadata: {name: client}
stringData: {clientID: sample-client, clientSecret: sample-secret}
---
kind: AuthorizationItem
metadata: {name: digest}
spec: {type: Digest, digest: {secretRef: {name: login}}}
---
kind: AuthorizationItem
metadata: {name: client}
spec: {type: OAuth2ClientCredentials, oauth2ClientCredentials: {authorityURL: "https://login.example.com/", clientSecretRef: {name: client}}}
---
kind: AuthorizationItem
metadata: {name: password}
spec: {type: OAuth2Password, oauth2Password: {tokenURL: "https://login.example.com/token", clientSecretRef: {name: client}, userSecretRef: {name: login}}}
---
kind: AuthorizationItem
metadata: {name: account}
spec: {type: ServiceAccountToken, serviceAccountToken: {serviceAccountName: sender, audience: "https://receiver.example/"}}`)
	for _, name := range []string{"digest", "client", "password", "account"} {
		itemBecomes(t, ns, name, ready)
	}
	for _, name := range []string{"login", "client"} {
		if err := api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"digest", "client", "password"} {
		itemBecomes(t, ns, name, "Accepted=True/Accepted ResolvedRefs=False/SecretNotFound Ready=False/SecretNotFound")
	}
}

func TestAnItemSaysWhenItsCertificateExpires(t *testing.T) {
	ns := namespace(t)
	const life = 10 * time.Second
	chain, key := certificate(t, time.Now().Add(life))
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pair"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: chain, corev1.TLSPrivateKeyKey: key},
	}
	if err := api.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	apply(t, ns, `
kind: AuthorizationItem
metadata: {name: a}
spec: {type: ClientCertificate, clientCertificate: {secretRef: {name: pair}}}`)
	itemBecomes(t, ns, "a", ready)
	const expired = "Accepted=True/Accepted ResolvedRefs=False/SecretInvalid Ready=False/SecretInvalid"
	itemBecomes(t, ns, "a", expired) // nothing but time has changed

	secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey] = certificate(t, time.Now().Add(time.Hour))
	if err := api.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	itemBecomes(t, ns, "a", ready)
	if err := api.Delete(t.Context(), &v1alpha1.AuthorizationItem{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "a"}}, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
}

// certificate makes one and its key, in PEM.
func certificate(t *testing.T, until time.Time) (chain, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
