package access_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/internal/secrecy"
)

// cluster is a real API server and an HTTP handler that asks it.
type cluster struct {
	env     *envtest.Environment
	client  kubernetes.Interface
	guarded http.Handler
	log     *bytes.Buffer
	late    atomic.Int64 // by how much the clock of the handler is ahead
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: this test needs a real kube-apiserver and etcd; run it with `make test`, or with KUBEBUILDER_ASSETS=$(hack/k8s/build.sh)")
	}
	c := &cluster{env: &envtest.Environment{}, log: &bytes.Buffer{}}
	config, err := c.env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.env.Stop(); err != nil {
			t.Error(err)
		}
	})
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	c.guarded = c.guard(t, config, "")
	return c
}

// guard makes a handler that answers 200 to those who may create events.
func (c *cluster) guard(t *testing.T, config *rest.Config, audience string) http.Handler {
	t.Helper()
	log := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	authority, err := access.NewKubernetes(access.KubernetesOptions{
		Config: config, Audience: audience, Log: log,
		Now: func() time.Time { return time.Now().Add(time.Duration(c.late.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return access.NewGate(authority, prometheus.NewRegistry(), log).Guard(func(r *http.Request) access.Attributes {
		if r.URL.Path == "/report" {
			return access.Attributes{Verb: "get", NonResourcePath: "/report"}
		}
		return access.Attributes{Verb: "create", Resource: "events", Namespace: strings.TrimPrefix(r.URL.Path, "/")}
	}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// call calls the guarded handler and checks that nothing shows the token.
func (c *cluster) call(t *testing.T, token, path string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	c.guarded.ServeHTTP(w, r)
	if len(token) > 8 {
		secrecy.AssertNo(t, token, map[string]any{"answer": w.Body.String(), "log": c.log.String()})
	}
	return w.Code, w.Body.String()
}

func (c *cluster) expect(t *testing.T, token, path string, status int, says ...string) {
	t.Helper()
	got, body := c.call(t, token, path)
	if got != status {
		t.Errorf("status %d, want %d: %s", got, status, body)
	}
	for _, s := range says {
		if !strings.Contains(body, s) {
			t.Errorf("%q does not say %q", body, s)
		}
	}
}

// token makes a ServiceAccount and a token of it.
func (c *cluster) token(t *testing.T, name, audience string) string {
	t.Helper()
	accounts := c.client.CoreV1().ServiceAccounts("default")
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := accounts.Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	request, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:         []string{audience},
			ExpirationSeconds: new(int64(24 * 60 * 60)), // the clock of these tests runs fast
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// grant binds a ServiceAccount to a Role that may create events.
func (c *cluster) grant(t *testing.T, name string) {
	t.Helper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{access.Group}, Resources: []string{"events"}, Verbs: []string{"create"}}},
	}
	if _, err := c.client.RbacV1().Roles("default").Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.bind(t, name)
}

func (c *cluster) bind(t *testing.T, name string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: "default"}},
	}
	if _, err := c.client.RbacV1().RoleBindings("default").Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until the API server's authorizer has seen a change: RBAC
// follows its own watch.
func (c *cluster) eventually(t *testing.T, token string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		got, body := c.call(t, token, "/default")
		if got == status {
			return
		}
		select {
		case <-tick.C:
			c.late.Add(int64(2 * time.Minute)) // forget
		case <-ctx.Done():
			t.Fatalf("status stays %d, want %d: %s", got, status, body)
		}
	}
}

func TestKubernetesDecides(t *testing.T) {
	c := newCluster(t)
	producer := c.token(t, "producer", access.DefaultAudience)
	stranger := c.token(t, "stranger", access.DefaultAudience)
	elsewhere := c.token(t, "elsewhere", "https://kubernetes.default.svc")
	c.grant(t, "producer")
	c.grant(t, "elsewhere")
	c.eventually(t, producer, 200)

	t.Run("a ServiceAccount with the Role passes in its namespace only", func(t *testing.T) {
		c.expect(t, producer, "/default", 200)
		c.expect(t, producer, "/kube-system", 403, `in namespace \"kube-system\"`)
	})
	t.Run("a ServiceAccount without Role is told which rule is missing", func(t *testing.T) {
		c.expect(t, stranger, "/default", 403, "system:serviceaccount:default:stranger", "create events.postrider.dev",
			`in namespace \"default\", to a Role with the rule {apiGroups: [\"postrider.dev\"], resources: [\"events\"], verbs: [\"create\"]}`)
	})
	t.Run("a path needs a ClusterRole", func(t *testing.T) {
		c.expect(t, producer, "/report", 403, `ClusterRole with the rule {nonResourceURLs: [\"/report\"], verbs: [\"get\"]}`)
	})
	t.Run("a token for another audience is nobody's", func(t *testing.T) {
		c.expect(t, elsewhere, "/default", 401, "kubectl create token NAME --audience=postrider")
	})
	t.Run("garbage is nobody's", func(t *testing.T) {
		c.expect(t, "garbage", "/default", 401, "problems/unauthenticated")
	})
	t.Run("a token whose signature was touched is nobody's", func(t *testing.T) {
		c.expect(t, producer[:len(producer)-8]+"AAAAAAAA", "/default", 401)
	})
	t.Run("no token is nobody's", func(t *testing.T) {
		c.expect(t, "", "/default", 401, "Authorization: Bearer TOKEN")
	})
	t.Run("another audience can be asked for", func(t *testing.T) {
		other := &cluster{env: c.env, client: c.client, log: c.log}
		other.guarded = other.guard(t, c.env.Config, "https://kubernetes.default.svc")
		other.expect(t, elsewhere, "/default", 200)
		other.expect(t, producer, "/default", 401)
	})
	t.Run("a right that is taken away is gone after a minute", func(t *testing.T) {
		if err := c.client.RbacV1().RoleBindings("default").Delete(t.Context(), "producer", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.expect(t, producer, "/default", 200)
		c.eventually(t, producer, 403)
		c.bind(t, "producer")
		c.eventually(t, producer, 200)
	})

	if err := c.env.ControlPlane.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	c.late.Add(int64(2 * time.Minute))
	t.Run("without the API server a known right counts on, with a warning", func(t *testing.T) {
		c.log.Reset()
		c.expect(t, producer, "/default", 200)
		if !strings.Contains(c.log.String(), "cannot be asked") {
			t.Errorf("log %q", c.log)
		}
	})
	t.Run("without the API server what is unknown is refused for now", func(t *testing.T) {
		c.expect(t, producer, "/kube-system", 503, "problems/authorization-unavailable")
		c.expect(t, token(`{"aud":["postrider"]}`), "/default", 503)
		c.expect(t, stranger, "/default", 503)
	})
	t.Run("without the API server a known right ends after ten minutes more", func(t *testing.T) {
		c.late.Add(int64(10 * time.Minute))
		c.expect(t, producer, "/default", 503)
	})
}
