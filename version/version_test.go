package version_test

import (
	"runtime"
	"testing"

	"github.com/postrider/postrider/version"
)

func TestAProgramTellsTheVersionThatItsBuildGaveIt(t *testing.T) {
	t.Cleanup(version.Stamp("v1.2.3"))
	want := "sample v1.2.3 " + runtime.GOOS + "/" + runtime.GOARCH + " " + runtime.Version()
	if got := version.Line("sample"); got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}

func TestWithoutAReleaseItTellsWhatTheGoCommandKnows(t *testing.T) {
	t.Cleanup(version.Stamp(""))
	if got := version.String(); got == "" || got == "v1.2.3" {
		t.Errorf("it is %q", got)
	}
}
