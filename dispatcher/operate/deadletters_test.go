package operate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

const deadPath = "/v1/namespaces/shop/webhooks/all/dead-letters"

type letterList struct {
	Items []struct {
		ID, Delivery, WebhookID, EventID, EventType string
		Attempts, Status, Bytes                     int
		Reason                                      outcome.Reason
		Event                                       json.RawMessage
	}
	Next string
}

func TestDeadLettersAreListedNewestFirstWithoutWhatTheirEventsHold(t *testing.T) {
	m := &memory{dead: letters("shop/all", 5)}
	d := open(t, m)
	var first, second letterList
	d.get(t, deadPath+"?limit=3").into(t, &first)
	d.get(t, deadPath+"?limit=3&before="+first.Next).into(t, &second)
	if len(first.Items) != 3 || len(second.Items) != 2 || second.Next != "" {
		t.Fatalf("%d and %d letters, then %q", len(first.Items), len(second.Items), second.Next)
	}
	got := first.Items[0]
	if got.ID != "5" || got.EventID != "e" || got.EventType != "order:paid" || got.Attempts != 8 || got.Status != 404 ||
		got.Reason != outcome.Rejected || got.Bytes != 12 || got.Event != nil || !strings.HasPrefix(got.WebhookID, "msg_") || got.Delivery != "11-"+got.WebhookID {
		t.Errorf("the letter is %+v", got)
	}
}

func TestOneDeadLetterIsShownWithItsEventAsItCanBePostedAgain(t *testing.T) {
	m := &memory{dead: letters("shop/all", 3)}
	m.dead[1].Event.ContentType, m.dead[1].Event.Data = "text/plain", []byte("<hello & goodbye>")
	m.dead[2].Event.ContentType, m.dead[2].Event.Data = "application/octet-stream", []byte{0xff, 0}
	m.dead[2].Event.Extensions = map[string]string{"traceparent": "00-11111111111111111111111111111111-2222222222222222-01"}
	d := open(t, m)
	d.get(t, deadPath+"/1").says(t, 200, `"data":{"total":50}`, `"specversion":"1.0"`, `"source":"/shop"`, `"id":"1"`)
	d.get(t, deadPath+"/2").says(t, 200, `"data":"<hello & goodbye>"`)
	d.get(t, deadPath+"/3").says(t, 200, `"data_base64":"/wA="`, `"traceparent":"00-1`)
}

func TestOneDeadLetterIsEnqueuedAndThenRemoved(t *testing.T) {
	m := &memory{dead: letters("shop/all", 3)}
	d := open(t, m)
	d.recorder.DeadLetters("shop/all", 3)
	letter := m.dead[1]
	d.post(t, deadPath+"/2/redrive", "").says(t, 202, `{"enqueued":1}`)
	if len(m.enqueued) != 1 || m.enqueued[0].Event != letter.Event || m.enqueued[0].Attempts != 0 || m.enqueued[0].Seq != letter.Seq {
		t.Errorf("it is %+v", m.enqueued)
	}
	if len(m.dead) != 2 || d.counted() != 2 {
		t.Errorf("%d letters are left, %d are counted", len(m.dead), d.counted())
	}
	d.post(t, deadPath+"/2/redrive", "").says(t, 404, "problems/dead-letter-not-found")
}

func TestADeadLetterOfAnotherTenantOrWebhookIsNotThere(t *testing.T) {
	mixed := letters("crm/all", 2)
	mixed[1].Route = "shop/all" // should a store ever mix them up
	m := &memory{dead: append(mixed, letters("shop/large", 3)[2])}
	d := open(t, m)
	for _, id := range []string{"1", "2", "3", "4", "0", "x", "03", "99999999999999999999"} {
		d.get(t, deadPath+"/"+id).says(t, 404, "problems/dead-letter-not-found")
		d.post(t, deadPath+"/"+id+"/redrive", "").says(t, 404, "problems/dead-letter-not-found")
	}
	if len(m.enqueued) != 0 || len(m.dead) != 3 {
		t.Errorf("%d enqueued, %d dead", len(m.enqueued), len(m.dead))
	}
}

func TestAllDeadLettersAreRedrivenInSteps(t *testing.T) {
	m := &memory{dead: append(letters("shop/all", 700), letters("shop/large", 1)...)}
	d := open(t, m)
	d.recorder.DeadLetters("shop/all", 700)
	first := m.dead[0].Event
	d.post(t, deadPath+"/redrive", `{"limit":600}`).says(t, 202, `{"enqueued":600,"remaining":100}`)
	if m.enqueued[0].Event != first || len(m.dead) != 101 || d.counted() != 100 {
		t.Errorf("%d are left, %d are counted", len(m.dead), d.counted())
	}
	d.post(t, deadPath+"/redrive", "").says(t, 202, `{"enqueued":100,"remaining":0}`)
	d.post(t, deadPath+"/redrive", "{}").says(t, 202, `{"enqueued":0,"remaining":0}`)
	if len(m.dead) != 1 || len(m.enqueued) != 700 {
		t.Errorf("%d are left, %d enqueued", len(m.dead), len(m.enqueued))
	}
}

func TestOneCallRedrivesNothingTwiceWhereTheStoreListsWhatIsRemoved(t *testing.T) {
	m := &memory{dead: letters("shop/all", 700), lags: true}
	d := open(t, m)
	d.recorder.DeadLetters("shop/all", 700)
	d.post(t, deadPath+"/redrive", "").says(t, 202, `{"enqueued":700,"remaining":0}`)
	if len(m.enqueued) != 700 || len(m.dead) != 0 {
		t.Errorf("%d enqueued, %d left", len(m.enqueued), len(m.dead))
	}
}

func TestWhatDiesAgainAtOnceIsNotRedrivenForever(t *testing.T) {
	m := &memory{dead: letters("shop/all", 2)}
	m.onEnqueue = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		again := letters("shop/all", 1)
		again[0].ID, again[0].At = uint64(len(m.dead)+100), time.Now().Add(time.Minute)
		m.dead = append(m.dead, again...)
	}
	d := open(t, m)
	d.post(t, deadPath+"/redrive", "").says(t, 202, `{"enqueued":2,"remaining":0}`)
	if len(m.dead) != 1 {
		t.Errorf("%d are left", len(m.dead))
	}
}

func TestADeadLetterIsNeverRemovedBeforeItIsEnqueued(t *testing.T) {
	m := &memory{dead: letters("shop/all", 600), enqueueErr: errors.New("disk full"), enqueueGood: 1}
	d := open(t, m)
	d.recorder.DeadLetters("shop/all", 600)
	d.post(t, deadPath+"/redrive", "").says(t, 202, `"enqueued":256`, `"remaining":344`)
	d.post(t, deadPath+"/redrive", "").says(t, 503, "problems/unavailable")
	d.post(t, deadPath+"/300/redrive", "").says(t, 503, "problems/unavailable")
	if len(m.dead) != 344 || len(m.enqueued) != 256 || d.counted() != 344 {
		t.Errorf("%d dead, %d enqueued, %d counted", len(m.dead), len(m.enqueued), d.counted())
	}

	m.enqueueErr, m.removeErr = nil, errors.New("no")
	d.post(t, deadPath+"/300/redrive", "").says(t, 503, "may then be sent twice")
	if len(m.dead) != 344 || len(m.enqueued) != 257 || d.counted() != 344 {
		t.Errorf("%d dead, %d enqueued, %d counted", len(m.dead), len(m.enqueued), d.counted())
	}
}

func TestARouteIsRedrivenByOneCallAtATime(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	m := &memory{dead: append(letters("shop/all", 2), letters("shop/large", 1)...)}
	m.onEnqueue = func() { entered <- struct{}{}; <-leave }
	d := open(t, m)
	done := make(chan struct{})
	for _, path := range []string{deadPath + "/redrive", "/v1/namespaces/shop/webhooks/large/dead-letters/redrive"} {
		go func() {
			d.request(t, ann, http.MethodPost, path, "")
			done <- struct{}{}
		}()
		<-entered
	}
	d.post(t, deadPath+"/redrive", "").says(t, 429, "problems/too-many-calls")
	d.post(t, deadPath+"/1/redrive", "").says(t, 429, "problems/too-many-calls")
	close(leave)
	<-done
	<-done
	if len(m.enqueued) != 3 || len(m.dead) != 0 {
		t.Errorf("%d enqueued, %d dead", len(m.enqueued), len(m.dead))
	}
}

func TestANamespaceThatRedrivesManyWebhooksLeavesRoomForOthers(t *testing.T) {
	const several = 20 // more than may be redriven in all
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	m := &memory{dead: letters("crm/all", 1)}
	var routes []route.Route
	for i := range several {
		id := fmt.Sprint("shop/r", i)
		routes = append(routes, aRoute(id))
		m.dead = append(m.dead, letters(id, 1)...)
	}
	m.onEnqueue = func() { entered <- struct{}{}; <-leave }
	d := open(t, m)
	router, err := route.Build(route.Table{Routes: append(routes, aRoute("crm/all"))})
	if err != nil {
		t.Fatal(err)
	}
	d.router.Swap(router)
	answers := make(chan reply)
	begun := 0
	for i := range several {
		go func() {
			answers <- d.request(t, ann, http.MethodPost, fmt.Sprintf("/v1/namespaces/shop/webhooks/r%d/dead-letters/redrive", i), "")
		}()
		select {
		case <-entered:
			begun++
		case refusal := <-answers:
			refusal.says(t, 429, "problems/too-many-calls", "of the namespace")
		}
	}
	if begun == 0 || begun > several/2 {
		t.Errorf("%d of %d webhooks of a namespace are redriven at once", begun, several)
	}
	go func() {
		answers <- d.request(t, other, http.MethodPost, "/v1/namespaces/crm/webhooks/all/dead-letters/redrive", "")
	}()
	<-entered // another namespace is not kept waiting
	close(leave)
	for range begun + 1 {
		(<-answers).says(t, 202)
	}
	d.post(t, "/v1/namespaces/shop/webhooks/r19/dead-letters/redrive", "").says(t, 202) // what ended makes room
}

func TestARedriveIsRefusedWithWhatToDo(t *testing.T) {
	d := open(t, &memory{dead: letters("shop/off", 1)})
	for _, path := range []string{"/redrive", "/1/redrive"} {
		d.post(t, "/v1/namespaces/shop/webhooks/off/dead-letters"+path, "").says(t, 409, "problems/webhook-disabled")
		d.post(t, "/v1/namespaces/shop/webhooks/none/dead-letters"+path, "").says(t, 404, "problems/webhook-not-found")
		d.post(t, deadPath+path, `{"all":true}`).says(t, 400, "problems/invalid-request")
	}
	for _, limit := range []string{"0", "-1", "10001"} {
		d.post(t, deadPath+"/redrive", `{"limit":`+limit+`}`).says(t, 400, `\"limit\" is not from 1 to 10000`)
	}
	d.get(t, deadPath+"/redrive").says(t, 405, "Send POST")
}

func TestReadersOfOneNamespaceAreBoundedAndLeaveRoomForOthers(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	m := &memory{dead: letters("shop/all", 1)}
	m.onRead = func() { entered <- struct{}{}; <-leave }
	d := open(t, m)
	done := make(chan reply)
	const share = 8
	for range share {
		go func() { done <- d.get(t, deadPath) }()
		<-entered
	}
	for _, path := range []string{deadPath, deadPath + "/1", "/v1/namespaces/shop/webhooks/all/deliveries"} {
		d.get(t, path).says(t, 429, "problems/too-many-calls")
	}
	go func() {
		done <- d.request(t, other, http.MethodGet, "/v1/namespaces/crm/webhooks/all/dead-letters", "")
	}()
	<-entered
	close(leave)
	for range share + 1 {
		r := <-done
		r.says(t, 200)
	}
	m.onRead = nil
	d.get(t, deadPath).says(t, 200)
}
