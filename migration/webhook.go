package migration

import (
	"net/url"
	"slices"
	"strings"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

// webhook makes the Webhook of an item, and reports whether it could.
func (c *converter) webhook(it *Item, kind v1alpha1.WebhookType) bool {
	c.begin(it)
	address, whole := c.address(it)
	if address == "" {
		return false
	}
	w := v1alpha1.WebhookSpec{
		Type:        kind,
		Description: it.value("Description"),
		Disabled:    it.value("Enabled") != "1",
		Endpoint:    v1alpha1.Endpoint{URL: address},
		PolicyRef:   &v1alpha1.LocalReference{Name: c.options.Policy},
		Payload: &v1alpha1.Payload{
			Format:   v1alpha1.PayloadSitecore,
			Sitecore: &v1alpha1.SitecorePayload{ItemID: idOf(it.ID).String(), ItemName: it.name()},
		},
	}
	if w.Disabled {
		c.comments = append(c.comments, "It was not enabled.")
	}
	var name string
	if kind == v1alpha1.WebhookEventHandler {
		name = c.nameOf("Webhook", it.name())
		whole = c.events(it, &w) && whole
		whole = c.rule(it, &w) && whole
	} else {
		steps, ok := c.selector(it, &w)
		if !ok {
			return false
		}
		name = c.nameOf("Webhook", steps, it.name())
	}
	whole = c.serialization(it, &w) && whole
	c.reference(it, &w)
	c.unread(it, "Url", "Enabled", "Description", "Events", "Rule", "Serialization Type", "Authorization")
	if !whole && !w.Disabled {
		w.Disabled = true
		c.remark("Therefore it is disabled: repair it, then remove \"disabled: true\".")
	}
	c.add("Webhook", name, w)
	return true
}

// address is where the webhook sends, without what could be a credential.
func (c *converter) address(it *Item) (address string, whole bool) {
	address = it.value("Url")
	u, err := url.Parse(address)
	if err != nil {
		c.note("its Url cannot be parsed, so no Webhook was written")
		return "", false
	}
	whole = true
	if u.User != nil {
		u.User, whole = nil, false
		c.remark("Its Url had a user name or a password, which were left out: make an AuthorizationItem of type Basic.")
	}
	if u.Fragment != "" {
		u.Fragment = "" // never sent
	}
	if err := route.CheckURL(u.String()); err != nil {
		c.note("%v, so no Webhook was written", err)
		return "", false
	}
	if u.RawQuery != "" {
		c.note("its Url has a query. If there is a key in it, everybody who sees the Webhook sees it: move it to an AuthorizationItem of type APIKey, in Query")
	}
	return u.String(), whole
}

// events names the events by the items of Sitecore's catalogue. An item cannot have
// a colon in its name, and has an underscore instead.
func (c *converter) events(it *Item, w *v1alpha1.WebhookSpec) (whole bool) {
	whole = true
	for _, id := range list(it.value("Events")) {
		name := strings.ReplaceAll(c.library.nameOf(id), "_", ":")
		if name == "" || route.CheckEvents([]string{name}) != nil {
			c.remark("The name of the event %s is not known: say it with --item %s=item:added (or what it is), or serialize the items below /sitecore/system/Settings/Webhooks/Event Types too.", id, id)
			whole = false
			continue
		}
		if !strings.HasPrefix(name, "item:") && !strings.HasPrefix(name, "publish:") {
			c.note("the event item %q is taken to stand for the event %q; check that", c.library.nameOf(id), name)
		}
		if !slices.Contains(w.Events, name) {
			w.Events = append(w.Events, name)
		}
	}
	if len(w.Events) == 0 && whole {
		c.comments = append(c.comments, "It has no events, so it never sends, as in Sitecore.")
	}
	return whole
}

func (c *converter) rule(it *Item, w *v1alpha1.WebhookSpec) (whole bool) {
	text := it.value("Rule")
	expression, needs, err := condition(text, c.library)
	if err != nil {
		c.remark("Its rule was not translated: %v. Write it as spec.itemCondition; docs/sitecore-rules.md says how.", err)
		c.comments = append(c.comments, "The rule was:\n"+text)
		return false
	}
	w.ItemCondition = expression
	for _, need := range needs {
		c.remark("%s", need)
	}
	return true
}

// selector selects what an action of a workflow is for by where it lies: below a
// state or below a command.
func (c *converter) selector(it *Item, w *v1alpha1.WebhookSpec) (steps string, ok bool) {
	if !under(it.Path, workflowRoot) {
		c.note("it does not lie below %s, so nothing tells what it is for, and no Webhook was written", workflowRoot)
		return "", false
	}
	way := c.way(it)
	if len(way) < 2 {
		c.note("it lies in no state and no command, so no Webhook was written")
		return "", false
	}
	s := &v1alpha1.WorkflowSelector{Workflows: way[0]}
	w.Workflow = s
	switch {
	case len(way) > 2:
		s.FromStates, s.Commands = way[1], way[2]
	case w.Type == v1alpha1.WebhookSubmitAction:
		s.States = way[1]
	default:
		s.ToStates = way[1]
		c.remark("It lay in a state; it is asked about every command that leads there.")
	}
	return way[len(way)-1][0], true
}

// way returns workflow, state and, for an action of a command, the command: of each
// the name, and the id if it is known. Items on the way that are of Sitecore's own
// kinds tell which is which; else their number does.
func (c *converter) way(it *Item) [][]string {
	steps := c.steps(it)
	if first := slices.IndexFunc(steps, func(s *Item) bool { return idOf(s.Template) == templateWorkflow }); first > 0 {
		steps = steps[first:] // of folders
	}
	if len(steps) < 2 || len(steps) > 3 {
		return nil
	}
	if last := steps[len(steps)-1]; len(steps) == 3 && idOf(last.Template) != templateCommand {
		if idOf(last.Template) == templateState {
			steps = steps[1:] // the first is a folder
		} else {
			c.remark("It is taken to lie in the command %q of the state %q. If these are a state and its workflow, in a folder, repair spec.workflow.", last.name(), steps[1].name())
		}
	}
	way := make([][]string, len(steps))
	for i, s := range steps {
		way[i] = []string{s.name()}
		if id := idOf(s.ID); id != (guid{}) {
			way[i] = append(way[i], braced(id))
		}
	}
	return way
}

// steps are what it lies in, below the root of workflows, without the folder that
// some have for actions. Those that are in no file have no more than their path.
func (c *converter) steps(it *Item) []*Item {
	elements := strings.Split(it.Path, "/")
	elements = elements[:len(elements)-1]
	if last := len(elements) - 1; strings.EqualFold(elements[last], "Actions") {
		elements = elements[:last]
	}
	var steps []*Item
	for n := strings.Count(workflowRoot, "/") + 1; n <= len(elements); n++ {
		path := strings.Join(elements[:n], "/")
		step := c.library.paths[strings.ToLower(path)]
		if step == nil {
			step = &Item{Path: path}
		}
		steps = append(steps, step)
	}
	return steps
}

func (c *converter) serialization(it *Item, w *v1alpha1.WebhookSpec) (whole bool) {
	value := it.value("Serialization Type")
	name := c.library.nameOf(value)
	switch {
	case value == "" || key(value) == "json" || key(name) == "json":
		w.Payload.Serialization = v1alpha1.SerializationJSON
	case key(value) == "xml" || key(name) == "xml":
		w.Payload.Serialization = v1alpha1.SerializationXML
	default:
		c.remark("Whether it sends JSON or XML is not known: say it with --item %s=XML, or set spec.payload.serialization.", value)
		return false
	}
	if c.library.items[idOf(value)] == nil && name != "" {
		c.note("it is taken to send %s, by the id of its Serialization Type as public samples have it; check that", name)
	}
	return true
}

// reference refers to the authorization. One that is not known makes the Webhook
// wait: it never sends without.
func (c *converter) reference(it *Item, w *v1alpha1.WebhookSpec) {
	id := idOf(it.value("Authorization"))
	if id == (guid{}) {
		return
	}
	name, known := c.items[id]
	if !known {
		name = "authorization-" + id.String()[:8]
		c.remark("The authorization item %s was not among the files. The Webhook waits until there is an AuthorizationItem %q.", braced(id), name)
	}
	w.AuthorizationRef = &v1alpha1.LocalReference{Name: name}
}

// unread tells of fields that have no place in what is written.
func (c *converter) unread(it *Item, read ...string) {
	for _, f := range it.fields() {
		if strings.HasPrefix(f.Hint, "__") || f.Value == "" || slices.ContainsFunc(read, func(r string) bool { return key(r) == key(f.Hint) }) {
			continue
		}
		c.note("its field %q (%s) was not carried over", f.Hint, f.ID)
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
