package conformance_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

// Tokens with single rights.
const (
	supportToken  = "support-Ye3Gw8Kz1Mb6Qr5D" // may test and read deliveries in one namespace
	profilerToken = "profiler-Uc7Np2Xs9Tf4Vh0L"
	readerToken   = "reader-Bq5Zd8Hk3Wj6Rm1A" // may read the report and nothing else
	supported     = "conformance-supported"
)

const rights = process.ProducerToken + ", producer, *, create\n" +
	process.OperatorToken + ", operator, *, get\n" +
	supportToken + ", support, " + supported + ", create:webhooks/test, get:webhooks/deliveries\n" +
	profilerToken + ", profiler, *, get:/debug/pprof/\n" +
	readerToken + ", reader, *, get:/report\n"

func TestFlagsBoundHostsHideWebhooksServeProfilesAndGrantSingleRights(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "rights.csv")
	if err := os.WriteFile(tokens, []byte(rights), 0o600); err != nil {
		t.Fatal(err)
	}
	p := process.New(t, process.Options{Args: []string{
		"--token-file", tokens, "--receiver-host-concurrency", "2", "--receiver-host-rate", "20/1s", "--metrics-per-webhook=false", "--pprof",
	}})
	p.Start(t)
	d := at(p)
	t.Run("at most two attempts at once go to a host, over all webhooks", d.hosts)
	t.Run("the rate of a host is not exceeded, over all webhooks", d.hostRate)
	t.Run("there are no series of webhooks", d.noWebhookMetrics)
	t.Run("profiles need the right", d.profiles)
	t.Run("a right is good for what it names", d.rights)
}

func (d *target) hosts(t *testing.T) {
	const allowed, count = 2, 10
	rc, neighbour := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{})
	var c crowd
	release := make(chan struct{})
	reply := c.counted(receiver.Hang(release, receiver.Status(200)))
	var hooks []route.Route
	for _, name := range []string{"a", "b", "c"} {
		rc.On("/"+name, reply)
		hooks = append(hooks, hook(name, rc.URL("/"+name), func(r *route.Route) { r.Concurrency = 5 }))
	}
	n := d.tenant(t, append(hooks, hook("neighbour", neighbour.URL("/"), func(r *route.Route) { r.Concurrency = 5 }))...)
	n.postBatch(t, count)
	rc.Wait(t, allowed)
	neighbour.Wait(t, count) // another port is another host
	close(release)
	rc.WaitIDs(t, count)
	for _, name := range []string{"a", "b", "c"} {
		n.settled(t, name, 0)
	}
	if c.max() != allowed || rc.Count() != 3*count {
		t.Errorf("%d attempts were under way at once, want %d; %d arrived", c.max(), allowed, rc.Count())
	}
}

func (d *target) hostRate(t *testing.T) {
	const rate, count = 20, 16 // of each of three webhooks: more than two seconds' worth
	rc := receiver.New(t, receiver.Options{})
	var hooks []route.Route
	for _, name := range []string{"a", "b", "c"} {
		hooks = append(hooks, hook(name, rc.URL("/"+name), func(r *route.Route) { r.Concurrency = count }))
	}
	n := d.tenant(t, hooks...)
	n.postBatch(t, count)
	withinRate(t, rc.Wait(t, 3*count), rate)
}

func (d *target) noWebhookMetrics(t *testing.T) {
	rc := receiver.New(t, receiver.Options{})
	n := d.tenant(t, hook("one", rc.URL("/")))
	n.post(t, "t", "{}")
	n.attempted(t, "one", 1)
	text := string(n.get(t, "/metrics").body)
	if strings.Contains(text, "postrider_webhook_") || strings.Contains(text, n.namespace) {
		t.Error("/metrics has series of webhooks")
	}
	if !strings.Contains(text, `postrider_deliver_attempts_total{reason="Delivered"}`) {
		t.Error("/metrics lacks the series of the dispatcher")
	}
}

func (d *target) profiles(t *testing.T) {
	const path = "/debug/pprof/goroutine?debug=1"
	for token, status := range map[string]int{"-": 401, readerToken: 403, supportToken: 403, profilerToken: 200} {
		a := d.do(t, call{method: http.MethodGet, path: path, token: token}, d.admin)
		if a.status != status {
			t.Errorf("%s answers %d to %s, want %d: %s", path, a.status, token, status, a.body)
		}
		if status == 200 && !strings.Contains(string(a.body), "goroutine profile: total") {
			t.Errorf("%s is no profile: %s", path, a.body)
		}
	}
	if a := d.do(t, call{method: http.MethodGet, path: "/debug/pprof/cmdline", token: profilerToken}, d.admin); a.status != 404 {
		t.Errorf("the command line is answered with %d", a.status)
	}
}

func (d *target) rights(t *testing.T) {
	rc := receiver.New(t, receiver.Options{})
	n := &tenant{d, supported}
	n.route(t, hook("one", rc.URL("/")))
	t.Cleanup(func() { n.route(t) })
	other := d.tenant(t, hook("one", rc.URL("/")))
	const missing = "Add a line to the dispatcher's token file: TOKEN,support," + supported + ","
	for _, tt := range []struct {
		of                   *tenant
		method, path, remedy string
		status               int
	}{
		{n, "POST", "/webhooks/one/test", "", 200},
		{n, "GET", "/webhooks/one/deliveries", "", 200},
		{n, "POST", "/webhooks/one/replay", missing + "create:webhooks/replay", 403},
		{n, "POST", "/replay", missing + "create:webhooks/replay", 403},
		{n, "POST", "/webhooks/one/deliveries/1-x/redeliver", missing + "create:webhooks/replay", 403},
		{n, "POST", "/webhooks/one/dead-letters/redrive", missing + "create:webhooks/replay", 403},
		{n, "GET", "/webhooks/one/dead-letters", missing + "get:webhooks/deadletters", 403},
		{n, "POST", "/events", missing + "create:events", 403},
		{other, "POST", "/webhooks/one/test", "create:webhooks/test", 403},
		{other, "GET", "/webhooks/one/deliveries", "get:webhooks/deliveries", 403},
	} {
		c := plainJSON(`{"type":"t"}`)
		c.token, c.method, c.path = supportToken, tt.method, "/v1/namespaces/"+tt.of.namespace+tt.path
		a := tt.of.send(t, c)
		if a.status != tt.status || !strings.Contains(string(a.body), tt.remedy) {
			t.Errorf("%s %s answers %d, want %d and %q: %s", c.method, c.path, a.status, tt.status, tt.remedy, a.body)
		}
	}
	if rc.Count() != 1 {
		t.Errorf("%d requests came, want the one test", rc.Count())
	}
	if a := d.do(t, call{method: http.MethodGet, path: "/report", token: readerToken}, d.admin); a.status != 200 {
		t.Errorf("the report answers %d to who may get it", a.status)
	}
}
