package deliver_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

func TestADeliveredEventIsSettledAndRecorded(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	r := start(t, nil, aRoute("a", rc.URL("/a")), aRoute("b", rc.URL("/b")))
	r.post("1")
	rc.Wait(t, 2)
	eventually.True(t, "the claim to be released", func() bool { return r.countReleased() == 1 })
	s := r.facts()
	if s.Pending != 0 || s.Last == nil || s.Last.Reason != outcome.Delivered || s.Last.Number != 1 || s.LastSuccess.IsZero() {
		t.Errorf("the facts are %+v, last %+v", s, s.Last)
	}
	if ids := rc.IDs(); len(ids) != 1 || ids[anEvent("1").Key().String()] != 2 {
		t.Errorf("the receiver saw the ids %v, want one, twice", ids)
	}
}

func TestAFailedDeliveryIsDeferredAndOnlyThenSettled(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/a", receiver.Status(http.StatusNotFound))
	r := start(t, nil, aRoute("a", rc.URL("/a")))
	r.backlog.fail(true)
	r.post("1")
	rc.Wait(t, 1)
	eventually.True(t, "the failure to be recorded", func() bool { return r.facts().LastError == "404 Not Found" })
	if r.countReleased() == 1 {
		t.Fatal("the claim was released before the deferral was kept")
	}
	r.backlog.fail(false)
	eventually.True(t, "the claim to be released", func() bool { return r.countReleased() == 1 })
	deferred, _ := r.backlog.kept()
	if len(deferred) != 1 || deferred[0].Attempts != 1 || deferred[0].Route != "cms/a" {
		t.Fatalf("deferred is %+v", deferred)
	}
	if pause := time.Until(deferred[0].Due); pause < 50*time.Second || pause > time.Minute {
		t.Errorf("it is due in %s, want about a minute", pause)
	}
	if s := r.facts(); s.Pending != 0 || s.Stored != 1 || s.ConsecutiveFailures != 1 {
		t.Errorf("the facts are %+v", s)
	}
}

func TestADeliveryThatIsOutOfAttemptsBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/a", receiver.Status(http.StatusInternalServerError))
	r := start(t, nil, aRoute("a", rc.URL("/a")))
	r.recorder.Stored("cms/a", 1) // as counted when it was put off
	r.Resume(deliver.Deferral{Route: "cms/a", Attempts: 1, Event: anEvent("1")}, r.claim("1"))
	eventually.True(t, "the claim to be released", func() bool { return r.countReleased() == 1 })
	deferred, dead := r.backlog.kept()
	if len(deferred) != 0 || len(dead) != 1 || dead[0].Attempts != 2 || dead[0].Why.Status != 500 {
		t.Errorf("deferred %+v, dead %+v", deferred, dead)
	}
	if s := r.facts(); s.Pending != 0 || s.Stored != 0 || s.DeadLetters != 1 {
		t.Errorf("the facts are %+v", s)
	}
}

func TestADeferredDeliveryUsesTheRouteAsItIsNow(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	r := start(t, nil, aRoute("a", rc.URL("/wrong")))
	r.table(t, aRoute("a", rc.URL("/right")))
	r.Resume(deliver.Deferral{Route: "cms/a", Attempts: 1, Event: anEvent("1")}, r.claim("1"))
	if got := rc.Wait(t, 1)[0].Target; got != "/right" {
		t.Errorf("it went to %s", got)
	}
}

func TestADeliveryOfADeletedWebhookBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.Resume(deliver.Deferral{Route: "cms/gone", Attempts: 1, Event: anEvent("1")}, r.claim("1"))
	eventually.True(t, "the claim to be released", func() bool { return r.countReleased() == 1 })
	if _, dead := r.backlog.kept(); len(dead) != 1 || dead[0].Why.Reason != outcome.RouteGone {
		t.Errorf("dead is %+v", dead)
	}
}

func TestAStopWaitsOnceForABacklogThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var routes []route.Route
		for i := range 50 {
			routes = append(routes, route.Route{ID: fmt.Sprint("cms/a", i), Hold: "RefNotFound", Events: []string{"*"}})
		}
		r := start(t, nil, routes...)
		r.backlog.fail(true)
		r.backlog.takes = 10 * time.Second
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			r.postAll("", 1000)
		}()
		pass(time.Minute)
		begun := time.Now()
		r.Halt()
		<-fed
		r.stop()
		if took := time.Since(begun); took > 21*time.Second { // what it was about, and once more
			t.Errorf("the stop takes %s", took)
		}
		if n := r.countReleased(); n != 0 {
			t.Errorf("%d claims were released although nothing was kept", n)
		}
	})
}

func TestAStopIsNotHeldUpByABacklogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r := start(t, nil, route.Route{ID: "cms/a", Hold: "RefNotFound", Events: []string{"*"}})
	r.backlog.fail(true)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		r.postAll("", 6000) // more than may wait to be written
	}()
	eventually.True(t, "the first write to fail", func() bool { return r.backlog.tried() > 0 })
	r.Halt()
	<-fed
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.released) != 0 {
		t.Errorf("%d claims were released although nothing was kept", len(r.released))
	}
}
