//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// What "make e2e" sets.
const (
	envKubectl = "E2E_KUBECTL" // the program
	envHelm    = "E2E_HELM"    // commands of one or more versions of Helm, with semicolons between them
	envLoad    = "E2E_LOAD"    // command that gives images to the nodes; archives follow as arguments
)

// root is the top of the repository, where commands run.
const root = "../.."

// cluster is the one that KUBECONFIG names, asked as its administrator asks it.
type cluster struct {
	config  *rest.Config
	client  kubernetes.Interface
	kubectl string
	helms   [][]string
}

func connect(tb testing.TB) *cluster {
	tb.Helper()
	need := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			tb.Fatalf("%s is not set; run this test by make e2e", name)
		}
		return value
	}
	config, err := clientcmd.BuildConfigFromFlags("", need("KUBECONFIG"))
	if err != nil {
		tb.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		tb.Fatal(err)
	}
	c := &cluster{config: config, client: client, kubectl: need(envKubectl)}
	for helm := range strings.SplitSeq(need(envHelm), ";") {
		c.helms = append(c.helms, strings.Fields(helm))
	}
	return c
}

// load makes images of Go programs of the repository in dir and gives them to the nodes.
func (c *cluster) load(tb testing.TB, dir, tag string, args ...string) {
	tb.Helper()
	out := tb.TempDir()
	archives := run(tb, dir, "", "go", append([]string{"run", "./hack/images", "--version", tag, "--platforms", c.platform(tb), "--out", out}, args...)...)
	tb.Logf("images:\n%s", strings.TrimSpace(archives))
	files, err := os.ReadDir(out)
	if err != nil {
		tb.Fatal(err)
	}
	command := strings.Fields(os.Getenv(envLoad))
	if len(command) == 0 {
		tb.Fatalf(`%s is not set: it has to be a command that gives archives of images to the nodes of your cluster, such as "kind load image-archive --name postrider"`, envLoad)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".tar") {
			run(tb, root, "", command[0], append(command[1:], out+"/"+f.Name())...)
		}
	}
}

// platform is that of the nodes.
func (c *cluster) platform(tb testing.TB) string {
	tb.Helper()
	return c.run(tb, "get", "nodes", "-o", "jsonpath={.items[0].status.nodeInfo.operatingSystem}/{.items[0].status.nodeInfo.architecture}")
}

// run runs kubectl and returns what it writes.
func (c *cluster) run(tb testing.TB, args ...string) string {
	tb.Helper()
	return run(tb, root, "", c.kubectl, args...)
}

// apply applies manifests.
func (c *cluster) apply(tb testing.TB, manifests string) {
	tb.Helper()
	run(tb, root, manifests, c.kubectl, "apply", "--server-side", "--force-conflicts", "-f", "-")
}

// fill applies a manifest of this folder after words of it were replaced.
func (c *cluster) fill(tb testing.TB, file string, words ...string) {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	c.apply(tb, strings.NewReplacer(words...).Replace(string(text)))
}

// helm runs one of the versions of Helm, the first one with 0.
func (c *cluster) helm(tb testing.TB, version int, args ...string) string {
	tb.Helper()
	command := c.helms[version%len(c.helms)]
	return run(tb, root, "", command[0], append(command[1:], args...)...)
}

// call sends a request to a pod, through the API server, and decodes the answer into v.
func (c *cluster) call(tb testing.TB, method, namespace, pod, path string, query map[string]string, v any) {
	tb.Helper()
	req := c.client.CoreV1().RESTClient().Verb(method).Namespace(namespace).Resource("pods").Name(pod + ":8080").SubResource("proxy").Suffix(path)
	for name, value := range query {
		req.Param(name, value)
	}
	answer, err := req.DoRaw(tb.Context())
	if err != nil {
		tb.Fatalf("%s %s of the pod %s/%s: %v: %s", method, path, namespace, pod, err, answer)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(answer, v); err != nil {
		tb.Fatalf("%s %s of the pod %s/%s: %v: %s", method, path, namespace, pod, err, answer)
	}
}

// run runs a program to its end, which has to be a good one, and returns its
// standard output.
func run(tb testing.TB, dir, stdin, program string, args ...string) string {
	tb.Helper()
	out, err := try(tb, dir, stdin, program, args...)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// try is run for programs that may fail.
func try(tb testing.TB, dir, stdin, program string, args ...string) (string, error) {
	tb.Helper()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), program, args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, out.String(), complaint.String())
	}
	return out.String(), nil
}

// within polls until ask has nothing to say against it, and fails the test when that takes too long.
func within(tb testing.TB, patience time.Duration, what string, ask func() error) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited %s in vain for %s: %v", patience, what, err)
		}
	}
}
