package conformance_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/receiver"
)

const sitecoreFolder = "../../dispatcher/payload/testdata/sitecore"

// sitecoreData reads what Sitecore sends with each of its events, by their names.
func sitecoreData(t *testing.T) map[string]string {
	t.Helper()
	data := map[string]string{}
	for _, family := range []string{"item", "publish"} {
		files, err := filepath.Glob(filepath.Join(sitecoreFolder, family+"-*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			data[family+":"+strings.TrimPrefix(name, family+"-")] = string(text)
		}
	}
	if len(data) != 18 {
		t.Fatalf("there are %d events", len(data))
	}
	return data
}

func sentAs(s route.Sitecore) func(*route.Route) {
	return func(r *route.Route) { r.Format, r.Sitecore = route.FormatSitecore, &s }
}

func (d *target) sitecoreEvents(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	rc.On("/json", receiver.Sitecore)
	rc.On("/xml", receiver.Sitecore)
	const itemID = "95398c44-f232-41a8-b947-8aefec4ce6eb"
	n := d.tenant(t,
		hook("json", rc.URL("/json"), sentAs(route.Sitecore{ItemID: itemID, ItemName: "Sample Webhook"}), signed(signingKey)),
		hook("xml", rc.URL("/xml"), sentAs(route.Sitecore{ItemID: itemID, ItemName: "Sample & Webhook", XML: true}), signed(signingKey)))
	data := sitecoreData(t)
	ids := map[string]int{}
	for eventType, data := range data {
		ids[n.post(t, eventType, data)] = 2
	}

	got := map[string]int{}
	for _, r := range rc.Wait(t, 2*len(data)) {
		contentType := r.Header.Get("Content-Type")
		if err := receiver.CheckSitecore(contentType, r.Body); err != nil {
			t.Errorf("%s refuses %s: %v", r.Target, r.Body, err)
		}
		if want := fmt.Sprintf("application/%s; charset=utf-8", r.Target[1:]); contentType != want || r.Method != http.MethodPost {
			t.Errorf("%s %s has the content type %q", r.Method, r.Target, contentType)
		}
		if r.SignatureErr != nil {
			t.Errorf("%s: the signature is refused: %v", r.Target, r.SignatureErr)
		}
		if !strings.Contains(string(r.Body), itemID) || !strings.Contains(string(r.Body), "Sample ") {
			t.Errorf("%s does not say what webhook it is of: %s", r.Target, r.Body)
		}
		if r.Target == "/json" {
			var body struct{ EventName string }
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			got[body.EventName]++
		}
	}
	want := map[string]int{}
	for eventType := range data {
		want[eventType] = 1
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("events (-posted +arrived)\n" + diff)
	}
	if diff := cmp.Diff(ids, rc.IDs()); diff != "" {
		t.Error("ids (-want +got)\n" + diff)
	}
	for _, name := range []string{"json", "xml"} {
		if s := n.settled(t, name, 0); s.Last.Reason != outcome.Delivered || s.LastError != "" {
			t.Errorf("the report says of %s: %+v", name, s)
		}
	}
}

// documentedCommand is the one that docs/workflow.md shows.
func documentedCommand(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/workflow.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "-d @command.json")
	_, after, _ = strings.Cut(after, "```json\n")
	command, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("the page shows no command")
	}
	return command
}

// validates consents to what a strict receiver reads, in the language that it came in.
func validates(w http.ResponseWriter, r *http.Request) {
	contentType := r.Header.Get("Content-Type")
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = receiver.CheckSitecore(contentType, body)
	}
	answer := fmt.Sprintf(`{"IsValid":%t,"Message":""}`, err == nil)
	if strings.Contains(contentType, "xml") {
		answer = fmt.Sprintf(`<data><IsValid>%t</IsValid><Message></Message></data>`, err == nil)
	}
	typedReply(contentType, answer)(w, r)
}

func (d *target) sitecoreActions(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	var hooks []route.Route
	for _, language := range []string{"json", "xml"} {
		action := route.Sitecore{ItemID: "a562a1b8-5c1d-4935-bd0a-41fc49ed7ded", ItemName: "Sample Action", XML: language == "xml", Action: true}
		atState := action
		atState.AtState = true
		add := func(name string, s route.Sitecore, change func(*route.Route)) {
			hooks = append(hooks, hook(name+"-"+language, rc.URL("/"+name+"-"+language), signed(signingKey), sentAs(s), change))
		}
		add("asked", action, asks)
		add("command", action, told(ofTheCommand))
		add("state", atState, told(ofTheState))
		rc.On("/asked-"+language, validates)
		rc.On("/command-"+language, receiver.Sitecore)
		rc.On("/state-"+language, receiver.Sitecore)
	}
	n := d.tenant(t, hooks...)
	command := documentedCommand(t)
	if v := n.decide(t, command); !v.Valid || !v.Submitted || len(v.Validations) != 2 {
		t.Fatalf("the verdict is %+v", v)
	}
	eleven := []string{"ActionID", "ActionName", "Comments", "DataItem", "Message", "NextState", "PreviousState", "UserName", "WorkflowName", "WebhookItemId", "WebhookItemName"}
	for _, r := range rc.Wait(t, len(hooks)) {
		if err := receiver.CheckSitecore(r.Header.Get("Content-Type"), r.Body); err != nil || r.SignatureErr != nil {
			t.Errorf("%s: the body is refused: %v; the signature: %v: %s", r.Target, err, r.SignatureErr, r.Body)
		}
		names, last := members(t, strings.HasSuffix(r.Target, "xml"), r.Body)
		if diff := cmp.Diff(eleven, names); diff != "" {
			t.Errorf("%s: members (-want +got)\n%s", r.Target, diff)
		}
		if last == strings.HasPrefix(r.Target, "/state") {
			t.Errorf("%s: it says %t of a next state: %s", r.Target, last, r.Body)
		}
	}
	for _, h := range hooks {
		if s := n.settled(t, h.ID, 0); s.LastError != "" {
			t.Errorf("the report says of %s: %+v", h.ID, s)
		}
	}

	rc.On("/asked-xml", typedReply("application/xml; charset=utf-8", `<data><IsValid>false</IsValid><Message>The title is missing.</Message></data>`))
	again := strings.Replace(command, `"id": "`, `"id": "again-`, 1)
	if v := n.decide(t, again); v.Valid || v.Submitted || v.Message != "asked-xml: The title is missing." {
		t.Errorf("the refusal is %+v", v)
	}

	data, err := os.ReadFile(sitecoreFolder + "/workflow-command.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"asked-json", "command-xml", "state-json"} {
		c := plainJSON(`{"type":"workflow:command","data":` + string(data) + `}`)
		c.path, c.token = "/webhooks/"+name+"/test", *producer
		var got trial
		if n.call(t, c, 200, &got); !got.Passed {
			t.Errorf("%s: a test with a command is %+v", name, got)
		}
	}
}

// members returns the names of the members of a body, in their order, and whether
// there is a next state.
func members(t *testing.T, inXML bool, body []byte) (names []string, next bool) {
	t.Helper()
	if inXML {
		var whole struct {
			Members []struct {
				XMLName xml.Name
				Inner   string `xml:",innerxml"`
			} `xml:",any"`
		}
		if err := xml.Unmarshal(body, &whole); err != nil {
			t.Fatal(err)
		}
		for _, m := range whole.Members {
			names = append(names, m.XMLName.Local)
			next = next || m.XMLName.Local == "NextState" && m.Inner != ""
		}
		return names, next
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(name))
		next = next || name == "NextState" && string(value) != "null"
	}
	return names, next
}
