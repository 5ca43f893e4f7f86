package receiver

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"regexp"
	"strings"

	strictjson "sigs.k8s.io/json"
)

// Sitecore replies as a strict receiver that was made for Sitecore's webhooks: 200
// to what it knows, 400 to anything else.
func Sitecore(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = CheckSitecore(r.Header.Get("Content-Type"), body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// CheckSitecore reports why a strict receiver refuses a body: its media type is
// another, it has a member that the models do not have, or lacks one that they
// have, or one is of another type. The models are those of public receivers; of
// what these do not agree on, they have what the vendor documents.
func CheckSitecore(contentType string, body []byte) error {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.EqualFold(parameters["charset"], "utf-8") {
		return fmt.Errorf("the content type is %q", contentType)
	}
	var unmarshal func([]byte, any) error
	switch media {
	case "application/json":
		unmarshal = strictJSON
	case "application/xml":
		unmarshal = xml.Unmarshal
	default:
		return fmt.Errorf("the content type is %q", contentType)
	}
	kind, err := kindOf(media, body)
	if err != nil {
		return err
	}
	model := modelOf(kind)
	if model == nil {
		return fmt.Errorf("the event %q is unknown", kind)
	}
	if err := unmarshal(body, model); err != nil {
		return err
	}
	return complete("", reflect.ValueOf(model).Elem(), media == "application/xml")
}

// kindOf returns the name of the event in a body, empty for a workflow action.
func kindOf(media string, body []byte) (string, error) {
	var b struct {
		XMLName   xml.Name `json:"-"`
		EventName string
	}
	if media == "application/json" {
		err := json.Unmarshal(body, &b)
		return b.EventName, err
	}
	if err := xml.Unmarshal(body, &b); err != nil {
		return "", err
	}
	if root := b.XMLName.Local; (root == "data") != (b.EventName == "") || root != "event" && root != "data" {
		return "", fmt.Errorf("the root of event %q is %s", b.EventName, root)
	}
	return b.EventName, nil
}

// strictJSON refuses members that are unknown, spelled in another case or there
// twice.
func strictJSON(body []byte, into any) error {
	found, err := strictjson.UnmarshalStrict(body, into)
	return errors.Join(err, errors.Join(found...))
}

// complete reports what a model lacks that was read from a body. Members that are
// nil may be so only with form:"optional"; those with another form are of that form.
// In XML an empty list is nothing, and null is an element with nothing in it.
func complete(path string, v reflect.Value, inXML bool) error {
	if v.Type() == reflect.TypeFor[stranger]() {
		return fmt.Errorf("%s is unknown: %v", path, v.Field(0))
	}
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		at := path + "." + field.Name
		if field.Anonymous {
			at = path
		}
		if err := completeField(at, field.Tag.Get("form"), value, inXML); err != nil {
			return err
		}
	}
	return nil
}

func completeField(at, form string, v reflect.Value, inXML bool) error {
	switch v.Kind() {
	case reflect.Struct:
		return complete(at, v, inXML)
	case reflect.Slice:
		if v.IsNil() && !inXML && form != "optional" {
			return fmt.Errorf("%s is missing", at)
		}
		for i := range v.Len() {
			if err := completeField(fmt.Sprintf("%s[%d]", at, i), form, v.Index(i), inXML); err != nil {
				return err
			}
		}
		return nil
	case reflect.Pointer:
		if form == "optional" && (v.IsNil() || inXML && v.Elem().IsZero()) {
			return nil
		}
		if v.IsNil() {
			return fmt.Errorf("%s is missing", at)
		}
		return completeField(at, form, v.Elem(), inXML)
	case reflect.String:
		if pattern := forms[form]; pattern != nil && !pattern.MatchString(v.String()) {
			return fmt.Errorf("%s is %q, not a %s", at, v, form)
		}
		return nil
	default:
		return nil
	}
}

var forms = map[string]*regexp.Regexp{
	"guid":   regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"braced": regexp.MustCompile(`^[{][0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}[}]$`),
	"time":   regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$`),
}
