package egress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// maxShort bounds what takes the short road, in bytes of the body. A receiver
// may answer before it has read a larger one, and then no longer read: that
// needs somebody who reads while another writes, as net/http does.
const maxShort = 64 << 10

// short returns the origin of req if it is for the short road: a POST with a
// body of known length and nothing unusual.
func (c *Client) short(req *http.Request) (origin, bool) {
	if req.Method != http.MethodPost || req.Close || req.Trailer != nil || req.TransferEncoding != nil ||
		!known(req) || req.ContentLength > maxShort || !usualHost(hostOf(req)) {
		return origin{}, false
	}
	return c.shortTo(originOf(req.URL))
}

// shortTo passes on an origin to which there is a short road.
func (c *Client) shortTo(to origin, ok bool) (origin, bool) {
	return to, ok && (!to.secure || c.http1.has(to.address))
}

// known reports whether the length of the body is known.
func known(req *http.Request) bool {
	return req.ContentLength > 0 || req.Body == nil || req.Body == http.NoBody
}

func hostOf(req *http.Request) string {
	if req.Host != "" {
		return req.Host
	}
	return req.URL.Host
}

// appendRequest appends req, all of it, and closes its body.
func appendRequest(b []byte, req *http.Request) ([]byte, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	b, err := appendLine(b, req.URL.RequestURI(), hostOf(req))
	if err != nil {
		return nil, err
	}
	if b, err = appendHeader(b, req.Header); err != nil {
		return nil, err
	}
	length := 0
	if req.Body != nil && req.Body != http.NoBody {
		length = int(req.ContentLength)
	}
	b = appendLength(b, length)
	if length == 0 {
		return b, nil
	}
	head := len(b)
	b = append(b, make([]byte, length)...)
	if _, err := io.ReadFull(req.Body, b[head:]); err != nil {
		return nil, fmt.Errorf("reading the body of %d bytes: %w", length, err)
	}
	var more [1]byte
	if n, _ := req.Body.Read(more[:]); n > 0 {
		return nil, fmt.Errorf("the body has more than the %d bytes that it should have", length)
	}
	return b, nil
}

// appendLine appends how the head of a POST begins (RFC 9112, 3).
func appendLine(b []byte, target, host string) ([]byte, error) {
	for i := range len(target) {
		if target[i] < ' ' || target[i] == 0x7f {
			return nil, errors.New("the URL holds a control character")
		}
	}
	b = append(b, "POST "...)
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	return append(b, "\r\n"...), nil
}

func appendHeader(b []byte, header http.Header) ([]byte, error) {
	var err error
	for name, values := range header {
		for _, value := range values {
			if b, err = appendField(b, name, value); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// appendField appends a field of the head, unless it is one that the head has
// anyway. It fails when the field would be more than one. The error does not
// quote a value, which may be a credential.
func appendField(b []byte, name, value string) ([]byte, error) {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
		return b, nil
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return nil, errors.New("the name of a header is not valid")
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return nil, fmt.Errorf("the value of header %s is not valid", name)
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...), nil
}

// appendLength appends the end of the head: the length of the body that follows.
func appendLength(b []byte, body int) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(body), 10)
	return append(b, "\r\n\r\n"...)
}

// A buffer holds a request on its way out, until it is answered: thousands may
// wait for receivers that hang. So the many small ones do not get what a large
// one has left.
type buffer struct{ b []byte }

// maxSmall is the largest body of a small request, in bytes.
const maxSmall = 8 << 10

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 4<<10)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, maxShort+4<<10)} }}
)

// takeBuffer returns a buffer for a request with so many bytes of body.
func takeBuffer(body int) *buffer {
	pool := &smallBuffers
	if body > maxSmall {
		pool = &largeBuffers
	}
	return pool.Get().(*buffer) //nolint:errcheck // the pools hold nothing else
}

func (b *buffer) release() {
	if cap(b.b) > 2*maxSmall {
		largeBuffers.Put(b)
		return
	}
	smallBuffers.Put(b)
}
