package egress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
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
	shows  *tls.Certificate // nil = none
	head   []byte           // up to the first header of an attempt's own
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

// NewIdentifiedTarget makes a Target whose connections show a certificate to a
// host that asks for one. No other Target shares them, unless it shows the same.
// It fails without https://, where nothing can be shown.
func NewIdentifiedTarget(u *url.URL, header http.Header, certificate *tls.Certificate) (*Target, error) {
	t, err := NewTarget(u, header)
	if err != nil {
		return nil, err
	}
	if !t.usual || !t.to.secure {
		return nil, &failure{sending, errors.New("a certificate can be shown only at an https:// URL whose host is a plain name or address")}
	}
	t.to.identity = identityOf(certificate)
	t.reveal().shows = certificate
	return t, nil
}

// identityOf names a certificate by all of its chain. It holds nothing secret.
func identityOf(c *tls.Certificate) string {
	h := sha256.New()
	for _, der := range c.Certificate {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(der)))) //nolint:gosec // a chain is bounded by a Secret; a hash fails at no write
		_, _ = h.Write(der)
	}
	return string(h.Sum(nil))
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

// Post sends p and reads the response, all of it before the deadline of p and the
// end of ctx. Within it, resolving and connecting take at most ConnectTimeout and
// the handshake TLSTimeout (see [Options]); the first byte and the rest of the
// response have no timeouts of their own, only what is left of the attempt's.
// Redirects are responses like others. When the body broke off or took too long,
// the response comes with the error. [Classify] tells what an error means.
//
// Post may send p twice, when a pooled connection turns out to be closed:
// deliveries carry an id by which receivers drop a repetition. It does not keep
// the memory of p.
func (c *Client) Post(ctx context.Context, p *Post) (Response, error) {
	if p.Deadline.IsZero() {
		return Response{}, &failure{sending, errors.New("the attempt has no deadline")}
	}
	if p.Target.usual && c.hasShort(p.Target.to) && (len(p.Body) <= maxShort || p.Target.reveal().shows != nil) {
		return c.postShort(ctx, p)
	}
	ctx, cancel := context.WithDeadline(ctx, p.Deadline)
	defer cancel()
	return c.sendLong(p.Request(ctx))
}

// postShort sends p over the short road.
func (c *Client) postShort(ctx context.Context, p *Post) (Response, error) {
	buffer := takeBuffer(len(p.Body))
	defer buffer.release()
	var err error
	if buffer.b, err = p.append(buffer.b[:0]); err != nil {
		return Response{}, &failure{sending, err}
	}
	clock := watch(ctx)
	defer clock.stop()
	return c.sendShort(&attempt{ctx: ctx, deadline: p.Deadline, to: p.Target.to, shows: p.Target.reveal().shows, wire: buffer.b, clock: clock})
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
