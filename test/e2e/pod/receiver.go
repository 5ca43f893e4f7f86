package main

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/postrider/postrider/test/e2e/seen"
)

// Bounds of what a receiver keeps and reads.
const (
	keepRequests = 200
	maxBody      = 4 << 20
)

// receiver takes what is sent to /hooks/ and knows nothing else.
type receiver struct {
	mu       sync.Mutex
	requests []seen.Request
	counts   map[string]map[string]int // by path and webhook-id
}

func newReceiver() http.Handler {
	r := &receiver{counts: map[string]map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks/", r.take)
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		answer(w, r.requests)
	})
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		answer(w, r.counts[req.URL.Query().Get("path")])
	})
	return mux
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body did not arrive", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.counts[req.URL.Path]
	if counts == nil {
		counts = map[string]int{}
		r.counts[req.URL.Path] = counts
	}
	counts[req.Header.Get("Webhook-Id")]++
	if len(r.requests) < keepRequests {
		r.requests = append(r.requests, seen.Request{Path: req.URL.Path, Header: req.Header, Body: body, Time: time.Now()})
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asks sees that it breaks off
}
