package deliver

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sign"
)

// userAgent is what receivers see in their logs.
const userAgent = "Postrider/1 (+https://postrider.dev)"

// A plan is a route made ready to be attempted: what an attempt needs and does
// not depend on the event is made here, once per table.
type plan struct {
	*route.Entry
	url    *url.URL
	header http.Header
	auth   authorize.Authorizer
	signer *sign.Signer
}

// newPlan makes ready e, which is not held.
func newPlan(e *route.Entry) (*plan, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("parsing the URL of %s", e.ID) // the cause would quote it
	}
	header := make(http.Header, len(e.Headers)+1)
	for _, h := range e.Headers {
		header.Add(h.Name, h.Value.Reveal())
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", userAgent)
	}
	auth, err := authorize.New(e.Authorization)
	if err != nil {
		return nil, fmt.Errorf("preparing the authorization of %s: %w", e.ID, err)
	}
	signer, err := sign.New(e.Signing)
	if err != nil {
		return nil, fmt.Errorf("preparing the signature of %s: %w", e.ID, err)
	}
	return &plan{Entry: e, url: u, header: header, auth: auth, signer: signer}, nil
}
