package identity_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/postrider/postrider/dispatcher/identity"
)

// apiServer starts a real one, with the rights that config/dispatcher gives a
// dispatcher: it may create TokenReviews.
func apiServer(t *testing.T) (admin kubernetes.Interface, asDispatcher *rest.Config) {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: this test needs a real kube-apiserver and etcd; run it with `make test`, or with KUBEBUILDER_ASSETS=$(hack/k8s/build.sh)")
	}
	env := &envtest.Environment{}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	if admin, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	user, err := env.AddUser(envtest.User{Name: "dispatcher"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	must(t)(admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "dispatcher"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}}},
	}, metav1.CreateOptions{}))
	must(t)(admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "dispatcher"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "dispatcher"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "dispatcher"}},
	}, metav1.CreateOptions{}))
	return admin, user.Config()
}

func must(tb testing.TB) func(any, error) {
	tb.Helper()
	return func(_ any, err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// grant is what docs/security.md has the owner of a namespace do.
func grant(t *testing.T, admin kubernetes.Interface, namespace, account string) {
	t.Helper()
	must(t)(admin.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "token-of-" + account},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{account}, Verbs: []string{"create"}}},
	}, metav1.CreateOptions{}))
	must(t)(admin.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "token-of-" + account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "token-of-" + account},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "dispatcher"}},
	}, metav1.CreateOptions{}))
}

func TestTheAPIServerMakesTokensOfGrantedServiceAccountsForReceiversAlone(t *testing.T) {
	admin, config := apiServer(t)
	for _, name := range []string{"sender", "other"} {
		must(t)(admin.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
	}
	mint, err := identity.New(config, "postrider")
	if err != nil {
		t.Fatal(err)
	}
	const receiver = "https://receiver.example/"
	refused := func(name, audience, want string) {
		t.Helper()
		token, _, err := mint.Token(t.Context(), "default", name, audience)
		if r, ok := errors.AsType[*identity.Refusal](err); !ok || !strings.Contains(r.Detail, want) || token != "" {
			t.Errorf("the token of %s for %s: %v, want a refusal with %q", name, audience, err, want)
		}
	}
	refused("sender", receiver, "create on serviceaccounts/token")

	grant(t, admin, "default", "sender")
	grant(t, admin, "default", "missing")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var token string
	var life time.Duration
	for { // the API server takes a moment to know of a Role
		if token, life, err = mint.Token(ctx, "default", "sender", receiver); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if life < 59*time.Minute || life > time.Hour {
		t.Errorf("it lives for %s", life)
	}
	review, err := admin.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{receiver}},
	}, metav1.CreateOptions{})
	if err != nil || review.Status.User.Username != "system:serviceaccount:default:sender" {
		t.Errorf("to the receiver it is that of %q, %v", review.Status.User.Username, err)
	}

	refused("other", receiver, "create on serviceaccounts/token") // the grant is for one name
	refused("missing", receiver, "does not exist")
	refused("sender", "postrider", "may post events")
	issuer, err := admin.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: own(t, admin)},
	}, metav1.CreateOptions{})
	if err != nil || len(issuer.Status.Audiences) == 0 {
		t.Fatalf("the API server does not tell its audience: %v", err)
	}
	refused("sender", issuer.Status.Audiences[0], "the API server takes tokens with this audience itself")
}

// own is a token for the API server.
func own(t *testing.T, admin kubernetes.Interface) string {
	t.Helper()
	made, err := admin.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "other", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

func TestATokenLivesAsLongWhateverTheClockOfTheAPIServerSays(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := `{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": {"authenticated": false}}`
		if strings.HasSuffix(r.URL.Path, "/token") {
			answer = `{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["a"], "expirationSeconds": 1800},
				"status": {"token": "t", "expirationTimestamp": "2001-01-01T00:00:00Z"}}`
		}
		if _, err := io.WriteString(w, answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	mint, err := identity.New(&rest.Config{Host: server.URL}, "postrider")
	if err != nil {
		t.Fatal(err)
	}
	if _, life, err := mint.Token(t.Context(), "default", "sender", "a"); err != nil || life != 30*time.Minute {
		t.Errorf("it lives for %s, %v", life, err)
	}
}

func TestWithoutAnAPIServerThereIsNoToken(t *testing.T) {
	mint, err := identity.New(&rest.Config{Host: "http://127.0.0.1:1"}, "postrider")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = mint.Token(t.Context(), "default", "sender", "https://receiver.example/")
	if r, ok := errors.AsType[*identity.Refusal](err); !ok || !strings.Contains(r.Detail, "cannot be asked") {
		t.Errorf("the error is %v", err)
	}
}
