package egress

import (
	"errors"
	"io"
	"net/http"
)

// errTooLong says that more came than anybody may send.
var errTooLong = errors.New("the answer is too long")

// HTTP is c for libraries that want a client of net/http: the same guard and
// pool, no redirect followed, no proxy, and answers of at most [MaxResponse]
// bytes, beyond which reading fails. It has no timeout of its own: give each
// request a context that has.
func (c *Client) HTTP() *http.Client {
	return &http.Client{
		Transport:     bounded{&c.long},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded is a transport that bounds what is read of answers.
type bounded struct{ long *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.long.RoundTrip(req)
	if err != nil {
		return nil, failed(req, err)
	}
	resp.Body = &boundedBody{resp.Body, MaxResponse}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements [io.Reader]. It looks one byte further than it gives.
func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		return b.left, &failure{reading, errTooLong}
	}
	b.left -= n
	return n, err
}
