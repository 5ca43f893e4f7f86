// Package embedded runs a nats-server with JetStream inside the dispatcher,
// reachable by no socket, with its files in one folder.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	// MaxPayload bounds one stored message, in bytes: a pack and its largest event.
	MaxPayload = 8 << 20

	// SyncInterval is how often the disk is told to keep what a store that does
	// not sync each append has written.
	SyncInterval = 10 * time.Second

	startTimeout = 30 * time.Second // a store of many gigabytes is indexed at start
)

// A Server is a running nats-server.
type Server struct{ ns *server.Server }

// Start opens the store in dir, creating it when it is not there. With sync
// every append is on disk before it is acknowledged: that is what lets a 202
// mean durable. Without, the disk has it within [SyncInterval], and a loss of
// power loses what it has not. How much is stored is the queue's to bound.
func Start(dir string, sync bool, log *slog.Logger) (*Server, error) {
	ns, err := server.NewServer(&server.Options{
		ServerName:         "postrider",
		DontListen:         true,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           dir,
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  math.MaxInt64,
		SyncAlways:         sync,
		SyncInterval:       SyncInterval,
		MaxPayload:         MaxPayload,
	})
	if err != nil {
		return nil, fmt.Errorf("configuring the embedded store: %w", err)
	}
	ns.SetLogger(logger{log}, false, false)
	ns.Start()
	if !ns.ReadyForConnections(startTimeout) {
		ns.Shutdown()
		return nil, fmt.Errorf("the store in %s did not open within %s", dir, startTimeout)
	}
	if !ns.JetStreamEnabled() {
		ns.Shutdown()
		return nil, fmt.Errorf("the store in %s cannot be used; is the folder writable and is there room on the disk?", dir)
	}
	return &Server{ns}, nil
}

// Connect opens a connection to s within the process.
func (s *Server) Connect() (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(s.ns), nats.Name("dispatcher"), nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("connecting to the embedded store: %w", err)
	}
	return nc, nil
}

// Healthy returns nil unless the store has stopped working, for example
// because a write to the disk failed. Only opening it anew mends that, and
// what was accepted before is still there.
func (s *Server) Healthy() error {
	if s.ns.JetStreamEnabled() {
		return nil
	}
	return errors.New("the embedded store has stopped after a failed write; make room on its disk and restart the dispatcher")
}

// Close writes out what is open and stops the server.
func (s *Server) Close() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// logger passes on what the server has to say: its notices are debug lines
// here, for they speak of a server that users of the dispatcher do not know.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) {
	l.log.Debug("store", "text", fmt.Sprintf(format, v...))
}
func (l logger) Warnf(format string, v ...any) {
	l.log.Warn("store", "text", fmt.Sprintf(format, v...))
}
func (l logger) Fatalf(format string, v ...any) {
	l.log.Error("store", "text", fmt.Sprintf(format, v...))
}
func (l logger) Errorf(format string, v ...any) {
	l.log.Error("store", "text", fmt.Sprintf(format, v...))
}
func (l logger) Debugf(string, ...any) {}
func (l logger) Tracef(string, ...any) {}

// Free tells how many bytes the disk below dir has left for the store.
func Free(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("measuring the disk of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
