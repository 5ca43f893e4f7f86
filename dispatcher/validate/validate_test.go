package validate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider/postrider/dispatcher/answer"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/validate"
)

// A road tells what came of each attempt, by the name of the webhook. Who is not in
// it consents.
type road struct {
	by map[string]func(ctx context.Context) (outcome.Outcome, answer.Verdict, error)

	mu        sync.Mutex
	now, most int // under way
	asked     int
}

func (r *road) AskAbout(*event.Event) func(context.Context, string) (outcome.Outcome, answer.Verdict, error) {
	return r.ask
}

func (r *road) ask(ctx context.Context, id string) (outcome.Outcome, answer.Verdict, error) {
	r.add(1)
	defer r.add(-1)
	_, name, _ := strings.Cut(id, "/")
	if end, ok := r.by[name]; ok {
		return end(ctx)
	}
	return delivered, answer.Verdict{IsValid: true}, nil
}

func (r *road) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now += n
	r.most = max(r.most, r.now)
	if n > 0 {
		r.asked++
	}
}

var delivered = outcome.Outcome{Reason: outcome.Delivered, Status: 200}

type end = func(context.Context) (outcome.Outcome, answer.Verdict, error)

func answers(v answer.Verdict) end {
	return func(context.Context) (outcome.Outcome, answer.Verdict, error) { return delivered, v, nil }
}

func fails(o outcome.Outcome) end {
	return func(context.Context) (outcome.Outcome, answer.Verdict, error) { return o, answer.Verdict{}, nil }
}

// takes hangs for a while, or until ctx is done.
func takes(d time.Duration) end {
	return func(ctx context.Context) (outcome.Outcome, answer.Verdict, error) {
		select {
		case <-time.After(d):
			return delivered, answer.Verdict{IsValid: true}, nil
		case <-ctx.Done():
			return outcome.Outcome{Reason: outcome.Timeout, Detail: "no answer in time"}, answer.Verdict{}, nil
		}
	}
}

func aRoute(name string, change ...func(*route.Route)) route.Route {
	if !strings.Contains(name, "/") {
		name = "cms/" + name
	}
	rt := route.Route{
		ID: name, URL: "https://a.example/", Timeout: 3 * time.Second, Concurrency: 1,
		Retry: route.Retry{MaxAge: time.Hour}, Validation: &route.Validation{},
	}
	for _, c := range change {
		c(&rt)
	}
	return rt
}

func ignoring(r *route.Route) { r.Validation.Ignore = true }
func held(r *route.Route)     { r.Hold, r.URL = "RefNotFound", "" }
func on(condition string) func(*route.Route) {
	return func(r *route.Route) { r.Condition = condition }
}

// many are so many routes.
func many(n int) []route.Route {
	all := make([]route.Route, n)
	for i := range all {
		all[i] = aRoute(fmt.Sprintf("v%03d", i))
	}
	return all
}

// desk is a Validator with what it works with.
type desk struct {
	*validate.Validator
	road     *road
	recorder outcome.Recorder
	registry *prometheus.Registry
	log      bytes.Buffer
}

func open(tb testing.TB, r *road, routes ...route.Route) *desk {
	tb.Helper()
	router, err := route.Build(route.Table{Routes: routes})
	if err != nil {
		tb.Fatal(err)
	}
	current := new(route.Current)
	current.Swap(router)
	d := &desk{road: r, recorder: outcome.NewRecorder(), registry: prometheus.NewRegistry()}
	d.Validator = validate.New(validate.Options{
		Router: current, Road: r, Recorder: d.recorder, Metrics: d.registry, Log: slog.New(slog.NewTextHandler(&d.log, nil)),
	})
	return d
}

func aCommand(namespace string) *event.Event {
	return &event.Event{Namespace: namespace, ID: "1", Type: "workflow:command", Data: []byte(`{"Command":{"Name":"Approve"},"UserName":"ann"}`), Accepted: time.Now()}
}

func (d *desk) validate(t *testing.T) validate.Result {
	t.Helper()
	r, err := d.Validate(t.Context(), aCommand("cms"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestACommandIsValidWhenAllConsent(t *testing.T) {
	refuses := answers(answer.Verdict{Message: "The title is missing."})
	timeout := outcome.Outcome{Reason: outcome.Timeout, Detail: "no answer in time"}
	for _, tt := range []struct {
		name    string
		by      map[string]end
		change  func(*route.Route) // of b
		valid   bool
		opinion validate.Opinion // of b
	}{
		{"all consent", nil, nil, true, validate.Opinion{Valid: true, Reason: validate.Consented, Status: 200}},
		{
			"with a message", map[string]end{"b": answers(answer.Verdict{IsValid: true, Message: "Well done."})}, nil,
			true, validate.Opinion{Valid: true, Message: "Well done.", Reason: validate.Consented, Status: 200},
		},
		{"one refuses", map[string]end{"b": refuses}, nil, false, validate.Opinion{Message: "The title is missing.", Reason: validate.Refused, Status: 200}},
		{"one refuses, though failures are ignored", map[string]end{"b": refuses}, ignoring, false, validate.Opinion{Message: "The title is missing.", Reason: validate.Refused, Status: 200}},
		{
			"one is late", map[string]end{"b": fails(timeout)}, nil, false,
			validate.Opinion{Message: "There is no verdict: Timeout: no answer in time.", Reason: "Timeout"},
		},
		{
			"one is late, and that is ignored", map[string]end{"b": fails(timeout)}, ignoring, true,
			validate.Opinion{Valid: true, Message: "There is no verdict: Timeout: no answer in time.", Reason: "Timeout"},
		},
		{
			"one fails", map[string]end{"b": fails(outcome.Outcome{Reason: outcome.ReceiverError, Status: 503})}, nil, false,
			validate.Opinion{Message: "There is no verdict: 503 Service Unavailable.", Reason: "ReceiverError", Status: 503},
		},
		{
			"one says something else", map[string]end{"b": fails(outcome.Outcome{Reason: outcome.MalformedAnswer, Status: 200, Detail: "answer is empty"})}, nil, false,
			validate.Opinion{Message: "There is no verdict: MalformedAnswer: answer is empty.", Reason: "MalformedAnswer", Status: 200},
		},
		{"one is held", nil, held, false, validate.Opinion{Message: "There is no verdict: RefNotFound.", Reason: "Held"}},
		{"one is held, and that is ignored", nil, func(r *route.Route) { held(r); ignoring(r) }, true, validate.Opinion{Valid: true, Message: "There is no verdict: RefNotFound.", Reason: "Held"}},
		{
			"a condition cannot be evaluated", nil, on(`event.data.UserName > 5`), false,
			validate.Opinion{Message: "There is no verdict: the condition compares or combines values of types that do not fit; convert them, or test with type().", Reason: "ConditionFailed"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := aRoute("b")
			if tt.change != nil {
				tt.change(&b)
			}
			d := open(t, &road{by: tt.by}, aRoute("c"), b, aRoute("a"), aRoute("shop/other"))
			r := d.validate(t)
			tt.opinion.Webhook = "b"
			want := validate.Result{Valid: tt.valid, Opinions: []validate.Opinion{
				{Webhook: "a", Valid: true, Reason: validate.Consented, Status: 200}, tt.opinion,
				{Webhook: "c", Valid: true, Reason: validate.Consented, Status: 200},
			}}
			if diff := cmp.Diff(want, r, cmpopts.IgnoreFields(validate.Opinion{}, "Took")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			logged := strings.Contains(d.log.String(), "route=cms/b") && strings.Contains(d.log.String(), "reason="+string(tt.opinion.Reason))
			if logged != (tt.opinion.Reason != validate.Consented) {
				t.Errorf("the log is %q", d.log.String())
			}
		})
	}
}

func TestOnlyThoseAreAskedThatTheCommandIsFor(t *testing.T) {
	d := open(t, &road{}, aRoute("approves", on(`sitecore.named(event.data.Command, ["approve"])`)), aRoute("rejects", on(`sitecore.named(event.data.Command, ["reject"])`)),
		aRoute("lacks", on(`event.data.Nothing == 1`)), aRoute("held", held, on(`event.data.UserName == "bob"`)))
	r := d.validate(t)
	if !r.Valid || len(r.Opinions) != 1 || r.Opinions[0].Webhook != "approves" || d.road.asked != 1 {
		t.Errorf("it is %+v", r)
	}
}

func TestVerdictsAreCountedAndAConditionThatFailsIsAFaultOfTheWebhook(t *testing.T) {
	d := open(t, &road{by: map[string]end{
		"refuses": answers(answer.Verdict{}), "fails": fails(outcome.Outcome{Reason: outcome.DNSFailed}), "ignored": fails(outcome.Outcome{Reason: outcome.DNSFailed}),
	}}, aRoute("consents"), aRoute("refuses"), aRoute("fails"), aRoute("ignored", ignoring), aRoute("broken", on(`event.data.UserName > 5`)))
	d.validate(t)
	const want = `# HELP postrider_validate_verdicts_total What came of asking validation actions.
# TYPE postrider_validate_verdicts_total counter
postrider_validate_verdicts_total{verdict="Failed"} 2
postrider_validate_verdicts_total{verdict="Ignored"} 1
postrider_validate_verdicts_total{verdict="Invalid"} 1
postrider_validate_verdicts_total{verdict="Valid"} 1
`
	if err := testutil.GatherAndCompare(d.registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if all, _ := d.recorder.Since(0); len(all) != 1 || all[0].Route != "cms/broken" || !strings.HasPrefix(all[0].LastError, "ConditionFailed: ") {
		t.Errorf("the facts are %+v", all)
	}
}

func TestWithoutATableNobodyKnows(t *testing.T) {
	v := validate.New(validate.Options{Router: new(route.Current), Road: &road{}, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if r, err := v.Validate(t.Context(), aCommand("cms")); !errors.Is(err, validate.ErrNoTable) || r.Valid {
		t.Errorf("it is %+v, %v", r, err)
	}
}

func TestACommandThatIsForNobodyIsValid(t *testing.T) {
	for namespace, d := range map[string]*desk{"cms": open(t, &road{}, aRoute("a", on("false"))), "nobody": open(t, &road{}, aRoute("a"))} {
		if r, err := d.Validate(t.Context(), aCommand(namespace)); err != nil || !r.Valid || len(r.Opinions) != 0 || d.road.asked != 0 {
			t.Errorf("%s: it is %+v, %v", namespace, r, err)
		}
	}
}

func TestMoreValidationActionsThanAnAnswerHoldsRefuse(t *testing.T) {
	d := open(t, &road{}, many(257)...)
	if r := d.validate(t); r.Valid || !strings.Contains(r.Message, "257 ValidationActions") || d.road.asked != 0 {
		t.Errorf("it is valid: %v, %q; %d were asked", r.Valid, r.Message, d.road.asked)
	}
}

func TestTheMessagesAboutOneCommandAreBoundedTogether(t *testing.T) {
	for n, want := range map[int]int{1: 1 << 10, 16: 1 << 10, 256: 64} { // bytes of each message
		r := &road{by: map[string]end{}}
		routes := many(n)
		for _, rt := range routes {
			_, name, _ := strings.Cut(rt.ID, "/")
			r.by[name] = answers(answer.Verdict{Message: strings.Repeat("x", answer.MaxMessage)})
		}
		result := open(t, r, routes...).validate(t)
		if len(result.Opinions) != n {
			t.Fatalf("of %d there are %d opinions", n, len(result.Opinions))
		}
		for _, o := range result.Opinions {
			if len(o.Message) != want || o.Reason != validate.Refused {
				t.Fatalf("of %d, one says %d bytes, want %d", n, len(o.Message), want)
			}
		}
	}
}

func TestAnAttemptThatCannotBeMadeIsNoVerdictAtAll(t *testing.T) {
	gone := errors.New("gone")
	synctest.Test(t, func(t *testing.T) {
		d := open(t, &road{by: map[string]end{
			"a": func(context.Context) (outcome.Outcome, answer.Verdict, error) {
				return outcome.Outcome{}, answer.Verdict{}, gone
			},
			"b": takes(time.Hour),
		}}, aRoute("a", ignoring), aRoute("b"))
		begin := time.Now()
		r, err := d.Validate(t.Context(), aCommand("cms"))
		if !errors.Is(err, gone) || r.Valid || time.Since(begin) > 0 || d.road.now != 0 {
			t.Errorf("it is %+v, %v after %s; %d are under way", r, err, time.Since(begin), d.road.now)
		}
	})
}

func TestAllTogetherHaveTheBudgetAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, &road{by: map[string]end{"v003": takes(time.Hour), "v005": takes(9 * time.Second), "v007": takes(11 * time.Second)}}, many(10)...)
		begin := time.Now()
		r := d.validate(t)
		if took := time.Since(begin); took != validate.DefaultBudget || d.road.now != 0 {
			t.Errorf("it took %s; %d are under way", took, d.road.now)
		}
		for i, o := range r.Opinions {
			late := i == 3 || i == 7
			if o.Valid == late || late && (o.Reason != validate.TimedOut || o.Took != validate.DefaultBudget) {
				t.Errorf("%s: %+v", o.Webhook, o)
			}
		}
		if r.Valid {
			t.Error("it is valid")
		}
	})
}

func TestSoManyAreAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &road{by: map[string]end{}}
		for i := range 100 {
			slow.by[fmt.Sprintf("v%03d", i)] = takes(time.Second)
		}
		d := open(t, slow, many(100)...)
		begin := time.Now()
		if r := d.validate(t); !r.Valid || time.Since(begin) != 2*time.Second || slow.most != 64 {
			t.Errorf("100 took %s, %d at once", time.Since(begin), slow.most)
		}
	})
}

func TestOneNamespaceLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &road{by: map[string]end{}}
		for i := range 50 {
			slow.by[fmt.Sprintf("v%03d", i)] = takes(time.Hour)
		}
		d := open(t, slow, append(many(50), aRoute("shop/a"))...)
		large := aCommand("cms")
		large.Data = []byte(`{"UserName":"` + strings.Repeat("x", 1<<20) + `"}`)
		done := make(chan validate.Result)
		go func() {
			r, err := d.Validate(t.Context(), large)
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		synctest.Wait()
		if slow.now < 3 || slow.now > 4 { // of two MiB each, and 8 for all
			t.Errorf("%d are under way", slow.now)
		}
		begin := time.Now()
		if r, err := d.Validate(t.Context(), aCommand("shop")); err != nil || !r.Valid || time.Since(begin) > 0 {
			t.Errorf("the neighbour's is %+v, %v after %s", r, err, time.Since(begin))
		}
		r := <-done
		for _, o := range r.Opinions {
			if o.Valid || o.Reason != validate.TimedOut {
				t.Errorf("it is %+v", o)
			}
		}
		if slow.asked > 5 || time.Since(begin) != validate.DefaultBudget {
			t.Errorf("%d were asked in %s", slow.asked, time.Since(begin))
		}
	})
}

func TestXMLTakesMoreRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &road{by: map[string]end{}}
		all := many(10)
		for i := range all {
			slow.by[fmt.Sprintf("v%03d", i)] = takes(time.Second)
			all[i].Format = route.FormatSitecore
			all[i].Sitecore = &route.Sitecore{ItemID: "a562a1b8-5c1d-4935-bd0a-41fc49ed7ded", ItemName: "a", Action: true, XML: true}
		}
		d := open(t, slow, all...)
		large := aCommand("cms")
		large.Data = []byte(`{"UserName":"` + strings.Repeat("x", 1<<20) + `"}`)
		r, err := d.Validate(t.Context(), large)
		if err != nil || slow.most != 1 || len(r.Opinions) != len(all) { // of four MiB each, and 8 for all
			t.Errorf("%v: %d were under way at once", err, slow.most)
		}
	})
}

func TestACallerThatLeavesStopsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &road{by: map[string]end{}}
		for i := range 50 {
			slow.by[fmt.Sprintf("v%03d", i)] = takes(time.Hour)
		}
		d := open(t, slow, many(50)...)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		begin := time.Now()
		r, err := d.Validate(ctx, aCommand("cms"))
		if err == nil || r.Valid || len(r.Opinions) != 0 || time.Since(begin) != time.Second || slow.now != 0 {
			t.Errorf("it is %+v, %v after %s; %d are under way", r, err, time.Since(begin), slow.now)
		}
	})
}
