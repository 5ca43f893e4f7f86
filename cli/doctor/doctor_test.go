package doctor_test

import (
	"testing"

	"github.com/postrider/postrider/cli/doctor"
)

func TestOnlyReleasesDiffer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		installed, plugin string
		want              bool
	}{
		{"v0.1.0", "v0.1.0", false},
		{"v0.1.0", "v0.1.7", false},
		{"v0.1.0", "v0.2.0", true},
		{"v1.1.0", "v0.1.0", true},
		{"v0.1.0", "v0.0.0-20260131120000-4636ff0f626f", false},
		{"v0.1.0", "v0.2.1-0.20260131120000-4636ff0f626f+dirty", false},
		{"v0.1.0", "(devel)", false},
		{"sha256:55553ea0", "v0.2.0", false},
		{"v0.1.0-rc.1", "v0.2.0", false},
	} {
		if got := doctor.Differ(tt.installed, tt.plugin); got != tt.want {
			t.Errorf("%s and %s differ: %t, want %t", tt.installed, tt.plugin, got, tt.want)
		}
	}
}
