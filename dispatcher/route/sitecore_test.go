package route_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// saved is the data of an item:saved, with what the producer knows besides.
const saved = `{"Item":{"Language":"en","Version":2,"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","Name":"Home",
"ParentId":"0de95ae4-41ab-4d01-9eb0-67441b7c2450","TemplateId":"76036f5e-cbce-46d1-af0a-4143f9b557aa","TemplateName":"Sample Item",
"SharedFields":[{"Id":"a4f985d9-98b3-4b52-aaaf-4344f6e747c6","Value":"{88AD1387-D4DA-489D-BB4B-45540917E7ED}"}],
"UnversionedFields":[{"Id":"b5e02ad9-d56f-4c41-a065-a133db87bdeb","Value":"Heim","Language":"de"},{"Id":"b5e02ad9-d56f-4c41-a065-a133db87bdeb","Value":"Home","Language":"EN"}],
"VersionedFields":[{"Id":"75577384-3c97-45da-a847-81b00500e250","Value":"old","Version":1,"Language":"en"},{"Id":"75577384-3c97-45da-a847-81b00500e250","Value":"new","Version":2,"Language":"en"}]},
"Changes":{"FieldChanges":[{"FieldId":"75577384-3c97-45da-a847-81b00500e250","Value":"new","OriginalValue":"old"}]},
"$context":{"Path":"/sitecore/Content/Home","AncestorIds":["{0DE95AE4-41AB-4D01-9EB0-67441B7C2450}","11111111-1111-1111-1111-111111111111"],
"BaseTemplateIds":["1930BBEB-7805-471A-A3BE-4858AC7CF696"],"Database":"master"}}`

// bare is the data of an item of which the producer tells no more than Sitecore does.
const bare = `{"Item":{"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","ParentId":"0de95ae4-41ab-4d01-9eb0-67441b7c2450","TemplateId":"76036f5e-cbce-46d1-af0a-4143f9b557aa"}}`

func TestQuestionsAboutItemsOfSitecore(t *testing.T) {
	for _, tt := range []struct {
		condition, data string
		want            bool
	}{
		{`sitecore.hasItem(event)`, saved, true},
		{`sitecore.hasItem(event)`, `{"PublisherOptions":{}}`, false},
		{`sitecore.hasItem(event)`, `{"Item":"a name"}`, false},
		{`sitecore.hasItem(event)`, `{"Source":{},"DataItem":{}}`, false}, // it is no item:copied
		{`sitecore.hasItem(event)`, `[]`, false},
		{`sitecore.hasItem(event)`, ``, false},
		{`sitecore.item(event).Name.startsWith("Ho")`, saved, true},
		{`sitecore.item(event).Name.startsWith("Ho")`, bare, false},

		{`sitecore.isItem(event, "{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}")`, saved, true},
		{`sitecore.isItem(event, "110d559fdea542ea9c1c8a5df7e70ef9")`, saved, true},
		{`sitecore.isItem(event, "0de95ae4-41ab-4d01-9eb0-67441b7c2450")`, saved, false},
		{`sitecore.isItem(event, "/SITECORE/content/home/")`, saved, true},
		{`sitecore.isItem(event, "/sitecore/content")`, saved, false},
		{`sitecore.isItem(event, "/sitecore/content/home")`, bare, false},

		{`sitecore.isBelow(event, "{11111111-1111-1111-1111-111111111111}")`, saved, true},
		{`sitecore.isBelow(event, "22222222-2222-2222-2222-222222222222")`, saved, false},
		{`sitecore.isBelow(event, "110d559f-dea5-42ea-9c1c-8a5df7e70ef9")`, saved, false},
		{`sitecore.isBelow(event, "0de95ae4-41ab-4d01-9eb0-67441b7c2450")`, bare, true}, // the parent is always known
		{`sitecore.isBelow(event, "22222222-2222-2222-2222-222222222222")`, bare, false},
		{`!sitecore.isBelow(event, "22222222-2222-2222-2222-222222222222")`, saved, true},
		{`!sitecore.isBelow(event, "22222222-2222-2222-2222-222222222222")`, bare, false}, // for nobody knows
		{`sitecore.isBelow(event, "/sitecore/content")`, saved, true},
		{`sitecore.isBelow(event, "/sitecore/cont")`, saved, false},
		{`sitecore.isBelow(event, "/sitecore/content/home")`, saved, false},
		{`sitecore.isBelow(event, "/")`, saved, true},
		{`!sitecore.isBelow(event, "/sitecore/media library")`, bare, false},
		{`sitecore.isOrIsBelow(event, "/sitecore/content/home")`, saved, true},
		{`sitecore.isOrIsBelow(event, "/sitecore/content")`, saved, true},
		{`sitecore.isOrIsBelow(event, "/sitecore/content/home/news")`, saved, false},
		{`sitecore.isOrIsBelow(event, "110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9")`, bare, true},
		{`sitecore.isOrIsBelow(event, "22222222-2222-2222-2222-222222222222")`, bare, false},

		{`sitecore.isTemplate(event, "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}")`, bare, true},
		{`sitecore.isTemplate(event, "sample item")`, saved, true},
		{`sitecore.isTemplate(event, "Folder")`, saved, false},
		{`!sitecore.isTemplate(event, "Folder")`, bare, false}, // older versions do not tell the name
		{`["Folder", "Sample Item"].exists(t, sitecore.isTemplate(event, t))`, saved, true},
		{`sitecore.isOrDescendsFromTemplate(event, "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}")`, bare, true},
		{`sitecore.isOrDescendsFromTemplate(event, "{1930BBEB-7805-471A-A3BE-4858AC7CF696}")`, saved, true},
		{`sitecore.isOrDescendsFromTemplate(event, "22222222-2222-2222-2222-222222222222")`, saved, false},
		{`!sitecore.isOrDescendsFromTemplate(event, "22222222-2222-2222-2222-222222222222")`, bare, false},

		{`sitecore.language(event) == "en"`, saved, true},
		{`sitecore.language(event) != "de"`, bare, false},
		{`sitecore.path(event).contains("/Content/")`, saved, true},
		{`sitecore.database(event) == "master"`, saved, true},
		{`sitecore.database(event) != "web"`, bare, false},

		{`sitecore.field(event, "{75577384-3C97-45DA-A847-81B00500E250}") == "new"`, saved, true},
		{`sitecore.field(event, "{75577384-3C97-45DA-A847-81B00500E250}") == "old"`, saved, false},
		{`sitecore.field(event, "b5e02ad9-d56f-4c41-a065-a133db87bdeb") == "Home"`, saved, true},
		{`sitecore.field(event, "a4f985d9-98b3-4b52-aaaf-4344f6e747c6").contains("88AD")`, saved, true},
		{`sitecore.field(event, "22222222-2222-2222-2222-222222222222") == ""`, saved, true},
		{`sitecore.field(event, "22222222-2222-2222-2222-222222222222") == ""`, bare, false}, // it carries no fields
		{`sitecore.fieldChanged(event, "{75577384-3C97-45DA-A847-81B00500E250}")`, saved, true},
		{`sitecore.fieldChanged(event, "a4f985d9-98b3-4b52-aaaf-4344f6e747c6")`, saved, false},
		{`!sitecore.fieldChanged(event, "a4f985d9-98b3-4b52-aaaf-4344f6e747c6")`, bare, false},

		{`sitecore.isTemplate(event, "Folder") || event.type == "item:saved"`, `{}`, true},
		{`sitecore.field(event, "75577384-3c97-45da-a847-81b00500e250") == ""`, `{"Item":{"Language":{},"SharedFields":[null,1,{"Id":1},{"Id":"75577384-3c97-45da-a847-81b00500e250","Language":{},"Value":{}}]}}`, true},
	} {
		if got, err := qualifies(t, tt.condition, "item:saved", tt.data); got != tt.want || err != nil {
			t.Errorf("%s of %.60s: %t, %v", tt.condition, tt.data, got, err)
		}
	}
}

func TestTheItemOfACopyIsItsSourceAndThatOfACommandTheOneItIsFor(t *testing.T) {
	const item = `{"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","TemplateName":"Page"}`
	for eventType, data := range map[string]string{
		"item:copied":      `{"Source":` + item + `,"Copy":{"TemplateName":"Folder"}}`,
		"workflow:command": `{"DataItem":` + item + `}`,
		"anything":         `{"Item":` + item + `}`,
	} {
		if got, err := qualifies(t, `sitecore.hasItem(event) && sitecore.isTemplate(event, "Page")`, eventType, data); !got || err != nil {
			t.Errorf("%s: %t, %v", eventType, got, err)
		}
	}
}

func qualifies(tb testing.TB, condition, eventType, data string) (bool, error) {
	tb.Helper()
	rt := aRoute("cms/a", "*")
	rt.Condition = condition
	return build(tb, rt).Lookup("cms/a").Qualifies(route.NewView(&event.Event{Type: eventType, Data: []byte(data)}))
}

func TestQuestionsThatMeanNothingAreRefused(t *testing.T) {
	for condition, want := range map[string]string{
		`sitecore.isItem(event, "Home")`:                     `an id, or a path`,
		`sitecore.isBelow(event, "")`:                        `an id, or a path`,
		`sitecore.isTemplate(event, "")`:                     `an id or a name`,
		`sitecore.isOrDescendsFromTemplate(event, "Page")`:   `wants an id`,
		`sitecore.field(event, "Title") == ""`:               `wants an id`,
		`sitecore.fieldChanged(event, "Title")`:              `wants an id`,
		`sitecore.hasItem({"type": event.type, "data": {}})`: `write event as its first argument`,
		`sitecore.hasItem(event.data)`:                       `write event as its first argument`,
		`sitecore.isTemplate(event)`:                         `no matching overload`,
		`sitecore.language(event)`:                           `yields string`,
	} {
		if err := route.CheckCondition(condition); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", condition, err)
		}
	}
	for _, key := range []string{`sitecore.language(event)`, `string(sitecore.hasItem(event)) + event.type`} {
		if err := route.CheckOrderingKey(key); err == nil || !strings.Contains(err.Error(), "event.data.Item.Id") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestQuestionsCostWhatTheyLookAt(t *testing.T) {
	const n = 1000
	many := func(element string) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	for condition, data := range map[string]string{
		`sitecore.field(event, "22222222-2222-2222-2222-222222222222") == ""`:                `{"Item":{"SharedFields":` + many(`{"Id":"x"}`) + `}}`,
		`!sitecore.fieldChanged(event, "22222222-2222-2222-2222-222222222222")`:              `{"Changes":{"FieldChanges":` + many(`{"FieldId":"x"}`) + `}}`,
		`!sitecore.isBelow(event, "22222222-2222-2222-2222-222222222222")`:                   `{"$context":{"AncestorIds":` + many(`"x"`) + `}}`,
		`!sitecore.isOrDescendsFromTemplate(event, "22222222-2222-2222-2222-222222222222")`:  `{"$context":{"BaseTemplateIds":` + many(`"x"`) + `}}`,
		`!sitecore.isItem(event, "/sitecore")`:                                               `{"$context":{"Path":"` + strings.Repeat("/0123456789", n) + `"}}`,
		`event.data.l.all(x, sitecore.isTemplate(event, "Page") && sitecore.hasItem(event))`: `{"Item":{"TemplateName":"Page"},"l":` + many("1") + `}`,
	} {
		rt := aRoute("cms/a", "*")
		rt.Condition = condition
		v := route.NewView(&event.Event{Type: "item:saved", Data: []byte(data)})
		if got, err := build(t, rt).Lookup("cms/a").Qualifies(v); !got || err != nil {
			t.Errorf("%s: %t, %v", condition, got, err)
		}
		if v.Cost() < n || v.Cost() > 20*n {
			t.Errorf("%s: it costs %d", condition, v.Cost())
		}
	}
	fields := `{"l":[` + strings.Repeat("1,", 99) + `1],"Item":{"SharedFields":` + many(`{"Id":"x"}`) + `}}`
	if got, err := qualifies(t, `event.data.l.all(x, sitecore.field(event, "22222222-2222-2222-2222-222222222222") == "")`, "item:saved", fields); got || err == nil || !strings.Contains(err.Error(), "costs more") {
		t.Errorf("a hundred walks through a thousand fields: %t, %v", got, err)
	}
}

func BenchmarkQuestion(b *testing.B) {
	rt := aRoute("cms/a", "*")
	rt.Condition = `sitecore.isTemplate(event, "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}") && sitecore.isBelow(event, "/sitecore/content")`
	entry := build(b, rt).Lookup("cms/a")
	e := &event.Event{Type: "item:saved", Data: []byte(saved)}
	for b.Loop() {
		if ok, err := entry.Qualifies(route.NewView(e)); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
