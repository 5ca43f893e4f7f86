package operate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/operate"
)

const (
	replayPath    = "/v1/namespaces/shop/webhooks/all/replay"
	replayAllPath = "/v1/namespaces/shop/replay"
)

type replayResult struct {
	Events, Deliveries int
	Enqueued           *int
	DryRun             bool
	Next               string
}

// days are orders and orders' neighbours, with totals.
func days() []event.Stored {
	all := stored("shop", "order:paid", "order:sent", "item:added", "order:paid", "item:added", "order:paid", "item:gone")
	all[3].Event.Data = []byte(`{"total":500}`)
	return append(all, stored("crm", "order:paid")...)
}

// ids names the events of deliveries: "a" happened at noon, "b" a minute later.
func ids(ds []deliver.Deferral) string {
	var s []string
	for _, d := range ds {
		s = append(s, d.Event.ID)
	}
	return strings.Join(s, "")
}

func TestAReplaySelectsByTimeTypeAndWhatTheWebhookWantsNow(t *testing.T) {
	for _, tt := range []struct {
		name, path, order  string
		events, deliveries int
		sent               string
	}{
		{"everything for one webhook", replayPath, `{"from":"2026-01-31T12:00:00Z"}`, 7, 7, "abcdefg"},
		{"from is included and to is not", replayPath, `{"from":"2026-01-31T12:01:00Z","to":"2026-01-31T12:03:00Z"}`, 2, 2, "bc"},
		{"types as exact names and globs", replayPath, `{"from":"2026-01-01T00:00:00Z","types":["item:*","order:sent"]}`, 4, 4, "bceg"},
		{"a condition holds still", "/v1/namespaces/shop/webhooks/large/replay", `{"from":"2026-01-01T00:00:00Z"}`, 7, 1, "d"},
		{"a whole namespace, for each webhook that matches", replayAllPath, `{"from":"2026-01-01T00:00:00Z","types":["order:paid"]}`, 3, 7, "aadddff"},
		{"nothing", replayAllPath, `{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}`, 0, 0, ""},
		{"a zone is a zone", replayPath, `{"from":"2026-01-31T13:06:00+01:00"}`, 1, 1, "g"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &memory{history: days()}
			d := open(t, m)
			var dry, got replayResult
			r := d.post(t, tt.path, strings.TrimSuffix(tt.order, "}")+`,"dryRun":true}`)
			r.says(t, 200, `"dryRun":true`)
			r.into(t, &dry)
			if dry.Events != tt.events || dry.Deliveries != tt.deliveries || dry.Enqueued != nil || len(m.enqueued) != 0 {
				t.Errorf("dry run: %+v", dry)
			}
			r = d.post(t, tt.path, tt.order)
			r.says(t, 202)
			r.into(t, &got)
			if got.Events != tt.events || got.Deliveries != tt.deliveries || got.Enqueued == nil || *got.Enqueued != tt.deliveries || got.Next != "" || got.DryRun {
				t.Errorf("replay: %s", r.text)
			}
			sent := strings.Split(ids(m.enqueued), "")
			slices.Sort(sent)
			if strings.Join(sent, "") != tt.sent {
				t.Errorf("sent %s, want %s", sent, tt.sent)
			}
			for _, e := range m.enqueued {
				if e.Attempts != 0 || e.Seq == 0 || e.Event.Namespace != "shop" || e.Route == "shop/auto" {
					t.Errorf("delivery %+v", e)
				}
			}
		})
	}
}

// replayInSteps follows next to the end, and checks the sums against what is
// enqueued.
func replayInSteps(t *testing.T, d *desk, path string, order map[string]any, each func(status int)) (calls int) {
	t.Helper()
	var sum int
	for calls = 1; ; calls++ {
		body, err := json.Marshal(order)
		if err != nil {
			t.Fatal(err)
		}
		r := d.post(t, path, string(body))
		each(r.status)
		if r.status != http.StatusAccepted {
			continue
		}
		var got replayResult
		r.into(t, &got)
		sum += *got.Enqueued
		if got.Next == "" {
			if sum != len(d.enqueued) {
				t.Errorf("the answers say %d, enqueued are %d", sum, len(d.enqueued))
			}
			return calls
		}
		order["cursor"] = got.Next
	}
}

func TestAReplayGoesOnWhereItStoppedWithoutLossOrRepetition(t *testing.T) {
	types := make([]string, 100)
	for i := range types {
		types[i] = []string{"order:paid", "item:added"}[i%2]
	}
	for limit := 1; limit <= 11; limit++ {
		m := &memory{history: stored("shop", types...)}
		d := open(t, m)
		calls := replayInSteps(t, d, replayAllPath, map[string]any{"from": noon, "limit": limit}, func(status int) {
			if status != http.StatusAccepted {
				t.Fatalf("status %d", status)
			}
		})
		// 50 events go to two webhooks, 50 to one.
		if len(m.enqueued) != 150 || calls < 100/max(limit, 1) && limit > 1 {
			t.Errorf("limit %d: %d deliveries in %d calls", limit, len(m.enqueued), calls)
		}
		seen := map[string]bool{}
		for _, e := range m.enqueued {
			name := e.Route + " " + e.Event.ID
			if seen[name] {
				t.Errorf("limit %d: %s twice", limit, name)
			}
			seen[name] = true
		}
	}
}

func TestTheEndOfARangeStaysWhereItWas(t *testing.T) {
	m := &memory{history: stored("shop", "a", "b", "c", "d")}
	d := open(t, m)
	var got replayResult
	d.post(t, replayPath, `{"from":"2026-01-31T12:00:00Z","limit":3}`).into(t, &got)
	late := event.Stored{Seq: 99, Event: &event.Event{Namespace: "shop", ID: "late", Source: "/s", Type: "e", Accepted: time.Now().Add(time.Hour)}}
	m.history = append(m.history, late)
	d.post(t, replayPath, fmt.Sprintf(`{"from":"2026-01-31T12:00:00Z","cursor":%q}`, got.Next)).says(t, 202, `"enqueued":1}`)
}

func TestAFailureInTheMiddleIsAnAnswerThatSaysWhereToGoOn(t *testing.T) {
	types := make([]string, 1000)
	for i := range types {
		types[i] = "a"
	}
	m := &memory{history: stored("shop", types...), enqueueErr: errors.New("disk full"), enqueueGood: 2}
	d := open(t, m)
	failed := 0
	replayInSteps(t, d, replayPath, map[string]any{"from": noon}, func(status int) {
		if status == http.StatusServiceUnavailable {
			failed++
			m.enqueueErr = nil // it is repaired
		}
	})
	if failed != 1 || len(m.enqueued) != 1000 || !strings.Contains(d.log.String(), "disk full") {
		t.Errorf("%d failures, %d deliveries, log %s", failed, len(m.enqueued), d.log)
	}
}

func TestAFailureAtTheBeginningIsAProblem(t *testing.T) {
	m := &memory{history: stored("shop", "a", "b"), enqueueErr: errors.New("disk full")}
	d := open(t, m)
	d.post(t, replayPath, `{"from":"2026-01-31T12:00:00Z"}`).says(t, 503, "problems/unavailable")
	d.post(t, replayPath, `{"from":"2026-01-31T12:00:00Z","cursor":"10-1-1769871600000000000"}`).says(t, 503, "problems/unavailable")
}

func TestDeliveriesAreEnqueuedInBoundedGroups(t *testing.T) {
	small := stored("shop", make([]string, 1000)...)
	large := stored("shop", make([]string, 30)...)
	for i := range large {
		large[i].Event.Data = make([]byte, 1<<20)
	}
	for _, tt := range []struct {
		name    string
		history []event.Stored
		want    []int
	}{
		{"by number", small, []int{256, 256, 256, 232}},
		{"by bytes", large, []int{8, 8, 8, 6}},
	} {
		m := &memory{history: tt.history}
		open(t, m).post(t, replayPath, `{"from":"2026-01-31T12:00:00Z"}`).says(t, 202)
		if !slices.Equal(m.groups, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, m.groups, tt.want)
		}
	}
}

func TestReplaysShareOneRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{history: stored("shop", make([]string, 500)...)}
		d := offline(t, m, func(o *operate.Options) { o.ReplayRate = 100 })
		start := time.Now()
		for range 2 {
			if w := d.call(t, replayPath, `{"from":"2026-01-31T12:00:00Z","to":"2026-02-28T12:00:00Z"}`); w.Code != http.StatusAccepted {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
		}
		if took := time.Since(start); took < 8*time.Second || took > 10*time.Second || len(m.enqueued) != 1000 {
			t.Errorf("%d deliveries took %s", len(m.enqueued), took)
		}
	})
}

func TestALongReplayAnswersWithWhatItHasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{history: stored("shop", make([]string, 500)...)}
		d := offline(t, m, func(o *operate.Options) { o.ReplayRate = 10 })
		w := d.call(t, replayPath, `{"from":"2026-01-31T12:00:00Z","to":"2026-02-28T12:00:00Z"}`)
		var got replayResult
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Next == "" || *got.Enqueued != len(m.enqueued) || len(m.enqueued) < 100 || len(m.enqueued) > 200 {
			t.Errorf("%d deliveries: %s", len(m.enqueued), w.Body)
		}
	})
}

func TestAReplayDoesNotReadForLongWhatBelongsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		history := stored("crm", make([]string, 300)...)
		last := stored("shop", "a")[0]
		last.Seq = history[len(history)-1].Seq + 1
		m := &memory{history: append(history, last), reading: time.Second}
		d := offline(t, m, func(*operate.Options) {})
		cursor, calls := "", 0
		for {
			calls++
			start := time.Now()
			w := d.call(t, replayPath, fmt.Sprintf(`{"from":"2026-01-31T12:00:00Z","to":"2026-02-28T12:00:00Z","cursor":%q}`, cursor))
			if took := time.Since(start); w.Code != http.StatusAccepted || took > 20*time.Second {
				t.Fatalf("a call took %s: %d %s", took, w.Code, w.Body)
			}
			var got replayResult
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if cursor = got.Next; cursor == "" {
				break
			}
		}
		if calls < 5 || calls > 10 || len(m.enqueued) != 1 {
			t.Errorf("%d deliveries in %d calls", len(m.enqueued), calls)
		}
	})
}

func TestANamespaceReplaysOnceAtATimeAndKeepsNobodyElseWaiting(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	m := &memory{history: append(stored("shop", "a"), stored("crm", "a")...)}
	m.onEnqueue = func() { entered <- struct{}{}; <-leave }
	d := open(t, m)
	done := make(chan reply)
	for namespace, token := range map[string]string{"shop": ann, "crm": other} {
		replay := func(webhook string) reply {
			return d.request(t, token, http.MethodPost, "/v1/namespaces/"+namespace+webhook+"/replay", `{"from":"2026-01-31T12:00:00Z"}`)
		}
		go func() { done <- replay("/webhooks/all") }()
		<-entered
		r := replay("")
		r.says(t, 429, "problems/too-many-calls", "A replay is under way in the namespace")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	close(leave)
	for range 2 {
		r := <-done
		r.says(t, 202)
	}
	m.onEnqueue = nil
	d.post(t, replayPath, `{"from":"2026-01-31T12:00:00Z"}`).says(t, 202)
}

func TestAReplayIsRefusedWithWhatToDo(t *testing.T) {
	m := &memory{history: days()}
	d := open(t, m)
	for _, tt := range []struct{ name, order, says string }{
		{"no order", ``, `\"from\" is missing`},
		{"no beginning", `{"to":"2026-01-31T12:00:00Z"}`, `\"from\" is missing`},
		{"an empty range", `{"from":"2026-01-31T12:00:00Z","to":"2026-01-31T12:00:00Z"}`, `\"from\" is not before \"to\"`},
		{"the future", `{"from":"2150-01-31T12:00:00Z"}`, `\"from\" is not before \"to\"`},
		{"an end that no cursor holds", `{"from":"2026-01-31T12:00:00Z","to":"2300-01-31T12:00:00Z"}`, "too far away"},
		{"no time", `{"from":"yesterday"}`, `\"yesterday\" is no time: write one like`},
		{"no limit", `{"from":"2026-01-31T12:00:00Z","limit":0}`, `\"limit\" is not from 1 to 10000`},
		{"a large limit", `{"from":"2026-01-31T12:00:00Z","limit":10001}`, `\"limit\" is not from 1 to 10000`},
		{"a pattern that is none", `{"from":"2026-01-31T12:00:00Z","types":[""]}`, `\"types\": pattern 0 is empty`},
		{"many patterns", `{"from":"2026-01-31T12:00:00Z","types":["a"` + strings.Repeat(`,"a"`, 64) + `]}`, "65 patterns are too many"},
		{"a cursor that is none", `{"from":"2026-01-31T12:00:00Z","cursor":"1-0"}`, `\"cursor\" is none`},
		{"a member that is unknown", `{"from":"2026-01-31T12:00:00Z","webhook":"all"}`, `unknown field \"webhook\"`},
		{"two objects", `{"from":"2026-01-31T12:00:00Z"}{}`, "something follows"},
		{"an array", `[]`, "The body is not valid"},
		{"no JSON", `{"from"`, "problems/invalid-json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d.post(t, replayPath, tt.order).says(t, 400, tt.says)
			d.post(t, replayAllPath, tt.order).says(t, 400, tt.says)
		})
	}
	d.post(t, replayPath, `{"types":["`+strings.Repeat("x", 40<<10)+`"]}`).says(t, 413, "problems/body-too-large", "32768")
	for webhook, status := range map[string]int{"off": 409, "auto": 409, "invalid": 409, "none": 404, "unresolved": 202} {
		d.post(t, "/v1/namespaces/shop/webhooks/"+webhook+"/replay", `{"from":"2026-01-31T12:00:00Z"}`).says(t, status)
	}
}
