package cli_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/postrider/postrider/cli"
	"github.com/postrider/postrider/cli/face"
)

func TestADocumentTellsEverythingAndSteersNoTerminal(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given any
		want  any
	}{
		{"what a terminal obeys", map[string]any{"text": "\x1b[31m \x07 \u009b31m \x7f \u0085 \n ü"}, map[string]any{"text": "\x1b[31m \x07 \u009b31m \x7f \u0085 \n ü"}},
		{"as a key", map[string]any{"\u009b\x7f": "a"}, map[string]any{"\u009b\x7f": "a"}},
		{"JSON of others", json.RawMessage("{\"a\": \"\x7f\u009b \\ud83d\\ude00 \\u009b\", \"n\": 12}"), map[string]any{"a": "\x7f\u009b \U0001F600 \u009b", "n": 12.0}},
		{"a backslash before it", map[string]any{"text": "\\\x7f"}, map[string]any{"text": "\\\x7f"}},
	} {
		for format, unmarshal := range map[string]func([]byte, any) error{
			"json": json.Unmarshal,
			"yaml": func(b []byte, to any) error { return yaml.Unmarshal(b, to) },
		} {
			t.Run(tt.name+" in "+format, func(t *testing.T) {
				text, err := cli.Document(format, tt.given)
				if err != nil {
					t.Fatal(err)
				}
				if at := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }); at >= 0 {
					t.Errorf("there is a control character at %d of %q", at, text)
				}
				var got any
				if err := unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%q holds %#v (%v), want %#v", text, got, err, tt.want)
				}
			})
		}
	}
}

func TestDeliveriesSaysWhatTheLogHasNotKept(t *testing.T) {
	kept := []face.Attempt{{Delivery: "2-msg_b", Reason: "Delivered", Skipped: 48}, {Delivery: "1-msg_a", Reason: "Delivered", Skipped: 1}}
	out, errs, err := cli.TextsAt(time.Now()).Attempts(kept)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(errs, "49 attempts in between are not in the log") || strings.Contains(out, "49") {
		t.Errorf("it writes\n%s\nand says\n%s", out, errs)
	}
	if _, errs, _ = cli.TextsAt(time.Now()).Attempts(kept[:0]); !strings.Contains(errs, "No attempts to orders found") {
		t.Errorf("of an empty log it says %q", errs)
	}
}
