package migration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/postrider/postrider/api/v1alpha1"
)

// FileName is that of the object in a folder of manifests.
func (o Object) FileName() string { return strings.ToLower(o.Kind) + "_" + o.Name + ".yaml" }

// YAML is the manifest, in the given namespace unless that is empty.
func (o Object) YAML(namespace string) ([]byte, error) {
	type metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace,omitempty"`
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
		Spec       any      `json:"spec"`
	}{v1alpha1.GroupVersion.String(), o.Kind, metadata{o.Name, namespace}, o.spec}); err != nil {
		return nil, fmt.Errorf("writing %s %s: %w", o.Kind, o.Name, err)
	}
	// Every JSON is YAML; read so, the members keep their order.
	var document yaml.Node
	if err := yaml.Unmarshal(text.Bytes(), &document); err != nil {
		return nil, fmt.Errorf("writing %s %s: %w", o.Kind, o.Name, err)
	}
	plain(&document)
	var out bytes.Buffer
	for _, c := range o.Comments {
		out.WriteString(comment(c))
	}
	write := yaml.NewEncoder(&out)
	write.SetIndent(2)
	if err := write.Encode(&document); err != nil {
		return nil, fmt.Errorf("writing %s %s: %w", o.Kind, o.Name, err)
	}
	return out.Bytes(), nil
}

// plain lets the encoder choose how each value is written.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}

// comment is text as lines of a comment, whatever is in it.
func comment(text string) string {
	var b strings.Builder
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029' }) {
		b.WriteString(strings.TrimRight("# "+strings.Map(printable, line), " ") + "\n")
	}
	return b.String()
}

// printable keeps what YAML takes in a comment.
func printable(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfeff || r == 0xfffd {
		return '?'
	}
	return r
}
