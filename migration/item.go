package migration

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// An Item is one item of Sitecore as its serialization has it in a file.
type Item struct {
	ID           string     `yaml:"ID"`
	Parent       string     `yaml:"Parent"`
	Template     string     `yaml:"Template"`
	Path         string     `yaml:"Path"`
	SharedFields []Field    `yaml:"SharedFields"`
	Languages    []Language `yaml:"Languages"`
}

// A Language is what an item has in one language.
type Language struct {
	Language string    `yaml:"Language"`
	Fields   []Field   `yaml:"Fields"`
	Versions []Version `yaml:"Versions"`
}

// A Version is what it has in one version of it.
type Version struct {
	Version int     `yaml:"Version"`
	Fields  []Field `yaml:"Fields"`
}

// A Field is a value, with the name of the field as a hint.
type Field struct {
	ID    string `yaml:"ID"`
	Hint  string `yaml:"Hint"`
	Value string `yaml:"Value"`
}

// Parse reads an item. It returns false for YAML that is something else.
func Parse(text []byte) (Item, bool, error) {
	var probe yaml.Node
	if err := yaml.Unmarshal(text, &probe); err != nil {
		return Item{}, false, err
	}
	if len(probe.Content) != 1 || probe.Content[0].Kind != yaml.MappingNode {
		return Item{}, false, nil
	}
	var it Item
	if err := probe.Decode(&it); err != nil || it.Path == "" || idOf(it.ID) == (guid{}) || idOf(it.Template) == (guid{}) {
		return Item{}, false, nil //nolint:nilerr // something else, of which Sitecore's own tools read nothing either
	}
	return it, true, nil
}

// Known is an item that is not in a file: of Sitecore itself, or told by the user.
func Known(id, name string) (Item, bool) {
	if idOf(id) == (guid{}) || name == "" {
		return Item{}, false
	}
	return Item{ID: id, Path: name}, true
}

// name is the last element of the path.
func (it *Item) name() string { return it.Path[strings.LastIndexByte(it.Path, '/')+1:] }

// fields yields all fields of the item, shared ones first. Of unversioned and
// versioned ones those of English are first, and the newest version's.
func (it *Item) fields() []Field {
	all := append([]Field(nil), it.SharedFields...)
	for _, english := range []bool{true, false} {
		for _, l := range it.Languages {
			if (l.Language == "en") != english {
				continue
			}
			all = append(all, l.Fields...)
			for i := range l.Versions {
				all = append(all, l.Versions[len(l.Versions)-1-i].Fields...)
			}
		}
	}
	return all
}

// value returns the value of the field with the name, spaces and case aside.
func (it *Item) value(hint string) string {
	for _, f := range it.fields() {
		if key(f.Hint) == key(hint) {
			return strings.TrimSpace(f.Value)
		}
	}
	return ""
}

func (it *Item) has(hint string) bool {
	for _, f := range it.fields() {
		if key(f.Hint) == key(hint) {
			return true
		}
	}
	return false
}

// key is a name as names are compared: letters and digits, in lower case.
func key(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}, name)
}

type guid = uuid.UUID

// idOf reads an id in any spelling, the zero guid if it is none.
func idOf(s string) guid {
	id, err := uuid.Parse(strings.TrimSpace(s))
	if err != nil {
		return guid{}
	}
	return id
}

// braced is an id as Sitecore shows it.
func braced(id guid) string { return "{" + strings.ToUpper(id.String()) + "}" }

// list splits the value of a field of many ids.
func list(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == '|' || r == '\n' || r == '\r' || r == ' ' })
}
