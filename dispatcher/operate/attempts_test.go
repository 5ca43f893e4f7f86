package operate_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
)

const deliveriesPath = "/v1/namespaces/shop/webhooks/all/deliveries"

// logged makes n records, of which every fifth was delivered.
func logged(n int) []deliver.Record {
	records := make([]deliver.Record, n)
	for i := range records {
		records[i] = deliver.Record{Route: "shop/all", Attempt: i + 1, Reason: outcome.Timeout}
		if i%5 == 0 {
			records[i].Reason = outcome.Delivered
		}
	}
	return records
}

// follow reads all pages and returns the attempts in them, and how many pages.
func follow(t *testing.T, d *desk, query string) (attempts []int, pages int) {
	t.Helper()
	for before := ""; ; {
		path := deliveriesPath + "?" + query
		if before != "" {
			path += "&before=" + before
		}
		var page struct {
			Items []deliver.Record
			Next  string
		}
		r := d.get(t, path)
		r.says(t, 200, `"items":[`)
		r.into(t, &page)
		for _, record := range page.Items {
			attempts = append(attempts, record.Attempt)
		}
		pages++
		if before = page.Next; before == "" {
			return attempts, pages
		}
	}
}

func TestTheAttemptLogIsPagedNewestFirst(t *testing.T) {
	d := open(t, &memory{records: logged(120)})
	for query, want := range map[string]int{"": 3, "limit=200": 1, "limit=7": 18} {
		attempts, pages := follow(t, d, query)
		if len(attempts) != 120 || pages != want || attempts[0] != 120 || !slices.IsSortedFunc(attempts, func(a, b int) int { return b - a }) {
			t.Errorf("%q: %d pages, %v", query, pages, attempts)
		}
	}
}

func TestTheAttemptLogCanBeFiltered(t *testing.T) {
	d := open(t, &memory{records: logged(5000)})
	for outcome, want := range map[string]int{"delivered": 1000, "failed": 4000} {
		attempts, _ := follow(t, d, "limit=200&outcome="+outcome)
		if len(attempts) != want {
			t.Errorf("%s: %d", outcome, len(attempts))
		}
	}
	// Nothing found among many is an empty page with a cursor, not a long search.
	records := make([]deliver.Record, 2500)
	for i := range records {
		records[i] = deliver.Record{Route: "shop/all", Reason: outcome.Delivered}
	}
	d = open(t, &memory{records: records})
	d.get(t, deliveriesPath+"?outcome=failed").says(t, 200, `"items":[]`, `"next":"`)
}

func TestListsRefuseWhatTheyDoNotKnow(t *testing.T) {
	d := open(t, &memory{records: logged(1), dead: letters("shop/all", 1)})
	for _, query := range []string{
		"limit=0", "limit=201", "limit=x", "limit=", "limit=1&limit=2", "before=0", "before=01", "before=-1", "before=x", "before=",
		"before=99999999999999999999", "since=1",
	} {
		d.get(t, deliveriesPath+"?"+query).says(t, 400, "problems/invalid-query")
		d.get(t, deadPath+"?"+query).says(t, 400, "problems/invalid-query")
	}
	d.get(t, deliveriesPath+"?outcome=good").says(t, 400, "problems/invalid-query", `\"failed\" or \"delivered\"`)
	d.get(t, deadPath+"?outcome=failed").says(t, 400, "problems/invalid-query")
}

func TestAnEmptyListIsNoAnswerForAWebhookThatNobodyKnows(t *testing.T) {
	gone := logged(1)
	gone[0].Route = "shop/gone"
	dead := letters("shop/gone", 1)
	d := open(t, &memory{records: gone, dead: dead})
	for _, list := range []string{"deliveries", "dead-letters"} {
		d.get(t, "/v1/namespaces/shop/webhooks/typo/"+list).says(t, 404, "problems/webhook-not-found")
		d.get(t, "/v1/namespaces/shop/webhooks/all/"+list).says(t, 200, `{"items":[]}`)
		d.get(t, "/v1/namespaces/shop/webhooks/gone/"+list).says(t, 200, `{"items":[{`)
	}
}

func TestAFailureOfTheStoreIsNotShown(t *testing.T) {
	m := &memory{broken: errors.New("sector 7 is bad")}
	d := open(t, m)
	for _, path := range []string{deliveriesPath, deadPath, deadPath + "/1"} {
		r := d.get(t, path)
		r.says(t, 503, "problems/unavailable")
		if strings.Contains(r.text, "sector") || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: Retry-After %q, %s", path, r.header.Get("Retry-After"), r.text)
		}
	}
	for path, body := range map[string]string{
		deliveriesPath + "/" + deliver.DeliveryID(1, stored("shop", "a")[0].Event.Key()) + "/redeliver": "",
		deadPath + "/redrive":                         "",
		"/v1/namespaces/shop/webhooks/all/replay":     `{"from":"2026-01-01T00:00:00Z"}`,
		"/v1/namespaces/shop/replay":                  `{"from":"2026-01-01T00:00:00Z","dryRun":true}`,
		deadPath + "/" + strconv.Itoa(1) + "/redrive": "{}",
	} {
		d.post(t, path, body).says(t, 503, "problems/unavailable")
	}
	if !strings.Contains(d.log.String(), "sector 7 is bad") {
		t.Errorf("the log does not show it: %s", d.log)
	}
}
