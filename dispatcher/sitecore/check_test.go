package sitecore_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/sitecore"
)

const (
	anItem   = `{"Language":"en","Version":1,"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","Name":"Home","ParentId":"{0DE95AE4-41AB-4D01-9EB0-67441B7C2450}","TemplateId":"76036f5ecbce46d1af0a4143f9b557aa"}`
	withItem = `{"Item":` + anItem + `}`
)

// itemWith is data with an item in which one part is replaced.
func itemWith(part, by string) string { return strings.Replace(withItem, part, by, 1) }

func check(eventType, contentType, data string) error {
	return sitecore.Check(&event.Event{Type: eventType, ContentType: contentType, Data: []byte(data)})
}

func TestDataThatIsNotSitecoresIsRefusedByTheNameOfTheProperty(t *testing.T) {
	for name, tt := range map[string]struct {
		eventType, data string
		path, remedy    string // parts of the error
	}{
		"no data":                      {"item:added", ``, `"item:added" has to have data`, "with Item"},
		"data that is not JSON":        {"item:added", `{"Item":`, `"item:added" has to have data`, "use another type"},
		"data that is no object":       {"item:copied", `[]`, "The data is not an object", "use another type"},
		"null":                         {"item:added", `null`, "The data is not an object", "use another type"},
		"no item":                      {"item:added", `{}`, "Item is missing", "an object; add it"},
		"an item in lower case":        {"item:added", `{"item":` + anItem + `}`, "Item is there with other letters", "spell it as"},
		"an item in both":              {"item:added", itemWith(`{"Item"`, `{"\u0069tem":7,"Item"`), "Item is there with other letters", "spell it as"},
		"an item that is null":         {"item:added", `{"Item":null}`, "Item is missing", "add it"},
		"an item that is a string":     {"item:added", `{"Item":"a"}`, "Item is not an object", "correct it"},
		"no id":                        {"item:saved", itemWith(`"Id"`, `"Identity"`), "Item.Id is missing", "a GUID"},
		"an id in upper case":          {"item:saved", itemWith(`"Id"`, `"ID"`), "Item.Id is there with other letters", "spell it as"},
		"an id that is none":           {"item:locked", itemWith("110d559f", "110d559g"), "Item.Id is not a GUID", "correct it"},
		"an id in the wrong brackets":  {"item:locked", itemWith("2450}", "2450)"), "Item.ParentId is not a GUID", "correct it"},
		"an id with a dash elsewhere":  {"item:locked", itemWith("110d559f-d", "110d559fd-"), "Item.Id is not a GUID", "correct it"},
		"an id that is a number":       {"item:locked", itemWith(`"76036f5ecbce46d1af0a4143f9b557aa"`, "7"), "Item.TemplateId is not a GUID", "correct it"},
		"a version that is a string":   {"item:unlocked", itemWith(`"Version":1`, `"Version":"1"`), "Item.Version is not a whole number", "correct it"},
		"a version with a fraction":    {"item:unlocked", itemWith(`"Version":1`, `"Version":1.5`), "Item.Version is not a whole number", "correct it"},
		"a version that is too high":   {"item:unlocked", itemWith(`"Version":1`, `"Version":2147483648`), "Item.Version is not a whole number", "32 bits"},
		"no language":                  {"item:deleting", itemWith(`"Language":"en",`, ``), "Item.Language is missing", "a string"},
		"no name":                      {"item:deleting", itemWith(`"Name":"Home",`, ``), "Item.Name is missing", "a string"},
		"no template":                  {"item:deleting", itemWith(`"TemplateId"`, `"Template"`), "Item.TemplateId is missing", "a GUID"},
		"fields that are no list":      {"item:added", itemWith(`{"Lang`, `{"SharedFields":{},"Lang`), "Item.SharedFields is not an array", "correct it"},
		"a field that is no object":    {"item:added", itemWith(`{"Lang`, `{"SharedFields":[{"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9"},7],"Lang`), "Item.SharedFields[1] is not an object", "correct it"},
		"a field without an id":        {"item:added", itemWith(`{"Lang`, `{"VersionedFields":[{"Value":""}],"Lang`), "Item.VersionedFields[0].Id is missing", "add it"},
		"a value that is a number":     {"item:added", itemWith(`{"Lang`, `{"UnversionedFields":[{"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","Value":7}],"Lang`), "Item.UnversionedFields[0].Value is not a string", "correct it"},
		"a master that is none":        {"item:added", itemWith(`{"Lang`, `{"MasterId":"","Lang`), "Item.MasterId is not a GUID", "correct it"},
		"no parent of what is deleted": {"item:deleted", withItem, "ParentID is missing", "a GUID"},
		"no changes":                   {"item:saved", withItem, "Changes is missing", "an object"},
		"a change without a field":     {"item:saved", itemWith(`{"Item"`, `{"Changes":{"FieldChanges":[{"Value":"a"}]},"Item"`), "Changes.FieldChanges[0].FieldId is missing", "a GUID"},
		"changes that do not say":      {"item:saved", itemWith(`{"Item"`, `{"Changes":{"IsSharedFieldChanged":0},"Item"`), "Changes.IsSharedFieldChanged is not true or false", "correct it"},
		"no copy":                      {"item:copied", `{"Source":` + anItem + `}`, "Copy is missing", "an object"},
		"no old parent":                {"item:moved", withItem, "OldParentID is missing", "a GUID"},
		"no old name":                  {"item:renamed", withItem, "OldName is missing", "a string"},
		"no old value":                 {"item:sortorderchanged", itemWith(`{"Item"`, `{"OldValue":null,"Item"`), "OldValue is missing", "a string"},
		"no template changes":          {"item:templateChanged", withItem, "TemplateChanges is missing", "an object"},
		"changes that are no list":     {"item:templateChanged", itemWith(`{"Item"`, `{"TemplateChanges":{"Changes":1},"Item"`), "TemplateChanges.Changes is not an array", "correct it"},
		"no options":                   {"publish:begin", `{}`, "PublisherOptions is missing", "an object"},
		"languages that are none":      {"publish:end", `{"PublisherOptions":{"Languages":[1]}}`, "PublisherOptions.Languages[0] is not a string", "correct it"},
		"no status":                    {"publish:statusUpdated", `{}`, "Status is missing", "an object"},
		"a state that is a name":       {"publish:statusUpdated", `{"Status":{"State":"Running"}}`, "Status.State is not a whole number", "correct it"},
		"no exception":                 {"publish:fail", `{"PublisherOptions":{}}`, "Exception is missing", "a value"},
		"a command without an item":    {sitecore.WorkflowCommand, `{}`, "DataItem is missing", "an object"},
		"a state that is none":         {sitecore.WorkflowCommand, `{"DataItem":` + anItem + `,"NextState":{"StateID":"Draft"}}`, "NextState.StateID is not a GUID", "correct it"},
	} {
		t.Run(name, func(t *testing.T) {
			err := check(tt.eventType, "application/json", tt.data)
			if err == nil {
				t.Fatal("it is accepted")
			}
			for _, part := range []string{tt.path, tt.remedy, tt.eventType} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "another type") == (tt.eventType == sitecore.WorkflowCommand) {
				t.Errorf("%q", err)
			}
		})
	}
	if err := check("item:added", "text/plain", withItem); err == nil {
		t.Error("an item in text is accepted")
	}
}

func TestDataThatIsSitecoresIsAcceptedWithAllElseThatIsInIt(t *testing.T) {
	for name, tt := range map[string]struct{ eventType, data string }{
		"the least":                    {"item:added", withItem},
		"with space around":            {"item:added", " \n" + withItem + "\t"},
		"what is unknown":              {"item:added", itemWith(`{"Item"`, `{"By":{"a":[[[]]]},"Item"`)},
		"null where nothing is needed": {"item:added", itemWith(`{"Lang`, `{"TemplateName":null,"MasterId":null,"SharedFields":null,"Lang`)},
		"the last of two":              {"item:added", `{"Item":7,"Item":` + anItem + `}`},
		"a name in escapes":            {"item:added", itemWith(`"Item"`, `"\u0049tem"`)},
		"an id in escapes":             {"item:added", itemWith(`"110d559f`, `"\u0031\u00310d559f`)},
		"an exception of any kind":     {"publish:fail", `{"PublisherOptions":{},"Exception":"it broke"}`},
		"a type of one's own":          {"order:paid", `{`},
		"a type in other case":         {"item:Added", `7`},
		"a command":                    {sitecore.WorkflowCommand, `{"DataItem":` + anItem + `,"Comments":[],"NextState":null,"PreviousState":{"StateID":"{721CD32A-7489-475E-9C7A-24C8C7DE1DE5}"}}`},
	} {
		if err := check(tt.eventType, "", tt.data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyEventsOfSitecoreAreKnown(t *testing.T) {
	for name, want := range map[string]bool{"item:saved": true, "publish:statusUpdated": true, "item:Saved": false, "item_saved": false, sitecore.WorkflowCommand: false, "": false} {
		if sitecore.Known(name) != want {
			t.Errorf("%q is known: %t", name, !want)
		}
	}
}

func TestAMisspeltNameHasANearestOne(t *testing.T) {
	for name, want := range map[string]string{
		"item_saved": "item:saved", "ITEM:SAVED": "item:saved", "item:save": "item:saved", "items:saved": "item:saved", "itemsaved": "item:saved",
		"item:versionadded": "item:versionAdded", "item:version_added": "item:versionAdded", "item:sortOrderChanged": "item:sortorderchanged",
		"publish:ends": "publish:end", "publish:failed": "publish:fail", "publish:begin:": "publish:begin", "workflow:Commands": "workflow:command",
		"item:saved": "", "workflow:command": "", "item:*": "", "item:save*": "", "order:paid": "", "item:created": "", "publish": "", "": "",
	} {
		if got, ok := sitecore.Nearest(name); got != want || ok != (want != "") {
			t.Errorf("%q is nearest to %q, want %q", name, got, want)
		}
	}
}

func TestAGUIDIsReadAsDotNETReadsIt(t *testing.T) {
	const bare = "110d559f-dea5-42ea-9c1c-8a5df7e70ef9"
	for _, s := range []string{bare, strings.ToUpper(bare), "{" + bare + "}", "(" + bare + ")", strings.ReplaceAll(bare, "-", "")} {
		if got, ok := sitecore.GUID(s); !ok || got != bare {
			t.Errorf("%s became %q, %t", s, got, ok)
		}
	}
	for _, s := range []string{"", "{}", bare[1:], "{" + bare + ")", "[" + bare + "]", "urn:uuid:" + bare, strings.Replace(bare, "-", "0", 1), bare + "0", strings.Replace(bare, "1", "g", 1)} {
		if got, ok := sitecore.GUID(s); ok {
			t.Errorf("%s became %q", s, got)
		}
	}
}

func FuzzWhatIsWrittenIsReadAgainAsTheSame(f *testing.F) {
	f.Add("item:added", []byte(withItem))
	f.Add("item:saved", []byte(itemWith(`{"Item"`, `{"Changes":{"FieldChanges":[{"FieldId":"{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}"}]},"a":[ 1, {"b" : null} ],"Item"`)))
	f.Add("publish:fail", []byte(`{"PublisherOptions":{"PublishingTargets":["a","8E080626DDC34EF4A1D1F0BE4A200254"]},"Exception":{}}`))
	f.Add(sitecore.WorkflowCommand, []byte(`{"DataItem":`+anItem+`,"Comments":null}`))
	f.Add("a", []byte(`{"a":{},"\u0045ventName":1,"$context":2}`))
	f.Fuzz(func(t *testing.T, eventType string, data []byte) {
		e := event.Event{Type: eventType, Data: data}
		err := sitecore.Check(&e)
		data = bytes.TrimSpace(data)
		if !event.ValidJSON(data) || data[0] != '{' {
			if err == nil && (sitecore.Known(eventType) || eventType == sitecore.WorkflowCommand) {
				t.Fatalf("%q is accepted", data)
			}
			return
		}
		once := object(t, sitecore.AppendEvent(nil, eventType, data))
		if twice := object(t, sitecore.AppendEvent(nil, eventType, once)); !bytes.Equal(once, twice) {
			t.Errorf("%s becomes %s and then %s", data, once, twice)
		}
		if again := sitecore.Check(&event.Event{Type: eventType, Data: once}); (again == nil) != (err == nil) {
			t.Errorf("%s: %v; %s: %v", data, err, once, again)
		}
		object(t, sitecore.AppendAction(nil, data, len(data)%2 == 0))
	})
}

// object makes an object of members that have each a comma before it.
func object(t *testing.T, members []byte) []byte {
	t.Helper()
	text := append([]byte("{"), bytes.TrimPrefix(members, []byte(","))...)
	text = append(text, '}')
	if !json.Valid(text) {
		t.Fatalf("it is not JSON: %s", text)
	}
	return text
}

func BenchmarkCheck(b *testing.B) {
	field := `{"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","Value":"` + strings.Repeat("page ", 20) + `"},`
	e := event.Event{Type: "item:added", Data: []byte(itemWith(`{"Lang`, `{"SharedFields":[`+strings.TrimSuffix(strings.Repeat(field, 6), ",")+`],"Lang`))}
	b.SetBytes(int64(len(e.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := sitecore.Check(&e); err != nil {
			b.Fatal(err)
		}
	}
}
