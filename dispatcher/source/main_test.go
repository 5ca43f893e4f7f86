package source_test

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

var env envtest.Environment

// start starts the one API server of these tests.
var start = sync.OnceValues(func() (kubernetes.Interface, error) {
	config, err := env.Start()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if env.Config != nil {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// apiServer is a client of a real API server.
func apiServer(t *testing.T) kubernetes.Interface {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: this test needs a real kube-apiserver and etcd; run it with `make test`, or with KUBEBUILDER_ASSETS=$(hack/k8s/build.sh)")
	}
	client, err := start()
	if err != nil {
		t.Fatal("starting the API server:", err)
	}
	return client
}
