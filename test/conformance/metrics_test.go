package conformance_test

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

func (d *target) webhookMetrics(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/fails", receiver.Status(500))
	n := d.tenant(t, hook("takes", rc.URL("/takes")), hook("fails", rc.URL("/fails")))
	n.post(t, "t", "{}")
	n.settled(t, "takes", 0)
	n.settled(t, "fails", 1)
	of := func(webhook string) string { return `{namespace="` + n.namespace + `",webhook="` + webhook + `"}` }
	text := string(n.get(t, "/metrics").body)
	for _, series := range []string{
		`postrider_webhook_attempts_total{namespace="` + n.namespace + `",reason="Delivered",webhook="takes"} 1`,
		`postrider_webhook_attempts_total{namespace="` + n.namespace + `",reason="ReceiverError",webhook="fails"} 1`,
		"postrider_webhook_latency_seconds_count" + of("takes") + " 1",
		"postrider_webhook_latency_seconds_count" + of("fails") + " 0",
		"postrider_webhook_lane_depth" + of("takes") + " 0",
		"postrider_webhook_waiting" + of("fails") + " 0",
		"postrider_webhook_breaker_state" + of("fails") + " 0",
	} {
		if !strings.Contains(text, "\n"+series+"\n") {
			t.Errorf("/metrics lacks %s", series)
		}
	}

	n.route(t, hook("takes", rc.URL("/takes")))
	series := func(webhook string) bool {
		return strings.Contains(string(n.get(t, "/metrics").body), `namespace="`+n.namespace+`",webhook="`+webhook+`"`)
	}
	eventually.True(t, "the series of a webhook that is gone to vanish", func() bool { return !series("fails") })
	if !series("takes") {
		t.Error("the series of its neighbour vanished as well")
	}
}

var (
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (postrider_\S+) (\S+)$`)
	sampleLine = regexp.MustCompile(`(?m)^(postrider_[a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`)
	labelName  = regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
	documented = regexp.MustCompile("(?m)^\\| `(postrider_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|")
	labelWord  = regexp.MustCompile("`([a-z_]+)`")
)

// metric is what the documentation and a scrape have in common.
type metric struct {
	Kind   string
	Labels []string // sorted
}

// scraped are the metrics of our own in a scrape.
func scraped(text string) map[string]metric {
	labels := map[string]map[string]bool{}
	for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
		if labels[m[1]] == nil {
			labels[m[1]] = map[string]bool{}
		}
		for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels[m[1]][l[1]] = true
			}
		}
	}
	all := map[string]metric{}
	for _, m := range typeLine.FindAllStringSubmatch(text, -1) {
		all[m[1]] = metric{m[2], slices.Sorted(maps.Keys(labels[m[1]]))}
	}
	return all
}

func (d *target) documentedMetrics(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	n := d.tenant(t, hook("one", rc.URL("/")))
	n.post(t, "t", "{}")
	n.attempted(t, "one", 1)
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]metric{}
	for _, m := range documented.FindAllStringSubmatch(string(page), -1) {
		var labels []string
		for _, l := range labelWord.FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		want[m[1]] = metric{m[2], labels}
	}
	got := scraped(string(d.do(t, call{method: http.MethodGet, path: "/metrics", token: "-"}, d.admin).body))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/metrics.md and the metrics (-page +dispatcher)\n%s", diff)
	}
}
