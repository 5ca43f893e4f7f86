package operate_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
)

func TestEachCallNeedsItsRight(t *testing.T) {
	const all = "/v1/namespaces/shop/webhooks/all"
	for _, tt := range []struct{ method, path, right string }{
		{http.MethodPost, all + "/test", "create:webhooks/test"},
		{http.MethodGet, all + "/deliveries", "get:webhooks/deliveries"},
		{http.MethodPost, all + "/deliveries/1-x/redeliver", "create:webhooks/replay"},
		{http.MethodPost, all + "/replay", "create:webhooks/replay"},
		{http.MethodPost, "/v1/namespaces/shop/replay", "create:webhooks/replay"},
		{http.MethodGet, all + "/dead-letters", "get:webhooks/deadletters"},
		{http.MethodGet, all + "/dead-letters/1", "get:webhooks/deadletters"},
		{http.MethodPost, all + "/dead-letters/1/redrive", "create:webhooks/replay"},
		{http.MethodPost, all + "/dead-letters/redrive", "create:webhooks/replay"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			d := open(t, &memory{result: deliver.Record{Reason: outcome.Delivered}})
			for token, right := range map[string]string{tester: "create:webhooks/test", reader: "get:webhooks/deliveries"} {
				r := d.request(t, token, tt.method, tt.path, "")
				if (r.status == http.StatusForbidden) == (right == tt.right) {
					t.Errorf("with %s alone it is %d: %s", right, r.status, r.text)
				}
				if r.status == http.StatusForbidden && !strings.Contains(r.text, "shop,"+tt.right) {
					t.Errorf("%s does not name the right", r.text)
				}
			}
			d.request(t, other, tt.method, tt.path, "").says(t, 403)
			d.request(t, "nobodys-token-00001", tt.method, tt.path, "").says(t, 401)
			d.request(t, ann, http.MethodDelete, tt.path, "").says(t, 405, "problems/method-not-allowed", "Send "+tt.method)
			if len(d.enqueued) > 0 {
				t.Errorf("%d deliveries were enqueued", len(d.enqueued))
			}
		})
	}
}

func TestEachChangeIsLoggedOnceWithWhoAndWhatAndWithoutBodies(t *testing.T) {
	m := &memory{dead: letters("shop/all", 3), history: stored("shop", "order:paid"), result: deliver.Record{Reason: outcome.Delivered}}
	d := open(t, m)
	const all = "/v1/namespaces/shop/webhooks/all"
	for _, tt := range []struct{ path, body, log string }{
		{all + "/test", `{"type":"a","data":"confidential"}`, `user=ann action=test object=shop/all count=1`},
		{all + "/deliveries/" + deliver.DeliveryID(10, m.history[0].Event.Key()) + "/redeliver", "", `user=ann action=redeliver object=shop/all count=1`},
		{all + "/replay", `{"from":"2026-01-01T00:00:00Z"}`, `user=ann action=replay object=shop/all count=1`},
		{"/v1/namespaces/shop/replay", `{"from":"2026-01-01T00:00:00Z"}`, `user=ann action=replay object=shop count=2`},
		{all + "/dead-letters/1/redrive", "", `user=ann action=redrive object=shop/all count=1`},
		{all + "/dead-letters/redrive", "", `user=ann action=redrive object=shop/all count=2`},
	} {
		d.log.Reset()
		r := d.request(t, ann, http.MethodPost, tt.path, tt.body, "Content-Type: application/json")
		if r.status != 200 && r.status != 202 {
			t.Errorf("%s: %d %s", tt.path, r.status, r.text)
		}
		got := d.log.String()
		if strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=INFO") || !strings.Contains(got, tt.log) {
			t.Errorf("%s logs %q, want %q", tt.path, got, tt.log)
		}
		if strings.Contains(got, "confidential") || strings.Contains(got, "total") {
			t.Errorf("the log shows a body: %s", got)
		}
	}
	d.log.Reset()
	d.post(t, all+"/replay", `{"from":"2026-01-01T00:00:00Z","dryRun":true}`)
	d.get(t, all+"/dead-letters")
	if d.log.Len() > 0 {
		t.Errorf("what changes nothing is logged: %s", d.log)
	}
}
