package conformance_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

const (
	consent = `{"IsValid":true,"Message":""}`
	refusal = `{"IsValid":false,"Message":"Error message will be seen on UI and logged."}`
)

// A verdict is the answer to a workflow command, as docs/workflow.md describes it.
type verdict struct {
	ID, Message                string
	Valid, Submitted, Repeated bool
	Validations                []struct {
		Webhook, Message, Reason string
		Valid                    bool
		Status                   int
		Duration                 time.Duration
	}
}

// command is one by which an item goes from Draft to Approved.
func command(id string) string {
	return `{"id":"` + id + `","workflow":{"name":"Simple Page Workflow"},"command":{"name":"Approve"},"userName":"sitecore\\ann",
		"previousState":{"DisplayName":"Draft","StateID":"{721CD32A-7489-475E-9C7A-24C8C7DE1DE5}"},"nextState":{"DisplayName":"Approved","FinalState":true,"StateID":"{FCA998C5-0CC3-4F91-94D8-0A4E6CAECE88}"},
		"item":{"Language":"en","Version":4,"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","Name":"Home","ParentId":"0de95ae4-41ab-4d01-9eb0-67441b7c2450",
			"TemplateId":"76036f5e-cbce-46d1-af0a-4143f9b557aa","TemplateName":"Page","MasterId":"00000000-0000-0000-0000-000000000000",
			"SharedFields":[],"UnversionedFields":[],"VersionedFields":[]},"comments":[{"Key":"Comments","Value":"Approved!"}]}`
}

// asks makes a route one of a validation action, as the operator does.
func asks(r *route.Route) {
	r.Events, r.Validation, r.Timeout = nil, &route.Validation{}, 3*time.Second
}

func asksIfPossible(r *route.Route) { asks(r); r.Validation.Ignore = true }

// told makes a route one of a submit action.
func told(condition string) func(*route.Route) {
	return func(r *route.Route) {
		r.Events, r.Condition = []string{"workflow:command"}, condition
	}
}

const (
	ofTheCommand = `sitecore.named(event.data.Command, ["approve"])`
	ofTheState   = `sitecore.named(event.data.NextState, ["Approved"])`
)

// decide posts a command.
func (n *tenant) decide(t *testing.T, body string) verdict {
	t.Helper()
	var v verdict
	c := plainJSON(body)
	c.path = "/workflow-commands"
	c.method, c.token = http.MethodPost, *producer
	n.call(t, c, 200, &v)
	return v
}

func (d *target) workflows(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	rc.On("/asked", typedReply("application/json; charset=utf-8", refusal), typedReply("application/xml", `<data><IsValid>true</IsValid><Message></Message></data>`))
	n := d.tenant(t,
		hook("asked", rc.URL("/asked"), signed(signingKey), asks),
		hook("not-asked", rc.URL("/not-asked"), signed(signingKey), asks, func(r *route.Route) { r.Condition = `sitecore.named(event.data.Command, ["Reject"])` }),
		hook("command", rc.URL("/command"), signed(signingKey), told(ofTheCommand)),
		hook("state", rc.URL("/state"), signed(signingKey), told(ofTheState)),
		hook("other", rc.URL("/other"), signed(signingKey), told(`sitecore.named(event.data.NextState, ["Draft"])`)),
	)
	v := n.decide(t, command("1"))
	if v.Valid || v.Submitted || v.ID != "1" || v.Message != "asked: Error message will be seen on UI and logged." || len(v.Validations) != 1 ||
		v.Validations[0].Reason != "Refused" || v.Validations[0].Status != 200 || v.Validations[0].Duration <= 0 {
		t.Fatalf("the refusal is %+v", v)
	}
	if s := n.attempted(t, "asked", 1); s.ConsecutiveFailures != 0 || s.Last.Reason != outcome.Delivered || s.Last.EventType != "workflow:command" || s.Last.EventID != "1" {
		t.Errorf("a refusal is reported as %+v", s)
	}
	if v := n.decide(t, command("1")); !v.Valid || !v.Submitted || v.Repeated || len(v.Validations) != 1 || v.Validations[0].Reason != "Consented" {
		t.Fatalf("the consent is %+v", v)
	}
	rc.Wait(t, 4)
	n.settled(t, "command", 0)
	n.settled(t, "state", 0)
	if v := n.decide(t, command("1")); !v.Valid || !v.Submitted || !v.Repeated {
		t.Errorf("the third answer is %+v", v)
	}
	n.post(t, "witness", "{}") // what was submitted twice would have come by the time that it is matched
	eventually.True(t, "what was submitted to be settled", func() bool { return owed(n.summary(t, "command"))+owed(n.summary(t, "state")) == 0 })

	var targets []string
	ids := map[string]bool{}
	for _, r := range rc.Requests() {
		targets = append(targets, r.Target)
		ids[r.ID()] = true
	}
	if got := strings.Join(targets, " "); got != "/asked /asked /command /state" && got != "/asked /asked /state /command" {
		t.Errorf("the requests are %s", got)
	}
	if errs := rc.SignatureErrors(); len(errs) > 0 || len(ids) != 1 {
		t.Errorf("%d ids came, signatures: %v", len(ids), errs)
	}
	if items := n.logged(t, "asked", 2); len(items) != 2 || items[0].EventType != "workflow:command" || items[0].Attempt != 1 || items[0].Test {
		t.Errorf("the log holds %+v", items)
	}
	n.order(t, "/webhooks/asked/replay", `{"from":"2026-01-01T00:00:00Z"}`, 400, nil).refused(t, "invalid-request", "ValidationAction")
	c := plainJSON(command("1"))
	c.method, c.path, c.token = http.MethodPost, "/workflow-commands", *operator
	n.call(t, c, 403, nil).refused(t, "forbidden", "create workflowcommands.postrider.dev")
}

// typedReply replies 200 with a body of a type.
func typedReply(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(body)) // the dispatcher may have left
	}
}

func (d *target) answers(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	for _, tt := range []struct {
		name   string
		reply  http.HandlerFunc
		valid  bool
		reason string
	}{
		{"json", typedReply("application/json", consent), true, "Consented"},
		{"json-refusal", typedReply("application/json", refusal), false, "Refused"},
		{"xml", typedReply("text/xml; charset=utf-8", "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<data>\n  <IsValid>True</IsValid>\n</data>"), true, "Consented"},
		{"xml-refusal", typedReply("application/xml", `<data><IsValid>0</IsValid><Message>no</Message></data>`), false, "Refused"},
		{"untyped", func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			receiver.Body(consent)(w, r)
		}, true, "Consented"},
		{"html", typedReply("text/html", "<html>Sign in"), false, "MalformedAnswer"},
		{"empty", receiver.Status(200), false, "MalformedAnswer"},
		{"no-content", receiver.Status(204), false, "MalformedAnswer"},
		{"trailing", typedReply("application/json", consent+"x"), false, "MalformedAnswer"},
		{"twice", typedReply("application/json", `{"IsValid":true,"isValid":true}`), false, "MalformedAnswer"},
		{"a-string", typedReply("application/json", `{"IsValid":"true"}`), false, "MalformedAnswer"},
		{"flood", receiver.Flood(1 << 20), false, "MalformedAnswer"},
		{"redirect", receiver.Redirect(rc.URL("/json")), false, "Redirected"},
		{"unauthorized", receiver.Refuse(401, "a=b", consent), false, "Rejected"},
		{"gone", receiver.Refuse(410, "a=b", consent), false, "Rejected"},
		{"broken", receiver.Refuse(500, "a=b", consent), false, "ReceiverError"},
		{"breaks-off", receiver.BreakOff, false, "BodyFailed"},
		{"hangs-up", receiver.HangUp, false, "ConnectFailed"},
		{"late", receiver.Delay(3*time.Second, typedReply("application/json", consent)), false, "Timeout"},
		{"drips", receiver.Drip(10 * time.Millisecond), false, "Timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rc := receiver.New(t, receiver.Options{})
			rc.On("/", tt.reply)
			short := func(r *route.Route) { r.Timeout = time.Second }
			n := d.tenant(t, hook("asked", rc.URL("/"), asks, short))
			v := n.decide(t, command("1"))
			if v.Valid != tt.valid || v.Submitted != tt.valid || len(v.Validations) != 1 || v.Validations[0].Reason != tt.reason || (v.Message == "") != tt.valid {
				t.Errorf("the answer is %+v", v)
			}
			s := n.attempted(t, "asked", 1)
			if failed := tt.reason != "Consented" && tt.reason != "Refused"; (s.ConsecutiveFailures == 1) != failed || !s.Gone.IsZero() {
				t.Errorf("it is reported as %+v", s)
			}
			// What is no verdict passes where the webhook says so, and a refusal never.
			n.route(t, hook("asked", rc.URL("/"), asksIfPossible, short))
			if v := n.decide(t, command("2")); v.Valid == (tt.reason == "Refused") {
				t.Errorf("if it is ignored the answer is %+v", v)
			}
		})
	}
}

func (d *target) slowValidators(t *testing.T) {
	t.Parallel()
	const slow, budget, slack = 50, 10 * time.Second, 5 * time.Second
	rc := receiver.New(t, receiver.Options{})
	var hooks []route.Route
	for i := range slow {
		path := fmt.Sprintf("/%02d", i)
		rc.On(path, receiver.Hang(nil, nil))
		hooks = append(hooks, hook(fmt.Sprintf("slow-%02d", i), rc.URL(path), asks, func(r *route.Route) { r.Timeout = time.Minute }))
	}
	rc.On("/quick", typedReply("application/json", consent))
	n := d.tenant(t, append(hooks, hook("quick", rc.URL("/quick"), asks), hook("submit", rc.URL("/submit"), told(ofTheCommand)))...)
	begin := time.Now()
	v := n.decide(t, command("1"))
	if took := time.Since(begin); took < budget || took > budget+slack {
		t.Errorf("it took %s", took)
	}
	if v.Valid || v.Submitted || len(v.Validations) != slow+1 {
		t.Errorf("the answer is %+v", v)
	}
	for _, o := range v.Validations {
		if quick := o.Webhook == "quick"; o.Valid != quick || !quick && o.Reason != "TimedOut" {
			t.Errorf("%s: %+v", o.Webhook, o)
		}
	}
	if rc.Count() != slow+1 {
		t.Errorf("%d were asked", rc.Count())
	}
}

func (d *target) heldValidators(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	held := route.Route{ID: "held", Generation: 1, Hold: "SecretNotFound", Validation: &route.Validation{}, Condition: ofTheCommand}
	disabled := hook("disabled", rc.URL("/"), asks, func(r *route.Route) { r.Condition, r.Hold = "false", "SpecDisabled" })
	n := d.tenant(t, held, disabled)
	if v := n.decide(t, command("1")); v.Valid || len(v.Validations) != 1 || v.Validations[0].Reason != "Held" || !strings.Contains(v.Message, "SecretNotFound") {
		t.Errorf("the answer is %+v", v)
	}
	n.route(t, disabled)
	if v := n.decide(t, command("1")); !v.Valid || !v.Submitted || len(v.Validations) != 0 {
		t.Errorf("with a disabled one the answer is %+v", v)
	}
	if rc.Count() != 0 {
		t.Errorf("%d requests came", rc.Count())
	}

	// A test asks the disabled one all the same, and wants a verdict.
	for _, tt := range []struct {
		answer string
		reason outcome.Reason
	}{{"ok", outcome.MalformedAnswer}, {consent, outcome.Delivered}} {
		rc.On("/", typedReply("application/json", tt.answer))
		var got trial
		n.order(t, "/webhooks/disabled/test", "", 200, &got)
		if got.Passed != (tt.reason == outcome.Delivered) || got.Attempt.Reason != tt.reason {
			t.Errorf("answered with %s the test is %+v", tt.answer, got)
		}
	}
}

var (
	goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)
	openFiles  = regexp.MustCompile(`(?m)^process_open_fds (\d+)$`)
)

// gauge is a metric without labels.
func (d *target) gauge(t *testing.T, name *regexp.Regexp) int {
	t.Helper()
	m := name.FindSubmatch(d.get(t, "/metrics").body)
	if m == nil {
		t.Fatalf("there is no %s", name)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNothingIsLeftBehindByValidatorsThatHangOrCallersThatLeave(t *testing.T) {
	t.Parallel()
	const slow = 50
	p := process.New(t, process.Options{Args: []string{"--validation-budget", "1s"}})
	p.Start(t)
	d := at(p)
	rc := receiver.New(t, receiver.Options{})
	var hooks []route.Route
	for i := range slow {
		path := fmt.Sprintf("/%02d", i)
		rc.On(path, receiver.Hang(nil, nil))
		hooks = append(hooks, hook(fmt.Sprintf("slow-%02d", i), rc.URL(path), asks))
	}
	n := d.tenant(t, append(hooks, hook("submit", rc.URL("/submit"), told(ofTheCommand)))...)
	n.post(t, "warm", "{}")
	// What is there at rest, and a few more for what the calls of the test keep open.
	const slack = 10
	resting, files := d.gauge(t, goroutines)+slack, d.gauge(t, openFiles)+slack
	back := func(after string) {
		t.Helper()
		eventually.True(t, "goroutines and connections to go back after "+after, func() bool {
			return d.gauge(t, goroutines) <= resting && d.gauge(t, openFiles) <= files
		})
	}

	for i := range 3 {
		if v := n.decide(t, command(strconv.Itoa(i))); v.Valid || v.Submitted || len(v.Validations) != slow || v.Validations[0].Reason != "TimedOut" {
			t.Errorf("the answer is %+v", v)
		}
	}
	if rc.Count() != 3*slow {
		t.Errorf("%d were asked", rc.Count())
	}
	back("the budget")

	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.events+"/v1/namespaces/"+n.namespace+"/workflow-commands", strings.NewReader(command("left")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+*producer)
	req.Header.Set("Content-Type", "application/json")
	go func() {
		rc.Wait(t, 4*slow)
		leave()
	}()
	if resp, err := client.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("a caller that has left got an answer")
	}
	eventually.True(t, "the command to be counted as abandoned", func() bool {
		return strings.Contains(string(d.get(t, "/metrics").body), `postrider_workflow_commands_total{result="Abandoned"} 1`)
	})
	back("a caller that left")
	if s := n.summary(t, "submit"); s.Last != nil || owed(s) != 0 {
		t.Errorf("something was submitted: %+v", s)
	}
}

func TestWhatWasSubmittedOutlivesTheDispatcher(t *testing.T) {
	t.Parallel()
	p := process.New(t, process.Options{})
	p.Start(t)
	d := at(p)
	rc := receiver.New(t, receiver.Options{})
	rc.On("/asked", typedReply("application/json", consent))
	rc.On("/submit", receiver.Hang(nil, nil))
	n := d.tenant(t, hook("asked", rc.URL("/asked"), asks), hook("submit", rc.URL("/submit"), told(ofTheCommand), func(r *route.Route) { r.Timeout = time.Minute }))
	if v := n.decide(t, command("1")); !v.Submitted {
		t.Fatalf("the answer is %+v", v)
	}
	p.Kill(t)
	rc.On("/submit", receiver.Status(200))
	before := rc.Count()
	p.Start(t)
	d.events, d.admin = p.Events(), p.Admin()
	got := rc.Wait(t, before+1)
	if last := got[len(got)-1]; last.Target != "/submit" || last.ID() != got[0].ID() {
		t.Errorf("after the restart came %s, %s; before %s", last.Target, last.ID(), got[0].ID())
	}
	n.settled(t, "submit", 0)
	if v := n.decide(t, command("1")); !v.Repeated || !v.Submitted {
		t.Errorf("the same again is %+v", v)
	}
}
