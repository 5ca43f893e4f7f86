package deliver_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/route"
)

func TestReceiversThatNeverAnswerDoNotDelayAnotherNamespace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, append(rc.hogs(164, 100, 30*time.Second), aRoute("cms/a", "http://healthy/"))...)

		const n = 300 // of each: more than any lane holds
		began := time.Now()
		for i := range n {
			if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.post(fmt.Sprint(i))
			synctest.Wait()
			if got := rc.count("healthy"); got != i+1 {
				t.Fatalf("after %d events the healthy receiver has %d", i+1, got)
			}
		}
		if held := time.Since(began); held > time.Second {
			t.Errorf("the feeders were held back for %s", held)
		}
		underWay := 0
		for host := range rc.all() {
			underWay += rc.atOnce(host)
		}
		if underWay > 4096/2+164+1 {
			t.Errorf("%d attempts were under way at once, one namespace may have half", underWay)
		}
		pass(4 * time.Second)
		if got := r.countReleased(); got < n-200 {
			t.Errorf("only %d of %d packs are released, the others wait for receivers that never answer", got, n)
		}
	})
}

func TestLargeEventsForReceiversThatHangTakeNoMoreThanTheirShareOfTheMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		const hogs = 300
		r := start(t, rc.options, append(rc.hogs(hogs, 10, 50*time.Second),
			aRoute("cms/a", "http://healthy/"), aRoute("large/a", "http://large/"))...)

		began := time.Now()
		for i := range 600 {
			r.postData(fmt.Sprint("large-", i), aText(64<<10<<(i%5)), fmt.Sprint("hog/dead-", i%hogs))
			r.postData(fmt.Sprint("small-", i), aText(100), "cms/a")
			synctest.Wait()
			if got := rc.count("healthy"); got != i+1 {
				t.Fatalf("after %d events the healthy receiver has %d", i+1, got)
			}
			pass(50 * time.Millisecond)
			held := r.Held()
			if mine := held["under way"] + held["lone"]; mine > deliver.MaxUnderWay/2+deliver.MaxLone {
				t.Fatalf("%d bytes are under way, one namespace may have half", mine)
			}
			// What is handed in becomes slow only when the sweep has seen it hang.
			if held["aside"] > deliver.MaxAside/2+deliver.MaxUnderWay {
				t.Fatalf("%d bytes wait aside", held["aside"])
			}
		}
		r.postData("newcomer", aText(1<<20), "large/a")
		synctest.Wait()
		if rc.count("large") != 1 {
			t.Error("the large event of a newcomer found no room")
		}
		if time.Since(began) > 50*time.Second {
			t.Fatal("attempts have ended meanwhile")
		}
		pass(4 * time.Second)
		const claims = 600 + 600 + 1
		if unsettled := claims - r.countReleased(); unsettled == 0 || unsettled > 100 {
			t.Errorf("%d events are not settled, want those that are under way and few others", unsettled)
		}
	})
}

func TestAnEventTakesItsRoomOnceForAllItsReceivers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var routes []route.Route
		for i := range 100 {
			rc.on(fmt.Sprintf("r-%d", i), after(time.Second))
			routes = append(routes, aRoute(fmt.Sprintf("r-%d", i), fmt.Sprintf("http://r-%d/", i)))
		}
		r := start(t, rc.options, routes...)
		r.postData("1", aText(1<<20))
		synctest.Wait()
		if got := len(rc.all()); got != len(routes) {
			t.Errorf("%d of %d attempts are under way", got, len(routes))
		}
		if got := r.Held()["under way"]; got < 1<<20 || got > 1<<20+4<<10 {
			t.Errorf("%d bytes are under way", got)
		}
		pass(2 * time.Second)
		if r.countReleased() != 1 || r.backlog.written() != 0 {
			t.Errorf("%d released, %d packs written", r.countReleased(), r.backlog.written())
		}
	})
}

func TestAReceiverThatHangsFillsOnlyItsOwnLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("hangs", nil)
		slow := aRoute("slow", "http://hangs/")
		slow.Timeout = 20 * time.Second
		r := start(t, rc.options, slow, aRoute("fast", "http://healthy/"))
		const n = 400
		for i := range n {
			r.post(fmt.Sprint(i))
			synctest.Wait()
		}
		if got := rc.count("healthy"); got != n {
			t.Fatalf("the healthy receiver has %d of %d", got, n)
		}
		pass(3 * time.Second)
		if got := r.countReleased(); got != n-slow.Concurrency {
			t.Errorf("%d packs are released, want all but the %d under way", got, slow.Concurrency)
		}
		rc.on("hangs", status(http.StatusOK))
		pass(2 * time.Minute)
		if got := len(r.backlog.waiting("cms/slow")); got != 0 || r.countReleased() != n {
			t.Errorf("%d wait in the store, %d of %d packs are released", got, r.countReleased(), n)
		}
		ds, dead := r.backlog.kept()
		if len(ds) != slow.Concurrency || len(dead) != 0 {
			t.Errorf("%d were put off, %d given up; want the %d that had no answer, and none", len(ds), len(dead), slow.Concurrency)
		}
		if got := rc.atOnce("hangs"); got != slow.Concurrency {
			t.Errorf("%d attempts were under way at once, the limit is %d", got, slow.Concurrency)
		}
		if got := rc.count("hangs"); got != n {
			t.Errorf("there were %d attempts, want one for each of %d", got, n)
		}
	})
}

func TestNothingIsSpilledWhenEverybodyIsBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Together the lanes are offered more than they can deliver: then the
		// gate holds the feeders back, and no lane goes to the store.
		rc := newReceivers()
		var routes []route.Route
		const lanes = 100
		for i := range lanes {
			host := fmt.Sprintf("busy-%d", i)
			rt := aRoute(host, "http://"+host+"/")
			rt.Concurrency = 10
			rc.on(host, after(20*time.Millisecond))
			routes = append(routes, rt)
		}
		r := start(t, rc.options, routes...)
		const n = 220 // and so many times 100 deliveries, more than the window holds
		for i := range n {
			if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.post(fmt.Sprint(i))
		}
		pass(5 * time.Second)
		if r.backlog.written() != 0 {
			t.Errorf("%d packs were written to the store", r.backlog.written())
		}
		if got := r.countReleased(); got != n {
			t.Errorf("%d of %d are delivered", got, n)
		}
	})
}

func TestALaneThatIsBusierThanTheOthersGoesToTheStoreAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("hot", after(50*time.Millisecond))
		r := start(t, rc.options, aRoute("hot", "http://hot/"))
		const n = 2000
		r.postAll("", n)
		pass(2 * time.Minute)
		if got := rc.count("hot"); got != n {
			t.Errorf("%d of %d were attempted", got, n)
		}
		if r.backlog.written() == 0 || len(r.backlog.waiting("cms/hot")) != 0 {
			t.Errorf("%d packs were written, %d deliveries are left", r.backlog.written(), len(r.backlog.waiting("cms/hot")))
		}
		if s := summary(r, "cms/hot"); s.Pending != 0 || s.Stored != 0 {
			t.Errorf("the facts are %+v", s)
		}
	})
}

func TestASlowLaneKeepsWorkingAtThePaceOfItsReceiver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("slow", after(2*time.Second))
		rt := aRoute("slow", "http://slow/")
		rt.Concurrency = 5
		r := start(t, rc.options, rt)
		const n = 500
		r.postAll("", n)
		// 500 at 5 per 2 s are 200 s.
		pass(230 * time.Second)
		if got := r.countReleased(); got != n || rc.count("slow") != n {
			t.Errorf("%d of %d are released after %d attempts", got, n, rc.count("slow"))
		}
		if got := len(r.backlog.waiting("cms/slow")); got != 0 {
			t.Errorf("%d wait in the store", got)
		}
	})
}

func TestReceiversThatFailCostFewWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", status(500))
		r := start(t, rc.options, aRoute("a", "http://a/"))
		r.post("first")
		pass(time.Millisecond)
		if got := r.backlog.tried(); got != 1 {
			t.Errorf("the first is written with %d writes at once, want 1", got)
		}
		const n = 200
		for i := range n {
			r.post(fmt.Sprint(i))
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		if deferred, _ := r.backlog.kept(); len(deferred) != n+1 || r.backlog.tried() > 6 {
			t.Errorf("%d of %d are on disk after %d writes in 2 s, want at most 6", len(deferred), n+1, r.backlog.tried())
		}
	})
}
