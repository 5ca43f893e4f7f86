package answer_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postrider/postrider/dispatcher/answer"
)

const (
	jsonType = "application/json"
	xmlType  = "application/xml"
)

func TestAVerdictIsReadFromJSONAndXML(t *testing.T) {
	yes, no := answer.Verdict{IsValid: true}, answer.Verdict{Message: "The title is missing."}
	for _, tt := range []struct {
		name, contentType, body string
		want                    answer.Verdict
	}{
		{"as documented, valid", jsonType, `{"IsValid":true,"Message":""}`, yes},
		{"as documented, not valid", jsonType, `{"IsValid":false,"Message":"The title is missing."}`, no},
		{"as documented, XML", xmlType, `<data><IsValid>true</IsValid><Message></Message></data>`, yes},
		{"XML, not valid", xmlType, `<data><IsValid>false</IsValid><Message>The title is missing.</Message></data>`, no},

		{"no message", jsonType, `{"IsValid":true}`, yes},
		{"a null message", jsonType, `{"IsValid":true,"Message":null}`, yes},
		{"names in lower case", jsonType, `{"isValid":false,"message":"The title is missing."}`, no},
		{"members that nobody asked for", jsonType, `{"Code":[1,{"IsValid":false}],"IsValid":true}`, yes},
		{"a charset", "application/json; charset=UTF-8", `{"IsValid":true}`, yes},
		{"another JSON type", "application/problem+json", `{"IsValid":true}`, yes},
		{"text/json", "text/json; charset=utf-8", `{"IsValid":true}`, yes},
		{"no type, JSON", "", ` {"IsValid":true}`, yes},
		{"plain text, JSON", "text/plain; charset=utf-8", `{"IsValid":true}`, yes},
		{"a byte order mark", jsonType, "\ufeff" + `{"IsValid":true}`, yes},
		{"a byte order mark and no type", "", "\ufeff\n" + `<data><IsValid>1</IsValid></data>`, yes},

		{"an XML declaration", "text/xml", `<?xml version="1.0" encoding="utf-8"?>` + "\n<data>\n <IsValid>true</IsValid>\n</data>\n", yes},
		{"no type, XML", "", `<data><IsValid>0</IsValid><Message>The title is missing.</Message></data>`, no},
		{"the spelling of .NET", xmlType, `<data><IsValid>True</IsValid></data>`, yes},
		{"white space around", xmlType, `<data><IsValid> false </IsValid><Message> The title is missing. </Message></data>`, no},
		{"an empty message", xmlType, `<data><IsValid>true</IsValid><Message/></data>`, yes},
		{"CDATA and references", xmlType, `<data><IsValid>false</IsValid><Message>The <![CDATA[title]]> is&#32;missing.</Message></data>`, no},
		{"comments and namespaces", "application/soap+xml", `<!-- a --><data xmlns="urn:x" xmlns:i="urn:y"><!-- b --><IsValid>true</IsValid></data><!-- c -->`, yes},
		{"elements that nobody asked for", xmlType, `<data><Code><IsValid>false</IsValid></Code><IsValid>true</IsValid></data>`, yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := answer.Read(tt.contentType, []byte(tt.body)); err != nil || got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAnythingElseIsNoVerdict(t *testing.T) {
	for _, tt := range []struct{ name, contentType, body, says string }{
		{"nothing", jsonType, "", "empty"},
		{"white space", "", " \r\n", "empty"},
		{"a byte order mark alone", "", "\ufeff", "empty"},
		{"HTML", "text/html", `{"IsValid":true}`, "neither JSON nor XML"},
		{"a malformed type", "json; ;", `{"IsValid":true}`, "neither JSON nor XML"},
		{"plain text", "text/plain", "true", "neither JSON nor XML"},
		{"another charset", "application/json; charset=iso-8859-1", `{"IsValid":true}`, "not UTF-8"},
		{"UTF-16", jsonType, "\xff\xfe{\x00}\x00", "not UTF-8"},
		{"Latin-1", jsonType, "{\"IsValid\":true,\"Message\":\"\xe4\"}", "not UTF-8"},

		{"half an object", jsonType, `{"IsValid":true`, "not valid JSON"},
		{"two objects", jsonType, `{"IsValid":true}{"IsValid":false}`, "not valid JSON"},
		{"trailing garbage", jsonType, `{"IsValid":true} x`, "not valid JSON"},
		{"XML that is declared JSON", jsonType, `<data><IsValid>true</IsValid></data>`, "not valid JSON"},
		{"an array", jsonType, `[{"IsValid":true}]`, "no JSON object"},
		{"a bare true", jsonType, `true`, "no JSON object"},
		{"no IsValid", jsonType, `{"Message":"fine"}`, "no IsValid"},
		{"an IsValid further inside", jsonType, `{"d":{"IsValid":true}}`, "no IsValid"},
		{"IsValid as a string", jsonType, `{"IsValid":"true"}`, "no boolean"},
		{"IsValid as a number", jsonType, `{"IsValid":1}`, "no boolean"},
		{"IsValid null", jsonType, `{"IsValid":null}`, "no boolean"},
		{"IsValid twice", jsonType, `{"IsValid":false,"IsValid":true}`, "twice"},
		{"IsValid in two cases", jsonType, `{"IsValid":false,"isvalid":true}`, "twice"},
		{"IsValid with an escape, twice", jsonType, `{"IsValid":false,"\u0049sValid":true}`, "twice"},
		{"Message twice", jsonType, `{"IsValid":true,"Message":"","message":""}`, "twice"},
		{"Message as a number", jsonType, `{"IsValid":true,"Message":1}`, "no string"},

		{"JSON that is declared XML", xmlType, `{"IsValid":true}`, "text or elements"},
		{"an open element", xmlType, `<data><IsValid>true</IsValid>`, "not valid XML"},
		{"elements that cross", xmlType, `<data><IsValid>true</data></IsValid>`, "not valid XML"},
		{"another root", xmlType, `<event><IsValid>true</IsValid></event>`, "root element"},
		{"two roots", xmlType, `<data><IsValid>true</IsValid></data><data/>`, "text or elements"},
		{"trailing text", xmlType, `<data><IsValid>true</IsValid></data>x`, "text or elements"},
		{"text in the root", xmlType, `<data>yes<IsValid>true</IsValid></data>`, "text or elements"},
		{"no IsValid, XML", xmlType, `<data><Message>fine</Message></data>`, "no IsValid"},
		{"an empty root", xmlType, `<data/>`, "no IsValid"},
		{"IsValid yes", xmlType, `<data><IsValid>yes</IsValid></data>`, "no boolean"},
		{"IsValid empty", xmlType, `<data><IsValid/></data>`, "no boolean"},
		{"IsValid with elements", xmlType, `<data><IsValid><b>true</b></IsValid></data>`, "text or elements"},
		{"IsValid twice, XML", xmlType, `<data><IsValid>false</IsValid><IsValid>true</IsValid></data>`, "twice"},
		{"a document type", xmlType, `<!DOCTYPE data [<!ENTITY t "true">]><data><IsValid>&t;</IsValid></data>`, "document type"},
		{"an unknown entity", xmlType, `<data><IsValid>&true;</IsValid></data>`, "not valid XML"},
		{"a declared charset", xmlType, `<?xml version="1.0" encoding="utf-16"?><data><IsValid>true</IsValid></data>`, "not valid XML"},
		{"a declaration alone", xmlType, `<?xml version="1.0"?>`, "not valid XML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := answer.Read(tt.contentType, []byte(tt.body))
			if err == nil || !strings.Contains(err.Error(), tt.says) || got != (answer.Verdict{}) {
				t.Errorf("got %+v, %v, want %q", got, err, tt.says)
			}
		})
	}
}

func TestAMessageIsBoundedTextForPeople(t *testing.T) {
	got, err := answer.Read(jsonType, []byte(`{"IsValid":false,"Message":"`+strings.Repeat("ä", answer.MaxMessage)+`"}`))
	if err != nil || len(got.Message) > answer.MaxMessage || len(got.Message) < answer.MaxMessage-8 || !strings.HasSuffix(got.Message, "ä…") {
		t.Errorf("%d bytes, %v", len(got.Message), err)
	}
	got, err = answer.Read(jsonType, []byte(`{"IsValid":false,"Message":"\u001b[2Jone\ntwo\u0007\ud800"}`))
	if err != nil || got.Message != "[2Jone\ntwo\ufffd" {
		t.Errorf("%q, %v", got.Message, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []struct{ contentType, body string }{
		{jsonType, `{"IsValid":true,"Message":"a"}`},
		{"", "\ufeff<?xml version=\"1.0\"?><data><IsValid>false</IsValid><Message>&lt;</Message></data>"},
		{"text/xml; charset=utf-8", `<data a="b"><c/><IsValid>1</IsValid></data>`},
		{"text/plain", `{"isvalid":false,"isValid":true}`},
	} {
		f.Add(seed.contentType, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		got, err := answer.Read(contentType, body)
		if err != nil {
			if got != (answer.Verdict{}) {
				t.Errorf("with %v comes %+v", err, got)
			}
			return
		}
		if len(got.Message) > answer.MaxMessage || !utf8.ValidString(got.Message) {
			t.Errorf("the message is %q", got.Message)
		}
		if !strings.Contains(strings.ToLower(string(body)), "valid") && !strings.Contains(string(body), `\`) {
			t.Errorf("%q is a verdict", body)
		}
	})
}
