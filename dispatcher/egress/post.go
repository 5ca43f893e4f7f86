package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A Target is where deliveries go and the headers that all of them carry: what
// does not change from one to the next, checked and made ready once per route.
// It keeps URL and headers in the variables of a function, for both may hold
// credentials: from there neither fmt nor slog nor JSON can take them.
type Target struct {
	to     origin
	usual  bool // nothing about the URL needs net/http
	reveal func() *prepared
}

type prepared struct {
	head   []byte // up to the first header of an attempt's own
	url    *url.URL
	header http.Header
}

// NewTarget makes a Target. It fails when URL or headers cannot be sent; its
// errors quote no value.
func NewTarget(u *url.URL, header http.Header) (*Target, error) {
	req := &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: header}
	if !sendable(req) {
		return nil, &failure{sending, errors.New("the URL or a header is not valid in HTTP")}
	}
	host, err := httpguts.PunycodeHostPort(u.Host)
	if err != nil || !httpguts.ValidHostHeader(host) {
		return nil, &failure{sending, errors.New("the host of the URL is not valid")}
	}
	head, err := appendLine(nil, u.RequestURI(), host)
	if err != nil {
		return nil, &failure{sending, err}
	}
	if head, err = appendHeader(head, header); err != nil {
		return nil, &failure{sending, err}
	}
	p := &prepared{head: slices.Clip(head), url: u, header: header.Clone()}
	t := &Target{reveal: func() *prepared { return p }}
	t.to, t.usual = originOf(u)
	return t, nil
}

// A Field is a header of one attempt.
type Field struct{ Name, Value string }

// A Post is one delivery on its way.
type Post struct {
	Target   *Target
	Fields   []Field // besides the headers of the Target, and not among them
	Body     []byte
	Deadline time.Time // when the attempt ends, whatever it is about
}

// Post sends p and reads the response, as [Client.Send] does and for less. The
// attempt ends at the deadline of p or with ctx. Its memory is not kept.
func (c *Client) Post(ctx context.Context, p *Post) (Response, error) {
	if p.Deadline.IsZero() {
		return Response{}, &failure{sending, errors.New("the attempt has no deadline")}
	}
	if to, ok := c.shortTo(p.Target.to, p.Target.usual); ok && len(p.Body) <= maxShort {
		return c.wired(ctx, p.Deadline, to, len(p.Body), p.append)
	}
	ctx, cancel := context.WithDeadline(ctx, p.Deadline)
	defer cancel()
	return c.sendLong(p.Request(ctx))
}

// append appends p, all of it.
func (p *Post) append(b []byte) ([]byte, error) {
	b = append(b, p.Target.reveal().head...)
	var err error
	for _, f := range p.Fields {
		if b, err = appendField(b, f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return append(appendLength(b, len(p.Body)), p.Body...), nil
}

// Request makes p a request of net/http.
func (p *Post) Request(ctx context.Context) *http.Request {
	prepared := p.Target.reveal()
	header := prepared.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	for _, f := range p.Fields {
		header[f.Name] = append(header[f.Name], f.Value)
	}
	body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.Body)), nil }
	first, _ := body()
	return (&http.Request{
		Method: http.MethodPost, URL: prepared.url, Host: prepared.url.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: first, GetBody: body, ContentLength: int64(len(p.Body)),
	}).WithContext(ctx)
}
