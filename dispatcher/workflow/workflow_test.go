package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/validate"
	"github.com/postrider/postrider/dispatcher/workflow"
	"github.com/postrider/postrider/internal/eventually"
)

// good is a command with all that there can be.
const good = `{
	"id": "42",
	"workflow": {"id": "{A5BC37E7-ED96-4C1E-8590-A26E64DB55EA}", "name": "Simple Page Workflow"},
	"command": {"id": "", "name": "Approve"},
	"previousState": {"DisplayName": "Draft", "FinalState": false, "Icon": "d.png", "StateID": "{721CD32A-7489-475E-9C7A-24C8C7DE1DE5}", "PreviewPublishingTargets": ["a"]},
	"nextState": {"DisplayName": "Approved", "FinalState": true},
	"item": {"Id": "110d559f-dea5-42ea-9c1c-8a5df7e70ef9", "Name": "A < B", "Version": 4.0},
	"$context": {"Path": "/sitecore/content"},
	"comments": [{"Key": "Comments", "Value": "Fine."}],
	"userName": "sitecore\\ann",
	"message": ""
}`

// small is one with what there has to be.
const small = `{"workflow":{"name":"w"},"command":{"id":"c"},"previousState":{"StateID":"s"},"nextState":null,"item":{"Id":"i"}}`

// desk is a Handler behind a server, and what it works with.
type desk struct {
	server   *httptest.Server
	registry *prometheus.Registry
	verdict  func(context.Context, *event.Event) (validate.Result, error)

	mu      sync.Mutex
	asked   []event.Event
	stored  []event.Event
	failing error // of the store
	lacking error // of the command
}

func (d *desk) Validate(ctx context.Context, e *event.Event) (validate.Result, error) {
	d.mu.Lock()
	d.asked = append(d.asked, *e)
	d.mu.Unlock()
	return d.verdict(ctx, e)
}

func (d *desk) Append(_ context.Context, events []event.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failing != nil {
		return d.failing
	}
	d.stored = append(d.stored, events...)
	return nil
}

func (d *desk) seen(k event.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.stored {
		if d.stored[i].Key() == k {
			return true
		}
	}
	return false
}

func (d *desk) counts() (asked, stored int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked), len(d.stored)
}

// says is a verdict that never changes.
func says(r validate.Result, err error) func(context.Context, *event.Event) (validate.Result, error) {
	return func(context.Context, *event.Event) (validate.Result, error) { return r, err }
}

func open(t *testing.T, verdict func(context.Context, *event.Event) (validate.Result, error)) *desk {
	t.Helper()
	d := &desk{verdict: verdict, registry: prometheus.NewRegistry()}
	mux := http.NewServeMux()
	mux.Handle(workflow.Pattern, workflow.New(workflow.Options{
		Store: d, Validator: d, Seen: d.seen, Check: func(*event.Event) error { return d.lacking }, Metrics: d.registry, Log: slog.New(slog.DiscardHandler),
	}))
	d.server = httptest.NewServer(mux)
	t.Cleanup(d.server.Close)
	return d
}

type answer struct {
	status int
	header http.Header
	text   string

	ID, Message                string
	Valid, Submitted, Repeated bool
	Validations                []validate.Opinion
}

func (d *desk) post(t *testing.T, contentType, body string) answer {
	t.Helper()
	return d.do(t, t.Context(), http.MethodPost, contentType, body)
}

//nolint:revive // the context is what some tests are about
func (d *desk) do(t *testing.T, ctx context.Context, method, contentType, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, d.server.URL+"/v1/namespaces/cms/workflow-commands", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := d.server.Client().Do(req)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

const asJSON = "application/json"

func TestAValidCommandIsStoredBeforeTheAnswer(t *testing.T) {
	d := open(t, says(validate.Result{Valid: true, Opinions: []validate.Opinion{{Webhook: "a", Valid: true, Reason: validate.Consented, Status: 200, Took: time.Second}}}, nil))
	a := d.post(t, asJSON, good)
	const want = `{"id":"42","valid":true,"submitted":true,"message":"","validations":[{"webhook":"a","valid":true,"message":"","reason":"Consented","status":200,"duration":1000000000}]}`
	if a.status != 200 || strings.TrimSpace(a.text) != want || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != asJSON {
		t.Errorf("the answer is %d %s", a.status, a.text)
	}
	if len(d.stored) != 1 || len(d.asked) != 1 {
		t.Fatalf("%d were stored, %d asked", len(d.stored), len(d.asked))
	}
	asked, stored := d.asked[0], d.stored[0]
	if stored.Accepted.Before(asked.Accepted) || asked.Key() != stored.Key() {
		t.Errorf("asked was %+v, stored %+v", asked, stored)
	}
	if stored.Namespace != "cms" || stored.ID != "42" || stored.Type != "workflow:command" || !stored.IsJSON() || stored.Time.IsZero() ||
		!strings.HasPrefix(stored.Source, "/v1/namespaces/cms/workflow-commands/") {
		t.Errorf("the event is %+v", stored)
	}
	const data = `{"Workflow":{"Id":"{A5BC37E7-ED96-4C1E-8590-A26E64DB55EA}","Name":"Simple Page Workflow"},"Command":{"Name":"Approve"},` +
		`"PreviousState":{"DisplayName":"Draft","FinalState":false,"Icon":"d.png","StateID":"{721CD32A-7489-475E-9C7A-24C8C7DE1DE5}","PreviewPublishingTargets":["a"]},` +
		`"NextState":{"DisplayName":"Approved","FinalState":true,"Icon":"","PreviewPublishingTargets":[]},` +
		`"DataItem":{"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","Name":"A < B","Version":4.0},"Comments":[{"Key":"Comments","Value":"Fine."}],` +
		`"Message":"","UserName":"sitecore\\ann","$context":{"Path":"/sitecore/content"}}`
	if diff := cmp.Diff(data, string(stored.Data)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWhatMayBeLeftOutIsEmpty(t *testing.T) {
	d := open(t, says(validate.Result{Valid: true}, nil))
	a := d.post(t, asJSON+"; charset=utf-8", small)
	if a.status != 200 || a.ID == "" || !strings.Contains(a.text, `"validations":[]`) {
		t.Errorf("the answer is %d %s", a.status, a.text)
	}
	const data = `{"Workflow":{"Name":"w"},"Command":{"Id":"c"},"PreviousState":{"DisplayName":"","FinalState":false,"Icon":"","StateID":"s","PreviewPublishingTargets":[]},` +
		`"NextState":null,"DataItem":{"Id":"i"},"Comments":[],"Message":"","UserName":""}`
	if got := string(d.stored[0].Data); got != data {
		t.Error(cmp.Diff(data, got))
	}
	if again := d.post(t, asJSON, small); again.ID == a.ID || len(d.stored) != 2 {
		t.Errorf("without an id it is the same: %s", again.text)
	}
}

func TestARefusedCommandIsNotStored(t *testing.T) {
	d := open(t, says(validate.Result{Opinions: []validate.Opinion{
		{Webhook: "a", Valid: true, Message: "fine"}, {Webhook: "b", Message: "The title is missing."}, {Webhook: "c"},
		{Webhook: "d", Message: strings.Repeat("x", 5000)},
	}}, nil))
	a := d.post(t, asJSON, good)
	if a.status != 200 || a.Valid || a.Submitted || len(a.Validations) != 4 || len(d.stored) != 0 {
		t.Errorf("the answer is %d %s; %d were stored", a.status, a.text, len(d.stored))
	}
	if !strings.HasPrefix(a.Message, "b: The title is missing.\nc refuses the command.\nd: xxx") || len(a.Message) > 4096 {
		t.Errorf("the editor is told %q", a.Message)
	}
	d.verdict = says(validate.Result{Message: "Too many."}, nil)
	if a := d.post(t, asJSON, good); a.Message != "Too many." || a.Valid {
		t.Errorf("the answer is %s", a.text)
	}
}

func TestTheSameCommandAgainIsSubmittedOnceAndAskedAboutOnce(t *testing.T) {
	d := open(t, says(validate.Result{}, nil))
	d.post(t, asJSON, good) // refused: nothing is remembered
	d.verdict = says(validate.Result{Valid: true}, nil)
	if a := d.post(t, asJSON, good); !a.Submitted || a.Repeated {
		t.Errorf("after a refusal the answer is %s", a.text)
	}
	d.verdict = says(validate.Result{}, nil)
	if a := d.post(t, asJSON, good); !a.Valid || !a.Submitted || !a.Repeated || a.ID != "42" {
		t.Errorf("the third answer is %s", a.text)
	}
	if asked, stored := d.counts(); asked != 2 || stored != 1 {
		t.Errorf("%d were asked, %d stored", asked, stored)
	}
	// The same id does not make another command pass.
	if a := d.post(t, asJSON, strings.Replace(good, "Approve", "Publish", 1)); a.Valid || a.Submitted {
		t.Errorf("another command with the id gets %s", a.text)
	}
}

func TestWhenThereIsNoVerdictOrNoRoomNothingIsSubmitted(t *testing.T) {
	valid := validate.Result{Valid: true}
	for _, tt := range []struct {
		name    string
		verdict error
		store   error
		status  int
		problem string
	}{
		{"no table", validate.ErrNoTable, nil, 503, "table-unavailable"},
		{"too many", validate.ErrBusy, nil, 429, "too-many-calls"},
		{"a webhook that went", fmt.Errorf("asking cms/a: %w", errors.New("secret")), nil, 503, "unavailable"},
		{"a full store", nil, event.ErrFull, 429, "store-full"},
		{"a full namespace", nil, event.ErrNamespaceFull, 429, "store-full"},
		{"a store that fails", nil, errors.New("secret"), 503, "store-unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, says(valid, tt.verdict))
			d.failing = tt.store
			a := d.post(t, asJSON, good)
			if a.status != tt.status || !strings.Contains(a.text, "/problems/"+tt.problem+`"`) || a.header.Get("Retry-After") == "" || strings.Contains(a.text, "secret") ||
				!strings.Contains(strings.ToLower(a.text), "not carry") || len(d.stored) != 0 {
				t.Errorf("the answer is %d %s", a.status, a.text)
			}
		})
	}
}

func TestWhatIsNoCommandIsRefusedByTheNameOfItsMember(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(small, old, replacement, 1) }
	for _, tt := range []struct{ name, body, problem, says string }{
		{"nothing", ``, "invalid-json", "not valid JSON"},
		{"half", `{"id":`, "invalid-json", "not valid JSON"},
		{"two", small + small, "invalid-json", "not valid JSON"},
		{"no UTF-8", with(`"w"`, "\"\xff\""), "invalid-json", "UTF-8"},
		{"a list", `[` + small + `]`, "invalid-request", "JSON object"},
		{"an unknown member", with(`"nextState"`, `"NextState":{},"nextState"`), "invalid-request", `\"NextState\" is no member`},
		{"an unknown member further inside", with(`{"StateID"`, `{"State":1,"StateID"`), "invalid-request", `\"previousState.State\" is no member`},
		{"a member twice", with(`"item"`, `"item":{"a":1},"item"`), "invalid-request", `\"item\" is there twice`},
		{"a member twice further inside", with(`{"name":"w"}`, `{"name":"w","name":"v"}`), "invalid-request", `\"workflow.name\" is there twice`},
		{"a number for a string", with(`"w"`, `5`), "invalid-request", `\"workflow.name\" must not be a JSON number: send a string`},
		{"a string for an object", with(`{"name":"w"}`, `"w"`), "invalid-request", `\"workflow\" must not be a JSON string: send an object`},
		{"a string for a bool", with(`{"StateID"`, `{"FinalState":"no","StateID"`), "invalid-request", `\"previousState.FinalState\" must not be a JSON string: send true or false`},
		{"an object for a list", with(`"item"`, `"comments":{},"item"`), "invalid-request", `\"comments\" must not be a JSON object: send an array`},
		{"no workflow", with(`"workflow":{"name":"w"},`, ``), "invalid-request", `\"workflow\" is missing`},
		{"a workflow without a name", with(`{"name":"w"}`, `{"name":""}`), "invalid-request", `\"workflow\" is missing, or has neither`},
		{"a null command", with(`{"id":"c"}`, `null`), "invalid-request", `\"command\" is missing`},
		{"no state", with(`{"StateID":"s"}`, `{}`), "invalid-request", `\"previousState\" is missing`},
		{"no next state", with(`"nextState":null,`, ``), "invalid-request", `\"nextState\" is missing`},
		{"an empty next state", with(`"nextState":null`, `"nextState":{"Icon":"i"}`), "invalid-request", `\"nextState\" is missing, or has neither`},
		{"no item", with(`,"item":{"Id":"i"}`, ``), "invalid-request", `\"item\" is missing`},
		{"an item that is none", with(`{"Id":"i"}`, `"i"`), "invalid-request", `\"item\" is missing, or no object`},
		{"an empty item", with(`{"Id":"i"}`, `{ }`), "invalid-request", `\"item\" is missing`},
		{"a context that is none", with(`"item"`, `"$context":[],"item"`), "invalid-request", `\"$context\" is no object`},
		{"a long id", with(`{`, `{"id":"`+strings.Repeat("x", 256)+`",`), "invalid-request", `\"id\" has more than 255`},
		{"an id with a zero", with(`{`, `{"id":"a\u0000b",`), "invalid-request", `\"id\"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, says(validate.Result{Valid: true}, nil))
			a := d.post(t, asJSON, tt.body)
			if a.status != 400 || !strings.Contains(a.text, "/problems/"+tt.problem+`"`) || !strings.Contains(a.text, tt.says) {
				t.Errorf("the answer is %d %s, want %s: %s", a.status, a.text, tt.problem, tt.says)
			}
			if asked, stored := d.counts(); asked+stored != 0 {
				t.Error("somebody was asked")
			}
		})
	}
}

func TestACommandWithoutWhatReceiversExpectIsRefused(t *testing.T) {
	d := open(t, says(validate.Result{Valid: true}, nil))
	d.lacking = errors.New("DataItem.Id is missing: add it")
	if a := d.post(t, asJSON, good); a.status != 400 || !strings.Contains(a.text, "DataItem.Id is missing: add it. (In the event") {
		t.Errorf("the answer is %d %s", a.status, a.text)
	}
	if asked, stored := d.counts(); asked+stored != 0 {
		t.Error("somebody was asked")
	}
}

func TestTheExampleOfTheDocumentationIsACommand(t *testing.T) {
	page, err := os.ReadFile("../../docs/workflow.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, _, found := strings.Cut(rest, "```")
	d := open(t, says(validate.Result{Valid: true}, nil))
	if a := d.post(t, asJSON, example); !found || !a.Submitted {
		t.Errorf("the answer is %d %s", a.status, a.text)
	}
}

func TestARequestKeepsToTheContract(t *testing.T) {
	d := open(t, says(validate.Result{Valid: true}, nil))
	padded := strings.Replace(small, `{"Id":"i"}`, `{"Id":"`+strings.Repeat("x", event.MaxBody)+`"}`, 1)
	// It fits, and what is made of it would not.
	tight := strings.Replace(small, `{"Id":"i"}`, `{"Id":"`+strings.Repeat("x", event.MaxBody-len(small)-8)+`"}`, 1)
	for _, tt := range []struct {
		name, method, contentType, body string
		status                          int
		problem                         string
	}{
		{"another method", http.MethodPut, asJSON, small, 405, "method-not-allowed"},
		{"another type", http.MethodPost, "text/xml", small, 415, "unsupported-content-type"},
		{"no type", http.MethodPost, "", small, 415, "unsupported-content-type"},
		{"too much", http.MethodPost, asJSON, padded, 413, "body-too-large"},
		{"just too much", http.MethodPost, asJSON, tight, 413, "body-too-large"},
	} {
		a := d.do(t, t.Context(), tt.method, tt.contentType, tt.body)
		if a.status != tt.status || !strings.Contains(a.text, "/problems/"+tt.problem+`"`) {
			t.Errorf("%s: the answer is %d %s", tt.name, a.status, a.text)
		}
	}
	if asked, stored := d.counts(); asked+stored != 0 {
		t.Error("somebody was asked")
	}
}

func TestACallerThatLeavesSubmitsNothing(t *testing.T) {
	left := make(chan struct{})
	d := open(t, func(ctx context.Context, _ *event.Event) (validate.Result, error) {
		<-ctx.Done()
		close(left)
		return validate.Result{Valid: true}, nil // whoever validates may have been done just before
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		eventually.True(t, "the question", func() bool { asked, _ := d.counts(); return asked == 1 })
		leave()
	}()
	if a := d.do(t, ctx, http.MethodPost, asJSON, good); a.status != 0 {
		t.Errorf("there is an answer: %d %s", a.status, a.text)
	}
	<-left
	eventually.True(t, "the end of the request", func() bool {
		n, err := testutil.GatherAndCount(d.registry, "postrider_workflow_commands_total")
		return err == nil && n == 7 && counted(t, d, "Abandoned") == 1
	})
	if len(d.stored) != 0 {
		t.Error("it was submitted")
	}
}

// counted is how many commands had a result.
func counted(t *testing.T, d *desk, result string) float64 {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "postrider_workflow_commands_total" && m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return -1
}

func TestCommandsAreCountedByWhatBecameOfThem(t *testing.T) {
	d := open(t, says(validate.Result{Valid: true}, nil))
	d.post(t, asJSON, good)
	d.post(t, asJSON, good)
	d.post(t, asJSON, "{}")
	d.verdict = says(validate.Result{}, nil)
	d.post(t, asJSON, small)
	d.verdict = says(validate.Result{}, validate.ErrNoTable)
	d.post(t, asJSON, small)
	d.verdict, d.failing = says(validate.Result{Valid: true}, nil), event.ErrFull
	d.post(t, asJSON, small)
	for _, result := range []string{"Submitted", "Repeated", "Invalid", "Refused", "Unavailable", "Full"} {
		if n := counted(t, d, result); n != 1 {
			t.Errorf("%s: %v", result, n)
		}
	}
}

func TestOneNamespaceLeavesRoomForOthers(t *testing.T) {
	release := make(chan struct{})
	d := open(t, func(_ context.Context, e *event.Event) (validate.Result, error) {
		if e.Namespace == "cms" {
			<-release
		}
		return validate.Result{Valid: true}, nil
	})
	large := strings.Replace(small, `{"Id":"i"}`, `{"Id":"`+strings.Repeat("x", event.MaxBody/2)+`"}`, 1)
	var wg sync.WaitGroup
	for i := range 3 { // of a MiB each, and more than four for all
		wg.Go(func() { d.post(t, asJSON, large) })
		eventually.True(t, "the question", func() bool { asked, _ := d.counts(); return asked == i+1 })
	}
	if a := d.post(t, asJSON, large); a.status != 429 || !strings.Contains(a.text, "too-many-calls") || a.header.Get("Retry-After") == "" {
		t.Errorf("the fourth gets %d %s", a.status, a.text)
	}
	resp, err := d.server.Client().Post(d.server.URL+"/v1/namespaces/shop/workflow-commands", asJSON, strings.NewReader(small)) //nolint:noctx // it ends with the test
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the neighbour gets %d, %v", resp.StatusCode, err)
	}
	close(release)
	wg.Wait()
}
