package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/sign"
)

// Bounds of what a Record keeps of an answer.
const (
	maxRecordedLines  = 32
	maxRecordedHeader = 4 << 10 // bytes
	maxRecordedBody   = 1 << 10 // bytes
)

const redacted = "[redacted]"

// The methods below fill a Record while its attempt goes on. The nil Record
// records nothing.

func newRecord(a *attempt, start time.Time) *Record {
	r := &Record{
		Delivery: DeliveryID(a.seq, a.event.Key()), Route: a.entry.ID,
		EventID: a.event.ID, EventType: a.event.Type, WebhookID: a.webhookID(),
		Attempt: a.attempts + 1, Test: a.test, Started: start.UTC(), Skipped: a.skipped,
	}
	if a.plan != nil {
		r.Request.Host = a.plan.host
	}
	return r
}

// timed has what is sent under ctx timed.
func (r *Record) timed(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	return egress.WithTimings(ctx, &r.Timings)
}

// sent records a request. Only what Postrider itself puts into the header is
// kept; the signature would let who reads the log replay the delivery.
func (r *Record) sent(p *plan, post *egress.Post) {
	if r == nil {
		return
	}
	r.Request.Bytes = len(post.Body)
	r.Request.Header = make(http.Header, len(p.given)+len(post.Fields)+1)
	for _, name := range p.given {
		r.Request.Header[name] = []string{redacted}
	}
	if p.agent != "" {
		r.Request.Header["User-Agent"] = []string{p.agent}
	}
	for _, f := range post.Fields {
		if f.Name == sign.HeaderSignature || f.Name == headerAuthorization {
			f.Value = redacted
		}
		r.Request.Header[f.Name] = []string{f.Value}
	}
}

// answered records what came back, if anything did, without what was sent to
// prove who sends, shown included: the receiver may have put that into its
// answer. With an error the answer broke off.
func (r *Record) answered(p *plan, post *egress.Post, shown *authorize.Proof, resp *egress.Response, err error) {
	if r == nil || resp.Status == 0 {
		return
	}
	isCut := resp.Truncated || err != nil
	secrets := p.seeks(post, shown, resp, isCut)
	r.Response = &ResponseRecord{Status: resp.Status, Header: recordHeader(resp.Header, secrets), Bytes: len(resp.Body)}
	if p.KeepResponses {
		body := resp.Body[:min(len(resp.Body), secrets.window(maxRecordedBody))]
		r.Response.Body = secrets.scrub(body, maxRecordedBody, isCut)
	}
}

// seeks are the clues to what post proved, shown included, as far as the answer may
// hold it.
func (p *plan) seeks(post *egress.Post, shown *authorize.Proof, resp *egress.Response, isCut bool) sought {
	secrets := p.echoes.with(p.secrets(), shown)
	for _, f := range post.Fields {
		if f.Name == sign.HeaderSignature && (isCut || longest(resp) >= signatureSize) {
			secrets = secrets.and(seek(strings.Fields(unadorned.Replace(f.Value))...))
		}
	}
	return secrets
}

// signatureSize is how many bytes a text has at least that shows a signature, in
// base64 or any other form. Most answers are an "ok" and a date.
var signatureSize = base64.RawStdEncoding.EncodedLen(sha256.Size)

// unadorned takes from signatures what they prove just as much without.
var unadorned = strings.NewReplacer("v1,", "", "=", "")

// longest is how many bytes the longest text of an answer has.
func longest(resp *egress.Response) int {
	n := len(resp.Body)
	for name, values := range resp.Header {
		n = max(n, len(name))
		for _, v := range values {
			n = max(n, len(v))
		}
	}
	return n
}

// recordHeader keeps the first lines of h, by name, within bounds, without what
// lets somebody in.
func recordHeader(h http.Header, secrets sought) http.Header {
	kept := http.Header{}
	lines, bytes := 0, 0
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			if confidential(name) {
				v = redacted
			}
			lines++
			bytes += len(name) + len(v)
			if lines > maxRecordedLines || bytes > maxRecordedHeader {
				return kept
			}
			v = secrets.scrub([]byte(v), maxRecordedHeader, false)
			if name == "Location" { // a query may let somebody in
				v, _, _ = strings.Cut(v, "?")
			}
			shown := secrets.scrub([]byte(name), maxRecordedHeader, false)
			kept[shown] = append(kept[shown], v)
		}
	}
	return kept
}

// confidential reports whether a header of an answer may carry a credential.
func confidential(name string) bool {
	name = strings.ToLower(name)
	for _, part := range [...]string{"cookie", "auth", "token", "secret", "key", "session", "signature", "password", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// end records how it ended.
func (r *Record) end(o outcome.Outcome) {
	if r == nil {
		return
	}
	r.Reason, r.Detail = o.Reason, o.Detail
	r.Timings.Total = max(r.Timings.Total, o.Took)
}
