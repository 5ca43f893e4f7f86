package route_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/route"
)

// examples are data of item:saved that fulfil a line of docs/sitecore-rules.md, and
// such that do not.
var examples = map[string]struct{ fulfil, fail []string }{
	"where the item template is *Sample Item*":                  {[]string{saved, bare}, []string{news, nobody}},
	"the same, by name":                                         {[]string{saved}, []string{news, bare, nobody}},
	"where the item template is one of several":                 {[]string{saved, news}, []string{folder, bare}},
	"where the item template is *Page* or inherits from it":     {[]string{saved}, []string{news, bare}},
	"except where the item template is *Folder*":                {[]string{saved, news, bare}, []string{folder, nobody}},
	"where the item ID is equal to an id":                       {[]string{saved, bare}, []string{news, nobody}},
	"where the item is *Home* or one of its descendants":        {[]string{saved, news}, []string{folder, nobody}},
	"the same, by path":                                         {[]string{saved, news}, []string{folder, bare}},
	"where the item is a descendant of *Home*":                  {[]string{news}, []string{saved, folder, bare}},
	"where the item is *Home* or one of its ancestors":          {[]string{saved}, []string{news, folder}},
	"except where the item is below the media library":          {[]string{saved, news}, []string{folder, bare}},
	"where the item path contains */News/*":                     {[]string{news}, []string{saved, bare}},
	"where the item name is equal to *Home*":                    {[]string{saved}, []string{news, bare}},
	"where the item name is case-insensitively equal to *home*": {[]string{saved}, []string{news}},
	"where the item name contains *news*":                       {[]string{news}, []string{saved}},
	"where the item name starts with *news*":                    {[]string{news}, []string{saved}},
	"where the item name ends with *news*":                      {[]string{folder}, []string{news}},
	"where the item name matches a regular expression":          {[]string{news}, []string{saved, folder}},
	"where the item language is equal to *en*":                  {[]string{saved}, []string{news, bare}},
	"where the item language is not equal to *en*":              {[]string{news}, []string{saved, bare}},
	"where the item version is greater than 1":                  {[]string{saved}, []string{news, bare}},
	"where the parent of the item is *Home*":                    {[]string{news}, []string{saved, bare}},
	"where the field *Title* is equal to a value":               {[]string{news}, []string{saved, bare}},
	"where the field *Title* contains a value":                  {[]string{news}, []string{saved, bare}},
	"where the field *Title* is empty":                          {[]string{folder}, []string{saved, bare}},
	"where the workflow state is *Approved*":                    {[]string{news}, []string{saved, bare}},
	"where the item is locked":                                  {[]string{folder}, []string{saved, bare}},
	"where the field *Title* was changed":                       {[]string{saved}, []string{news, bare}},
	"where the database is *master*":                            {[]string{saved}, []string{news, bare}},
	"where both are true":                                       {[]string{strings.Replace(news, "de-DE", "en", 1)}, []string{saved, news}},
	"where one of them is true":                                 {[]string{saved, news}, []string{folder}},
	"except where both are true":                                {[]string{saved, folder}, []string{strings.Replace(news, "de-DE", "en", 1), bare}},
	"true (actions always execute)":                             {[]string{saved, nobody}, nil},
}

const (
	news = `{"Item":{"Language":"de-DE","Version":1,"Id":"5b4a1a0e-7c43-4c5a-9b0c-0f3f1a3d0a11","Name":"news-1","ParentId":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9",
"TemplateId":"22222222-2222-2222-2222-222222222222","TemplateName":"News","SharedFields":[],"UnversionedFields":[],
"VersionedFields":[{"Id":"75577384-3c97-45da-a847-81b00500e250","Value":"Welcome"},{"Id":"3e431de1-525e-47a3-b6b0-1ccbec3a8c98","Value":"{46DA5376-10DC-4B66-B464-AFDAA29DE84F}"}]},
"Changes":{"FieldChanges":[]},"$context":{"Path":"/sitecore/content/home/News/news-1","AncestorIds":["110d559f-dea5-42ea-9c1c-8a5df7e70ef9"],"BaseTemplateIds":[],"Database":"web"}}`
	folder = `{"Item":{"Language":"de-DE","Version":1,"Id":"33333333-3333-3333-3333-333333333333","Name":"old news","ParentId":"3d6658d8-a0bf-4e75-b3e2-d050fabcf4e1",
"TemplateId":"a87a00b1-e6db-45ab-8b54-636fec3b5523","TemplateName":"Folder","VersionedFields":[{"Id":"001dd393-96c5-490b-924a-b0f25cd9efd8","Value":"<r owner=\"sitecore\\ann\"/>"}]},
"$context":{"Path":"/sitecore/media library/old news","AncestorIds":["3d6658d8-a0bf-4e75-b3e2-d050fabcf4e1"]}}`
	nobody = `{}`
)

var line = regexp.MustCompile("(?m)^\\| ([^`|]+?) \\| `(.+)` \\|$")

func TestEachLineOfThePageAboutRulesDoesWhatItSays(t *testing.T) {
	page, err := os.ReadFile("../../docs/sitecore-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page1, found := strings.Cut(string(page), "\n## Line by line\n")
	table, _, ends := strings.Cut(page1, "\n## ")
	if !found || !ends {
		t.Fatal("the page has no section \"Line by line\"")
	}
	lines := line.FindAllStringSubmatch(table, -1)
	if len(lines) != len(examples) || len(lines) != strings.Count(table, "\n|")-2 {
		t.Errorf("the page has %d lines, of which %d can be read; there are examples of %d", strings.Count(table, "\n|")-2, len(lines), len(examples))
	}
	for _, l := range lines {
		rule, condition := l[1], strings.ReplaceAll(l[2], `\|`, "|")
		example, ok := examples[rule]
		if !ok || len(example.fulfil) == 0 || len(example.fail) == 0 && condition != "true" {
			t.Errorf("%q has no examples", rule)
			continue
		}
		for _, data := range example.fulfil {
			if got, err := qualifies(t, condition, "item:saved", data); !got || err != nil {
				t.Errorf("%q: %s does not hold for %s: %v", rule, condition, data, err)
			}
		}
		for _, data := range example.fail {
			if got, err := qualifies(t, condition, "item:saved", data); got || err != nil {
				t.Errorf("%q: %s holds for %s: %v", rule, condition, data, err)
			}
		}
	}
}

func TestEveryFunctionIsOnThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/sitecore-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range route.Questions() {
		if !strings.Contains(string(page), "`"+name+"(event") {
			t.Errorf("%s is not explained", name)
		}
	}
}
