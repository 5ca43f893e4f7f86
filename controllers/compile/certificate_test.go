package compile_test

import (
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/postrider/postrider/controllers/compile"
)

func TestWhenACertificateExpiresTheVerdictIsMadeAnew(t *testing.T) {
	a, err := txtar.ParseFile("testdata/authorization-that-changes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	s := read(t, section(a, "in.yaml"))
	from, until := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		now, next time.Time
		held      bool
	}{
		"before": {from.Add(-time.Second), from, true},
		"within": {until, until, false},
		"after":  {until.Add(time.Second), time.Time{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s.Now = tt.now
			r := compile.Compile(s)
			if !r.Until.Equal(tt.next) {
				t.Errorf("it is to be made anew at %s, want %s", r.Until, tt.next)
			}
			for _, rt := range r.Table.Routes {
				if rt.ID == "shop/certificate" && (rt.Hold != "") != tt.held {
					t.Errorf("the route is held for %q", rt.Hold)
				}
			}
		})
	}
}
