package deliver_test

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
)

func TestMetricsTellOfEachWebhook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", func(*http.Request) egress.Response { return egress.Response{Status: 200, Reused: true} })
		rc.on("b", status(http.StatusNotFound))
		rc.on("c", after(30*time.Second))
		busy := aRoute("c", "http://c/")
		busy.Timeout = time.Minute
		r := start(t, rc.options, aRoute("a", "http://a/"), aRoute("b", "http://b/"), busy, aRoute("idle", "http://d/"))
		for i := range 6 {
			r.post(fmt.Sprint(i), "cms/a", "cms/b", "cms/c")
		}
		pass(time.Second)
		for _, tt := range []struct {
			name   string
			labels []string
			want   float64
		}{
			{"postrider_deliver_attempts_total", []string{"Delivered"}, 6},
			{"postrider_deliver_attempts_total", []string{"Rejected"}, 6},
			{"postrider_deliver_attempts_total", []string{"Timeout"}, 0},
			{"postrider_deliver_attempts_in_flight", nil, 2},
			{"postrider_deliver_deferred_total", nil, 6},
			{"postrider_deliver_enqueued_total", nil, 0},
			{"postrider_deliver_connections_total", []string{"reused"}, 6},
			{"postrider_deliver_connections_total", []string{"new"}, 6},
			{"postrider_deliver_window_deliveries", []string{"moving"}, 0},
			{"postrider_deliver_window_deliveries", []string{"aside"}, 6},
			{"postrider_deliver_held_bytes", []string{"under_way"}, 2 * (deliver.Overhead + 2)},
			{"postrider_deliver_held_bytes", []string{"aside"}, 6 * (deliver.Overhead + 2)},
			{"postrider_webhook_attempts_total", []string{"cms", "Delivered", "a"}, 6},
			{"postrider_webhook_attempts_total", []string{"cms", "Rejected", "b"}, 6},
			{"postrider_webhook_latency_seconds", []string{"cms", "a"}, 6},
			{"postrider_webhook_latency_seconds", []string{"cms", "b"}, 0},
			{"postrider_webhook_latency_seconds", []string{"cms", "idle"}, -1},
			{"postrider_webhook_lane_depth", []string{"cms", "c"}, 6},
			{"postrider_webhook_waiting", []string{"cms", "c"}, 0},
			{"postrider_webhook_oldest_pending_seconds", []string{"cms", "a"}, 0},
			{"postrider_webhook_oldest_pending_seconds", []string{"cms", "c"}, 1},
			{"postrider_webhook_breaker_state", []string{"cms", "c"}, 0},
		} {
			if got := r.metric(t, tt.name, tt.labels...); got != tt.want {
				t.Errorf("%s%v is %v, want %v", tt.name, tt.labels, got, tt.want)
			}
		}
		pass(5 * time.Second)
		if got := r.metric(t, "postrider_webhook_waiting", "cms", "c"); got != 4 {
			t.Errorf("%v wait in the store, want the 4 that waited for long", got)
		}

		r.table(t, aRoute("a", "http://a/"))
		pass(time.Minute)
		if got := r.metric(t, "postrider_webhook_attempts_total", "cms", "Rejected", "b"); got != -1 {
			t.Errorf("the series of a route that is gone is left, with %v", got)
		}
	})
}

func TestMetricsPerWebhookCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		registry := prometheus.NewRegistry()
		r := start(t, func(o *deliver.Options) {
			rc.options(o)
			o.Metrics = deliver.NewMetrics(registry, deliver.MetricsOptions{})
		}, aRoute("a", "http://a/"))
		r.registry = registry
		r.post("1")
		pass(time.Second)
		if got := r.metric(t, "postrider_deliver_attempts_total", "Delivered"); got != 1 {
			t.Errorf("%v attempts are counted", got)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "webhook" {
						t.Errorf("%s has a label for each webhook", f.GetName())
					}
				}
			}
		}
	})
}

func TestLatenciesOfAWebhookAreInTheirBuckets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aRoute("a", "http://a/"))
		sum := 0.0
		for i, latency := range []time.Duration{0, 10 * time.Millisecond, 11 * time.Millisecond, 900 * time.Millisecond, 2 * time.Second} {
			rc.on("a", after(latency))
			r.post(fmt.Sprint(i))
			pass(10 * time.Second)
			sum += latency.Seconds()
		}
		h := r.histogram(t, "postrider_webhook_latency_seconds")
		if h.GetSampleCount() != 5 || math.Abs(h.GetSampleSum()-sum) > 1e-6 {
			t.Errorf("%d deliveries took %v s, want 5 and %v", h.GetSampleCount(), h.GetSampleSum(), sum)
		}
		want := map[float64]uint64{.01: 2, .05: 3, .1: 3, .5: 3, 1: 4, 5: 5, 30: 5, 300: 5, 3600: 5, 86400: 5}
		got := map[float64]uint64{}
		for _, b := range h.GetBucket() {
			got[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		if !maps.Equal(got, want) {
			t.Errorf("the buckets are %v, want %v", got, want)
		}
	})
}
