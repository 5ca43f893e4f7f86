package deliver

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sign"
)

// userAgent is what receivers see in their logs.
const userAgent = "Postrider/1 (+https://postrider.dev)"

// A plan is a route made ready to be attempted: what an attempt needs and does
// not depend on the event is made here, once per table.
type plan struct {
	*route.Entry
	target *egress.Target
	host   string // of the URL, with its port if it has one
	signer *sign.Signer

	given []string // the headers of the target that came from users
	agent string   // the User-Agent if it is ours

	secrets func() sought // what no record may show, made when it is first needed
}

// newPlan makes ready e, which is complete.
func newPlan(e *route.Entry) (*plan, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("parsing the URL of %s", e.ID) // the cause would quote it
	}
	signer, err := sign.New(e.Signing)
	if err != nil {
		return nil, fmt.Errorf("preparing the signature of %s: %w", e.ID, err)
	}
	p := &plan{Entry: e, host: u.Host, signer: signer}
	p.secrets = sync.OnceValue(func() sought { return secretsOf(&e.Route) })
	header, err := p.header(&u)
	if err != nil {
		return nil, fmt.Errorf("preparing the authorization of %s: %w", e.ID, err)
	}
	if p.target, err = egress.NewTarget(u, header); err != nil {
		return nil, fmt.Errorf("preparing the requests of %s: %w", e.ID, err)
	}
	return p, nil
}

// header is what all requests carry. Credentials may change their URL.
func (p *plan) header(u **url.URL) (http.Header, error) {
	header := make(http.Header, len(p.Headers)+1)
	for _, h := range p.Headers {
		header.Add(h.Name, h.Value.Reveal())
	}
	for _, own := range ownHeaders {
		header.Del(own) // each attempt has its own
	}
	auth, err := authorize.New(p.Authorization)
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: http.MethodPost, URL: *u, Header: header}
	if err := auth.Apply(req); err != nil {
		return nil, err
	}
	*u = req.URL
	p.given = slices.Collect(maps.Keys(header))
	if header.Get("User-Agent") == "" {
		p.agent = userAgent
		header.Set("User-Agent", userAgent)
	}
	return header, nil
}

// ownHeaders are set for each attempt. What users give under these names is not sent.
var ownHeaders = [...]string{headerContentType, sign.HeaderID, sign.HeaderTimestamp, sign.HeaderSignature, "Traceparent", "Tracestate"}

const headerContentType = "Content-Type"
