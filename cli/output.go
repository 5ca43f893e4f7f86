package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// An output is how results are shown.
type output struct {
	format    string
	noHeaders bool
	formats   []string
}

// The formats; the empty one is for people.
const (
	asJSON = "json"
	asYAML = "yaml"
	asWide = "wide"
	asName = "name"
)

// bind defines the flags, for the formats that a command has.
func (o *output) bind(cmd *cobra.Command, formats ...string) {
	o.formats = formats
	cmd.Flags().StringVarP(&o.format, "output", "o", "", "Output format. One of: ("+strings.Join(formats, ", ")+").")
	if slices.Contains(formats, asWide) {
		cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "Don't print headers.")
	}
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func (o *output) check() error {
	if o.format != "" && !slices.Contains(o.formats, o.format) {
		return usagef("--output is %q; use one of %s", o.format, strings.Join(o.formats, ", "))
	}
	return nil
}

// document writes v when a document was asked for, and reports whether.
func (o *output) document(w io.Writer, v any) (bool, error) {
	var text []byte
	var err error
	switch o.format {
	case asJSON:
		text, err = encodeJSON(v, "    ")
	case asYAML:
		text, err = encodeYAML(v)
	default:
		return false, nil
	}
	if err != nil {
		return true, err
	}
	_, err = w.Write(text)
	return true, err
}

// encodeJSON writes v so that nothing in it steers a terminal: encoding/json escapes
// the control characters below a blank, and leaves those from DEL on as they are. They
// can only be in strings.
func encodeJSON(v any, indent string) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return lateControls.ReplaceAllFunc(text.Bytes(), func(c []byte) []byte {
		r, _ := utf8.DecodeRune(c)
		return fmt.Appendf(nil, `\u%04x`, r)
	}), nil
}

// lateControls are DEL and the control characters of Latin-1 (ISO 6429, C1).
var lateControls = regexp.MustCompile("[\x7f\u0080-\u009f]")

// encodeYAML decodes what it has encoded once more: a YAML parser reads JSON, but for
// surrogates in escapes, which JSON that came from elsewhere may hold.
func encodeYAML(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var plain any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&plain); err != nil {
		return nil, err
	}
	if text, err = encodeJSON(plain, ""); err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(text)
}

// A column of a table; those that are wide are shown with -o wide alone.
type column struct {
	name string
	wide bool
}

// table writes rows as kubectl does.
func (o *output) table(w io.Writer, columns []column, rows [][]string) error {
	t := &metav1.Table{}
	for _, c := range columns {
		d := metav1.TableColumnDefinition{Name: c.name, Type: "string"}
		if c.wide {
			d.Priority = 1
		}
		t.ColumnDefinitions = append(t.ColumnDefinitions, d)
	}
	for _, row := range rows {
		cells := make([]any, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		t.Rows = append(t.Rows, metav1.TableRow{Cells: cells})
	}
	aligned := printers.GetNewTabWriter(w)
	if err := printers.NewTablePrinter(printers.PrintOptions{NoHeaders: o.noHeaders, Wide: o.format == asWide}).PrintObj(t, aligned); err != nil {
		return err
	}
	return aligned.Flush()
}

// none says that a table would be empty, on standard error as kubectl does.
func (p *plugin) none(what, namespace string) {
	if namespace == "" {
		p.note("No %s found.", what)
		return
	}
	p.note("No %s found in namespace %s.", what, namespace)
}

// oneLine is s on one line, and printable.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, printable(s))
}

// printable keeps what comes from outside from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}

// age is how long ago t was, as kubectl writes it.
func (p *plugin) age(t *metav1.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return duration.HumanDuration(p.now().Sub(t.Time))
}

// moment is t, to the second.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func plural(n int, one, more string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, more)
}
