package queue_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/queue"
)

func FuzzSubjectOf(f *testing.F) {
	for _, route := range []string{"cms/a", "cms/a.b", "cms/*", "a/>", "a/b.", "/", "a.b/c"} {
		f.Add(route)
	}
	f.Fuzz(func(t *testing.T, route string) {
		subject, err := queue.SubjectOf("p.", route)
		if err != nil {
			return
		}
		if strings.ContainsAny(subject, "*> \t\r\n") || strings.Contains(subject, "..") || strings.HasSuffix(subject, ".") {
			t.Errorf("the subject of %q is %q", route, subject)
		}
		if back := queue.RouteOf("p.", subject); back != route {
			t.Errorf("%q came back as %q", route, back)
		}
	})
}
