package operate_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/operate"
)

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"17-3-1769860800000000000", "1-0-0", "0-0-0", "1-0--1", "01-0-0", "1-4294967296-0", "1-0", "1-0-0-0", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if again, ok := operate.ReadCursor(text); ok && again != text {
			t.Errorf("%q is also %q", text, again)
		}
	})
}

func FuzzReplay(f *testing.F) {
	for _, seed := range []string{
		`{"from":"2026-01-31T12:00:00Z","to":"2026-01-31T13:00:00Z","types":["item:*"],"dryRun":true,"limit":5,"cursor":"17-3-1769860800000000000"}`,
		`{"limit":1}`, `{}`, ``, `null`, `[]`, `{"limit":null}`, `{"from":"0000-01-01T00:00:00Z"}`, `{"from":"9999-12-31T23:59:59Z"}`, `{"limit":1e3}`, `{"a":1}`, "{}{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		limit, types, err := operate.ReadReplay(body, noon)
		if err == nil && (limit < 1 || limit > 10_000 || types > 64) {
			t.Errorf("%q: limit %d, %d types", body, limit, types)
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Errorf("%q: the refusal says nothing", body)
		}
	})
}
