// Package receiver is the remote end of the local run: an HTTP server that
// takes webhooks, checks the signature with the reference library of Standard
// Webhooks and the bearer token, and reports what it got.
package receiver

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The paths that take webhooks; every other answers 404.
const (
	Path   = "/hooks/pages"
	Review = "/hooks/review" // of a validation action: it consents to every workflow command
)

// maxBody bounds what is read of one request, in bytes: an event of 1 MiB and
// what a payload adds to it.
const maxBody = 2 << 20

// A Delivery is one request and the answer to it.
type Delivery struct {
	Time    time.Time
	Path    string
	Header  http.Header
	Body    []byte
	Status  int    // of the answer
	Problem string // why it was not taken, empty when it was
}

// Taken reports whether signature and token were right.
func (d Delivery) Taken() bool { return d.Problem == "" }

// A Receiver is an http.Handler. Until [Receiver.Trust] is called it answers
// 503 on [Path], which senders take as "try again later".
type Receiver struct {
	deliveries chan<- Delivery
	secrets    atomic.Pointer[secrets]
}

type secrets struct {
	signature *standardwebhooks.Webhook
	token     string
}

// New makes a Receiver that reports each request to deliveries. It waits for
// room there before it answers.
func New(deliveries chan<- Delivery) *Receiver { return &Receiver{deliveries: deliveries} }

// Trust sets what senders must prove: that they hold the signing key, in the
// "whsec_" form, and the bearer token.
func (r *Receiver) Trust(signingKey, token string) error {
	wh, err := standardwebhooks.NewWebhook(signingKey)
	if err != nil {
		return errors.New("the signing key is not base64") // the cause would quote it
	}
	r.secrets.Store(&secrets{signature: wh, token: token})
	return nil
}

func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d := Delivery{Time: time.Now(), Path: req.URL.Path, Header: req.Header}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body cannot be read or is larger than 2 MiB", http.StatusBadRequest)
		return
	}
	d.Body = body
	d.Status, d.Problem = r.judge(req, body)

	select {
	case r.deliveries <- d:
	case <-req.Context().Done():
		return
	}
	switch {
	case !d.Taken():
		http.Error(w, d.Problem, d.Status)
	case d.Path == Review:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"IsValid":true,"Message":"the sample receiver consents to everything"}`) // the sender notices
	default:
		w.WriteHeader(d.Status)
	}
}

func (r *Receiver) judge(req *http.Request, body []byte) (status int, problem string) {
	if req.URL.Path != Path && req.URL.Path != Review {
		return http.StatusNotFound, "nothing takes webhooks at this path"
	}
	if req.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, "webhooks are posted"
	}
	s := r.secrets.Load()
	if s == nil {
		return http.StatusServiceUnavailable, "not ready yet"
	}
	if err := s.signature.Verify(body, req.Header); err != nil {
		return http.StatusUnauthorized, fmt.Sprintf("the signature is wrong: %v", err)
	}
	if req.URL.Path == Review {
		return http.StatusOK, ""
	}
	token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 {
		return http.StatusUnauthorized, "the bearer token is wrong"
	}
	return http.StatusNoContent, ""
}

// Serve starts to answer at address and returns how to end that.
func (r *Receiver) Serve(ctx context.Context, address string) (stop func(), err error) {
	const slow = 10 * time.Second // what a sender may take for its request

	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the sample receiver: %w", err)
	}
	server := &http.Server{Handler: r, ReadTimeout: slow, IdleTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // it fails only by being closed
	return func() { _ = server.Close() }, nil
}
