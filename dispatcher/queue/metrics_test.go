package queue_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider/postrider/internal/eventually"
)

func TestTheMetricsTellHowFullTheStoreIs(t *testing.T) {
	s := open(t, t.TempDir())
	registry := prometheus.NewRegistry()
	s.Register(registry)
	value := func(name string) float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("there is no %s", name)
		return 0
	}
	if got := value("postrider_queue_room_bytes"); got != 64<<20 {
		t.Errorf("the store may hold %.0f bytes", got)
	}
	empty := value("postrider_queue_stored_bytes")

	s.bury(t, letters("cms/orders", "e", 3)...)
	eventually.True(t, "the dead letters in the metrics", func() bool {
		return value("postrider_queue_dead_letters") == 3 && value("postrider_queue_stored_bytes") > empty
	})
	want := "# HELP postrider_queue_dead_letters Dead letters that are kept.\n# TYPE postrider_queue_dead_letters gauge\npostrider_queue_dead_letters 3\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "postrider_queue_dead_letters"); err != nil {
		t.Error(err)
	}
}
