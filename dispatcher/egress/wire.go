package egress

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/net/http/httpguts"
)

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
	if cap(b.b) > 2*maxShort {
		return // of the few that are larger than what takes this road as a rule
	}
	if cap(b.b) > 2*maxSmall {
		largeBuffers.Put(b)
		return
	}
	smallBuffers.Put(b)
}
