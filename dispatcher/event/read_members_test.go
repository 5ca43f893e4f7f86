package event_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/event"
)

// crowded is an event with the attributes that it must have and n other members.
func crowded(n int, name func(i int) string) string {
	var b strings.Builder
	b.WriteString(`{"specversion":"1.0","id":"1","source":"/cms","type":"a"`)
	for i := range n {
		fmt.Fprintf(&b, `,%q:1`, name(i))
	}
	return b.String() + "}"
}

func numbered(i int) string { return fmt.Sprintf("x%d", i) }

func TestAnEventFullOfMembersIsRefusedBeforeItTakesMemory(t *testing.T) {
	const many = 90_000
	once := crowded(many, numbered)
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
	}{
		{"structured", structured, once},
		{"one name again and again", structured, crowded(many, func(int) string { return "x" })},
		{"in a batch", batched, "[" + once + "]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.body) > event.MaxBody {
				t.Fatalf("the body has %d bytes", len(tt.body))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := event.Read(tt.header, []byte(tt.body), "shop", now)
			runtime.ReadMemStats(&after)

			refusal, ok := errors.AsType[*event.Refusal](err)
			if !ok || refusal.Reason != event.InvalidEvent || refusal.Limit != event.MaxExtensions {
				t.Errorf("the error is %v", err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 8*event.MaxBody {
				t.Errorf("refusing took %d bytes", took)
			}
		})
	}
}

func TestAnEventWithAllThatIsAllowedIsTaken(t *testing.T) {
	body := strings.TrimSuffix(crowded(event.MaxExtensions, numbered), "}") +
		`,"subject":"s","time":"2026-11-22T10:00:00Z","datacontenttype":"application/json","dataschema":"https://cms.example.com/a","data":1}`
	events, err := event.Read(structured, []byte(body), "shop", now)
	if err != nil || len(events[0].Extensions) != event.MaxExtensions {
		t.Errorf("read %v and %v", events, err)
	}
}
