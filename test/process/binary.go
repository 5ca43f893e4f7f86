package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

const program = "github.com/postrider/postrider/cmd/dispatcher"

func build(tb testing.TB) string {
	tb.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "postrider-dispatcher-"); binary.err != nil { //nolint:usetesting // it serves all tests
			return
		}
		binary.path = filepath.Join(binary.dir, "dispatcher")
		build := exec.Command("go", "build", "-trimpath", "-o", binary.path, program) //nolint:noctx // it serves all tests, so it ends with none of them
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("building the dispatcher: %w\n%s", err, out)
			return
		}
		binary.err = look()
	})
	if binary.err != nil {
		tb.Fatal(binary.err)
	}
	return binary.path
}

// look reads the folders that the dispatcher is built of: go test remembers a
// result for as long as what the test itself has read does not change.
func look() error {
	const own = "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"
	list := exec.Command("go", "list", "-deps", "-f", own, program) //nolint:noctx // likewise
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("listing what the dispatcher is built of: %w", err)
	}
	for folder := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		if _, err := os.ReadDir(folder); err != nil {
			return err
		}
	}
	return nil
}
