package queue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/queue"
)

func FuzzDecodeLetter(f *testing.F) {
	good, err := queue.EncodeLetter(&deliver.DeadLetter{
		Route: "cms/a", Attempts: 3, At: time.Unix(1, 2), Seq: 4, Event: full("1"),
		Why: outcome.Outcome{Reason: outcome.Throttled, Status: 429, RetryAfter: time.Minute, Took: time.Second},
	})
	if err != nil {
		f.Fatal(err)
	}
	h := good.Header
	seed := func(attempts, status, seq, took string, data []byte) {
		f.Add(attempts, status, h.Get("Postrider-Reason"), "", h.Get("Postrider-Retry-After"), took, h.Get("Postrider-Time"), seq, data)
	}
	seed("3", "429", "4", "1s", good.Data)
	seed("-1", "429", "4", "1s", good.Data)
	seed("3", "99999999999", "-4", "1s", good.Data)
	seed("3", "429", "4", "9999999999h", good.Data[:5])
	f.Fuzz(func(t *testing.T, attempts, status, reason, detail, retryAfter, took, at, seq string, data []byte) {
		header := nats.Header{}
		for name, value := range map[string]string{
			"Attempts": attempts, "Status": status, "Reason": reason, "Detail": detail,
			"Retry-After": retryAfter, "Took": took, "Time": at, "Seq": seq,
		} {
			header.Set("Postrider-"+name, value)
		}
		d, err := queue.DecodeLetter("cms/a", 17, header, data)
		if err != nil {
			return
		}
		if d.ID != 17 || d.Route != "cms/a" || d.Event == nil || d.Attempts < 0 || d.Why.Status < 0 {
			t.Fatalf("%+v", d)
		}
		msg, err := queue.EncodeLetter(&d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := queue.DecodeLetter("cms/a", 17, msg.Header, msg.Data)
		if err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if diff := cmp.Diff(d, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error("(-first +again)\n" + diff)
		}
	})
}
