package source_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postrider/postrider/dispatcher/route"
)

// cacheFile is where a table is remembered in dir.
func cacheFile(dir string) string { return filepath.Join(dir, "last-good-table.bin") }

// encoded is a table as it is remembered.
func encoded(t *testing.T, table route.Table) []byte {
	t.Helper()
	var b []byte
	for _, s := range shards(t, table) {
		b = binary.AppendUvarint(b, uint64(len(s.Data)))
		b = append(b, s.Data...)
	}
	return b
}

// waitRemembered waits until the table is remembered in dir.
func waitRemembered(t *testing.T, dir string, table route.Table) {
	t.Helper()
	eventually(t, patience, "the table to be remembered", func() bool {
		k := newKeeper(dir)
		k.Recall()
		return k.state().Digest == route.Digest(table)
	})
}

func remember(t *testing.T, dir string, table route.Table) {
	t.Helper()
	if err := os.WriteFile(cacheFile(dir), encoded(t, table), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheRememberedTableIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, k := newRoom(t), newKeeper(dir)
	r.follow(t, k)
	for _, name := range []string{"first", "second"} {
		r.publish(t, aTable(name))
		k.inForce(t, aTable(name))
		waitRemembered(t, dir, aTable(name))
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files are there, %v", len(files), err)
	}
	file, err := files[0].Info()
	if err != nil {
		t.Fatal(err)
	}
	if file.Mode() != 0o600 {
		t.Errorf("its mode is %s, want 0600", file.Mode())
	}
}

func TestARememberedTableThatCannotBeUsedIsLeftWithAWarning(t *testing.T) {
	t.Parallel()
	unbuildable := aTable("bad")
	unbuildable.Routes[0].Timeout = 0
	whole := string(encoded(t, aTable("whole")))
	for name, content := range map[string]string{
		"empty": "", "garbage": "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffgarbage", "cut": whole[:len(whole)-5], "continued": whole + "more",
		"a table that does not build": string(encoded(t, unbuildable)), "credentials": `{"token":"` + credential + `"}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(cacheFile(dir), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		k := newKeeper(dir)
		k.Recall()
		if k.loaded() || k.state() != (state{}) {
			t.Errorf("%s: the state is %+v", name, k.state())
		}
		if log := k.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "the remembered one cannot be used") || strings.Contains(log, credential) {
			t.Errorf("%s: the log says %s", name, log)
		}
	}
}

func TestWithoutARememberedTableTheFirstIsAwaited(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), ""} {
		k := newKeeper(dir)
		k.Recall()
		if k.loaded() || len(k.announced()) != 0 {
			t.Errorf("something is in force: %+v", k.state())
		}
		k.logs(t, "the API server has given no table yet")
	}
}

// A named pipe holds Recall in the middle of reading.
func TestTheRememberedTableDoesNotReplaceANewerOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(cacheFile(dir), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(dir)
	recalled := make(chan struct{})
	go func() { defer close(recalled); k.Recall() }()
	pipe, err := os.OpenFile(cacheFile(dir), os.O_WRONLY, 0) // waits for the reader
	if err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "routes.json")
	writeRoutes(t, newer, aTable("newer"))
	go func() { _ = k.File(t.Context(), newer) }() // its errors are another test's
	k.inForce(t, aTable("newer"))

	if _, err := pipe.Write(encoded(t, aTable("older"))); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	<-recalled
	k.inForce(t, aTable("newer"))
}

func writeRoutes(t *testing.T, path string, table route.Table) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"routes": table.Routes})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(text))
}

// writeFile replaces a file as a whole.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
