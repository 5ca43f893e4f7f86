package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// forwardPatience is how long a port-forward may take to begin.
const forwardPatience = 30 * time.Second

// A Tunnel leads connections to one listener of a ready pod of the dispatcher, through
// the API server. It begins with the first connection and, when the pod goes away,
// anew with the next one.
type Tunnel struct {
	cluster   *Cluster
	namespace string
	port      func(Endpoint) int32
	ctx       context.Context //nolint:containedctx // of all that the tunnel starts

	mu  sync.Mutex
	now *forward
}

// Tunnel makes one to the events listener of the dispatchers of a namespace. It ends
// with ctx.
func (c *Cluster) Tunnel(ctx context.Context, namespace string) *Tunnel {
	return &Tunnel{cluster: c, namespace: namespace, port: func(e Endpoint) int32 { return e.Events }, ctx: ctx}
}

// AdminTunnel makes one to the admin listener.
func (c *Cluster) AdminTunnel(ctx context.Context, namespace string) *Tunnel {
	return &Tunnel{cluster: c, namespace: namespace, port: func(e Endpoint) int32 { return e.Admin }, ctx: ctx}
}

// Dial is for an [http.Transport]: wherever it is to go, it goes through the tunnel.
func (t *Tunnel) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f, err := t.forward(ctx)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", f.local)
}

// Secure reports whether the dispatchers speak TLS.
func (t *Tunnel) Secure(ctx context.Context) (bool, error) {
	s, err := t.cluster.service(ctx, t.namespace)
	if err != nil {
		return false, err
	}
	for _, p := range s.Spec.Ports {
		if p.Port == securePort {
			return true, nil
		}
	}
	return false, nil
}

// forward returns one that is alive.
func (t *Tunnel) forward(ctx context.Context) (*forward, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now != nil && t.now.alive() {
		return t.now, nil
	}
	e, err := t.cluster.endpoint(ctx, t.namespace)
	if err != nil {
		return nil, err
	}
	t.now, err = t.cluster.start(t.ctx, t.namespace, e.Pod, t.port(e))
	if apierrors.IsForbidden(err) {
		return nil, t.cluster.noWay(ctx, t.namespace, "forward ports of pods", err)
	}
	return t.now, err
}

// A forward is one connection with a pod, and where it is reached: at a loopback
// address of this machine.
type forward struct {
	local string
	ended chan struct{}
}

func (f *forward) alive() bool {
	select {
	case <-f.ended:
		return false
	default:
		return true
	}
}

// start forwards a port of a pod until ctx is done or the pod is gone.
func (c *Cluster) start(ctx context.Context, namespace, pod string, port int32) (*forward, error) {
	dialer, err := c.dialer(namespace, pod)
	if err != nil {
		return nil, fmt.Errorf("forwarding a port of pod %s: %w", pod, err)
	}
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, fmt.Errorf("forwarding a port of pod %s: %w", pod, err)
	}
	f := &forward{ended: make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		defer close(f.ended)
		failed <- forwarder.ForwardPorts()
	}()
	select {
	case <-ready:
	case err := <-failed:
		return nil, c.unforwarded(ctx, namespace, pod, err)
	case <-time.After(forwardPatience):
		return nil, fmt.Errorf("the API server has not begun to forward a port of pod %s after %s; see whether its node is well: kubectl get nodes", pod, forwardPatience)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return nil, fmt.Errorf("forwarding a port of pod %s: %w", pod, err)
	}
	f.local = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local)))
	return f, nil
}

// dialer speaks WebSocket with the API server and, where that or a proxy on the way
// does not, SPDY, as kubectl does.
func (c *Cluster) dialer(namespace, pod string) (httpstream.Dialer, error) {
	target := c.core.RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, err
	}
	older := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	newer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, c.config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(newer, older, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// unforwarded is why there is no connection with a pod. The error of the upgrade is
// a text, so it is asked for whether the right lacks.
func (c *Cluster) unforwarded(ctx context.Context, namespace, pod string, err error) error {
	may, asked := c.May(ctx, Right{Verb: "create", Resource: "pods", Subresource: "portforward", Namespace: namespace})
	if asked == nil && !may {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, pod, err)
	}
	return fmt.Errorf("forwarding a port of pod %s: %w", pod, err)
}
