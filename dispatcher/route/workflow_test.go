package route_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

const someState = "7DCD6B3F-7D0E-4A4E-8A6E-3F3C0D6A3F10"

// commandData is what of a workflow command has a name.
const commandData = `{"Command":{"Id":"","Name":"Approve"},"Workflow":{"Id":"{A5BC37E7-ED96-4C1E-8590-A26E64DB55EA}"},
	"PreviousState":{"DisplayName":"Awaiting Approval","StateID":"{` + someState + `}"},"NextState":null}`

func TestWhatAWorkflowCommandIsAboutIsSelectedByNameOrID(t *testing.T) {
	for _, tt := range []struct {
		thing, names string
		want         bool
	}{
		{"Command", `["Approve"]`, true},
		{"Command", `["Reject", "APPROVE"]`, true},
		{"Command", `["Reject"]`, false},
		{"Command", `["App"]`, false},
		{"Command", `[""]`, false},
		{"Command", `[]`, false},
		{"Command", `["*"]`, true},
		{"Workflow", `["a5bc37e7-ed96-4c1e-8590-a26e64db55ea"]`, true},
		{"Workflow", `["{a5bc37e7-ED96-4c1e-8590-a26e64db55ea}"]`, true},
		{"Workflow", `["{a5bc37e7-ED96-4c1e-8590-a26e64db55eb}"]`, false},
		{"PreviousState", `["awaiting approval"]`, true},
		{"PreviousState", `["` + strings.ToLower(someState) + `"]`, true},
		{"NextState", `["*"]`, false},
		{"Absent", `["*"]`, false},
	} {
		rt := aRoute("cms/a", "*")
		rt.Condition = fmt.Sprintf("sitecore.named(event.data.%s, %s)", tt.thing, tt.names)
		e := build(t, rt).Lookup("cms/a")
		v := route.NewView(&event.Event{Data: []byte(commandData)})
		if got, err := e.Qualifies(v); got != tt.want || err != nil {
			t.Errorf("%s is %v, %v", rt.Condition, got, err)
		}
		if v.Cost() < 20 {
			t.Errorf("%s costs %d", rt.Condition, v.Cost())
		}
	}
}

func TestNamesThatAreNotWrittenOutAreRefused(t *testing.T) {
	for _, names := range []string{`event.data.names`, `["a", event.type]`, `["a"] + ["b"]`} {
		err := route.CheckCondition("sitecore.named(event.data.Command, " + names + ")")
		if err == nil || !strings.Contains(err.Error(), "list of literals") {
			t.Errorf("%s: %v", names, err)
		}
	}
	if err := route.CheckCondition("sitecore.named(event.data.Command, [1])"); err == nil {
		t.Error("numbers are names")
	}
}

func TestOnlyWhatHasMembersHasAName(t *testing.T) {
	rt := aRoute("cms/a", "*")
	rt.Condition = `sitecore.named(event.data.Command.Name, ["Approve"])`
	if ok, err := build(t, rt).Lookup("cms/a").Qualifies(route.NewView(&event.Event{Data: []byte(commandData)})); ok || err == nil {
		t.Errorf("a string has the name: %v, %v", ok, err)
	}
}

func TestMoreNamesCostMore(t *testing.T) {
	cost := func(names string) int {
		rt := aRoute("cms/a", "*")
		rt.Condition = `sitecore.named(event.data.Command, [` + names + `])`
		v := route.NewView(&event.Event{Data: []byte(commandData)})
		if _, err := build(t, rt).Lookup("cms/a").Qualifies(v); err != nil {
			t.Fatal(err)
		}
		return v.Cost()
	}
	if few, many := cost(`"a"`), cost(strings.Repeat(`"abcdefghijklmnopqrstuvwxyz",`, 50)); many < few+100 {
		t.Errorf("one costs %d, 50 cost %d", few, many)
	}
}

func TestValidationsOfANamespaceAreFoundByNameAndMatchNoEvent(t *testing.T) {
	validation := func(id string) route.Route {
		rt := aRoute(id)
		rt.Validation = &route.Validation{}
		return rt
	}
	held := route.Route{ID: "cms/b", Generation: 1, Hold: "RefNotFound", Validation: &route.Validation{Ignore: true}}
	r := build(t, validation("cms/c"), held, aRoute("cms/events", "*"), validation("cms/a"), validation("shop/a"))
	var got []string
	for _, e := range r.Validations("cms") {
		got = append(got, e.ID)
	}
	if diff := cmp.Diff([]string{"cms/a", "cms/b", "cms/c"}, got); diff != "" {
		t.Error(diff)
	}
	if len(r.Validations("nobody")) != 0 {
		t.Error("a namespace without routes has validations")
	}
	if got := ids(r.Match(nil, "cms", "workflow:command")); len(got) != 1 {
		t.Errorf("the event goes to %v", got)
	}
	both := aRoute("cms/a", "*")
	both.Validation = &route.Validation{}
	if _, err := route.Build(route.Table{Routes: []route.Route{both}}); err == nil {
		t.Error("a route that is asked selects events too")
	}
}
