// Package face is the HTTP face of a dispatcher as its callers see it: docs/http.md
// as types and calls.
package face

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes: a page of attempts with
	// long headers, or a dead letter with its event.
	maxAnswer = 64 << 20
	// callTime bounds a call: a test may take as long as an attempt.
	callTime = 2 * time.Minute
)

// A Client calls one dispatcher, or any of those behind one address. What the
// dispatcher refuses is a [*Problem].
type Client struct {
	Server string       // such as https://postrider-events.postrider-system.svc
	HTTP   *http.Client // must follow no redirect: the token is for the server alone
	// Token returns what the caller shows.
	Token func(context.Context) (string, error)
}

// A Problem is a problem document (RFC 9457), and what came with it.
type Problem struct {
	Type       string        `json:"type"`
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Detail     string        `json:"detail"`
	Limit      int           `json:"limit,omitempty"`
	Index      *int          `json:"index,omitempty"` // of the refused event in its batch
	RetryAfter time.Duration `json:"-"`
}

// Error is the detail: it says what to do.
func (p *Problem) Error() string {
	text := p.Detail
	if p.Index != nil {
		text = fmt.Sprintf("event %d of the batch: %s", *p.Index, text)
	}
	if text == "" {
		text = p.Title
	}
	return fmt.Sprintf("the dispatcher answers %d %s: %s", p.Status, p.name(), text)
}

// name is the last part of the type, which never changes.
func (p *Problem) name() string { return p.Type[strings.LastIndexByte(p.Type, '/')+1:] }

// Named reports whether p is of the name, such as "forbidden".
func (p *Problem) Named(name string) bool { return p.name() == name }

// Temporary reports whether the same call may succeed later.
func (p *Problem) Temporary() bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
}

// request is one call: body is sent as it is when contentType is set, and else as
// JSON, nil being no body.
type request struct {
	method, path, contentType string
	query                     url.Values
	body                      any
}

// do calls and reads the answer into out.
func (c *Client) do(ctx context.Context, r request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := c.request(ctx, r)
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return unreached(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the answer of the dispatcher broke off: %w", err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return problemOf(resp, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the answer of %s is not that of a dispatcher: %w", c.Server, err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, r request) (*http.Request, error) {
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	body, ok := r.body.([]byte)
	if !ok && r.body != nil {
		if body, err = json.Marshal(r.body); err != nil {
			return nil, err
		}
		r.contentType = "application/json"
	}
	target := strings.TrimSuffix(c.Server, "/") + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", "kubectl-postrider")
	return req, nil
}

// unreached leaves out of err the method and the address, which say nothing to those
// who did not choose them.
func unreached(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the dispatcher cannot be reached: %w; give the certificates of its authority with --ca-file", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the dispatcher has not answered in time: %w", err)
	}
	return fmt.Errorf("the dispatcher cannot be reached: %w", err)
}

// problemOf reads what resp refuses by.
func problemOf(resp *http.Response, body []byte) error {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // a malformed one is another one
	p := &Problem{}
	if media != "application/problem+json" || json.Unmarshal(body, p) != nil {
		return fmt.Errorf("the answer is %s, and not that of a dispatcher: see whether --server is its address", resp.Status)
	}
	p.Status = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

func namespacePath(namespace string) string { return "/v1/namespaces/" + url.PathEscape(namespace) }

func webhookPath(namespace, name string) string {
	return namespacePath(namespace) + "/webhooks/" + url.PathEscape(name)
}
