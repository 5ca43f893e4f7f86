package migration

import (
	"strings"

	"github.com/postrider/postrider/api/v1alpha1"
)

// Items of Sitecore itself whose ids are known in public.
var (
	templateWorkflow = idOf("{1C0ACC50-37BE-4742-B43C-96A07A7410A5}")
	templateState    = idOf("{4B7E2DA9-DE43-4C83-88C3-02F042031D04}")
	templateCommand  = idOf("{CB01F9FC-C187-46B3-AB0B-97A8468D8303}")
	templateField    = idOf("{455A3E98-A627-4B40-8035-E683A0331AC7}")

	known = map[guid]string{
		idOf("{F05212CE-30A7-4733-A7F4-ED6E13F26692}"): "Webhook Event Handler",
		idOf("{EAB76990-706E-4343-B7FC-16A96A37C37F}"): "item_added",
		idOf("{10F78F45-7C58-4753-A09E-41D890EA2A2B}"): "item_saved",
		idOf("{C731CD1B-33EE-4946-9142-ACA0D413E590}"): "JSON",
		idOf("{9844BCA0-5FA6-48C8-B4A3-171A2BE6E5C2}"): "XML",
	}
)

const (
	workflowRoot      = "/sitecore/system/Workflows/"
	authorizationRoot = "/sitecore/system/Settings/Webhooks/Authorizations/"
)

// A library knows what items refer to by id.
type library struct {
	items map[guid]*Item
	paths map[string]*Item // in lower case
	// fields are the ids of fields by name; the zero guid where several have it.
	fields map[string]guid
}

func newLibrary(items []Item) *library {
	l := &library{items: map[guid]*Item{}, paths: map[string]*Item{}, fields: map[string]guid{}}
	for i := range items {
		it := &items[i]
		l.items[idOf(it.ID)], l.paths[strings.ToLower(it.Path)] = it, it
		if it.Template == "" || idOf(it.Template) == templateField {
			l.field(it.name(), idOf(it.ID))
		}
		for _, f := range it.fields() {
			l.field(f.Hint, idOf(f.ID))
		}
	}
	return l
}

func (l *library) field(name string, id guid) {
	name = strings.ToLower(name)
	if other, twice := l.fields[name]; twice && other != id {
		id = guid{}
	}
	l.fields[name] = id
}

// nameOf returns the name of the item with the id, empty if it is not known.
func (l *library) nameOf(id string) string {
	if it := l.items[idOf(id)]; it != nil {
		return it.name()
	}
	return known[idOf(id)]
}

// kindOf returns what Webhook an item is, empty if it is none.
func (l *library) kindOf(it *Item) v1alpha1.WebhookType {
	switch key(l.nameOf(it.Template)) {
	case "webhookeventhandler":
		return v1alpha1.WebhookEventHandler
	case "webhooksubmitaction":
		return v1alpha1.WebhookSubmitAction
	case "webhookvalidationaction":
		return v1alpha1.WebhookValidationAction
	}
	return ""
}

// looksLikeAction tells items of workflows that have what webhooks have.
func looksLikeAction(it *Item) bool {
	return under(it.Path, workflowRoot) && it.has("Url") && (it.has("Enabled") || it.has("Authorization") || it.has("Serialization Type"))
}

// isAuthorization tells authorization items from the folders that they are in.
func isAuthorization(it *Item) bool {
	if !under(it.Path, authorizationRoot) {
		return false
	}
	for _, f := range it.fields() {
		if !strings.HasPrefix(f.Hint, "__") {
			return true
		}
	}
	return false
}

func under(path, root string) bool {
	return len(path) > len(root) && strings.EqualFold(path[:len(root)], root)
}
