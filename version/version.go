// Package version says which version of Postrider a program is.
package version

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// ErrAsked says that the version was asked for, as flag.ErrHelp says it of the help.
var ErrAsked = errors.New("the version was asked for")

// stamped is what the build of an image gives the program by
// -ldflags "-X github.com/postrider/postrider/version.stamped=v0.1.0".
var stamped string

// String is the version that the build gave, such as v0.1.0. Without one it is
// what the go command knows of the module: the version that "go install" was
// asked for, or (devel).
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = new(debug.BuildInfo)
	}
	return cmp.Or(stamped, info.Main.Version, "(devel)")
}

// Line is what program --version prints: version, platform and Go.
func Line(program string) string {
	return fmt.Sprintf("%s %s %s/%s %s", program, String(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
