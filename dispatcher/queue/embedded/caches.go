package embedded

import (
	"fmt"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"github.com/nats-io/nats-server/v2/server"
)

// CacheTime is how long the server keeps a file of messages in memory after it
// was last written or read. By itself it does so for ten seconds, whatever comes:
// at 50 MB a second that is half a gigabyte, which no collection frees. Fan-out
// reads what was written within milliseconds. A stream that is written to less often
// than this reads the file again that it goes on with, some milliseconds' work:
// so it is not shorter.
const CacheTime = 2 * time.Second

// LimitCaches bounds by [CacheTime] what the streams that are there by now keep
// in memory of what is written from now on. The server has that as CacheExpire of
// a FileStoreConfig, but takes none from a program that embeds it. So it is set where
// the server has it, under the server's locks. It is an error, and nothing is
// set, when that place is not the known one: then the server is another version.
func (s *Server) LimitCaches() error {
	account := reflect.ValueOf(s.ns.GlobalAccount())
	streams, err := descend(account, "js", "streams")
	if err != nil {
		return err
	}
	lock, err := inside[sync.RWMutex](account, "js", "mu")
	if err != nil {
		return err
	}
	lock.RLock()
	defer lock.RUnlock()
	if streams.Kind() != reflect.Map {
		return fmt.Errorf("the streams of the embedded store are a %s", streams.Type())
	}
	for _, stream := range streams.Seq2() {
		if err := limitCache(stream); err != nil {
			return err
		}
	}
	return nil
}

func limitCache(stream reflect.Value) error {
	lock, err := inside[sync.RWMutex](stream, "store", "mu")
	if err != nil {
		return err
	}
	config, err := inside[server.FileStoreConfig](stream, "store", "fcfg")
	if err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	config.CacheExpire = CacheTime
	return nil
}

// inside returns where the T is that the path leads to.
func inside[T any](v reflect.Value, path ...string) (*T, error) {
	v, err := descend(v, path...)
	if err != nil {
		return nil, err
	}
	if v.Type() != reflect.TypeFor[T]() || !v.CanAddr() {
		return nil, fmt.Errorf("%s of the embedded store is a %s", path, v.Type())
	}
	return (*T)(unsafe.Pointer(v.UnsafeAddr())), nil
}

// descend follows fields, and the pointers and interfaces between them.
func descend(v reflect.Value, path ...string) (reflect.Value, error) {
	for _, name := range path {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct || !v.FieldByName(name).IsValid() {
			return v, fmt.Errorf("the embedded store has no %s of %s", name, path)
		}
		v = v.FieldByName(name)
	}
	return v, nil
}
