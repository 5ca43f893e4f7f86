package receiver_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postrider/postrider/hack/local/receiver"
)

const token = "right"

var key = "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// post sends a webhook whose signature and token are right until change spoils
// it, and returns the answer and what the receiver reported.
func post(t *testing.T, r http.Handler, deliveries <-chan receiver.Delivery, change func(*http.Request)) (int, receiver.Delivery) {
	t.Helper()
	const body = `{"type":"item:added"}`
	signer, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := signer.Sign("msg_1", now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, receiver.Path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Webhook-Id", "msg_1")
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	change(req)

	rec := httptest.NewRecorder()
	r.ServeHTTP(rec, req)
	return rec.Code, <-deliveries
}

func TestReceiverTakesOnlyWhatIsSignedAndAuthorised(t *testing.T) {
	tests := []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"signed and authorised", func(*http.Request) {}, http.StatusNoContent},
		{"another id than was signed", func(r *http.Request) { r.Header.Set("Webhook-Id", "msg_2") }, http.StatusUnauthorized},
		{"no signature", func(r *http.Request) { r.Header.Del("Webhook-Signature") }, http.StatusUnauthorized},
		{"another token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") }, http.StatusUnauthorized},
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, http.StatusUnauthorized},
		{"a question whether a command is valid", func(r *http.Request) { r.URL.Path = receiver.Review; r.Header.Del("Authorization") }, http.StatusOK},
		{"a question that is not signed", func(r *http.Request) { r.URL.Path = receiver.Review; r.Header.Del("Webhook-Signature") }, http.StatusUnauthorized},
		{"another path", func(r *http.Request) { r.URL.Path = "/hooks/gone" }, http.StatusNotFound},
		{"not posted", func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			deliveries := make(chan receiver.Delivery, 1)
			r := receiver.New(deliveries)
			if err := r.Trust(key, token); err != nil {
				t.Fatal(err)
			}
			got, d := post(t, r, deliveries, tt.change)
			if got != tt.want || d.Status != tt.want || d.Taken() != (tt.want < 300) {
				t.Errorf("answer %d, reported %d (%s), want %d", got, d.Status, d.Problem, tt.want)
			}
		})
	}
}

func TestReceiverAsksForPatienceUntilItKnowsWhomToTrust(t *testing.T) {
	deliveries := make(chan receiver.Delivery, 1)
	if got, _ := post(t, receiver.New(deliveries), deliveries, func(*http.Request) {}); got != http.StatusServiceUnavailable {
		t.Errorf("answer %d, want 503", got)
	}
}

func TestTrustDoesNotQuoteTheKey(t *testing.T) {
	err := receiver.New(nil).Trust("whsec_!secret!", token)
	if err == nil || strings.Contains(err.Error(), "secret!") {
		t.Errorf("error %v", err)
	}
}
