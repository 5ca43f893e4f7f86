package operate_test

import (
	"fmt"
	"testing"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/operate"
)

func TestARedeliverySendsTheSameEventAsANewDelivery(t *testing.T) {
	m := &memory{history: stored("shop", "a", "b", "c", "d")}
	d := open(t, m)
	e := m.history[3].Event
	d.post(t, deliveriesPath+"/"+deliver.DeliveryID(11, e.Key())+"/redeliver", "").says(t, 202, `{"enqueued":1}`)
	want := deliver.Deferral{Route: "shop/all", Seq: 11, Event: e}
	if len(m.enqueued) != 1 || m.enqueued[0] != want {
		t.Errorf("it is %+v", m.enqueued)
	}
}

func TestARedeliveryFindsWhatOnlyADeadLetterStillHolds(t *testing.T) {
	m := &memory{dead: letters("shop/all", 3)}
	d := open(t, m)
	l := m.dead[1]
	d.post(t, deliveriesPath+"/"+deliver.DeliveryID(l.Seq, l.Event.Key())+"/redeliver", "{}").says(t, 202)
	if len(m.enqueued) != 1 || m.enqueued[0].Event != l.Event || m.enqueued[0].Attempts != 0 || len(m.dead) != 3 {
		t.Errorf("it is %+v, and %d dead letters", m.enqueued, len(m.dead))
	}
}

func TestARedeliveryIsRefusedWithWhatToDo(t *testing.T) {
	foreign := stored("crm", "a")
	foreignDead := letters("crm/all", 1)
	foreignDead[0].Route = "shop/all" // should a store ever mix them up
	m := &memory{history: foreign, dead: foreignDead}
	d := open(t, m)
	ours := stored("shop", "a")[0].Event
	id := deliver.DeliveryID(10, ours.Key())
	for _, tt := range []struct {
		name, webhook, id string
		status            int
		says              []string
	}{
		{"nobody keeps it", "all", id, 404, []string{"problems/delivery-not-found", "kept for 72h after", "those of tests not at all"}},
		{"another tenant's", "all", deliver.DeliveryID(10, foreign[0].Event.Key()), 404, []string{"problems/delivery-not-found"}},
		{"no id", "all", "17", 404, []string{"take a \\\"delivery\\\" from the list"}},
		{"an id in another spelling", "all", "0" + id, 404, []string{"take a \\\"delivery\\\" from the list"}},
		{"no webhook", "none", id, 404, []string{"problems/webhook-not-found"}},
		{"a webhook that its spec disables", "off", id, 409, []string{"problems/webhook-disabled", "SpecDisabled"}},
		{"a webhook that was disabled", "auto", id, 409, []string{"problems/webhook-disabled", "ReceiverGone"}},
		{"a webhook that makes no sense", "invalid", id, 409, []string{"problems/webhook-disabled", "InvalidURL"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d.post(t, "/v1/namespaces/shop/webhooks/"+tt.webhook+"/deliveries/"+tt.id+"/redeliver", "").says(t, tt.status, tt.says...)
		})
	}
	d.post(t, deliveriesPath+"/"+id+"/redeliver", `{"force":true}`).says(t, 400, "problems/invalid-request", `unknown field \"force\"`)
	if len(m.enqueued) > 0 {
		t.Errorf("%d deliveries were enqueued", len(m.enqueued))
	}
	open(t, &memory{}, func(o *operate.Options) { o.Kept = 0 }).post(t, deliveriesPath+"/"+id+"/redeliver", "").
		says(t, 404, "Events are kept while the store has room")
}

func TestAWebhookWhoseReferencesDoNotResolveYetTakesDeliveries(t *testing.T) {
	m := &memory{history: stored("shop", "order:paid")}
	d := open(t, m)
	d.post(t, "/v1/namespaces/shop/webhooks/unresolved/deliveries/"+deliver.DeliveryID(10, m.history[0].Event.Key())+"/redeliver", "").says(t, 202)
}

func TestAFullStoreTakesNoRedelivery(t *testing.T) {
	m := &memory{history: stored("shop", "a"), enqueueErr: fmt.Errorf("enqueueing: %w", event.ErrFull)}
	d := open(t, m)
	r := d.post(t, deliveriesPath+"/"+deliver.DeliveryID(10, m.history[0].Event.Key())+"/redeliver", "")
	r.says(t, 429, "problems/store-full")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
