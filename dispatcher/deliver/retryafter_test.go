package deliver_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, value string
		want        time.Duration
	}{
		{"absent", "", 0},
		{"seconds", "120", 2 * time.Minute},
		{"seconds with spaces", " 120 ", 2 * time.Minute},
		{"zero", "0", 0},
		{"a date", "Sun, 22 Nov 2026 08:01:00 GMT", time.Minute},
		{"a date in the past", "Sun, 22 Nov 2026 07:00:00 GMT", 0},
		{"a negative number", "-5", 0},
		{"a fraction", "1.5", 0},
		{"more seconds than there are", "99999999999999999999", 0},
		{"words", "soon", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := deliver.RetryAfter(http.Header{"Retry-After": {tt.value}}, now); got != tt.want {
				t.Errorf("it is %s, want %s", got, tt.want)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sun, 22 Nov 2026 08:01:00 GMT")
	f.Fuzz(func(t *testing.T, v string) {
		if got := deliver.RetryAfter(http.Header{"Retry-After": {v}}, time.Unix(0, 0)); got < 0 {
			t.Errorf("%q asks for %s", v, got)
		}
	})
}
