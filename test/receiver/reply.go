package receiver

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// Status replies with a status and an empty body.
func Status(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// Body replies 200 with a body.
func Body(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, body) }
}

// Refuse replies with a status, a cookie and a body.
func Refuse(status int, cookie, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", cookie)
		w.WriteHeader(status)
		write(w, body)
	}
}

// RetryAfter replies with a status and asks for patience, in the words of RFC 9110.
func RetryAfter(status int, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(status)
	}
}

// Redirect replies 302 to location.
func Redirect(location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusFound)
	}
}

// Delay waits before it replies.
func Delay(d time.Duration, reply http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			reply(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // to return would be an answer
		}
	}
}

// Hang replies when release is closed; with nil, never. It gives up with the
// connection.
func Hang(release <-chan struct{}, reply http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
			reply(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // to return would be an answer
		}
	}
}

// Drip replies 200 and sends a byte of an endless body per interval.
func Drip(interval time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			write(w, ".")
			flush(w)
			select {
			case <-tick.C:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler) // to return would end the body
			}
		}
	}
}

// Flood replies 200 and sends a body of n bytes, as fast as it is taken.
func Flood(n int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.CopyN(w, zeros{}, n) // a client that has enough breaks off
	}
}

// BreakOff replies 200, announces more than it sends and closes the connection.
func BreakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	write(w, "half an ans")
	flush(w)
	panic(http.ErrAbortHandler)
}

// HangUp closes the connection without a reply.
func HangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func write(w io.Writer, s string) { _, _ = io.WriteString(w, s) } // a client that went away is not the receiver's failure

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() } // likewise

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
