package route

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	maxURL         = 2048
	maxHeaders     = 32
	maxConcurrency = 1000
	maxBackoff     = 100
	maxEpoch       = 128
	maxItemName    = 4 * 255 // bytes of what may be 255 characters

	// Wider than what policies may say, so that those can grow without a new
	// schema; narrow enough that what is kept per attempt stays small.
	maxRequests = 100_000
	maxPer      = 24 * time.Hour
	maxFailures = 10_000
	maxOpenFor  = 24 * time.Hour

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
	case !isHost(u.Hostname()):
		return errors.New("the host of the URL is neither a DNS name nor an IP address")
	case !isPort(u.Port()):
		return errors.New("the port of the URL is not between 1 and 65535")
	case u.User != nil:
		return errors.New("the URL carries a user name; put credentials into an AuthorizationItem")
	case u.Fragment != "":
		return errors.New("the URL has a fragment, which is never sent; remove what follows \"#\"")
	}
	return nil
}

var dnsName = regexp.MustCompile(`^([a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?\.?$`)

// isHost wants names in the form that DNS asks for: ASCII, or Punycode.
func isHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || len(host) <= 253 && dnsName.MatchString(host)
}

func isPort(port string) bool {
	if port == "" {
		return true // of the scheme
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
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

// validID keeps ids to what is safe in the subjects of a store: the namespace
// is a DNS label, the name a DNS subdomain.
var validID = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// check reports what makes r unfit for delivery. A held route may be
// incomplete, for nothing but a test is attempted with it.
func (r *Route) check() error {
	if !validID.MatchString(r.ID) {
		return errors.New("the id is not namespace/name, each as Kubernetes names things")
	}
	if err := CheckEvents(r.Events); err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if len(r.Epoch) > maxEpoch {
		return fmt.Errorf("epoch: it has %d bytes, the limit is %d", len(r.Epoch), maxEpoch)
	}
	if r.Validation != nil && len(r.Events) > 0 {
		return errors.New("validation: a route that is asked about workflow commands selects no events")
	}
	if r.Hold != "" && !r.Complete() {
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
		if err := r.Authorization.Fits(r.URL); err != nil {
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
	case "", FormatStandard, FormatCloudEvents, FormatSitecore:
	default:
		return fmt.Errorf("format: %q is unknown", r.Format)
	}
	if err := r.checkSitecore(); err != nil {
		return fmt.Errorf("sitecore: %w", err)
	}
	if r.Timeout <= 0 {
		return errors.New("timeout: it must be more than zero")
	}
	if r.Concurrency < 1 || r.Concurrency > maxConcurrency {
		return fmt.Errorf("concurrency: %d is not between 1 and %d", r.Concurrency, maxConcurrency)
	}
	if err := r.RateLimit.check(); err != nil {
		return fmt.Errorf("rateLimit: %w", err)
	}
	if err := r.Breaker.check(); err != nil {
		return fmt.Errorf("breaker: %w", err)
	}
	return r.Retry.check()
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (r *Route) checkSitecore() error {
	s := r.Sitecore
	switch {
	case (s != nil) != (r.Format == FormatSitecore):
		return fmt.Errorf("it is set if the format is %s, and only then", FormatSitecore)
	case s == nil:
		return nil
	case !guid.MatchString(s.ItemID):
		return errors.New("itemID: it is not a GUID in lower case with dashes and without braces")
	case s.ItemName == "" || len(s.ItemName) > maxItemName:
		return fmt.Errorf("itemName: it has %d bytes, not 1 to %d", len(s.ItemName), maxItemName)
	case s.AtState && !s.Action:
		return errors.New("atState: only an action can be at a state")
	}
	return nil
}

func (l Rate) check() error {
	switch {
	case l == Rate{}:
		return nil
	case l.Requests < 1 || l.Requests > maxRequests:
		return fmt.Errorf("requests: %d is not between 1 and %d", l.Requests, maxRequests)
	case l.Per <= 0 || l.Per > maxPer:
		return fmt.Errorf("per: it must be more than zero and at most %s", maxPer)
	}
	return nil
}

func (b Breaker) check() error {
	switch {
	case b == Breaker{}:
		return nil
	case b.Failures < 1 || b.Failures > maxFailures:
		return fmt.Errorf("failures: %d is not between 1 and %d", b.Failures, maxFailures)
	case b.OpenFor <= 0 || b.OpenFor > maxOpenFor:
		return fmt.Errorf("openFor: it must be more than zero and at most %s", maxOpenFor)
	}
	return nil
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
