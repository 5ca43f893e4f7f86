package route

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	maxURL         = 2048
	maxHeaders     = 32
	maxConcurrency = 1000
	maxBackoff     = 100

	minKey, maxKey = 24, 64 // bytes of a signing key, as Standard Webhooks has it
)

// CheckURL reports what is wrong with the address of a receiver.
func CheckURL(raw string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("the URL has %d bytes, the limit is %d", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("the URL cannot be parsed; write it like https://receiver.example.com/path") // the cause would quote it
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the URL must begin with https:// or http://")
	case u.Hostname() == "":
		return errors.New("the URL has no host")
	case u.User != nil:
		return errors.New("the URL carries a user name; put credentials into an AuthorizationItem")
	case u.Fragment != "":
		return errors.New("the URL has a fragment, which is never sent; remove what follows \"#\"")
	}
	return nil
}

// SigningKey decodes a Standard Webhooks signing key: base64 of 24 to 64
// bytes, with or without the prefix "whsec_". Its errors never quote the key.
func SigningKey(s Secret) ([]byte, error) {
	text := strings.TrimSpace(s.Reveal())
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	switch {
	case err != nil:
		return nil, errors.New(`the signing key is not base64; write it as "whsec_" followed by base64 of 24 to 64 random bytes`)
	case len(key) < minKey || len(key) > maxKey:
		return nil, fmt.Errorf("the signing key has %d bytes; Standard Webhooks wants %d to %d", len(key), minKey, maxKey)
	}
	return key, nil
}

// check reports what makes r unfit for delivery. A held route may be
// incomplete, for nothing is attempted with it.
func (r *Route) check() error {
	namespace, name, ok := strings.Cut(r.ID, "/")
	if !ok || namespace == "" || name == "" {
		return errors.New("the id is not namespace/name")
	}
	if err := CheckEvents(r.Events); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if r.Hold != "" {
		return nil
	}
	if err := CheckURL(r.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if len(r.Headers) > maxHeaders {
		return fmt.Errorf("headers: %d are too many, the limit is %d", len(r.Headers), maxHeaders)
	}
	for _, h := range r.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value.Reveal()) {
			return fmt.Errorf("headers: %q is not a valid HTTP header", h.Name)
		}
	}
	if r.Authorization != nil {
		if err := r.Authorization.Check(); err != nil {
			return fmt.Errorf("authorization: %w", err)
		}
	}
	if s := r.Signing; s != nil {
		if len(s.Keys) == 0 {
			return errors.New("signing: there is no key")
		}
		for _, k := range s.Keys {
			if _, err := SigningKey(k); err != nil {
				return fmt.Errorf("signing: %w", err)
			}
		}
	}
	switch r.Format {
	case "", FormatStandard, FormatCloudEvents:
	default:
		return fmt.Errorf("format: %q is unknown", r.Format)
	}
	if r.Timeout <= 0 {
		return errors.New("timeout: it must be more than zero")
	}
	if r.Concurrency < 1 || r.Concurrency > maxConcurrency {
		return fmt.Errorf("concurrency: %d is not between 1 and %d", r.Concurrency, maxConcurrency)
	}
	return r.Retry.check()
}

func (r Retry) check() error {
	if len(r.Backoff) > maxBackoff {
		return fmt.Errorf("retry: %d pauses are too many, the limit is %d", len(r.Backoff), maxBackoff)
	}
	for _, d := range r.Backoff {
		if d <= 0 {
			return errors.New("retry: each pause must be more than zero")
		}
	}
	if r.Jitter < 0 || r.Jitter > 1 {
		return errors.New("retry: jitter must be between 0 and 1")
	}
	if r.MaxAge <= 0 {
		return errors.New("retry: maxAge must be more than zero")
	}
	return nil
}
