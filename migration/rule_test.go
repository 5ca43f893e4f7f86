package migration_test

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/migration"
)

// What operators of Sitecore's rules are called there.
const (
	isEqual        = "{10537C58-1684-4CAB-B4C0-40C10907CE31}"
	isEqualFold    = "{537244C2-3A3F-4B81-A6ED-02AF494C0563}"
	isNotEqual     = "{A6AC5A6B-F409-48B0-ACE7-C3E8C5EC6406}"
	isNotEqualFold = "{6A7294DF-ECAE-4D5F-A8D2-C69CB1161C09}"
	contains       = "{2E67477C-440C-4BCA-A358-3D29AED89F47}"
	startsWith     = "{FDD7C6B1-622A-4362-9CFF-DDE9866C68EA}"
	endsWith       = "{22E1F05F-A17A-4D0C-B376-6F7661500F03}"
	matchesRegexp  = "{F8641C26-EE27-483C-9FEA-35529ECC8541}"
)

// The parts of rules.
func rule(conditions string) string {
	return `<ruleset><rule uid="{D0368E05-6D7A-4070-BA23-E6A4AD37AC01}"><conditions>` + conditions + `</conditions></rule></ruleset>`
}

func one(id, attributes string) string {
	return `<condition id="` + id + `" uid="173E1A578D5B40838B8C975B4D7A2120" ` + attributes + ` />`
}

func named(operator, value string) string {
	return one("{944E1C68-CAF1-468E-87DC-CE85D168D961}", `operatorid="`+operator+`" value="`+value+`"`)
}

func titled(operator, value, more string) string {
	return one("{61C016A2-5210-4F1D-A663-BDA18BE487F6}", `fieldname="Title" operatorid="`+operator+`" value="`+value+`" `+more)
}

var (
	ofTemplate = one("{5DE6D53E-EA62-4D17-8BDD-FEBCD80AC07B}", `templateid="{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}"`)
	ofBase     = one("{D0810F9D-734C-452D-BBB6-4730368D68F1}", `templateid="{1930BBEB-7805-471A-A3BE-4858AC7CF696}"`)
	belowHome  = one("{7D5DA661-BEF9-441C-B1F7-D80DE3E0972F}", `itemid="{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}"`)
	empty      = one("{DA0D1AEA-0144-4A40-9AF0-3123526C9163}", `fieldname="Title"`)
	notEmpty   = one("{DA0D1AEA-0144-4A40-9AF0-3123526C9163}", `fieldname="Title" except="true"`)
)

const (
	page = `{"Item":{"Id":"5b4a1a0e-7c43-4c5a-9b0c-0f3f1a3d0a11","Name":"News (1)","Language":"en","ParentId":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9",
"TemplateId":"76036f5e-cbce-46d1-af0a-4143f9b557aa","VersionedFields":[{"Id":"75577384-3c97-45da-a847-81b00500e250","Value":"Welcome"}]},
"$context":{"Path":"/sitecore/content/Home/News (1)","AncestorIds":["110d559f-dea5-42ea-9c1c-8a5df7e70ef9"],"BaseTemplateIds":["1930bbeb-7805-471a-a3be-4858ac7cf696"]}}`
	other = `{"Item":{"Id":"33333333-3333-3333-3333-333333333333","Name":"Old","Language":"de","ParentId":"3d6658d8-a0bf-4e75-b3e2-d050fabcf4e1",
"TemplateId":"a87a00b1-e6db-45ab-8b54-636fec3b5523","VersionedFields":[]},
"$context":{"Path":"/sitecore/media library/Old","AncestorIds":["3d6658d8-a0bf-4e75-b3e2-d050fabcf4e1"],"BaseTemplateIds":[]}}`
)

// titleField is an item that shows the id of the field Title.
var titleField = migration.Item{
	ID: "bf1eeb37-513d-479f-b47a-5ea16e6e3c36", Path: "/sitecore/content/Home",
	SharedFields: []migration.Field{{ID: "75577384-3c97-45da-a847-81b00500e250", Hint: "Title"}},
}

func TestRulesBecomeConditionsThatMeanTheSame(t *testing.T) {
	for _, tt := range []struct {
		rule, want string
		page       bool // whether it holds for page
		other      bool
	}{
		{rule(ofTemplate), `sitecore.isTemplate(event, "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}")`, true, false},
		{rule(ofBase), `sitecore.isOrDescendsFromTemplate(event, "{1930BBEB-7805-471A-A3BE-4858AC7CF696}")`, true, false},
		{rule(belowHome), `sitecore.isOrIsBelow(event, "{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}")`, true, false},
		{rule(one("{5DE6D53E-EA62-4D17-8BDD-FEBCD80AC07B}", `except="true" templateid="{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}"`)), `!sitecore.isTemplate(event, "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}")`, false, true},
		{rule("<and>" + ofTemplate + belowHome + "</and>"), `sitecore.isTemplate(event, "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}") && sitecore.isOrIsBelow(event, "{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}")`, true, false},
		{rule("<or>" + named(isEqual, "Old") + "<and>" + ofTemplate + belowHome + "</and></or>"), `sitecore.item(event).Name == "Old" || (sitecore.isTemplate(event, "{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}") && sitecore.isOrIsBelow(event, "{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}"))`, true, true},
		{rule("<not><or>" + named(isEqual, "Old") + ofBase + "</or></not>"), `!(sitecore.item(event).Name == "Old" || sitecore.isOrDescendsFromTemplate(event, "{1930BBEB-7805-471A-A3BE-4858AC7CF696}"))`, false, false},
		{rule("<not>" + named(isEqual, "Old") + "</not>"), `!(sitecore.item(event).Name == "Old")`, true, false},
		{rule(named(isEqual, "News (1)")), `sitecore.item(event).Name == "News (1)"`, true, false},
		{rule(named(isNotEqual, "Old")), `sitecore.item(event).Name != "Old"`, true, false},
		{rule(named(isEqualFold, "NEWS (1)")), `sitecore.item(event).Name.matches("(?i)^NEWS \\(1\\)$")`, true, false},
		{rule(named(isNotEqualFold, "OLD")), `!sitecore.item(event).Name.matches("(?i)^OLD$")`, true, false},
		{rule(named(contains, "ws")), `sitecore.item(event).Name.contains("ws")`, true, false},
		{rule(named(startsWith, "New")), `sitecore.item(event).Name.startsWith("New")`, true, false},
		{rule(named(endsWith, "ld")), `sitecore.item(event).Name.endsWith("ld")`, false, true},
		{rule(named(contains, "&quot;) || true || (&quot;")), `sitecore.item(event).Name.contains("\") || true || (\"")`, false, false},
		{rule(one("{4F5389E9-79B7-4FE1-A43A-EEA4ECD19C94}", `operatorid="{066602E2-ED1D-44C2-A698-7ED27FD3A2CC}" value="{5B4A1A0E-7C43-4C5A-9B0C-0F3F1A3D0A11}"`)), `sitecore.isItem(event, "{5B4A1A0E-7C43-4C5A-9B0C-0F3F1A3D0A11}")`, true, false},
		{rule(one("{4F5389E9-79B7-4FE1-A43A-EEA4ECD19C94}", `operatorid="`+isNotEqual+`" value="{5B4A1A0E-7C43-4C5A-9B0C-0F3F1A3D0A11}"`)), `!sitecore.isItem(event, "{5B4A1A0E-7C43-4C5A-9B0C-0F3F1A3D0A11}")`, false, true},
		{rule(one("{4F59DE1D-EA1D-4745-99AB-A846452E5532}", `operatorid="`+isEqual+`" value="en"`)), `sitecore.language(event) == "en"`, true, false},
		{rule(one("{4B889F07-94D4-4371-B522-9FFE8AF0BE12}", `operatorid="`+startsWith+`" value="/sitecore/content/"`)), `sitecore.path(event).startsWith("/sitecore/content/")`, true, false},
		{rule(titled(isEqual, "Welcome", "")), `sitecore.field(event, "{75577384-3C97-45DA-A847-81B00500E250}") == "Welcome"`, true, false},
		{rule(titled(isNotEqual, "Welcome", `except="true"`)), `!(sitecore.field(event, "{75577384-3C97-45DA-A847-81B00500E250}") != "Welcome")`, true, false},
		{rule(notEmpty), `!(sitecore.field(event, "{75577384-3C97-45DA-A847-81B00500E250}") == "")`, true, false},
		{rule("<not>" + empty + "</not>"), `!(sitecore.field(event, "{75577384-3C97-45DA-A847-81B00500E250}") == "")`, true, false},
		{rule(one("{4888ABBB-F17D-4485-B14B-842413F88732}", "")), `true`, true, true},
		{"<ruleset />", ``, true, true},
		{" \n", ``, true, true},
	} {
		got, _, err := migration.Condition(tt.rule, titleField)
		if got != tt.want || err != nil {
			t.Errorf("%s\n got %s\nwant %s\n%v", tt.rule, got, tt.want, err)
			continue
		}
		for data, want := range map[string]bool{page: tt.page, other: tt.other} {
			if holds := qualifies(t, got, data); holds != want {
				t.Errorf("%s: %t for %s", got, holds, data)
			}
		}
	}
}

func TestRulesWithoutTranslationSayWhatItIs(t *testing.T) {
	for text, want := range map[string]string{
		rule(one("{188A8AB5-30C2-4EB8-8AA6-9FD83591F9BE}", "")):                                                              "the condition {188A8AB5-30C2-4EB8-8AA6-9FD83591F9BE} has no translation",
		rule("<or>" + ofTemplate + one("{188A8AB5-30C2-4EB8-8AA6-9FD83591F9BE}", "") + "</or>"):                              "has no translation",
		rule(named(matchesRegexp, "^a")):                                                                                     "its operator has no translation",
		rule(one("{5DE6D53E-EA62-4D17-8BDD-FEBCD80AC07B}", `templateid="{76036F5E-CBCE-46D1-AF0A-4143F9B557AA}" depth="2"`)): `the attribute "depth"`,
		rule(one("{5DE6D53E-EA62-4D17-8BDD-FEBCD80AC07B}", "")):                                                              "has no templateid",
		rule(one("{5DE6D53E-EA62-4D17-8BDD-FEBCD80AC07B}", `templateid="Page"`)):                                             "names no id",
		rule(titled(isNotEqual, "Welcome", "")):                                                                              "standard values",
		rule(titled(isEqual, "Welcome", `except="true"`)):                                                                    "standard values",
		rule("<not>" + titled(contains, "Wel", "") + "</not>"):                                                               "standard values",
		rule(empty): "standard values",
		rule(strings.Replace(titled(isEqual, "a", ""), "Title", "Text", 1)): `the id of the field "Text" is not known`,
		rule("<xor>" + ofTemplate + "</xor>"):                               `"xor" in it is unknown`,
		rule("<and></and>"):                                                 "has no conditions",
		rule("<not>" + ofTemplate + ofBase + "</not>"):                      "not one condition",
		rule(ofTemplate + ofBase):                                           "no rule with one condition",
		rule(""):                                                            "no rule with one condition",
		"<ruleset><rule/></ruleset>":                                        "no rule with one condition",
		"<ruleset>" + strings.Repeat("<rule><conditions>"+ofTemplate+"</conditions></rule>", 2) + "</ruleset>": "several rules",
		"<ruleset>": "not well-formed",
		"<a/><b/>":  "not one element",
		"not XML":   "not one element",
		rule(strings.Repeat("<not>", 50) + ofTemplate + strings.Repeat("</not>", 50)):         "too large",
		rule("<or>" + strings.Repeat(named(isEqual, "a"), 999) + "</or>"):                     "too large",
		rule("<or>" + strings.Repeat(named(isEqual, strings.Repeat("a", 100)), 60) + "</or>"): "as a condition, the expression has",
	} {
		got, _, err := migration.Condition(text, titleField)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s\n got %q, %v\nwant %s", text, got, err, want)
		}
	}
	twice := titleField
	twice.SharedFields = append(twice.SharedFields, migration.Field{ID: "11111111-1111-1111-1111-111111111111", Hint: "title"})
	if _, _, err := migration.Condition(rule(titled(isEqual, "a", "")), twice); err == nil {
		t.Error("one of two fields of a name was chosen")
	}
}

func qualifies(t *testing.T, condition, data string) bool {
	t.Helper()
	r, err := route.Build(route.Table{Routes: []route.Route{{
		ID: "cms/a", Events: []string{"*"}, URL: "https://a.example/", Timeout: time.Second, Concurrency: 1, Retry: route.Retry{MaxAge: time.Hour},
		Condition: condition,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	holds, err := r.Lookup("cms/a").Qualifies(route.NewView(&event.Event{Type: "item:saved", Data: []byte(data)}))
	if err != nil {
		t.Fatal(err)
	}
	return holds
}

// checkManifest fails unless a manifest is one document about the object.
func checkManifest(t *testing.T, manifest []byte, o migration.Object) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(string(manifest)))
	var got struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
		Spec             struct{ ItemCondition string }
	}
	if err := decoder.Decode(&got); err != nil || got.Kind != o.Kind || got.Metadata.Name != o.Name {
		t.Fatalf("it is about %+v (%v):\n%s", got, err, manifest)
	}
	if err := decoder.Decode(new(any)); err == nil {
		t.Fatalf("there are two documents:\n%s", manifest)
	}
}
