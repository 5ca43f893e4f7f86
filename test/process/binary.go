package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The binary is built once for the tests of a package.
var binary struct {
	once sync.Once
	dir  string // removed by Main
	path string
	err  error
}

// Main runs the tests of a package that starts dispatchers, and removes what
// was built for them. Its result is for [os.Exit].
func Main(m *testing.M) int {
	defer func() {
		if binary.dir != "" {
			_ = os.RemoveAll(binary.dir) // a file that stays in the folder for temporary ones fails no test
		}
	}()
	return m.Run()
}

func build(tb testing.TB) string {
	tb.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "postrider-dispatcher-"); binary.err != nil { //nolint:usetesting // it serves all tests
			return
		}
		binary.path = filepath.Join(binary.dir, "dispatcher")
		build := exec.Command("go", "build", "-trimpath", "-o", binary.path, "github.com/postrider/postrider/cmd/dispatcher") //nolint:noctx // it serves all tests, so it ends with none of them
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("building the dispatcher: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		tb.Fatal(binary.err)
	}
	return binary.path
}
