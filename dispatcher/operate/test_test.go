package operate_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/operate"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

const testPath = "/v1/namespaces/shop/webhooks/all/test"

type testResult struct {
	Passed      bool
	Explanation string
	Attempt     deliver.Record
}

func TestATestTellsWhatHappenedWhateverTheReceiverSaid(t *testing.T) {
	answered := func(status int) *deliver.ResponseRecord { return &deliver.ResponseRecord{Status: status} }
	for _, tt := range []struct {
		name   string
		record deliver.Record
		passed bool
		says   string
	}{
		{
			"delivered", deliver.Record{Reason: outcome.Delivered, Response: answered(204), Timings: egress.Timings{Total: 12 * time.Millisecond}},
			true, "The receiver took the delivery (status 204 No Content) after 12ms. Nothing is left to do.",
		},
		{
			"refused", deliver.Record{Reason: outcome.Rejected, Response: answered(401)},
			false, "The receiver rejected the delivery (status 401 Unauthorized). Check the AuthorizationItem",
		},
		{"a status without a name", deliver.Record{Reason: outcome.ReceiverError, Response: answered(599)}, false, "(status 599). Look at the receiver's log."},
		{
			"not dialled", deliver.Record{Reason: outcome.EgressDenied, Detail: "loopback address"},
			false, "The receiver's address may not be dialled: loopback address. Use a public address",
		},
		{"a reason that is new", deliver.Record{Reason: "Vanished"}, false, "The attempt ended with Vanished."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, &memory{result: tt.record})
			r := d.post(t, testPath, "")
			r.says(t, 200)
			var got testResult
			r.into(t, &got)
			if got.Passed != tt.passed || !strings.Contains(got.Explanation, tt.says) || got.Attempt.Reason != tt.record.Reason {
				t.Errorf("got %+v, want %q", got, tt.says)
			}
		})
	}
}

// reasons reads the closed list out of the source.
func reasons(t *testing.T) []outcome.Reason {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), "../outcome", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0) //nolint:staticcheck // no types are needed
	if err != nil {
		t.Fatal(err)
	}
	var all []outcome.Reason
	ast.Inspect(packages["outcome"], func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Reason" {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no literal", spec.Names[0].Name)
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, outcome.Reason(text))
		return true
	})
	return all
}

func TestEveryReasonIsExplained(t *testing.T) {
	all := reasons(t)
	if len(all) < 10 {
		t.Fatalf("only %d reasons were found", len(all))
	}
	m := &memory{}
	d := open(t, m)
	for _, reason := range all {
		m.result = deliver.Record{Reason: reason}
		var got testResult
		d.post(t, testPath, "").into(t, &got)
		if strings.HasPrefix(got.Explanation, "The attempt ended with") || got.Passed != (reason == outcome.Delivered) {
			t.Errorf("%s: %+v", reason, got)
		}
	}
}

func TestATestTakesOneEventInEveryFormOrNone(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		header     []string
		typ, id    string // of the event that is sent
		data       string
	}{
		{"none", "", nil, "postrider.test", "", `{"text":`},
		{"none, though it is declared JSON", "", []string{"Content-Type: application/json"}, "postrider.test", "", `{"text":`},
		{"plain", `{"type":"a","id":"1","data":{"b":2}}`, []string{"Content-Type: application/json"}, "a", "1", `{"b":2}`},
		{"structured", `{"specversion":"1.0","type":"a","source":"/s","id":"1","data":3}`, []string{"Content-Type: application/cloudevents+json"}, "a", "1", "3"},
		{"a batch of one", `[{"specversion":"1.0","type":"a","source":"/s","id":"1"}]`, []string{"Content-Type: application/cloudevents-batch+json"}, "a", "1", ""},
		{"binary without data", "", []string{"ce-specversion: 1.0", "ce-type: a", "ce-source: /s", "ce-id: 1"}, "a", "1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, &memory{result: deliver.Record{Reason: outcome.Delivered}})
			d.request(t, tester, http.MethodPost, testPath, tt.body, tt.header...).says(t, 200)
			e := d.tested
			if e.Namespace != "shop" || e.Type != tt.typ || e.ID == "" || tt.id != "" && e.ID != tt.id ||
				!strings.HasPrefix(string(e.Data), tt.data) || e.Accepted.IsZero() || e.Source == "" {
				t.Errorf("the event is %+v", e)
			}
		})
	}
}

func TestATestIsRefusedWithWhatToDo(t *testing.T) {
	good := func(m *memory) { m.result = deliver.Record{Reason: outcome.Delivered} }
	fails := func(err error) func(*memory) { return func(m *memory) { m.testErr = fmt.Errorf("testing: %w", err) } }
	for _, tt := range []struct {
		name, webhook, body string
		set                 func(*memory)
		status              int
		says                []string
		retry               bool
	}{
		{"a webhook that is not there", "none", "", good, 404, []string{"problems/webhook-not-found", "shop/none", "kubectl get webhooks"}, false},
		{"one that went", "all", "", fails(deliver.ErrNoRoute), 404, []string{"problems/webhook-not-found"}, false},
		{"one that is incomplete", "unresolved", "", fails(deliver.ErrIncomplete), 409, []string{"problems/webhook-incomplete", "RefNotFound", "kubectl describe"}, false},
		{"many tests", "all", "", fails(deliver.ErrBusy), 429, []string{"problems/too-many-calls"}, true},
		{"lanes that fail", "all", "", fails(errors.New("no road")), 503, []string{"problems/unavailable"}, true},
		{"a name that is none", "A", "", good, 400, []string{"problems/invalid-name"}, false},
		{"a body that is no event", "all", `{"data":1}`, good, 400, []string{"problems/invalid-event"}, false},
		{"a body that is no JSON", "all", `{`, good, 400, []string{"problems/invalid-json"}, false},
		{"a body that is too large", "all", `{"type":"a","data":"` + strings.Repeat("x", event.MaxBody) + `"}`, good, 413, []string{"problems/body-too-large"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &memory{}
			tt.set(m)
			d := open(t, m)
			r := d.request(t, ann, http.MethodPost, "/v1/namespaces/shop/webhooks/"+tt.webhook+"/test", tt.body, "Content-Type: application/json")
			r.says(t, tt.status, tt.says...)
			if (r.header.Get("Retry-After") != "") != tt.retry {
				t.Errorf("Retry-After is %q", r.header.Get("Retry-After"))
			}
			if strings.Contains(r.text, "no road") || strings.Contains(d.log.String(), "ordered") {
				t.Errorf("answer %s, log %s", r.text, d.log)
			}
		})
	}
	d := open(t, &memory{})
	two := `[{"specversion":"1.0","type":"a","source":"/s","id":"1"},{"specversion":"1.0","type":"a","source":"/s","id":"2"}]`
	d.request(t, ann, http.MethodPost, testPath, two, "Content-Type: application/cloudevents-batch+json").
		says(t, 400, "problems/invalid-event", "A test takes one event, the body holds 2")
}

func TestADisabledWebhookCanBeTested(t *testing.T) {
	d := open(t, &memory{result: deliver.Record{Reason: outcome.Delivered}})
	d.post(t, "/v1/namespaces/shop/webhooks/auto/test", "").says(t, 200, `"passed":true`)
}

func TestTestsOfOneNamespaceLeaveRoomForOthers(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	m := &memory{result: deliver.Record{Reason: outcome.Delivered}}
	m.during = func() { entered <- struct{}{}; <-leave }
	d := open(t, m)
	const share = 8
	done := make(chan struct{})
	for range share {
		go func() {
			d.request(t, ann, http.MethodPost, testPath, "")
			done <- struct{}{}
		}()
		<-entered
	}
	d.post(t, testPath, "").says(t, 429, "problems/too-many-calls")
	go func() {
		d.request(t, other, http.MethodPost, "/v1/namespaces/crm/webhooks/all/test", "")
		done <- struct{}{}
	}()
	<-entered // the other namespace has room
	close(leave)
	for range share + 1 {
		<-done
	}
	m.during = nil
	d.post(t, testPath, "").says(t, 200)
}

func TestBeforeTheFirstTableNothingIsOrdered(t *testing.T) {
	d := open(t, &memory{}, func(o *operate.Options) { o.Router = new(route.Current) })
	for _, path := range []string{"/test", "/replay", "/dead-letters/redrive", "/dead-letters/1/redrive", "/deliveries/1-x/redeliver"} {
		r := d.post(t, "/v1/namespaces/shop/webhooks/all"+path, "")
		r.says(t, 503, "problems/table-unavailable")
		if r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
}
