package source_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

func TestTheFileOfRoutesIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "routes.json")
		writeRoutes(t, path, aTable("first"))
		k := newKeeper("")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.File(ctx, path) }()
		// pass lets the time pass in which a change is noticed.
		pass := func() { <-time.After(time.Second) }
		check := func(name string, fault string) {
			t.Helper()
			got := k.state()
			if got.Digest != route.Digest(aTable(name)) || (got.Fault == "") != (fault == "") || !strings.Contains(got.Fault, fault) {
				t.Errorf("the state is %+v, want table %s and fault %q", got, name, fault)
			}
		}
		pass()
		check("first", "")
		k.gauges(t, 0, 1)

		writeRoutes(t, path, aTable("second"))
		pass()
		check("second", "")

		for _, tt := range []struct{ text, fault string }{
			{`{"routes":[`, "decoding"},
			{`{"routes":[],"more":1}`, "more"},
			{`{"routes":[{"id":"cms/x","generation":1,"events":["*"]}]}`, "route cms/x: url"},
		} {
			writeFile(t, path, tt.text)
			pass()
			check("second", tt.fault)
			k.gauges(t, 1, 1)
		}

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pass()
		check("second", "reading the routes file")
		writeFile(t, path, `{"routes":[`) // as it was before it was gone
		pass()
		check("second", "decoding")
		writeRoutes(t, path, aTable("second"))
		pass()
		check("second", "")
		k.gauges(t, 0, 1)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		pass()
		check("second", "reading the routes file")
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		pass()
		check("second", "")

		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(k.log.String(), credential) {
			t.Error("the log shows a credential")
		}
	})
}

func TestTheFirstFileOfRoutesMustBeGood(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":             "reading the routes file",
		"{":            "decoding",
		`{"route":[]}`: "route",
		`{"routes":[{"id":"no-namespace","generation":1}]}`: "namespace/name",
	} {
		path := filepath.Join(t.TempDir(), "routes.json")
		if text != "" {
			writeFile(t, path, text)
		}
		k := newKeeper("")
		if err := k.File(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %v, want one about %q", text, err, want)
		}
		if k.loaded() {
			t.Errorf("%q is in force", text)
		}
	}
}
