package source_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider/postrider/dispatcher/route"
)

func TestRoutesThatNothingIsSentToAreCountedByWhy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "routes.json")
	k := newKeeper("")
	shown := func(specDisabled, gone, failures, incomplete string) bool {
		want := `# HELP postrider_source_held_routes Routes of the table in force that nothing is sent to, by why.
# TYPE postrider_source_held_routes gauge
postrider_source_held_routes{hold="SpecDisabled"} ` + specDisabled + `
postrider_source_held_routes{hold="ReceiverGone"} ` + gone + `
postrider_source_held_routes{hold="ConsecutiveFailures"} ` + failures + `
postrider_source_held_routes{hold="Incomplete"} ` + incomplete + "\n"
		return testutil.GatherAndCompare(k.registry, strings.NewReader(want), "postrider_source_held_routes") == nil
	}
	if !shown("0", "0", "0", "0") {
		t.Error("before the first table routes are counted")
	}

	var all route.Table
	for name, hold := range map[string]string{
		"sends": "", "off": "SpecDisabled", "gone": "ReceiverGone", "fails": "ConsecutiveFailures", "bad": "InvalidURL", "lacks": "SecretNotFound",
	} {
		r := aTable(name).Routes[0]
		r.Hold = hold
		all.Routes = append(all.Routes, r)
	}
	writeRoutes(t, path, all)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.File(ctx, path) }()
	eventually(t, patience, "each hold to be counted", func() bool { return shown("1", "1", "1", "2") })
	writeRoutes(t, path, aTable("sends"))
	eventually(t, patience, "no hold to be counted", func() bool { return shown("0", "0", "0", "0") })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
