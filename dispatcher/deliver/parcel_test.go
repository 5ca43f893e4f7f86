package deliver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/route"
)

// ofSitecore makes r one whose bodies say what webhook they are of.
func ofSitecore(r route.Route, name string, xml bool) route.Route {
	r.Format = route.FormatSitecore
	r.Sitecore = &route.Sitecore{ItemID: "95398c44-f232-41a8-b947-8aefec4ce6eb", ItemName: name, XML: xml}
	return r
}

func TestEachReceiverGetsTheBodyOfItsOwnWebhook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var mu sync.Mutex
		got := map[string][]string{}
		keep := func(req *http.Request) egress.Response {
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[req.URL.Host] = append(got[req.URL.Host], req.Header.Get("Content-Type")+" "+string(body))
			if len(got[req.URL.Host]) == 1 {
				return egress.Response{Status: http.StatusBadGateway} // so that it is sent again
			}
			return egress.Response{Status: http.StatusOK}
		}
		routes := []route.Route{
			aRoute("standard", "http://standard.example/"), aRoute("standard2", "http://standard2.example/"),
			ofSitecore(aRoute("a", "http://a.example/"), "A", false), ofSitecore(aRoute("b", "http://b.example/"), "B", false),
			ofSitecore(aRoute("x", "http://x.example/"), "X", true), ofSitecore(aRoute("y", "http://y.example/"), "Y", true),
		}
		var ids []string
		for _, rt := range routes {
			ids = append(ids, rt.ID)
			rc.on(rt.URL[len("http://"):len(rt.URL)-1], keep)
		}
		r := start(t, rc.options, routes...)
		accepted := time.Now().UTC().Format(time.RFC3339Nano)
		r.postData("1", []byte(`{"n":1}`), ids...)
		synctest.Wait()
		for host, times := range got {
			if len(times) != 1 {
				t.Errorf("%s got %d at first", host, len(times))
			}
		}
		r.pass(2 * time.Minute)

		const id = "95398c44-f232-41a8-b947-8aefec4ce6eb"
		standard := `application/json {"type":"x","timestamp":"` + accepted + `","data":{"n":1}}`
		want := map[string][]string{"standard.example": {standard, standard}, "standard2.example": {standard, standard}}
		for _, name := range []string{"A", "B"} {
			body := fmt.Sprintf(`application/json; charset=utf-8 {"EventName":"x","n":1,"WebhookItemId":%q,"WebhookItemName":%q}`, id, name)
			want[string(name[0]+32)+".example"] = []string{body, body}
		}
		for _, name := range []string{"X", "Y"} {
			body := fmt.Sprintf(`application/xml; charset=utf-8 <event><EventName>x</EventName><n>1</n><WebhookItemId>%s</WebhookItemId><WebhookItemName>%s</WebhookItemName></event>`, id, name)
			want[string(name[0]+32)+".example"] = []string{body, body}
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
	})
}

func TestABodyOfItsOwnTakesRoomOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		routes := []route.Route{
			aRoute("standard", "http://s.example/"), aRoute("standard2", "http://s.example/"),
			ofSitecore(aRoute("a", "http://a.example/"), "A", false), ofSitecore(aRoute("b", "http://b.example/"), "B", true),
			ofSitecore(aRoute("c", "http://c.example/"), "C", false),
		}
		for host, d := range map[string]time.Duration{"s.example": time.Second, "a.example": 2 * time.Second, "b.example": 3 * time.Second, "c.example": 4 * time.Second} {
			rc.on(host, after(d))
		}
		var ids []string
		for _, rt := range routes {
			ids = append(ids, rt.ID)
		}
		r := start(t, rc.options, routes...)
		data := aText(100 << 10)
		one := int64(len(data) + deliver.Overhead)
		xml := int64(payload.MaxXML(len(data)) + deliver.Overhead)
		r.postData("1", data, ids...)
		synctest.Wait()
		for i, want := range []int64{3*one + xml, 2*one + xml, one + xml, one, 0} { // the shared one, and three
			if got := r.Held()["under way"] + r.Held()["lone"]; got != want {
				t.Errorf("after %d s %d bytes are under way, want %d", i, got, want)
			}
			pass(time.Second)
		}
		for _, rt := range routes {
			if s := summary(r, rt.ID); s.Last == nil || s.Last.Status != http.StatusOK {
				t.Errorf("%s: %+v", rt.ID, s)
			}
		}
	})
}

func TestAnEventThatIsTooLargeAsXMLIsNotSentAndTheReportSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, ofSitecore(aRoute("a", "http://a.example/"), "A", true))
		r.postData("1", []byte(`{"`+strings.Repeat("n", 999)+`":[1,2,3,4,5,6,7,8]}`), "cms/a")
		synctest.Wait()
		if s := summary(r, "cms/a"); s.LastError != "Unsendable: the event is too large as XML" {
			t.Errorf("the report says %+v", s)
		}
	})
}
