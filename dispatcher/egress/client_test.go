package egress_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/test/receiver"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// long is ample for what must succeed, short is what a test of a timeout takes.
const long, short = 30 * time.Second, 100 * time.Millisecond

func newClient(t *testing.T, o egress.Options) *egress.Client {
	t.Helper()
	c := egress.New(o)
	t.Cleanup(c.CloseIdle)
	return c
}

// send posts a small body within the timeout.
func send(t *testing.T, c *egress.Client, address string, timeout time.Duration) (egress.Response, error) {
	t.Helper()
	return c.Post(t.Context(), &egress.Post{Target: target(t, address, nil), Body: []byte("{}"), Deadline: time.Now().Add(timeout)})
}

func target(tb testing.TB, address string, header http.Header) *egress.Target {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	to, err := egress.NewTarget(u, header)
	if err != nil {
		tb.Fatal(err)
	}
	return to
}

func mustSend(t *testing.T, c *egress.Client, address string) egress.Response {
	t.Helper()
	resp, err := send(t, c, address, long)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// wantFailure checks what Classify makes of err.
func wantFailure(t *testing.T, err error, reason outcome.Reason, detail string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s: %s", reason, detail)
	}
	if r, d := egress.Classify(err); r != reason || d != detail {
		t.Errorf("classified as %s: %s, want %s: %s (%v)", r, d, reason, detail, err)
	}
}

func TestADeniedAddressIsNotDialled(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := newClient(t, egress.Options{})
	port := r.URL("")[strings.LastIndexByte(r.URL(""), ':'):]
	for address, detail := range map[string]string{
		r.URL("/"):                                  "loopback address",
		"http://localhost" + port:                   "loopback address", // a name that resolves to loopback
		"http://[::ffff:127.0.0.1]" + port:          "loopback address",
		"http://0.0.0.0" + port:                     "unspecified address",
		"http://169.254.169.254/latest/meta-data/":  "link-local or metadata address",
		"https://[fd00:ec2::254]/latest/meta-data/": "private address",
		"https://10.0.0.1/":                         "private address",
	} {
		_, err := send(t, c, address, long)
		wantFailure(t, err, outcome.EgressDenied, detail)
	}
	if r.Connections() != 0 {
		t.Errorf("the receiver was dialled %d times", r.Connections())
	}
}

func TestTheProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	proxy := receiver.New(t, receiver.Options{})
	t.Setenv("HTTP_PROXY", proxy.URL("")) // which Go would not use for a receiver on loopback
	t.Setenv("HTTPS_PROXY", proxy.URL(""))
	c := newClient(t, egress.Options{Allow: loopback})
	_, err := send(t, c, "http://203.0.113.1/", long)
	wantFailure(t, err, outcome.EgressDenied, "documentation address")
	if proxy.Connections() != 0 {
		t.Error("the proxy was asked")
	}
}

// raw answers what comes first on each connection with the same bytes and keeps
// it open.
func raw(t *testing.T, answer string) (address string) {
	t.Helper()
	return accept(t, nil, func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer) // the client checks what came
		_, _ = io.Copy(io.Discard, conn)    // until the client has enough
	})
}

// accept has connections to a port of loopback served, and closed then. They are
// with TLS unless config is nil.
func accept(t *testing.T, config *tls.Config, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		if err := l.Close(); err != nil { // the connections end with the client's
			t.Error(err)
		}
		conns.Wait()
	})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = conn.Close() }() // the client may have done so
				serve(conn)
			})
		}
	})
	return l.Addr().String()
}

func TestWhatIsNotHTTPIsNoAnswer(t *testing.T) {
	c := newClient(t, egress.Options{Allow: loopback})
	for name, answer := range map[string]string{
		"another protocol":  "SSH-2.0-OpenSSH_9.9\r\n",
		"an endless header": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Padding: "+strings.Repeat("a", 1000)+"\r\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := send(t, c, "http://"+raw(t, answer), long)
			wantFailure(t, err, outcome.ConnectFailed, "no valid HTTP answer")
		})
	}
	_, err := send(t, c, "http://"+raw(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n"), long)
	wantFailure(t, err, outcome.BodyFailed, "answer not valid HTTP")
}

func TestASwitchOfProtocolsIsNotAccepted(t *testing.T) {
	addr := raw(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp := mustSend(t, newClient(t, egress.Options{Allow: loopback}), "http://"+addr); resp.Status != 101 {
		t.Errorf("got %d", resp.Status)
	}
}
