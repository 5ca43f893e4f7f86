package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/test/e2e/seen"
)

// Folders of the pod: tokens for the dispatcher, one in each file, and the
// pod's own account.
const (
	tokens  = "/var/run/secrets/postrider"
	account = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// producer posts events: single ones that the test gives it, or a stream that
// it makes up, each of which it repeats until it is accepted.
type producer struct {
	dispatcher string // e.g. https://postrider-events.postrider-system.svc
	log        *slog.Logger
	authority  string // URL of the ConfigMap with the dispatcher's CA; empty = plain HTTP

	mu     sync.Mutex
	client *http.Client // nil until the CA is known
	stream *stream
}

func newProducer(log *slog.Logger) (*producer, error) {
	p := &producer{log: log, dispatcher: os.Getenv("DISPATCHER"), authority: os.Getenv("AUTHORITY")}
	if p.dispatcher == "" {
		return nil, errors.New("DISPATCHER has to be the address of the dispatcher")
	}
	if p.authority == "" {
		p.client = &http.Client{Timeout: postPatience}
	}
	return p, nil
}

const postPatience = 10 * time.Second

func (p *producer) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /post", p.forward)
	mux.HandleFunc("POST /stream", p.startStream)
	mux.HandleFunc("DELETE /stream", p.endStream)
	return mux
}

// forward posts the body as events of a namespace, with one of the tokens or none.
func (p *producer) forward(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body did not arrive", http.StatusBadRequest)
		return
	}
	query := req.URL.Query()
	got, err := p.post(req.Context(), query.Get("namespace"), query.Get("token"), body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	answer(w, got)
}

func (p *producer) post(ctx context.Context, namespace, token string, body []byte) (seen.Answer, error) {
	client, err := p.trusting(ctx)
	if err != nil {
		return seen.Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.dispatcher+"/v1/namespaces/"+namespace+"/events", bytes.NewReader(body))
	if err != nil {
		return seen.Answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		if err := authorize(req, filepath.Join(tokens, token)); err != nil {
			return seen.Answer{}, err
		}
	}
	status, text, err := roundTrip(client, req)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		p.forget(client) // who installs anew has another CA
	}
	return seen.Answer{Status: status, Body: string(text)}, err
}

// forget has the CA read again.
func (p *producer) forget(client *http.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == client {
		p.client = nil
	}
}

// trusting returns a client that trusts the CA of the dispatcher, which is
// there some seconds after the first install.
func (p *producer) trusting(ctx context.Context) (*http.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		return p.client, nil
	}
	cluster, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return nil, err
	}
	api := clientFor(cluster)
	defer api.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.authority, nil)
	if err != nil {
		return nil, err
	}
	if err := authorize(req, filepath.Join(account, "token")); err != nil {
		return nil, err
	}
	status, text, err := roundTrip(api, req)
	if err != nil {
		return nil, err
	}
	var configMap struct{ Data map[string]string }
	if status != http.StatusOK || json.Unmarshal(text, &configMap) != nil || configMap.Data["ca.crt"] == "" {
		return nil, fmt.Errorf("the dispatcher's CA is not to be had: status %d: %s", status, text)
	}
	p.client = clientFor([]byte(configMap.Data["ca.crt"]))
	return p.client, nil
}

func clientFor(ca []byte) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Timeout: postPatience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}

func authorize(req *http.Request, file string) error {
	token, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return nil
}

func roundTrip(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return resp.StatusCode, body, err
}

func (p *producer) startStream(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream != nil {
		http.Error(w, "a stream is under way", http.StatusConflict)
		return
	}
	p.stream = newStream(p, req.URL.Query().Get("namespace"), req.URL.Query().Get("token"))
}

// endStream answers once every event of the stream has been accepted.
func (p *producer) endStream(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	s := p.stream
	p.stream = nil
	p.mu.Unlock()
	if s == nil {
		http.Error(w, "no stream is under way", http.StatusConflict)
		return
	}
	answer(w, s.end())
}
