package conformance_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/receiver"
)

func (d *target) schedules(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		replies []http.HandlerFunc
		retry   route.Retry
		pauses  []time.Duration // at least, between the attempts that are made
		dead    int
		want    string // last error
	}{
		{"a dead letter after the last attempt", replies(receiver.Status(500)),
			route.Retry{Backoff: []time.Duration{300 * ms, 700 * ms}, MaxAge: time.Hour}, []time.Duration{300 * ms, 700 * ms}, 1, "500 Internal Server Error"},
		{"no schedule, one attempt", replies(receiver.Status(500)),
			route.Retry{MaxAge: time.Hour}, nil, 1, "500 Internal Server Error"},
		{"404 is repeated: the URL may be repaired", replies(receiver.Status(404), receiver.Status(200)),
			route.Retry{Backoff: []time.Duration{200 * ms}, MaxAge: time.Hour}, []time.Duration{200 * ms}, 0, "404 Not Found"},
		{"401 is repeated: the credential may be repaired", replies(receiver.Status(401), receiver.Status(204)),
			route.Retry{Backoff: []time.Duration{200 * ms}, MaxAge: time.Hour}, []time.Duration{200 * ms}, 0, "401 Unauthorized"},
		{"410 ends at once", replies(receiver.Status(410), receiver.Status(200)),
			route.Retry{Backoff: []time.Duration{200 * ms}, MaxAge: time.Hour}, nil, 1, "410 Gone"},
		{"Retry-After lengthens a pause", replies(receiver.RetryAfter(429, "2"), receiver.Status(200)),
			route.Retry{Backoff: []time.Duration{100 * ms}, MaxAge: time.Hour}, []time.Duration{2 * time.Second}, 0, "429 Too Many Requests"},
		{"Retry-After never shortens a pause", replies(receiver.RetryAfter(503, "0"), receiver.Status(200)),
			route.Retry{Backoff: []time.Duration{time.Second}, MaxAge: time.Hour}, []time.Duration{time.Second}, 0, "503 Service Unavailable"},
		{"jitter varies a pause within its share", replies(receiver.Status(500), receiver.Status(200)),
			route.Retry{Backoff: []time.Duration{time.Second}, Jitter: 0.2, MaxAge: time.Hour}, []time.Duration{800 * ms}, 0, "500 Internal Server Error"},
		{"no attempt is planned beyond the maximum age", replies(receiver.Status(500)),
			route.Retry{Backoff: []time.Duration{200 * ms, time.Hour}, MaxAge: time.Minute}, []time.Duration{200 * ms}, 1, "500 Internal Server Error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rc := receiver.New(t, receiver.Options{})
			rc.On("/", tt.replies...)
			n := d.tenant(t, hook("flaky", rc.URL("/"), func(r *route.Route) { r.Retry = tt.retry }))
			n.post(t, "t", "{}")

			n.attempted(t, "flaky", len(tt.pauses)+1)
			s := n.settled(t, "flaky", tt.dead)
			got := rc.Requests()
			if len(got) != len(tt.pauses)+1 {
				t.Fatalf("%d attempts were made, want %d", len(got), len(tt.pauses)+1)
			}
			for i, least := range tt.pauses {
				if pause := got[i+1].Time.Sub(got[i].Time); pause < least {
					t.Errorf("attempt %d came after %s, want at least %s", i+2, pause, least)
				}
			}
			failures := len(got)
			if tt.dead == 0 {
				failures = 0
			}
			if s.LastError != tt.want || s.ConsecutiveFailures != failures || s.Last.Number != len(got) {
				t.Errorf("the report says %+v, want %d failures in a row and %q", s, failures, tt.want)
			}
		})
	}
}

func replies(r ...http.HandlerFunc) []http.HandlerFunc { return r }
