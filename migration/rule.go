package migration

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/postrider/dispatcher/route"
)

// What is read of a rule is bounded, in elements and in depth.
const maxElements, maxDepth = 1000, 40

// An element is one of the XML of a rule.
type element struct {
	name       string
	attributes map[string]string
	children   []*element
}

// A rule is a condition in the making.
type rule struct {
	library *library
	notes   []string // what the reader has to know of the condition
}

// condition translates a rule of Sitecore. It is empty for a rule without
// conditions of any kind. An error says what of the rule has no translation.
func condition(text string, l *library) (expression string, notes []string, err error) {
	if strings.TrimSpace(text) == "" {
		return "", nil, nil
	}
	root, err := parseRule(text)
	if err != nil {
		return "", nil, err
	}
	if root.name == "ruleset" {
		switch len(root.children) {
		case 0:
			return "", nil, nil
		case 1:
			root = root.children[0]
		default:
			return "", nil, errors.New("it has several rules")
		}
	}
	i := slices.IndexFunc(root.children, func(e *element) bool { return e.name == "conditions" })
	if root.name != "rule" || i < 0 || len(root.children[i].children) != 1 {
		return "", nil, errors.New("it is no rule with one condition, or conditions that are joined by and, or, or not")
	}
	r := rule{library: l}
	whole, err := r.translate(root.children[i].children[0], false)
	if err != nil {
		return "", nil, err
	}
	expression = whole.text
	if err := route.CheckCondition(expression); err != nil {
		return "", nil, fmt.Errorf("as a condition, %w", err)
	}
	return expression, r.notes, nil
}

func parseRule(text string) (*element, error) {
	decoder := xml.NewDecoder(strings.NewReader(text))
	root := &element{}
	open := []*element{root}
	for n := 0; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New("it is not well-formed XML")
		}
		switch x := token.(type) {
		case xml.StartElement:
			if n++; n > maxElements || len(open) > maxDepth {
				return nil, errors.New("it is too large")
			}
			e := &element{name: x.Name.Local, attributes: map[string]string{}}
			for _, a := range x.Attr {
				e.attributes[strings.ToLower(a.Name.Local)] = a.Value
			}
			parent := open[len(open)-1]
			parent.children = append(parent.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	if len(root.children) != 1 {
		return nil, errors.New("it is not one element of XML")
	}
	return root.children[0], nil
}

// A term is a part of a condition. A closed one can be negated, and joined, as it is.
type term struct {
	text   string
	closed bool
}

func (t term) close() term {
	if t.closed {
		return t
	}
	return term{"(" + t.text + ")", true}
}

func (t term) not() term { return term{"!" + t.close().text, true} }

// translate translates what joins conditions. negated tells whether what e says
// keeps events back when it holds.
func (r *rule) translate(e *element, negated bool) (term, error) {
	switch e.name {
	case "condition":
		return r.one(e, negated)
	case "not":
		if len(e.children) != 1 {
			return term{}, errors.New("a \"not\" in it has not one condition")
		}
		inner, err := r.translate(e.children[0], !negated)
		return inner.not(), err
	case "and", "or":
		return r.join(e, map[string]string{"and": " && ", "or": " || "}[e.name], negated)
	}
	return term{}, fmt.Errorf("%q in it is unknown", e.name)
}

func (r *rule) join(e *element, operator string, negated bool) (term, error) {
	if len(e.children) == 0 {
		return term{}, fmt.Errorf("an %q in it has no conditions", e.name)
	}
	var terms []string
	for _, child := range e.children {
		t, err := r.translate(child, negated)
		if err != nil {
			return term{}, err
		}
		if child.name != "condition" { // comparisons bind closer than what joins them
			t = t.close()
		}
		terms = append(terms, t.text)
	}
	return term{strings.Join(terms, operator), false}, nil
}

// one translates one condition.
func (r *rule) one(e *element, negated bool) (term, error) {
	id := idOf(e.attributes["id"])
	except := strings.EqualFold(e.attributes["except"], "true")
	negated = negated != except
	for _, c := range conditions {
		if idOf(c.id) != id {
			continue
		}
		for name := range e.attributes {
			if !slices.Contains(c.attributes, name) && !slices.Contains([]string{"id", "uid", "except"}, name) {
				return term{}, fmt.Errorf("the attribute %q of the condition %q has no translation", name, c.name)
			}
		}
		for _, name := range c.attributes {
			if e.attributes[name] == "" {
				return term{}, fmt.Errorf("the condition %q has no %s", c.name, name)
			}
		}
		t, err := c.translate(r, e.attributes, negated)
		if err != nil {
			return term{}, fmt.Errorf("the condition %q: %w", c.name, err)
		}
		if except {
			t = t.not()
		}
		return t, nil
	}
	if id == (guid{}) {
		return term{}, errors.New("a condition in it has no id")
	}
	return term{}, fmt.Errorf("the condition %s has no translation", braced(id))
}

// needs says what producers have to tell of items beyond what Sitecore's payload has.
func needs(member string) string {
	return "Its rule asks for \"$context\"." + member + " of the event's data, which the producer has to send: without, it does not hold. docs/sitecore-rules.md says more."
}

func (r *rule) remember(note string) {
	if !slices.Contains(r.notes, note) {
		r.notes = append(r.notes, note)
	}
}

// conditions are those of Sitecore that have a translation.
var conditions = []struct {
	id, name   string
	attributes []string
	translate  func(r *rule, a map[string]string, negated bool) (term, error)
}{
	{"{4888ABBB-F17D-4485-B14B-842413F88732}", "true", nil, func(*rule, map[string]string, bool) (term, error) {
		return term{"true", true}, nil
	}},
	{"{5DE6D53E-EA62-4D17-8BDD-FEBCD80AC07B}", "item template", []string{"templateid"}, func(_ *rule, a map[string]string, _ bool) (term, error) {
		return call("sitecore.isTemplate", a["templateid"])
	}},
	{"{D0810F9D-734C-452D-BBB6-4730368D68F1}", "item base template", []string{"templateid"}, func(r *rule, a map[string]string, _ bool) (term, error) {
		r.remember(needs("BaseTemplateIds"))
		return call("sitecore.isOrDescendsFromTemplate", a["templateid"])
	}},
	{"{4F5389E9-79B7-4FE1-A43A-EEA4ECD19C94}", "item id", []string{"operatorid", "value"}, func(_ *rule, a map[string]string, _ bool) (term, error) {
		t, err := call("sitecore.isItem", a["value"])
		if err != nil {
			return t, err
		}
		switch operators[idOf(a["operatorid"])] {
		case equal, equalFold:
			return t, nil
		case notEqual, notEqualFold:
			return t.not(), nil
		default:
			return term{}, errOperator
		}
	}},
	{"{7D5DA661-BEF9-441C-B1F7-D80DE3E0972F}", "item or one of its descendants", []string{"itemid"}, func(r *rule, a map[string]string, _ bool) (term, error) {
		r.remember(needs("AncestorIds"))
		return call("sitecore.isOrIsBelow", a["itemid"])
	}},
	{"{4B889F07-94D4-4371-B522-9FFE8AF0BE12}", "item path", []string{"operatorid", "value"}, func(r *rule, a map[string]string, _ bool) (term, error) {
		r.remember(needs("Path"))
		return compare("sitecore.path(event)", a["operatorid"], a["value"])
	}},
	{"{944E1C68-CAF1-468E-87DC-CE85D168D961}", "item name", []string{"operatorid", "value"}, func(_ *rule, a map[string]string, _ bool) (term, error) {
		return compare("sitecore.item(event).Name", a["operatorid"], a["value"])
	}},
	{"{4F59DE1D-EA1D-4745-99AB-A846452E5532}", "item language", []string{"operatorid", "value"}, func(_ *rule, a map[string]string, _ bool) (term, error) {
		return compare("sitecore.language(event)", a["operatorid"], a["value"])
	}},
	{"{61C016A2-5210-4F1D-A663-BDA18BE487F6}", "field value", []string{"fieldname", "operatorid", "value"}, func(r *rule, a map[string]string, negated bool) (term, error) {
		return r.field(a["fieldname"], a["operatorid"], a["value"], negated)
	}},
	{"{DA0D1AEA-0144-4A40-9AF0-3123526C9163}", "field is empty", []string{"fieldname"}, func(r *rule, a map[string]string, negated bool) (term, error) {
		if !negated {
			return term{}, errStandardValues
		}
		return r.field(a["fieldname"], equalID, "", false)
	}},
}

// An operator is how Sitecore compares texts.
type operator int

const (
	equal operator = iota + 1
	equalFold
	notEqual
	notEqualFold
	contains
	startsWith
	endsWith
)

const equalID = "{10537C58-1684-4CAB-B4C0-40C10907CE31}"

var operators = map[guid]operator{
	idOf(equalID): equal,
	idOf("{066602E2-ED1D-44C2-A698-7ED27FD3A2CC}"): equal, // of numbers, and used for ids
	idOf("{537244C2-3A3F-4B81-A6ED-02AF494C0563}"): equalFold,
	idOf("{A6AC5A6B-F409-48B0-ACE7-C3E8C5EC6406}"): notEqual,
	idOf("{3627ED99-F454-4B83-841A-A0194F0FB8B4}"): notEqual, // of numbers
	idOf("{6A7294DF-ECAE-4D5F-A8D2-C69CB1161C09}"): notEqualFold,
	idOf("{2E67477C-440C-4BCA-A358-3D29AED89F47}"): contains,
	idOf("{FDD7C6B1-622A-4362-9CFF-DDE9866C68EA}"): startsWith,
	idOf("{22E1F05F-A17A-4D0C-B376-6F7661500F03}"): endsWith,
}

var (
	errOperator       = errors.New("its operator has no translation")
	errID             = errors.New("it names no id")
	errStandardValues = errors.New("it would hold where a field has its value from the standard values, which events do not carry")
)

// call asks about an id.
func call(function, id string) (term, error) {
	if idOf(id) == (guid{}) {
		return term{}, errID
	}
	return term{function + "(event, " + strconv.Quote(braced(idOf(id))) + ")", true}, nil
}

// compare compares what subject yields with a text.
func compare(subject, operatorID, value string) (term, error) {
	quoted := strconv.Quote(value)
	fold := subject + ".matches(" + strconv.Quote("(?i)^"+regexp.QuoteMeta(value)+"$") + ")"
	switch operators[idOf(operatorID)] {
	case equal:
		return term{subject + " == " + quoted, false}, nil
	case notEqual:
		return term{subject + " != " + quoted, false}, nil
	case equalFold:
		return term{fold, true}, nil
	case notEqualFold:
		return term{"!" + fold, true}, nil
	case contains:
		return term{subject + ".contains(" + quoted + ")", true}, nil
	case startsWith:
		return term{subject + ".startsWith(" + quoted + ")", true}, nil
	case endsWith:
		return term{subject + ".endsWith(" + quoted + ")", true}, nil
	}
	return term{}, errOperator
}

// field compares the value of a field. Sitecore's rules see the standard values of
// the template too, and events do not carry them: so what would hold for a field
// without a value of its own has no translation.
func (r *rule) field(name, operatorID, value string, negated bool) (term, error) {
	id := idOf(name)
	if id == (guid{}) {
		id = r.library.fields[strings.ToLower(name)]
	}
	if id == (guid{}) {
		return term{}, fmt.Errorf("the id of the field %q is not known, or not the only one: give it with --item ID=%s", name, name)
	}
	op := operators[idOf(operatorID)]
	if (op == notEqual || op == notEqualFold) != negated {
		return term{}, errStandardValues
	}
	r.remember("Its rule asks for the value of a field. Values that come from the standard values of a template are not in events, so it does not hold for them.")
	return compare("sitecore.field(event, "+strconv.Quote(braced(id))+")", operatorID, value)
}
