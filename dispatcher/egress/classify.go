package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// A stage is how far an attempt came before it failed.
type stage string

const (
	sending    stage = "sending the request"
	connecting stage = "connecting"
	securing   stage = "the TLS handshake"
	waiting    stage = "waiting for the answer"
	reading    stage = "reading the answer"
)

// A failure is an error with the stage at which it occurred.
type failure struct {
	stage stage
	err   error
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %v", f.stage, f.err) }
func (f *failure) Unwrap() error { return f.err }

func isFailure(err error) bool {
	_, ok := errors.AsType[*failure](err)
	return ok
}

// Classify says what an error of [Client.Send] means for the outcome: the
// reason, and a fixed phrase that narrows it. The phrase holds no text from
// outside and no address, so that it can be shown to whoever chose the URL.
func Classify(err error) (outcome.Reason, string) {
	if d, ok := errors.AsType[denial](err); ok {
		return outcome.EgressDenied, string(d)
	}
	if d, ok := errors.AsType[*net.DNSError](err); ok {
		return outcome.DNSFailed, resolution(d)
	}
	at := waiting
	if f, ok := errors.AsType[*failure](err); ok {
		at = f.stage
	}
	switch at {
	case sending:
		return outcome.Unsendable, "not a valid HTTP request"
	case connecting:
		return outcome.ConnectFailed, connection(err)
	case securing:
		return outcome.TLSFailed, handshake(err)
	case reading:
		return body(err)
	default:
		return answer(err)
	}
}

func resolution(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "no such host"
	case err.IsTimeout:
		return "name not resolved in time"
	default:
		return "name not resolved"
	}
}

func connection(err error) string {
	switch {
	case timedOut(err):
		return "no connection in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to the host"
	default:
		return "no connection"
	}
}

func handshake(err error) string {
	if timedOut(err) {
		return "handshake not finished in time"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the receiver does not speak TLS there"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "certificate for another name"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "certificate of an unknown authority"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "certificate expired or not yet valid"
		}
		return "certificate not valid"
	}
	if alerted(err) {
		return "handshake refused by the receiver"
	}
	return "handshake failed"
}

// alerted reports whether TLS itself ended the connection, at the other end.
func alerted(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

func answer(err error) (outcome.Reason, string) {
	switch {
	case errors.Is(err, context.Canceled):
		return outcome.Timeout, "attempt cancelled"
	case timedOut(err):
		return outcome.Timeout, "no answer in time"
	case alerted(err): // TLS 1.3 refuses a client's certificate, or the lack of one, after the handshake
		return outcome.TLSFailed, "handshake refused by the receiver"
	case brokeOff(err):
		return outcome.ConnectFailed, "connection closed without an answer"
	default:
		return outcome.ConnectFailed, "no valid HTTP answer"
	}
}

func body(err error) (outcome.Reason, string) {
	switch {
	case errors.Is(err, context.Canceled):
		return outcome.Timeout, "attempt cancelled"
	case timedOut(err):
		return outcome.Timeout, "answer not complete in time"
	case brokeOff(err):
		return outcome.BodyFailed, "answer broke off"
	default:
		return outcome.BodyFailed, "answer not valid HTTP"
	}
}

func timedOut(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout() // which includes context.DeadlineExceeded
}

func brokeOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
