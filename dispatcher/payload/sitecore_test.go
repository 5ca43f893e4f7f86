package payload_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sitecore"
	"github.com/postrider/postrider/internal/scenario"
	"github.com/postrider/postrider/test/receiver"
)

const itemID = "95398c44-f232-41a8-b947-8aefec4ce6eb"

func sitecoreRoute(change ...func(*route.Sitecore)) *route.Route {
	s := &route.Sitecore{ItemID: itemID, ItemName: "Sample Webhook Event Handler"}
	for _, c := range change {
		c(s)
	}
	return &route.Route{Format: route.FormatSitecore, Sitecore: s}
}

func inXML(s *route.Sitecore)    { s.XML = true }
func anAction(s *route.Sitecore) { s.Action, s.ItemName = true, "Sample Webhook Action" }
func atState(s *route.Sitecore)  { s.AtState = true }

// posted is an event of a type as a producer posts it, with the data of a file.
func posted(tb testing.TB, eventType, file string) event.Event {
	tb.Helper()
	e := minimal("application/json", string(read(tb, filepath.Join("sitecore", file))))
	e.Type = eventType
	return e
}

// isGolden compares the body that r sends of e with a golden file, and the golden
// file with the rules of its language.
func isGolden(t *testing.T, file string, r *route.Route, e *event.Event) {
	t.Helper()
	body, contentType, err := payload.Render(r, e)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sitecore.XML {
		wellFormed(t, body)
	} else if !json.Valid(body) {
		t.Errorf("the body is not JSON: %s", body)
	}
	got := contentType + "\n\n" + string(body) + "\n"
	scenario.Golden(t, filepath.Join("testdata", "sitecore", file), []byte(got))
}

// isTaken fails when a strict receiver does not take what r sends of e.
func isTaken(t *testing.T, r *route.Route, e *event.Event) {
	t.Helper()
	body, contentType, err := payload.Render(r, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.CheckSitecore(contentType, body); err != nil {
		t.Errorf("a strict receiver refuses it: %v\n%s", err, body)
	}
}

// wellFormed fails when body is not one element of XML.
func wellFormed(t *testing.T, body []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(body))
	depth, roots := 0, 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the body is not XML: %v: %q", err, body)
		}
		switch token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
	if roots != 1 {
		t.Errorf("the body has %d roots: %q", roots, body)
	}
}

func TestEachEventOfSitecoreIsSentAsSitecoreSendsIt(t *testing.T) {
	if n := len(sitecore.Names()); n != 18 {
		t.Errorf("there are %d events", n)
	}
	for _, name := range sitecore.Names() {
		t.Run(name, func(t *testing.T) {
			file := strings.ReplaceAll(name, ":", "-")
			e := posted(t, name, file+".json")
			if err := sitecore.Check(&e); err != nil {
				t.Errorf("it would have been refused: %v", err)
			}
			isGolden(t, file+".json.golden", sitecoreRoute(), &e)
			isGolden(t, file+".xml.golden", sitecoreRoute(inXML), &e)
			isTaken(t, sitecoreRoute(), &e)
			isTaken(t, sitecoreRoute(inXML), &e)
		})
	}
}

func TestWhatSitecoreDoesNotDocumentIsSentOnAsItCame(t *testing.T) {
	for file, eventType := range map[string]string{"unusual": "item:locked", "sparse": "publish:end"} {
		e := posted(t, eventType, file+".json")
		if err := sitecore.Check(&e); err != nil {
			t.Errorf("it would have been refused: %v", err)
		}
		isGolden(t, file+".json.golden", sitecoreRoute(), &e)
		isGolden(t, file+".xml.golden", sitecoreRoute(inXML), &e)
	}
}

func TestWorkflowActionsAreToldAsSitecoreTellsThem(t *testing.T) {
	e := posted(t, sitecore.WorkflowCommand, "workflow-command.json")
	for file, change := range map[string]func(*route.Sitecore){
		"submit-at-command": anAction,
		"submit-at-state":   func(s *route.Sitecore) { anAction(s); atState(s) },
		"validation":        func(s *route.Sitecore) { anAction(s); s.ItemID = "a562a1b8-5c1d-4935-bd0a-41fc49ed7ded" },
	} {
		isGolden(t, file+".json.golden", sitecoreRoute(change), &e)
		isGolden(t, file+".xml.golden", sitecoreRoute(change, inXML), &e)
		isTaken(t, sitecoreRoute(change), &e)
		isTaken(t, sitecoreRoute(change, inXML), &e)
	}
	test := minimal("application/json", `{"text":"This is a test"}`)
	isGolden(t, "action-test.json.golden", sitecoreRoute(anAction), &test)
	isGolden(t, "action-test.xml.golden", sitecoreRoute(anAction, inXML), &test)
	isGolden(t, "workflow-command.json.golden", sitecoreRoute(), &e) // an event handler may listen to it
}

func TestEventsBeyondTheCatalogueAreSentWithTheirData(t *testing.T) {
	for file, e := range map[string]event.Event{
		"custom-object": minimal("", `{"Item": {"Id": "{110D559F-DEA5-42EA-9C1C-8A5DF7E70EF9}"},
			"first name": 1.50e3, "1st": [1, [2, [], [3]], {}, null, ""], "größe": "a\u0000\ufffe\uD83D\uDE00]]>", "xml:lang": true, "_x0041_": "_x0041_",
			"$type": null, "": {}, "webhookitemid": "forged", "\u0045ventName": "forged", "$context": {"Path": "/"}}`),
		"custom-array":  minimal("application/vnd.acme+json", ` [{"a": 1}, "b"] `),
		"custom-text":   minimal("text/plain", "say \"hello\" & go"),
		"custom-binary": minimal("image/png", "\x89PNG\r\n"),
		"custom-none":   minimal("", ""),
	} {
		isGolden(t, file+".json.golden", sitecoreRoute(), &e)
		isGolden(t, file+".xml.golden", sitecoreRoute(inXML), &e)
	}
}

func TestWhatReceiversInNETCannotReadIsNotSent(t *testing.T) {
	for name, tt := range map[string]struct{ eventType, data, want string }{
		"null for a number":          {"publish:statusUpdated", `{"Status":{"Processed":null,"CurrentTargetName":null}}`, `"Status":{"CurrentTargetName":null,"Messages":[]}`},
		"null for a boolean":         {"publish:statusUpdated", `{"Status":{"Failed":null}}`, `"Status":{"Messages":[]}`},
		"null for a GUID":            {"item:deleted", `{"ParentID":null}`, ""},
		"half of a pair":             {"a", `{"a":"\ud83dx\uDE00\uD83D\uDE00\\ud83d\n\u00fc😀","b":["\udbff"]}`, `"a":"\ufffdx\ufffd\uD83D\uDE00\\ud83d\n\u00fc😀","b":["\ufffd"]`},
		"half of a pair in a name":   {"a", `{"\ud83d":{"\ud83d\ud83d\ude00":1}}`, `"\ufffd":{"\ufffd\ud83d\ude00":1}`},
		"half of a pair as the data": {"a", `"\ud83d"`, `"Data":"\ufffd"`},
	} {
		e := minimal("", tt.data)
		e.Type = tt.eventType
		body, _, err := payload.Render(sitecoreRoute(), &e)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"EventName":"` + tt.eventType + `",` + tt.want
		if !strings.HasPrefix(string(body), want) || !strings.HasPrefix(string(body[len(want):]), `,"WebhookItemId"`) && tt.want != "" {
			t.Errorf("%s: %s, want %s", name, body, want)
		}
	}
}

func TestTheVendorsOwnSampleComesOutAsItIs(t *testing.T) {
	sample := itemAdded(t)
	body, _, err := payload.Render(sitecoreRoute(), &sample)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, sample.Data); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(body)); diff != "" {
		t.Error("(-sample +sent)\n" + diff)
	}
}

func TestWebhooksOfOneShapeShareTheDraft(t *testing.T) {
	e := posted(t, "item:saved", "item-saved.json")
	form := func(r *route.Route) *payload.Form {
		f, err := payload.NewForm(r)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	named := func(s *route.Sitecore) { s.ItemName = `Say "hi" & <go>` }
	for _, change := range [][]func(*route.Sitecore){nil, {inXML}, {anAction}, {anAction, inXML}, {anAction, atState}} {
		one, other := form(sitecoreRoute(change...)), form(sitecoreRoute(append(change, named)...))
		if one.Shape != other.Shape || one.Shared() {
			t.Errorf("shapes %+v and %+v, shared %t", one.Shape, other.Shape, one.Shared())
		}
		draft, err := one.Draft(&e)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := payload.Render(sitecoreRoute(append(change, named)...), &e)
		if err != nil {
			t.Fatal(err)
		}
		if got := other.Body(draft); !bytes.Equal(got, want) {
			t.Errorf("of a shared draft it is\n%s\nalone\n%s", got, want)
		}
	}
	if form(sitecoreRoute()).Shape == form(sitecoreRoute(inXML)).Shape {
		t.Error("JSON and XML have one shape")
	}
	if standard := form(&route.Route{}); !standard.Shared() {
		t.Error("bodies of the format Standard are not shared")
	}
}

func TestNamesBeyondASCIIAreSuchThatEveryParserTakesThem(t *testing.T) {
	inXML := func(names ...string) []byte {
		data, err := json.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data[1:len(data)-1]), `","`, `":1,"`) // no name has a quote
		e := minimal("", "{"+text+":1}")
		body, _, err := payload.Render(sitecoreRoute(inXML), &e)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for first := rune(0x80); first <= 0xFFFF; first += 0x80 {
		var names []string
		for r := first; r < first+0x80; r++ {
			if r < 0xD800 || r >= 0xE000 {
				names = append(names, string(r), "a"+string(r))
			}
		}
		if names != nil {
			wellFormed(t, inXML(names...))
		}
	}
	for _, name := range []string{"größe", "Über", "价格", "имя", "όνομα"} {
		if body := inXML(name); !strings.Contains(string(body), "<"+name+">1</"+name+">") {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestXMLThatWouldGrowWithoutBoundIsRefused(t *testing.T) {
	name := strings.Repeat("n", 4096)
	for what, data := range map[string]string{
		"many elements": `{"` + name + `":[` + strings.Repeat("1,", 2048) + `1]}`,
		"deep arrays":   `{"` + name + `":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`,
		"escapes":       `{"a":"` + strings.Repeat("&", 1<<20) + `"}`,
		"a small event": `{"` + name[:999] + `":[1,2,3,4,5,6,7,8]}`,
	} {
		e := minimal("", data)
		if body, _, err := payload.Render(sitecoreRoute(inXML), &e); !errors.Is(err, payload.ErrLarge) {
			t.Errorf("%s: %d bytes were made of %d: %v", what, len(body), len(data), err)
		}
		if _, _, err := payload.Render(sitecoreRoute(), &e); err != nil {
			t.Errorf("%s, as JSON: %v", what, err)
		}
	}
}

func FuzzSitecoreIsJSONAndXML(f *testing.F) {
	for _, name := range []string{"item:copied", "item:saved", "publish:fail", sitecore.WorkflowCommand} {
		f.Add(name, "application/json", read(f, filepath.Join("sitecore", strings.ReplaceAll(name, ":", "-")+".json")))
	}
	f.Add("item:locked", "application/json", read(f, filepath.Join("sitecore", "unusual.json")))
	f.Add("a", "text/plain", []byte("<&>\x00"))
	f.Add("item:added", "", []byte(`{"Item":[{"Id":null}],"a b":[[1],[]],"Item":{"SharedFields":null}}`))
	f.Fuzz(func(t *testing.T, typ, contentType string, data []byte) {
		e := event.Event{Type: typ, ContentType: contentType, Data: data, Accepted: accepted}
		for _, change := range [][]func(*route.Sitecore){nil, {anAction}, {anAction, atState}} {
			body, _, err := payload.Render(sitecoreRoute(change...), &e)
			if err != nil {
				if e.IsJSON() && event.ValidJSON(data) {
					t.Errorf("valid JSON was refused: %v", err)
				}
				continue
			}
			var members struct {
				EventName, WebhookItemID, WebhookItemName string
			}
			if err := json.Unmarshal(body, &members); err != nil || members.WebhookItemID != itemID {
				t.Fatalf("%v: %s", err, body)
			}
			if body, _, err := payload.Render(sitecoreRoute(append(change, inXML)...), &e); err == nil {
				wellFormed(t, body)
			}
		}
	})
}
