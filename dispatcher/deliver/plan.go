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
	"github.com/postrider/postrider/dispatcher/payload"
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
	form   *payload.Form
	path   string // of the request line: path and query
	signer *sign.Signer
	live   authorize.Live // credentials that change, nil = none
	echoes *echoes        // of these

	given []string // the headers of the target that came from users
	agent string   // the User-Agent if it is ours

	secrets func() sought // what no record may show, made when it is first needed
}

// newPlan makes ready e, which is complete.
func newPlan(e *route.Entry, credentials *authorize.Keeper) (*plan, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("parsing the URL of %s", e.ID) // the cause would quote it
	}
	signer, err := sign.New(e.Signing)
	if err != nil {
		return nil, fmt.Errorf("preparing the signature of %s: %w", e.ID, err)
	}
	form, err := payload.NewForm(&e.Route)
	if err != nil {
		return nil, fmt.Errorf("preparing the bodies of %s: %w", e.ID, err)
	}
	p := &plan{Entry: e, host: u.Host, form: form, signer: signer}
	p.secrets = sync.OnceValue(func() sought { return secretsOf(&e.Route) })
	header, err := p.header(&u, credentials)
	if err != nil {
		return nil, fmt.Errorf("preparing the authorization of %s: %w", e.ID, err)
	}
	p.path = u.RequestURI()
	if p.target, err = p.aim(u, header); err != nil {
		return nil, fmt.Errorf("preparing the requests of %s: %w", e.ID, err)
	}
	return p, nil
}

// aim makes the target, which shows the certificate of the route, if it has one.
func (p *plan) aim(u *url.URL, header http.Header) (*egress.Target, error) {
	if p.Authorization == nil || p.Authorization.ClientCertificate == nil {
		return egress.NewTarget(u, header)
	}
	certificate, err := p.Authorization.ClientCertificate.Pair()
	if err != nil {
		return nil, err
	}
	return egress.NewIdentifiedTarget(u, header, certificate)
}

// header is what all requests carry. Credentials may change their URL.
func (p *plan) header(u **url.URL, credentials *authorize.Keeper) (http.Header, error) {
	header := make(http.Header, len(p.Headers)+1)
	for _, h := range p.Headers {
		header.Add(h.Name, h.Value.Reveal())
	}
	for _, own := range ownHeaders {
		header.Del(own) // each attempt has its own
	}
	if err := p.authorize(u, header, credentials); err != nil {
		return nil, err
	}
	p.given = slices.Collect(maps.Keys(header))
	if header.Get("User-Agent") == "" {
		p.agent = userAgent
		header.Set("User-Agent", userAgent)
	}
	return header, nil
}

// authorize puts into header or u what never changes, and prepares what does.
func (p *plan) authorize(u **url.URL, header http.Header, credentials *authorize.Keeper) (err error) {
	switch a := p.Authorization; {
	case a != nil && a.ClientCertificate != nil:
		return nil // it belongs to the connection
	case authorize.Changes(a):
		header.Del(headerAuthorization) // each attempt has its own
		p.echoes = new(echoes)
		p.live, err = credentials.Live(&p.Route)
		return err
	}
	auth, err := authorize.New(p.Authorization)
	if err != nil {
		return err
	}
	req := &http.Request{Method: http.MethodPost, URL: *u, Header: header}
	if err := auth.Apply(req); err != nil {
		return err
	}
	*u = req.URL
	return nil
}

// ownHeaders are set for each attempt. What users give under these names is not sent.
var ownHeaders = [...]string{headerContentType, sign.HeaderID, sign.HeaderTimestamp, sign.HeaderSignature, "Traceparent", "Tracestate"}

const (
	headerContentType   = "Content-Type"
	headerAuthorization = "Authorization" // if credentials change
)
