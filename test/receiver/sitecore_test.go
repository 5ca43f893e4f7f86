package receiver_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/test/receiver"
)

const (
	inJSON, inXML = "application/json; charset=utf-8", "application/xml; charset=utf-8"

	id       = "110d559f-dea5-42ea-9c1c-8a5df7e70ef9"
	itemJSON = `{"Language":"en","Version":1,"Id":"` + id + `","Name":"","ParentId":"` + id + `","TemplateId":"` + id + `","MasterId":"` + id + `","SharedFields":[],"UnversionedFields":[],"VersionedFields":[]}`
	bodyJSON = `{"EventName":"item:added","Item":` + itemJSON + `,"WebhookItemId":"` + id + `","WebhookItemName":"a"}`
	bodyXML  = `<event><EventName>item:deleted</EventName><Item><Language>en</Language><Version>1</Version><Id>` + id + `</Id><Name /><ParentId>` + id + `</ParentId><TemplateId>` + id +
		`</TemplateId><MasterId>` + id + `</MasterId></Item><ParentID>` + id + `</ParentID><WebhookItemId>` + id + `</WebhookItemId><WebhookItemName>a</WebhookItemName></event>`
	actionXML = `<data><ActionID>` + id + `</ActionID><ActionName>a</ActionName><Comments><Key>a</Key><Value>b</Value></Comments><DataItem><Language>en</Language><Version>1</Version><Id>` + id +
		`</Id><Name /><ParentId>` + id + `</ParentId><TemplateId>` + id + `</TemplateId><MasterId>` + id + `</MasterId></DataItem><Message /><NextState /><PreviousState><DisplayName /><FinalState>true</FinalState><Icon />` +
		`<StateID>{721CD32A-7489-475E-9C7A-24C8C7DE1DE5}</StateID></PreviousState><UserName /><WorkflowName /><WebhookItemId>` + id + `</WebhookItemId><WebhookItemName>a</WebhookItemName></data>`
)

func TestAReceiverMadeForSitecoreIsStrict(t *testing.T) {
	for name, tt := range map[string]struct {
		contentType, body, old, by string
		refusal                    string // empty = it is taken
	}{
		"JSON":                         {contentType: inJSON, body: bodyJSON},
		"XML":                          {contentType: inXML, body: bodyXML},
		"an action":                    {contentType: inXML, body: actionXML},
		"another media type":           {contentType: "text/xml; charset=utf-8", body: bodyXML, refusal: "content type"},
		"no charset":                   {contentType: "application/json", body: bodyJSON, refusal: "content type"},
		"an unknown event":             {inJSON, bodyJSON, "item:added", "item:invented", `"item:invented" is unknown`},
		"an unknown member":            {inJSON, bodyJSON, `"Item"`, `"a":1,"Item"`, `unknown field "a"`},
		"an unknown member of a part":  {inJSON, bodyJSON, `"Version"`, `"a":1,"Version"`, `unknown field "Item.a"`},
		"a member in another case":     {inJSON, bodyJSON, `"WebhookItemName"`, `"WebhookItemname"`, `unknown field "WebhookItemname"`},
		"a member that is there twice": {inJSON, bodyJSON, `"Version":1`, `"Version":1,"Version":2`, `duplicate field "Item.Version"`},
		"something behind the end":     {inJSON, bodyJSON, `"a"}`, `"a"}{}`, "after top-level value"},
		"a missing member":             {inJSON, bodyJSON, `"Version":1,`, ``, "Item.Version is missing"},
		"a missing list":               {inJSON, bodyJSON, `"SharedFields":[],`, ``, "Item.SharedFields is missing"},
		"a member of another type":     {inJSON, bodyJSON, `"Version":1`, `"Version":"1"`, "Version"},
		"a member that is null":        {inJSON, bodyJSON, `"Version":1`, `"Version":null`, "Item.Version is missing"},
		"an id in braces":              {inJSON, bodyJSON, `"Id":"` + id, `"Id":"{` + id + "}", "Item.ID is"},
		"a template's name":            {inJSON, bodyJSON, `"Version"`, `"TemplateName":"a","Version"`, ""},
		"an unknown element":           {inXML, bodyXML, "<Item>", "<a>b</a><Item>", "is unknown"},
		"an unknown element of one":    {inXML, bodyXML, "<Item>", "<Item><a>b</a>", "is unknown"},
		"a missing element":            {inXML, bodyXML, "<ParentID>" + id + "</ParentID>", "", "ParentID is missing"},
		"another root":                 {inXML, strings.ReplaceAll(bodyXML, "event>", "data>"), "", "", "the root"},
		"an element that is cut":       {inXML, bodyXML, "</event>", "", "XML"},
		"a state's id without braces":  {inXML, actionXML, "{721CD32A-7489-475E-9C7A-24C8C7DE1DE5}", id, "PreviousState.StateID is"},
		"a field":                      {inJSON, bodyJSON, `"SharedFields":[]`, `"SharedFields":[{"Id":"` + id + `","Value":""}]`, ""},
		"a field without a value":      {inJSON, bodyJSON, `"SharedFields":[]`, `"SharedFields":[{"Id":"` + id + `"}]`, "Item.SharedFields[0].Value is missing"},
	} {
		body := strings.Replace(tt.body, tt.old, tt.by, 1)
		if tt.old != "" && body == tt.body {
			t.Errorf("%s: nothing was replaced", name)
		}
		err := receiver.CheckSitecore(tt.contentType, []byte(body))
		if (err == nil) != (tt.refusal == "") || err != nil && !strings.Contains(err.Error(), tt.refusal) {
			t.Errorf("%s: %v, want %q", name, err, tt.refusal)
		}
	}
}
