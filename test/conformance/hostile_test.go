package conformance_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

// bomb answers with 64 MiB in 64 KiB of gzip.
func bomb(t *testing.T) http.HandlerFunc {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.CopyN(z, zeros{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes()) // a client that has enough breaks off
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// endlessHeader answers with a header of 1 MiB.
func endlessHeader(w http.ResponseWriter, _ *http.Request) {
	for i := range 64 {
		w.Header().Set("X-Long-"+strconv.Itoa(i), strings.Repeat("x", 16<<10))
	}
}

func (d *target) hostility(t *testing.T) {
	t.Parallel()
	elsewhere := receiver.New(t, receiver.Options{})
	// Long enough for the neighbour to be served meanwhile, on any machine.
	const timeout = 5 * time.Second
	for _, tt := range []struct {
		name  string
		reply http.HandlerFunc
		url   string // instead of one that replies
		want  string // last error, empty when it counts as delivered
	}{
		{"never answers", receiver.Hang(nil, nil), "", "Timeout: no answer in time"},
		{"a byte a second", receiver.Drip(time.Second), "", "Timeout: answer not complete in time"},
		{"a body of 1 GiB", receiver.Flood(1 << 30), "", ""},
		{"a gzip bomb", bomb(t), "", ""},
		{"a header of 1 MiB", endlessHeader, "", "ConnectFailed: no valid HTTP answer"},
		{"breaks off", receiver.BreakOff, "", "BodyFailed: answer broke off"},
		{"hangs up", receiver.HangUp, "", "ConnectFailed: connection closed without an answer"},
		{"redirects to the metadata service", receiver.Redirect("http://169.254.169.254/latest/meta-data/"), "", "302 Found"},
		{"redirects elsewhere", receiver.Redirect(elsewhere.URL("/")), "", "302 Found"},
		{"is the metadata service", nil, "http://169.254.169.254/latest/meta-data/", "EgressDenied: link-local or metadata address"},
		{"is the metadata service, in IPv6", nil, "http://[::ffff:a9fe:a9fe]/", "EgressDenied: link-local or metadata address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bad, good := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{})
			bad.On("/", tt.reply)
			if tt.url == "" {
				tt.url = bad.URL("/")
			}
			n := d.tenant(t,
				hook("hostile", tt.url, func(r *route.Route) { r.Timeout = timeout }),
				hook("neighbour", good.URL("/")))
			start := time.Now()
			for range 3 {
				n.post(t, "t", "{}")
			}
			good.Wait(t, 3)
			served := time.Now()

			s := n.attempted(t, "hostile", 1)
			if s.LastError != tt.want {
				t.Errorf("the last error is %q, want %q", s.LastError, tt.want)
			}
			if tt.want == "" && s.Last.Reason != outcome.Delivered {
				t.Errorf("the outcome is %s, want it delivered: the status was 200", s.Last.Reason)
			}
			if s.Last.Reason == outcome.Timeout && served.After(s.Last.Time) {
				t.Errorf("the neighbour was served after %s, when the first attempt had ended", served.Sub(start))
			}
			if s.Last.Took > 2*timeout {
				t.Errorf("the attempt took %s, its timeout is %s", s.Last.Took, timeout)
			}
		})
	}
	t.Cleanup(func() { // when all of them have ended
		if elsewhere.Connections() != 0 {
			t.Error("a redirect was followed")
		}
		if used := d.resident(t); used > 512<<20 {
			t.Errorf("the dispatcher holds %d MiB", used>>20)
		}
	})
}

// resident is the memory of the dispatcher in bytes.
func (d *target) resident(t *testing.T) int64 {
	t.Helper()
	text := string(d.get(t, "/metrics").body)
	found := regexp.MustCompile(`(?m)^process_resident_memory_bytes (.*)$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatal("the metrics do not tell the memory of the process")
	}
	n, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n)
}

func TestTheGuardDialsNoLoopbackAddressUnlessThePlatformAllowsIt(t *testing.T) {
	t.Parallel()
	p := process.New(t, process.Options{Guarded: true})
	p.Start(t)
	d := at(p)
	rc := receiver.New(t, receiver.Options{TLS: true})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(rc.URL(""), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]struct{ url, want string }{
		"name":    {"http://localhost:" + port, "EgressDenied: loopback address"},
		"tls":     {"https://localhost:" + port, "EgressDenied: loopback address"},
		"address": {"http://127.0.0.1:" + port, "EgressDenied: loopback address"},
		"mapped":  {"http://[::ffff:127.0.0.1]:" + port, "EgressDenied: loopback address"},
		"zero":    {"http://0.0.0.0:" + port, "EgressDenied: unspecified address"},
	}
	var hooks []route.Route
	for name, host := range hosts {
		hooks = append(hooks, hook(name, host.url))
	}
	n := d.tenant(t, hooks...)
	n.post(t, "t", "{}")
	for name, host := range hosts {
		if s := n.attempted(t, name, 1); s.Last.Reason != outcome.EgressDenied || s.LastError != host.want {
			t.Errorf("%s: the outcome is %s, %q, want %q", name, s.Last.Reason, s.LastError, host.want)
		}
	}
	if got := rc.Connections(); got != 0 {
		t.Errorf("%d connections came", got)
	}
}
