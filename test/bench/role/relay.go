package role

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/test/bench/ledger"
)

const (
	relayWorkers = 64   // requests to receivers at once, as many as the generator has connections
	relayQueue   = 1024 // deliveries that wait for a worker; then the producers wait too
	relayMaxBody = 1 << 20
)

// A relay is the null relay: net/http in, net/http out. It reads an event, hands
// a copy for each of its routes to the workers, and answers 202. It signs. It
// stores nothing, matches nothing (the number in the type says where to), asks
// nobody who is calling, tries once, and records nothing.
type relay struct {
	book    *ledger.Ledger
	sender  *sender
	queue   chan parcel
	ids     atomic.Uint64
	address string
}

type parcel struct {
	route int
	id    string
	body  []byte
}

// open starts the relay at the first call, and tells its address.
func (r *relay) open(receivers []string) (string, error) {
	if r.address != "" {
		return r.address, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once or not at all
	if err != nil {
		return "", fmt.Errorf("listening as a relay: %w", err)
	}
	r.address = l.Addr().String()
	r.sender = newSender(receivers, int(r.book.Routes))
	r.queue = make(chan parcel, relayQueue)
	for range relayWorkers {
		go r.work()
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() {
		if err := server.Serve(l); err != nil {
			fmt.Fprintln(os.Stderr, "the relay ended:", err)
		}
	}()
	return r.address, nil
}

// ServeHTTP implements [http.Handler].
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, relayMaxBody))
	group := readGroup(body)
	if err != nil || group < 0 || group >= r.book.Groups() {
		http.Error(w, "this is no event of the benchmark", http.StatusBadRequest)
		return
	}
	id := "msg_" + strconv.FormatUint(r.ids.Add(1), 10)
	first := group * int(r.book.Fanout)
	for route := first; route < first+int(r.book.Fanout); route++ {
		r.queue <- parcel{route, id, body}
	}
	w.WriteHeader(http.StatusAccepted)
}

func (r *relay) work() {
	for p := range r.queue {
		if err := r.sender.send(context.Background(), p.route, p.id, p.body); err != nil {
			fmt.Fprintln(os.Stderr, "the relay lost a delivery:", err)
		}
	}
}
