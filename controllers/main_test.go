package controllers_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers"
	"github.com/postrider/postrider/internal/transcript"
)

const (
	systemNamespace = "postrider-system"
	servingSecret   = "postrider-dispatcher-tls"
)

// One API server, one manager and one dispatcher serve every test of the
// package; each test has a namespace of its own.
var (
	api       client.Client
	asManager client.Client // with the rights of the manager
	server    *rest.Config  // of the API server, as its administrator
	peer      *dispatcher
	logs      transcript.Transcript

	begin   func() error // starts the manager
	end     context.CancelFunc
	running sync.WaitGroup // while the manager runs
)

const activityInterval = time.Hour // so that a test sees what does not wait for it

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // there is no test yet whose context it could be
	defer cancel()
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	defer func() { // also if its CRDs were refused
		cancel()
		running.Wait()
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	cfg, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server (is KUBEBUILDER_ASSETS set to what hack/k8s/build.sh prints?):", err)
		return 1
	}
	if err := start(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func start(ctx context.Context, cfg *rest.Config) error {
	scheme := runtime.NewScheme()
	err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), discoveryv1.AddToScheme(scheme), eventsv1.AddToScheme(scheme))
	if err != nil {
		return err
	}
	server = cfg
	if api, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	for _, dir := range []string{"../config/default/namespace", "../config/rbac"} {
		if err := applyFolder(ctx, dir); err != nil {
			return err
		}
	}
	peer = newDispatcher(ctx)

	// The manager works with the rights that config/rbac gives it and no others.
	var account corev1.ServiceAccount
	if err := api.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: "postrider-manager"}, &account); err != nil {
		return err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + systemNamespace + ":" + account.Name, UID: string(account.UID),
		Groups: []string{"system:serviceaccounts", "system:authenticated"},
	}
	if asManager, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	begin = func() error { return startManager(ctx, cfg) }
	return begin()
}

// startManager starts a manager that runs until ctx is done or end is called.
func startManager(ctx context.Context, cfg *rest.Config) error {
	mgr, err := controllers.New(cfg, controllers.Options{
		Namespace:         systemNamespace,
		DispatcherURLs:    []string{peer.server.URL},
		DispatcherService: types.NamespacedName{Namespace: systemNamespace, Name: "postrider-dispatcher"},
		AdminPortName:     controllers.DefaultAdminPortName,
		TLSSecret:         servingSecret,
		EventsService:     types.NamespacedName{Namespace: systemNamespace, Name: controllers.DefaultEventsService},
		ClusterDomain:     controllers.DefaultClusterDomain,
		ActivityInterval:  activityInterval,
		Grace:             time.Second,
		LeaderElect:       true,
		MetricsAddress:    "0", ProbeAddress: "0",
		Log: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return err
	}
	ctx, end = context.WithCancel(ctx)
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			panic(err) // every test would wait in vain
		}
	})
	return nil
}

// restart lets the manager end, and starts another once whileAway has returned.
func restart(t *testing.T, whileAway func()) {
	t.Helper()
	end()
	running.Wait()
	whileAway()
	if err := begin(); err != nil {
		t.Fatal(err)
	}
}

// applyFolder applies what lies in the YAML files of a folder, in the order
// that its kustomization gives.
func applyFolder(ctx context.Context, dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		return err
	}
	var k struct{ Resources []string }
	if err := yaml.Unmarshal(b, &k); err != nil {
		return err
	}
	for _, file := range k.Resources {
		path := filepath.Join(dir, file)
		if filepath.Ext(path) == "" { // a folder
			if err := applyFolder(ctx, path); err != nil {
				return err
			}
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := applyYAML(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// applyYAML applies documents as kubectl apply --server-side does.
func applyYAML(ctx context.Context, b []byte) error {
	docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(b)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var u unstructured.Unstructured
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			return fmt.Errorf("%w in:\n%s", err, doc)
		}
		if len(u.Object) == 0 {
			continue
		}
		err = api.Apply(ctx, client.ApplyConfigurationFromUnstructured(&u), client.FieldOwner("test"), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("%w in:\n%s", err, doc)
		}
	}
}

// namespace makes the namespace of a test.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{}
	ns.GenerateName = "test-"
	if err := api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// apply applies documents to the namespace.
func apply(t *testing.T, ns, documents string) {
	t.Helper()
	for text := range strings.SplitSeq(documents, "\n---\n") {
		if err := applyYAML(t.Context(), document(ns, text)); err != nil {
			t.Fatal(err)
		}
	}
}

// document is an object in the namespace, with the version of its kind.
func document(ns, text string) []byte {
	text = strings.Replace(text, "metadata: {", "metadata: {namespace: "+ns+", ", 1)
	if strings.Contains(text, "kind: Secret") {
		return []byte("apiVersion: v1\n" + text)
	}
	return []byte("apiVersion: " + v1alpha1.GroupVersion.String() + "\n" + text)
}

// until waits until check returns no complaint.
func until(t *testing.T, check func() error) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain: %v", err)
		}
	}
}
