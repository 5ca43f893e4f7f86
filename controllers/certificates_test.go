package controllers_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/controllers"
	certificates "github.com/postrider/postrider/controllers/certificate"
)

// kept are the objects that the manager keeps for TLS.
type kept struct {
	ca, serving corev1.Secret
	public      corev1.ConfigMap
}

func keptNow(t *testing.T) (k kept, err error) {
	t.Helper()
	get := func(name string, o client.Object) error {
		return api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: name}, o)
	}
	return k, errors.Join(get(controllers.CAName, &k.ca), get(servingSecret, &k.serving), get(controllers.CAName, &k.public))
}

var servedNames = []string{
	"postrider-events", "postrider-events.postrider-system", "postrider-events.postrider-system.svc", "postrider-events.postrider-system.svc.cluster.local",
	"postrider-dispatcher", "postrider-dispatcher.postrider-system", "postrider-dispatcher.postrider-system.svc", "postrider-dispatcher.postrider-system.svc.cluster.local",
}

// shakesHands returns why callers who trust what is published are not served by
// what is in the Secret, nil when they are.
func (k *kept) shakesHands(t *testing.T) error {
	t.Helper()
	pair, err := tls.X509KeyPair(k.serving.Data["tls.crt"], k.serving.Data["tls.key"])
	_, errCA := tls.X509KeyPair(k.ca.Data["tls.crt"], k.ca.Data["tls.key"])
	if err := errors.Join(err, errCA); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(k.public.Data["ca.crt"])) || k.public.Data["ca.crt"] != string(k.serving.Data["ca.crt"]) || k.public.Data["ca.crt"] != string(k.ca.Data["ca.crt"]) {
		return errors.New("what is published is not what is in the Secrets")
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	defer server.Close()
	for _, name := range servedNames {
		c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name}}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_ = c.Close() // all is said
	}
	return nil
}

// whole waits until the three objects fit together and ok is content with them.
func whole(t *testing.T, ok func(kept) error) kept {
	t.Helper()
	var k kept
	until(t, func() (err error) {
		if k, err = keptNow(t); err != nil {
			return err
		}
		return errors.Join(k.shakesHands(t), ok(k))
	})
	return k
}

func anything(kept) error { return nil }

func TestTheManagerKeepsACertificateForTheDispatchers(t *testing.T) {
	k := whole(t, anything)
	for _, o := range []*corev1.Secret{&k.ca, &k.serving} {
		if o.Type != corev1.SecretTypeTLS || o.Labels["app.kubernetes.io/managed-by"] != "postrider" || len(o.Data) != 3 {
			t.Errorf("Secret %s has type %s, labels %v and %d keys", o.Name, o.Type, o.Labels, len(o.Data))
		}
	}
	if len(k.public.Data) != 1 || strings.Contains(k.public.Data["ca.crt"], "PRIVATE") {
		t.Error("more is published than the authority")
	}
}

func TestACertificateThatIsLostOrDamagedIsMadeAnew(t *testing.T) {
	for _, tt := range []struct {
		name               string
		harm               func(k kept) error
		authority, serving bool // is another afterwards
	}{
		{"the certificate is deleted", func(k kept) error { return api.Delete(t.Context(), &k.serving) }, false, true},
		{"the certificate is garbage", func(k kept) error {
			k.serving.Data["tls.crt"] = []byte("garbage")
			return api.Update(t.Context(), &k.serving)
		}, false, true},
		{"its key is another's", func(k kept) error {
			k.serving.Data["tls.key"] = k.ca.Data["tls.key"]
			return api.Update(t.Context(), &k.serving)
		}, false, true},
		{"what is trusted is lost there", func(k kept) error { delete(k.serving.Data, "ca.crt"); return api.Update(t.Context(), &k.serving) }, false, false},
		{"the authority is deleted", func(k kept) error { return api.Delete(t.Context(), &k.ca) }, true, false},
		{"the key of the authority is garbage", func(k kept) error { k.ca.Data["tls.key"] = []byte("garbage"); return api.Update(t.Context(), &k.ca) }, true, false},
		{"the ConfigMap is deleted", func(k kept) error { return api.Delete(t.Context(), &k.public) }, false, false},
		{"the ConfigMap says something else", func(k kept) error {
			k.public.Data = map[string]string{"ca.crt": "garbage"}
			return api.Update(t.Context(), &k.public)
		}, false, false},
		{"somebody has frozen the certificate", func(k kept) error {
			if err := api.Delete(t.Context(), &k.serving); err != nil {
				return err
			}
			k.serving.ResourceVersion, k.serving.UID, k.serving.Immutable, k.serving.Data = "", "", new(true), map[string][]byte{"tls.crt": nil, "tls.key": nil}
			err := api.Create(t.Context(), &k.serving)
			if apierrors.IsAlreadyExists(err) { // the manager was faster, which is what is wanted
				return nil
			}
			return err
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := whole(t, anything)
			was := before
			was.serving, was.ca = *before.serving.DeepCopy(), *before.ca.DeepCopy()
			versions := func(k kept) []string {
				return []string{k.ca.ResourceVersion, k.serving.ResourceVersion, k.public.ResourceVersion}
			}
			if err := tt.harm(before); err != nil {
				t.Fatal(err)
			}
			after := whole(t, func(k kept) error {
				if slices.Equal(versions(k), versions(was)) {
					return errors.New("it is as it was")
				}
				return nil
			})
			if changed := !bytes.Equal(after.ca.Data["tls.crt"], was.ca.Data["tls.crt"]); changed != tt.authority {
				t.Errorf("the authority is another: %t", changed)
			}
			if changed := !bytes.Equal(after.serving.Data["tls.crt"], was.serving.Data["tls.crt"]); changed != tt.serving {
				t.Errorf("the certificate is another: %t", changed)
			}
		})
	}
}

func TestACertificateIsRenewedInTimeAndItsAuthorityStays(t *testing.T) {
	whole(t, anything)
	old, _, _, err := certificates.Renew(certificates.State{}, servedNames, time.Now().Add(-certificates.ServingAge-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	restart(t, func() {
		k, err := keptNow(t)
		if err != nil {
			t.Fatal(err)
		}
		for o, pair := range map[*corev1.Secret]certificates.Pair{&k.ca: old.Authority, &k.serving: old.Serving} {
			o.Data = map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key, "ca.crt": old.Trusted}
			if err := api.Update(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	})
	k := whole(t, func(k kept) error {
		if bytes.Equal(k.serving.Data["tls.crt"], old.Serving.Cert) {
			return errors.New("it is not renewed")
		}
		return nil
	})
	if !bytes.Equal(k.ca.Data["tls.crt"], old.Authority.Cert) {
		t.Error("the authority is another")
	}
}

func TestWhatTheManagerHasNotMadeIsLeftAloneAndReported(t *testing.T) {
	for name, get := range map[string]func(*kept) client.Object{
		"the Secret of the certificate": func(k *kept) client.Object { return &k.serving },
		"the Secret of the authority":   func(k *kept) client.Object { return &k.ca },
		"the ConfigMap":                 func(k *kept) client.Object { return &k.public },
	} {
		t.Run(name, func(t *testing.T) {
			k := whole(t, anything)
			o := get(&k)
			o.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "Helm"})
			switch o := o.(type) {
			case *corev1.Secret:
				o.Data["tls.crt"] = []byte("theirs")
			case *corev1.ConfigMap:
				o.Data["ca.crt"] = "theirs"
			}
			if err := api.Update(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			version := o.GetResourceVersion()
			until(t, func() error { return reported(t, o) })
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil || o.GetResourceVersion() != version {
				t.Errorf("it was changed: %v", err)
			}
			if name == "the ConfigMap" { // the rest still works
				if err := api.Delete(t.Context(), &k.serving); err != nil {
					t.Fatal(err)
				}
				until(t, func() error {
					_, err := keptNow(t)
					return err
				})
			}
			if err := api.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			whole(t, anything)
		})
	}
}

// reported returns nil when there is an Event about an object whose place is taken.
func reported(t *testing.T, o client.Object) error {
	t.Helper()
	var list eventsv1.EventList
	if err := api.List(t.Context(), &list, client.InNamespace(systemNamespace)); err != nil {
		return err
	}
	for _, e := range list.Items {
		if e.Reason == "NotOurs" && e.Regarding.UID == o.GetUID() && e.Type == corev1.EventTypeWarning && strings.Contains(e.Note, "delete or rename it") {
			return nil
		}
	}
	return fmt.Errorf("no Event is about it among %d", len(list.Items))
}

func TestEveryUserMayReadTheAuthorityAndNothingElseOfItsKind(t *testing.T) {
	whole(t, anything)
	as := asUser(t, "somebody")
	until(t, func() error {
		return as.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: controllers.CAName}, &corev1.ConfigMap{})
	})
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "other"}}
	if err := api.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"read another ConfigMap":  as.Get(t.Context(), client.ObjectKeyFromObject(other), other.DeepCopy()),
		"list ConfigMaps":         as.List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace(systemNamespace)),
		"read the Secret":         as.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: controllers.CAName}, &corev1.Secret{}),
		"have the manager read":   asManager.Get(t.Context(), client.ObjectKeyFromObject(other), other.DeepCopy()),
		"have the manager update": asManager.Update(t.Context(), other.DeepCopy()),
		"have the manager delete": asManager.Delete(t.Context(), other.DeepCopy()),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("a user may %s: %v", what, err)
		}
	}
}

func TestNoKeyOfACertificateIsInTheLog(t *testing.T) {
	k := whole(t, anything)
	for _, o := range []*corev1.Secret{&k.ca, &k.serving} {
		block, _ := pem.Decode(o.Data["tls.key"])
		if block == nil {
			t.Fatal("there is no key")
		}
		text := logs.String()
		for line := range strings.Lines(string(o.Data["tls.key"])) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(text, line) {
				t.Errorf("the key of %s is in the log", o.Name)
			}
		}
		if strings.Contains(text, base64.StdEncoding.EncodeToString(o.Data["tls.key"])) {
			t.Errorf("the key of %s is in the log", o.Name)
		}
	}
}

func TestAnAnswerThatQuotesAKeyIsRecognised(t *testing.T) {
	made, _, _, err := certificates.Renew(certificates.State{}, servedNames, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := made.Serving.Key
	encoded := base64.StdEncoding.EncodeToString(key)
	escaped := fmt.Sprintf("%q", key)
	for text, want := range map[string]bool{
		"denied: " + string(key): true, "denied: " + encoded: true, "denied: " + escaped: true,
		"denied: " + encoded[:100] + "...": true, "denied: ..." + encoded[100:]: true,
		"denied: " + string(made.Serving.Cert): false, "secrets is forbidden: exceeded quota": false,
	} {
		if got := controllers.QuotesPart(errors.New(text), key); got != want {
			t.Errorf("%t for %q", got, text)
		}
	}
}
